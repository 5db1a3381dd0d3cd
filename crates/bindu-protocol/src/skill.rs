//! Skills in full, as an agent's skill routes show them.

use serde::{Deserialize, Serialize};

use crate::JsonObject;
use crate::spelling::two_spellings;

/// A skill with all that its author wrote about it.
///
/// The card shows less of it: see [`SkillCard`](crate::SkillCard). Written in snake_case, the
/// spelling of the routes that show skills.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct Skill {
    /// Names the skill.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Media types it takes.
    #[serde(default)]
    pub input_modes: Vec<String>,
    /// Media types it answers in.
    #[serde(default)]
    pub output_modes: Vec<String>,
    /// What a caller may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Where its details are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_path: Option<String>,
    /// The skill's YAML file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_content: Option<String>,
    /// The skill's Markdown file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markdown_content: Option<String>,
    /// What it can do, in detail; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities_detail: Option<JsonObject>,
    /// What it needs; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<JsonObject>,
    /// How fast it is; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<JsonObject>,
    /// The skill's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Tools that it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_tools: Vec<String>,
    /// When to choose it; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assessment: Option<JsonObject>,
}

two_spellings!(Skill);
