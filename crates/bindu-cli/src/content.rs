//! Showing what agents say to a person.

use std::collections::HashMap;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindu_protocol::{
    Artifact, ArtifactId, Content, Dialect, File, Part, Role, StreamEvent, Task,
    TaskArtifactUpdate, TaskState, TaskStatus,
};

use crate::media_type;
use crate::output::Output;
use crate::sanitize;
use crate::save::Saver;

/// Shows messages, artifacts and tasks: what they hold on stdout, what is said about them on
/// stderr.
#[derive(Debug)]
pub(crate) struct Show<'a> {
    output: &'a mut Output,
    saver: Option<&'a Saver>,
    /// Text of artifacts that was shown already, while they came in pieces.
    shown: HashMap<ArtifactId, String>,
    state: Option<TaskState>,
    /// Whether the agent's words on the state were shown.
    explained: bool,
}

impl<'a> Show<'a> {
    pub(crate) fn new(output: &'a mut Output, saver: Option<&'a Saver>) -> Self {
        Self { output, saver, shown: HashMap::new(), state: None, explained: false }
    }

    /// An event as it comes.
    pub(crate) fn event(&mut self, event: &StreamEvent) -> Result<()> {
        match event {
            StreamEvent::Task(task) => {
                self.status(&task.status);
                if task.status.state.is_settled() {
                    self.outcome(task)?;
                }
                Ok(())
            }
            StreamEvent::Message(message) => self.parts(&message.parts),
            StreamEvent::Status(update) => {
                self.status(&update.status);
                let state = update.status.state;
                let wanted =
                    state.is_settled() && (state != TaskState::Completed || self.shown.is_empty());
                match &update.status.message {
                    Some(message) if wanted => {
                        self.explained = true;
                        self.parts(&message.parts)
                    }
                    _ => Ok(()),
                }
            }
            StreamEvent::Artifact(update) => self.piece(update),
            _ => Ok(()),
        }
    }

    /// An event for a program: in one line, as A2A 0.3 has it, whatever the agent speaks.
    pub(crate) fn json_event(&mut self, event: &StreamEvent) -> Result<()> {
        self.output.json_line(&Dialect::V0_3.view(event))?;
        match event {
            StreamEvent::Task(task) => self.save_all(task),
            StreamEvent::Message(message) => self.save(&message.parts),
            StreamEvent::Artifact(update) => {
                self.shown.entry(update.artifact.id.clone()).or_default();
                self.save(&update.artifact.parts)
            }
            _ => Ok(()),
        }
    }

    /// A task for a program.
    pub(crate) fn json_task(&mut self, task: &Task) -> Result<()> {
        self.output.json(&Dialect::V0_3.view(task))?;
        self.save_all(task)
    }

    /// Writes the files of all artifacts that did not come in pieces before.
    fn save_all(&mut self, task: &Task) -> Result<()> {
        for artifact in &task.artifacts {
            if self.shown.insert(artifact.id.clone(), String::new()).is_none() {
                self.save(&artifact.parts)?;
            }
        }
        Ok(())
    }

    fn save(&mut self, parts: &[Part]) -> Result<()> {
        parts.iter().filter_map(Part::as_file).try_for_each(|file| self.save_file(file))
    }

    /// Whether a person still has to be told why the task stands where it does.
    pub(crate) fn lacks_explanation(&self) -> bool {
        let needs = |state: TaskState| state.is_settled() && state != TaskState::Completed;
        !self.explained && self.state.is_some_and(needs)
    }

    fn status(&mut self, status: &TaskStatus) {
        if self.state.replace(status.state) != Some(status.state) {
            self.output.note(&format!("{}", status.state));
        }
    }

    /// A piece of an artifact. Text goes on where the piece before ended.
    fn piece(&mut self, update: &TaskArtifactUpdate) -> Result<()> {
        if update.append {
            let mut added = String::new();
            for part in &update.artifact.parts {
                match part.as_text() {
                    Some(text) => {
                        added.push_str(text);
                        self.output.piece(text)?;
                    }
                    None => self.part(part)?,
                }
            }
            self.shown.entry(update.artifact.id.clone()).or_default().push_str(&added);
        } else {
            self.artifact(&update.artifact)?;
        }
        if update.last_chunk { self.output.end_line() } else { Ok(()) }
    }

