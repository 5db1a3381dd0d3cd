//! Whether what an agent made is what it signed.

use std::collections::HashMap;

use bindu_did::artifact::file_bytes;
use bindu_did::{DidError, PartPayload, PublicKey, SIGNATURE_METADATA_KEY, Signature};
use bindu_protocol::{Artifact, Content, JsonObject, Part, StreamEvent, Task, TaskArtifactUpdate};
use serde_json::Value;

use crate::ClientError;

/// The most text of one streamed artifact that is kept to check the signature at its end.
const MAX_TEXT: usize = 16 * 1024 * 1024;

/// The most artifacts of one stream whose text is kept at a time.
const MAX_ARTIFACTS: usize = 64;

/// Checks every signature in a task's artifacts. Parts without one pass.
pub(crate) fn check_task(task: &Task, key: &PublicKey) -> Result<(), ClientError> {
    task.artifacts.iter().try_for_each(|artifact| check_artifact(artifact, key))
}

fn check_artifact(artifact: &Artifact, key: &PublicKey) -> Result<(), ClientError> {
    for (index, part) in artifact.parts.iter().enumerate() {
        let Some(noted) = noted(part.metadata.as_ref()) else { continue };
        let checked = check_part(part, &noted, key);
        checked.map_err(|reason| ClientError::Forged {
            artifact: artifact.id.to_string(),
            reason: format!("part {index}: {reason}"),
        })?;
    }
    Ok(())
}

fn noted(metadata: Option<&JsonObject>) -> Option<Value> {
    metadata.and_then(|metadata| metadata.get(SIGNATURE_METADATA_KEY))
}

fn read(noted: &Value) -> Result<Signature, String> {
    let text = noted.as_str().ok_or("its signature is no text")?;
    text.parse().map_err(|error: DidError| error.to_string())
}

fn check_part(part: &Part, noted: &Value, key: &PublicKey) -> Result<(), String> {
    let signature = read(noted)?;
    let checked = match &part.content {
        Content::Text(text) => key.verify_text(text, &signature),
        Content::Data { data, .. } => {
            // Not shown as null, as data that cannot be read would be elsewhere.
            let data: Value = data.parse().map_err(|_| "its data cannot be read")?;
            key.verify_part(&PartPayload::Data(&data), &signature)
        }
        Content::File { file, .. } => match (&file.bytes, &file.uri) {
            (Some(bytes), _) => {
                let bytes = file_bytes(bytes).ok_or("its bytes are no base64")?;
                key.verify_part(&PartPayload::FileBytes(&bytes), &signature)
            }
            (None, Some(uri)) => key.verify_part(&PartPayload::FileUri(uri), &signature),
            (None, None) => return Err("its file is empty".to_owned()),
        },
        _ => return Err("its content is of an unknown kind".to_owned()),
    };
    checked.map_err(|error| error.to_string())
}

/// Checks a stream: whole artifacts as they come, and the signature that ends a streamed one
/// over all the text that came before.
///
/// An artifact of which the beginning was not seen cannot be checked here, nor can one of other
/// parts than text; the task has them with their signatures.
#[derive(Debug, Default)]
pub(crate) struct StreamCheck {
    /// By artifact id; `None` for what cannot be checked at its end.
    texts: HashMap<String, Option<String>>,
}

impl StreamCheck {
    pub(crate) fn check(
        &mut self,
        event: &StreamEvent,
        key: &PublicKey,
    ) -> Result<(), ClientError> {
        match event {
            StreamEvent::Task(task) => check_task(task, key),
            StreamEvent::Artifact(update) => self.check_piece(update, key),
            _ => Ok(()),
        }
    }

