//! Skills as an agent's routes and its card show them.

use bindu_protocol::SkillCard;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Skill, SkillSet};

/// What RFC 3986 leaves as it is in a path segment: letters, digits, `-._~`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which of an agent's two catalogues a skill is in. Each has addresses of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Catalog {
    /// Everybody may see it: below `/agent/skills`.
    #[default]
    Public,
    /// Only some callers may: below `/agent/private/skills`.
    Private,
}

impl Catalog {
    const fn path(self) -> &'static str {
        match self {
            Self::Public => "agent/skills",
            Self::Private => "agent/private/skills",
        }
    }
}

/// An agent's skills in short: the answer of `GET /agent/skills`.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct SkillListing<'a> {
    /// The skills, in order.
    pub skills: Vec<SkillSummary<'a>>,
    /// How many there are.
    pub total: usize,
}

/// A skill in short: one element of a [`SkillListing`].
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct SkillSummary<'a> {
    /// Names the skill.
    pub id: &'a str,
    /// For people.
    pub name: &'a str,
    /// What it does.
    pub description: &'a str,
    /// Its version, or `unknown`.
    pub version: Value,
    /// Words to find it by.
    pub tags: &'a [String],
    /// Media types it takes.
    pub input_modes: &'a [String],
    /// Media types it answers in.
    pub output_modes: &'a [String],
    /// What a caller may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<&'a Value>,
    /// The URL of its documentation, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation_path: Option<String>,
}

/// All about a skill but the text of its documentation: the answer of `GET /agent/skills/{id}`.
/// The members are those of [`Skill`].
#[derive(Debug, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the members are documented at Skill")]
pub struct SkillDetail<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub description: &'a str,
    pub tags: &'a [String],
    pub input_modes: &'a [String],
    pub output_modes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities_detail: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirements: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assessment: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Value>,
    /// The URL of its documentation, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markdown_content: Option<&'a str>,
    /// Whether there is documentation to ask for.
    pub has_documentation: bool,
}

impl Skill {
    /// The skill in short. `base_url` is the agent's URL, such as `http://localhost:3773`; a
    /// slash at its end does not matter.
    #[must_use]
    pub fn summary(&self, base_url: &str) -> SkillSummary<'_> {
        SkillSummary {
            id: &self.id,
            name: &self.name,
            description: &self.description,
            version: self.version.clone().unwrap_or_else(|| "unknown".into()),
            tags: &self.tags,
            input_modes: &self.input_modes,
            output_modes: &self.output_modes,
            examples: self.examples.as_ref(),
            documentation_path: self.documentation_url(base_url, Catalog::Public),
        }
    }

    /// All about the skill but the text of its documentation.
    #[must_use]
    pub fn detail(&self, base_url: &str) -> SkillDetail<'_> {
        self.detail_in(Catalog::Public, base_url)
    }

    /// The same, for a skill of that catalogue.
    #[must_use]
    pub fn detail_in(&self, catalog: Catalog, base_url: &str) -> SkillDetail<'_> {
        SkillDetail {
            id: &self.id,
            name: &self.name,
            description: &self.description,
            tags: &self.tags,
            input_modes: &self.input_modes,
            output_modes: &self.output_modes,
            version: self.version.as_ref(),
            author: self.author.as_ref(),
            examples: self.examples.as_ref(),
            capabilities_detail: self.capabilities_detail.as_ref(),
            requirements: self.requirements.as_ref(),
            performance: self.performance.as_ref(),
            allowed_tools: self.allowed_tools.as_ref(),
            documentation: self.documentation.as_ref(),
            assessment: self.assessment.as_ref(),
            license: self.license.as_ref(),
            compatibility: self.compatibility.as_ref(),
            metadata: self.metadata.as_ref(),
            documentation_path: self.documentation_url(base_url, catalog),
            markdown_content: self.markdown_content.as_deref(),
            has_documentation: self.source.is_some(),
        }
    }

    /// The skill as the agent card shows it. Its `documentationPath` is where the detail is, and
    /// is there for every skill.
    #[must_use]
    pub fn card(&self, base_url: &str) -> SkillCard {
        self.card_in(Catalog::Public, base_url)
    }

    /// The same, for a skill of that catalogue.
    #[must_use]
    pub fn card_in(&self, catalog: Catalog, base_url: &str) -> SkillCard {
        let examples = self.examples.as_ref().and_then(Value::as_array);
        let texts = examples.into_iter().flatten().filter_map(Value::as_str);
        SkillCard {
            id: self.id.clone(),
            name: self.name.clone(),
            description: Some(self.description.clone()),
            tags: Some(self.tags.clone()),
            examples: texts.map(str::to_owned).collect(),
            input_modes: self.input_modes.clone(),
            output_modes: self.output_modes.clone(),
            documentation_path: Some(self.url(base_url, catalog)),
        }
    }

    fn url(&self, base_url: &str, catalog: Catalog) -> String {
        let id = utf8_percent_encode(&self.id, SEGMENT);
        format!("{}/{}/{id}", base_url.trim_end_matches('/'), catalog.path())
    }

    fn documentation_url(&self, base_url: &str, catalog: Catalog) -> Option<String> {
        self.source.is_some().then(|| format!("{}/documentation", self.url(base_url, catalog)))
    }
}

impl SkillSet {
    /// The skills in short.
    #[must_use]
    pub fn listing(&self, base_url: &str) -> SkillListing<'_> {
        SkillListing {
            skills: self.iter().map(|skill| skill.summary(base_url)).collect(),
            total: self.len(),
        }
    }
}
