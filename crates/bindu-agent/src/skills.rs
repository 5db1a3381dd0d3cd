//! Skills: what an agent says it can do.
//!
//! A skill is described by a `skill.yaml`, by a `SKILL.md` with YAML front matter as agent-skill
//! collections have it, by both in one directory, or by an object in the agent's configuration.
//!
//! ```
//! use bindu_agent::skills::{Skill, SkillSet};
//!
//! let skill = Skill::parse_markdown(
//!     "---\nname: unit-conversion\ndescription: Converts lengths.\ntags: [units]\n---\nSay a number.",
//! )?;
//! let skills = SkillSet::new(vec![skill])?;
//!
//! let found = skills.find("unit-conversion").expect("it is the only one");
//! assert_eq!(found.markdown_content.as_deref(), Some("Say a number."));
//! let listing = serde_json::to_value(skills.listing("http://localhost:3773"))?;
//! assert_eq!(listing["total"], 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is read here is checked here: whoever uses a [`Skill`] finds lists where lists belong.

mod error;
mod fields;
mod load;
mod set;
mod view;

use std::fmt;

use serde_json::{Map, Value};

pub use self::error::SkillError;
use self::fields::Fields;
pub use self::load::MAX_FILE_BYTES;
pub use self::set::SkillSet;
pub use self::view::{Catalog, SkillDetail, SkillListing, SkillSummary};

/// The media type that a skill takes and answers in, if it does not say.
const DEFAULT_MODE: &str = "text/plain";

/// One thing that an agent can do.
///
/// The free-form members hold whatever JSON value the description had, numbers as numbers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Skill {
    /// Names the skill within its agent; its name, if the description has no id. Never empty,
    /// and without a slash, since it is one segment of a path.
    pub id: String,
    /// For people, and to find it by.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Media types it takes; `text/plain` by default.
    pub input_modes: Vec<String>,
    /// Media types it answers in; `text/plain` by default.
    pub output_modes: Vec<String>,
    /// Its version, mostly a string.
    pub version: Option<Value>,
    /// Who made it.
    pub author: Option<Value>,
    /// What a caller may ask, mostly a list of strings.
    pub examples: Option<Value>,
    /// Its abilities by name, each an object with `supported` and what limits it.
    pub capabilities_detail: Option<Map<String, Value>>,
    /// What it needs to run: packages, memory, services.
    pub requirements: Option<Value>,
    /// How fast it is: `avg_processing_time_ms` and the like.
    pub performance: Option<Map<String, Value>>,
    /// Tools it may use.
    pub allowed_tools: Option<Value>,
    /// A structured manual.
    pub documentation: Option<Value>,
    /// What helps to judge whether a task suits it: `keywords` and `anti_patterns` are lists of
    /// strings, `specializations` a list of objects.
    pub assessment: Option<Map<String, Value>>,
    /// Under which terms it may be used.
    pub license: Option<Value>,
    /// Where it works.
    pub compatibility: Option<Value>,
    /// Free-form remarks.
    pub metadata: Option<Value>,
    /// The text of `SKILL.md` after its front matter, if there is any.
    pub markdown_content: Option<String>,
    /// The file that describes the skill, whole; none for an inline one.
    pub source: Option<Documentation>,
}

/// The file that describes a skill, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documentation {
    /// What kind of file it is.
    pub format: DocumentationFormat,
    /// Its text.
    pub content: String,
}

/// What kind of file describes a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentationFormat {
    /// A `skill.yaml`.
    Yaml,
    /// A `SKILL.md`.
    Markdown,
}

impl DocumentationFormat {
    /// What goes into `Content-Type`.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Yaml => "application/yaml",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }
}

impl fmt::Display for DocumentationFormat {
    /// `yaml` or `markdown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yaml => "yaml",
            Self::Markdown => "markdown",
        })
    }
}

