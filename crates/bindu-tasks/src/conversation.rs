//! What a handler sees of the past.

use std::sync::Arc;

use bindu_protocol::{Caller, Message, Task, TaskId};
use bindu_storage::{Record, TaskQuery};

use crate::{TaskError, Tasks};

/// The past of a task, as its handler sees it.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// What was said in earlier tasks: those that the task's messages reference, in the order in
    /// which they do; if they reference none, and the agent is set to remember contexts, those of
    /// the same context, oldest first.
    pub earlier: Vec<Arc<Message>>,
    /// The tasks that the messages reference, with their artifacts.
    pub references: Vec<Arc<Task>>,
}

impl Tasks {
    /// Gathers what a handler sees of the past. Tasks of other owners are skipped like missing
    /// ones.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`].
    pub async fn conversation(&self, record: &Record) -> Result<Conversation, TaskError> {
        let mut wanted: Vec<&TaskId> = Vec::new();
        for message in &record.task.history {
            for id in &message.reference_task_ids {
                if *id != record.task.id && !wanted.contains(&id) {
                    wanted.push(id);
                }
            }
        }
        if !wanted.is_empty() {
            let mut references = Vec::new();
            for id in wanted {
                let found = self.load(id).await?;
                if let Some(other) = found.filter(|other| other.owner == record.owner) {
                    references.push(Arc::clone(&other.task));
                }
            }
            let earlier = references.iter().flat_map(|task| task.history.iter().cloned()).collect();
            return Ok(Conversation { earlier, references });
        }
        if !self.0.config.context_history || self.0.config.max_earlier_tasks == 0 {
            return Ok(Conversation::default());
        }
        let query = TaskQuery {
            owner: Some(record.owner.clone()),
            context: Some(record.task.context_id.clone()),
            oldest_first: false,
            after: None,
            limit: self.0.config.max_earlier_tasks + 1,
        };
        let newest_first = self.0.storage.tasks(query).await?.items;
        let others = newest_first.iter().filter(|other| other.task.id != record.task.id);
        let mut kept: Vec<_> = others.take(self.0.config.max_earlier_tasks).collect();
        kept.reverse();
        let earlier = kept.iter().flat_map(|other| other.task.history.iter().cloned()).collect();
        Ok(Conversation { earlier, references: Vec::new() })
    }

    /// The caller that a task belongs to, as its handler sees it.
    #[must_use]
    pub fn caller_of(record: &Record) -> Caller {
        record.owner.name().map_or_else(Caller::anonymous, Caller::named)
    }
}