    fn check_piece(
        &mut self,
        update: &TaskArtifactUpdate,
        key: &PublicKey,
    ) -> Result<(), ClientError> {
        let artifact = &*update.artifact;
        check_artifact(artifact, key)?;
        let id = artifact.id.to_string();
        let append = update.append || artifact.append == Some(true);
        let mut text = match self.texts.remove(&id) {
            Some(text) if append => text,
            // The last event may say neither that it continues nor hold anything.
            Some(text) if artifact.parts.is_empty() => text,
            _ => (!append).then(String::new),
        };
        for part in &artifact.parts {
            let piece = part.as_text();
            text = text.zip(piece).map(|(mut text, piece)| {
                text.push_str(piece);
                text
            });
        }
        text = text.filter(|text| text.len() <= MAX_TEXT);
        if update.last_chunk || artifact.last_chunk == Some(true) {
            let (Some(noted), Some(text)) = (noted(artifact.metadata.as_ref()), text) else {
                return Ok(());
            };
            let signature = read(&noted);
            let checked = signature.and_then(|signature| {
                key.verify_text(&text, &signature).map_err(|error| error.to_string())
            });
            return checked.map_err(|reason| ClientError::Forged { artifact: id, reason });
        }
        if self.texts.len() < MAX_ARTIFACTS {
            self.texts.insert(id, text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bindu_did::SigningKey;
    use bindu_protocol::File;
    use serde_json::json;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn noting(signature: Signature) -> JsonObject {
        JsonObject::empty().with(SIGNATURE_METADATA_KEY, signature.to_base58())
    }

    fn signed(mut part: Part, payload: &PartPayload<'_>) -> Part {
        part.metadata = Some(noting(key().sign_part(payload)));
        part
    }

    fn one_of_each() -> Vec<Part> {
        let data = json!({ "b": 1.0 });
        let bytes = File { bytes: Some("AAE=".into()), ..File::default() };
        let uri = File { uri: Some("https://e/f".into()), ..File::default() };
        vec![
            signed(Part::text("hé"), &PartPayload::Text("hé")),
            signed(Part::data(data.clone()), &PartPayload::Data(&data)),
            signed(Part::data(json!([1])), &PartPayload::Data(&json!([1]))),
            signed(Part::file(bytes), &PartPayload::FileBytes(&[0, 1])),
            signed(Part::file(uri), &PartPayload::FileUri("https://e/f")),
        ]
    }

    fn check(parts: Vec<Part>) -> Result<(), ClientError> {
        check_artifact(&Artifact::new("result", parts), &key().public_key())
    }

    #[test]
    fn each_kind_of_part_is_checked() {
        check(one_of_each()).unwrap();
        check(vec![Part::text("not signed")]).unwrap();
        let contents: Vec<_> = one_of_each().into_iter().map(|part| part.content).collect();
        for (i, part) in one_of_each().into_iter().enumerate() {
            for (j, content) in contents.iter().enumerate() {
                let swapped = Part { content: content.clone(), ..part.clone() };
                assert_eq!(check(vec![swapped]).is_ok(), i == j, "{i} {j}");
            }
        }
    }

    #[test]
    fn data_that_cannot_be_read_are_not_taken_for_null() {
        let null = signed(Part::data(Value::Null), &PartPayload::Data(&Value::Null));
        check(vec![null.clone()]).unwrap();
        let huge = serde_json::from_str::<bindu_protocol::Json>("1e999").unwrap();
        let swapped = Part { content: Content::Data { data: huge, text: None }, ..null };
        assert!(check(vec![swapped]).is_err());
    }

    fn piece(text: &[&str], append: bool, last: bool, over: Option<&str>) -> StreamEvent {
        let parts = text.iter().map(|text| Part::text(*text)).collect();
        let artifact = Artifact {
            id: "a".parse().unwrap(),
            metadata: over.map(|text| noting(key().sign_text(text))),
            ..Artifact::new("result", parts)
        };
        StreamEvent::Artifact(TaskArtifactUpdate {
            task_id: "t".parse().unwrap(),
            context_id: "c".parse().unwrap(),
            artifact: Arc::new(artifact),
            append,
            last_chunk: last,
            metadata: None,
        })
    }

    fn follow(pieces: &[StreamEvent]) -> Result<(), ClientError> {
        let mut check = StreamCheck::default();
        pieces.iter().try_for_each(|piece| check.check(piece, &key().public_key()))
    }

    #[test]
    fn a_streamed_artifact_is_checked_at_its_end() {
        let pieces = |over| {
            [
                piece(&["the "], false, false, None),
                piece(&["quick", " fox"], true, false, None),
                piece(&[], true, true, Some(over)),
            ]
        };
        follow(&pieces("the quick fox")).unwrap();
        let error = follow(&pieces("the slow fox")).unwrap_err();
        assert!(
            matches!(&error, ClientError::Forged { artifact, .. } if artifact == "a"),
            "{error}"
        );
    }

    #[test]
    fn what_began_before_we_listened_passes() {
        let later =
            [piece(&["quick"], true, false, None), piece(&[], true, true, Some("the quick"))];
        follow(&later).unwrap();
    }

    #[test]
    fn an_artifact_that_begins_again_is_checked_from_its_new_beginning() {
        let pieces = [
            piece(&["wrong"], false, false, None),
            piece(&["right"], false, false, None),
            piece(&[], true, true, Some("right")),
        ];
        follow(&pieces).unwrap();
    }
}
