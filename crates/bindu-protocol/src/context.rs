//! Contexts: conversations that tasks belong to.
//!
//! Written in snake_case, as the reference stores and shows them.

use serde::{Deserialize, Serialize};

use crate::spelling::two_spellings;
use crate::{ContextId, JsonObject, TaskId, Timestamp};

/// One line of `contexts/list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct ContextSummary {
    /// The context.
    pub context_id: ContextId,
    /// How many tasks it has.
    pub task_count: usize,
    /// Their ids, oldest first.
    pub task_ids: Vec<TaskId>,
}

/// A conversation, as declared; methods answer with [`ContextSummary`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct Context {
    /// Says that this is a context; may be left out when it is read.
    #[serde(default)]
    pub kind: ContextKind,
    /// Its id.
    pub context_id: ContextId,
    /// Its tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskId>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In what role the agent takes part.
    pub role: String,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ContextStatus>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Free-form remarks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// The context it came out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_context_id: Option<ContextId>,
    /// Contexts it points at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_context_ids: Vec<ContextId>,
    /// Extensions; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<JsonObject>,
}

/// The word that marks a context's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextKind {
    /// The only one.
    #[default]
    Context,
}

/// Whether a context is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextStatus {
    /// In use.
    Active,
    /// Resting.
    Paused,
    /// Done.
    Completed,
    /// Put away.
    Archived,
}

two_spellings!(ContextSummary, Context);