    /// An artifact from its beginning; what of it was shown already is left out.
    fn artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let text: String = artifact.parts.iter().filter_map(Part::as_text).collect();
        let before = self.shown.insert(artifact.id.clone(), text.clone());
        if let Some(rest) = before.as_deref().and_then(|before| text.strip_prefix(before)) {
            return self.output.piece(rest);
        }
        self.output.end_line()?;
        for (i, part) in artifact.parts.iter().enumerate() {
            match part.as_text() {
                // Others of this artifact may follow on the same line.
                Some(text) if i + 1 == artifact.parts.len() => self.output.piece(text)?,
                _ => self.part(part)?,
            }
        }
        Ok(())
    }

    /// What came out of a task, or what the agent wants to know.
    pub(crate) fn outcome(&mut self, task: &Task) -> Result<()> {
        for artifact in &task.artifacts {
            self.artifact(artifact)?;
        }
        self.output.end_line()?;
        let state = task.status.state;
        match last_said(task) {
            Some(said) if task.artifacts.is_empty() || state != TaskState::Completed => {
                self.explained = true;
                self.parts(said)
            }
            _ => Ok(()),
        }
    }

    /// A whole task: where it stands, what was said, what came out of it.
    pub(crate) fn task(&mut self, task: &Task) -> Result<()> {
        self.output.line(&format!("task      {}", sanitize::line(&task.id.to_string())))?;
        self.output.line(&format!("context   {}", sanitize::line(&task.context_id.to_string())))?;
        let since = task.status.timestamp.map(|at| format!(" since {at}")).unwrap_or_default();
        self.output.line(&format!("state     {}{since}", task.status.state))?;
        let said = task.history.iter().chain(&task.status.message);
        for message in said {
            let who = match message.role {
                Role::User => "user",
                Role::Agent => "agent",
                Role::System => "system",
            };
            self.output.line(&format!("\n[{who}]"))?;
            self.parts(&message.parts)?;
        }
        for artifact in &task.artifacts {
            let name = sanitize::line(artifact.name.as_deref().unwrap_or("unnamed"));
            self.output.line(&format!("\n[artifact {name}]"))?;
            self.parts(&artifact.parts)?;
        }
        Ok(())
    }

    pub(crate) fn parts(&mut self, parts: &[Part]) -> Result<()> {
        parts.iter().try_for_each(|part| self.part(part))
    }

    fn part(&mut self, part: &Part) -> Result<()> {
        match &part.content {
            Content::Text(text) => self.output.line(text),
            Content::Data { data, .. } => {
                self.output.line(&serde_json::to_string_pretty(&data.to_value())?)
            }
            Content::File { file, .. } => self.file(file),
            _ => self.output.line("[a part of unknown kind]"),
        }
    }

    fn file(&mut self, file: &File) -> Result<()> {
        let name = file.name.as_deref();
        let media_type = file.mime_type.as_deref().unwrap_or("application/octet-stream");
        let content = file.bytes.as_deref().map(|bytes| STANDARD.decode(bytes));
        let held = match (&content, &file.uri) {
            (Some(Ok(content)), _) => format!("{} bytes", content.len()),
            (Some(Err(_)), _) => "content that is not base64".to_owned(),
            (None, Some(uri)) => sanitize::line(uri),
            (None, None) => "no content".to_owned(),
        };
        let shown = sanitize::line(name.unwrap_or("unnamed"));
        self.output.line(&format!("[file {shown}, {}, {held}]", sanitize::line(media_type)))?;
        self.save_file(file)
    }

    fn save_file(&mut self, file: &File) -> Result<()> {
        let content = file.bytes.as_deref().map(|bytes| STANDARD.decode(bytes));
        if let (Some(saver), Some(Ok(content))) = (self.saver, content) {
            let media_type = file.mime_type.as_deref().unwrap_or_default();
            let extension = media_type::extension(media_type);
            let path = saver.save(file.name.as_deref(), extension, &content)?;
            self.output.note(&format!("saved {}", path.display()));
        }
        Ok(())
    }
}

/// The agent's last words in a task.
fn last_said(task: &Task) -> Option<&[Part]> {
    let in_status = task.status.message.as_ref();
    let in_history = || task.history.iter().rev().find(|message| message.role == Role::Agent);
    in_status.or_else(in_history).map(|message| message.parts.as_slice())
}