impl Skill {
    /// Reads a skill from an object, as configurations hold it inline. It has no documentation,
    /// unless [`source`](Self::source) is set after.
    ///
    /// ```
    /// # use bindu_agent::skills::Skill;
    /// use serde_json::json;
    ///
    /// let skill = Skill::from_value(json!({"name": "sum", "description": "Adds.", "tags": "math"}))?;
    /// assert_eq!(skill.id, "sum");
    /// assert_eq!(skill.tags, ["math"]);
    /// # Ok::<(), bindu_agent::skills::SkillError>(())
    /// ```
    ///
    /// Members it does not know are dropped. Where a list of strings belongs, one string, and
    /// numbers among the strings, are taken too.
    ///
    /// # Errors
    ///
    /// [`SkillError::NotAMapping`], [`Missing`](SkillError::Missing) for `name` and
    /// `description`, [`Shape`](SkillError::Shape) for a member of the wrong type, and
    /// [`BadId`](SkillError::BadId).
    pub fn from_value(value: Value) -> Result<Self, SkillError> {
        let mut fields = Fields::new(value)?;
        let name = fields.required_text("name")?;
        let description = fields.required_text("description")?;
        let id = fields.text("id")?.unwrap_or_else(|| name.clone());
        if id.contains(['/', '\\']) || id.chars().any(char::is_control) || id == "." || id == ".." {
            return Err(SkillError::BadId { id });
        }

        let modes = |modes: Option<Vec<String>>| modes.unwrap_or_else(|| vec![DEFAULT_MODE.into()]);
        let metadata = fields.any("metadata");
        let remark = |name: &str| metadata.as_ref()?.get(name).filter(|v| !v.is_null()).cloned();
        let hyphenated = fields.tool_list("allowed-tools")?;
        Ok(Self {
            tags: fields.texts("tags")?.unwrap_or_default(),
            input_modes: modes(fields.texts("input_modes")?),
            output_modes: modes(fields.texts("output_modes")?),
            version: fields.any("version").or_else(|| remark("version")),
            author: fields
                .any("author")
                .or_else(|| remark("author"))
                .or_else(|| remark("skill-author")),
            examples: fields.any("examples"),
            capabilities_detail: fields.map("capabilities_detail")?,
            requirements: fields.any("requirements"),
            performance: fields.map("performance")?,
            allowed_tools: fields.any("allowed_tools").or(hyphenated),
            documentation: fields.any("documentation"),
            assessment: fields.assessment()?,
            license: fields.any("license"),
            compatibility: fields.any("compatibility"),
            metadata,
            markdown_content: None,
            source: None,
            id,
            name,
            description,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(extra: &Value) -> Result<Skill, SkillError> {
        let mut skill = json!({"name": "n", "description": "d"});
        skill.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Skill::from_value(skill)
    }

    fn error(extra: &Value) -> String {
        with(extra).unwrap_err().to_string()
    }

    #[test]
    fn a_name_and_a_description_are_enough() {
        let skill = with(&json!({})).unwrap();
        assert_eq!(skill.id, "n");
        assert!(skill.tags.is_empty());
        assert_eq!(skill.input_modes, ["text/plain"]);
        assert_eq!(skill.output_modes, ["text/plain"]);
        assert_eq!(skill.source, None);
    }

    #[test]
    fn a_name_and_a_description_are_needed() {
        let missing = |value| Skill::from_value(value).unwrap_err().to_string();
        assert_eq!(missing(json!({"description": "d"})), "name is missing");
        assert_eq!(missing(json!({"name": "n", "description": ""})), "description is missing");
        assert_eq!(missing(json!(["name"])), "expected a mapping, found a list");
    }

    #[test]
    fn single_strings_and_numbers_are_taken_where_lists_of_strings_belong() {
        let skill = with(&json!({
            "tags": "math",
            "input_modes": ["text/csv", 7],
            "assessment": {"keywords": "sum", "anti_patterns": [2026, true]},
        }))
        .unwrap();
        assert_eq!(skill.tags, ["math"]);
        assert_eq!(skill.input_modes, ["text/csv", "7"]);
        assert_eq!(
            Value::Object(skill.assessment.unwrap()),
            json!({"keywords": ["sum"], "anti_patterns": ["2026", "true"]})
        );
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        assert_eq!(
            error(&json!({"capabilities_detail": ["a"]})),
            "capabilities_detail: expected a mapping, found a list"
        );
        assert_eq!(
            error(&json!({"tags": [["a"]]})),
            "tags: expected a list of strings, found a list among them"
        );
        assert_eq!(
            error(&json!({"assessment": {"keywords": [{}]}})),
            "assessment.keywords: expected a list of strings, found a mapping among them"
        );
        assert_eq!(
            error(&json!({"assessment": {"specializations": ["paint"]}})),
            "assessment.specializations: expected a list of mappings, found a string among them"
        );
        assert_eq!(error(&json!({"name": []})), "name: expected a string, found a list");
    }

    #[test]
    fn ids_that_a_path_cannot_hold_are_refused() {
        for id in ["a/b", "..", ".", "a\nb", "a\\b"] {
            let refused = with(&json!({"id": id})).unwrap_err();
            assert!(matches!(refused, SkillError::BadId { .. }), "{id:?} gave {refused:?}");
        }
        assert_eq!(with(&json!({"id": "größe 7?"})).unwrap().id, "größe 7?");
    }

    #[test]
    fn keys_of_skill_collections_are_understood() {
        let skill = with(&json!({
            "allowed-tools": "Read, Write Bash(git add:*)",
            "license": "MIT",
            "compatibility": "any",
            "metadata": {"version": "1.0", "skill-author": "Ann"},
        }))
        .unwrap();
        assert_eq!(skill.allowed_tools, Some(json!(["Read", "Write", "Bash(git add:*)"])));
        assert_eq!(skill.version, Some(json!("1.0")));
        assert_eq!(skill.author, Some(json!("Ann")));
        assert_eq!(skill.license, Some(json!("MIT")));
        assert_eq!(skill.metadata, Some(json!({"version": "1.0", "skill-author": "Ann"})));
    }

    #[test]
    fn the_top_level_beats_the_remarks() {
        let skill = with(&json!({
            "version": 2,
            "author": "Bob",
            "allowed_tools": ["Read"],
            "allowed-tools": ["Write"],
            "metadata": {"version": "1.0", "author": "Ann"},
        }))
        .unwrap();
        assert_eq!(skill.version, Some(json!(2)));
        assert_eq!(skill.author, Some(json!("Bob")));
        assert_eq!(skill.allowed_tools, Some(json!(["Read"])));
    }

    #[test]
    fn null_reads_as_absent() {
        let skill = with(&json!({"id": null, "tags": null, "version": null})).unwrap();
        assert_eq!(skill.id, "n");
        assert_eq!(skill.version, None);
    }
}
