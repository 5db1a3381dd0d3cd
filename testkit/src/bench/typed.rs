//! The JSON of the floors: what an answer needs, and no model behind it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct Call<P> {
    pub(super) jsonrpc: String,
    pub(super) id: u64,
    pub(super) method: String,
    pub(super) params: P,
}

#[derive(Deserialize)]
pub(super) struct SendParams {
    pub(super) message: Message,
    pub(super) configuration: Configuration,
}

#[derive(Deserialize)]
pub(super) struct Configuration {
    pub(super) blocking: bool,
}

#[derive(Deserialize)]
pub(super) struct GetParams {
    pub(super) id: String,
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Answer {
    pub(super) jsonrpc: String,
    pub(super) id: u64,
    pub(super) result: Task,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) context_id: String,
    pub(super) kind: String,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) history: Vec<Message>,
    #[serde(default)]
    pub(super) artifacts: Vec<Artifact>,
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) timestamp: String,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    #[serde(rename = "messageId")]
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) context_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task_id: Option<String>,
    pub(super) kind: String,
    pub(super) parts: Vec<Part>,
    pub(super) role: String,
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Artifact {
    #[serde(rename = "artifactId")]
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Part {
    pub(super) kind: String,
    pub(super) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<BTreeMap<String, String>>,
}

impl Answer {
    /// An answer of another agent, to be given again and again.
    ///
    /// # Errors
    ///
    /// It is no such answer, or has more in it than is written here: the floor's answers would be
    /// smaller than the agent's.
    pub(super) fn recorded(body: &[u8]) -> anyhow::Result<Self> {
        let answer: Self = serde_json::from_slice(body)?;
        let again = serde_json::to_vec(&answer)?.len();
        anyhow::ensure!(
            again == body.len(),
            "the floor's answer would have {again} bytes and the agent's has {}",
            body.len()
        );
        Ok(answer)
    }

    /// The same answer to another message.
    pub(super) fn to(&self, id: u64, message: Message) -> Self {
        let mut answer = self.clone();
        answer.id = id;
        let task = &mut answer.result;
        for part in task.artifacts.iter_mut().flat_map(|artifact| &mut artifact.parts) {
            if let Some(said) = message.parts.first() {
                part.text.clone_from(&said.text);
            }
        }
        if let Some(first) = task.history.first_mut() {
            first.id = message.id;
            first.parts = message.parts;
        }
        answer
    }
}
