//! The tasks written last, in memory.
//!
//! Only the writing thread puts something in, in the order of the writes: what is found here is what
//! the file holds. One process has the file, so nothing changes behind it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bindu_protocol::{Content, Message, Part, TaskId};
use bindu_storage::Record;

/// What a task takes beside its contents: its structures, about.
const TASK: usize = 768;

/// What a message or an artifact takes beside its contents.
const PIECE: usize = 320;

#[derive(Debug)]
pub(crate) struct Cache {
    max_bytes: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    records: HashMap<TaskId, Entry>,
    /// In the order of their writing; a task that was written again is there again.
    order: VecDeque<(TaskId, u64)>,
    bytes: usize,
    writes: u64,
}

#[derive(Debug)]
struct Entry {
    record: Arc<Record>,
    bytes: usize,
    write: u64,
}

impl Cache {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &TaskId) -> Option<Arc<Record>> {
        self.entries().records.get(id).map(|entry| Arc::clone(&entry.record))
    }

    /// Forgets what is about to be written.
    pub(crate) fn forget(&self, written: &[(TaskId, Option<Arc<Record>>)]) {
        let mut entries = self.entries();
        for (id, _) in written {
            entries.remove(id);
        }
    }

    /// Takes up what was written.
    pub(crate) fn update(&self, written: Vec<(TaskId, Option<Arc<Record>>)>) {
        if self.max_bytes == 0 || written.is_empty() {
            return;
        }
        let mut entries = self.entries();
        for (id, record) in written {
            entries.remove(&id);
            if let Some(record) = record {
                // What is too large would push everything else out.
                let bytes = weight(&record, self.max_bytes / 8);
                if bytes <= self.max_bytes / 8 {
                    entries.insert(id, record, bytes);
                }
            }
        }
        entries.shrink(self.max_bytes);
    }
}

impl Entries {
    fn insert(&mut self, id: TaskId, record: Arc<Record>, bytes: usize) {
        self.writes += 1;
        let write = self.writes;
        self.order.push_back((id.clone(), write));
        self.records.insert(id, Entry { record, bytes, write });
        self.bytes += bytes;
    }

    fn remove(&mut self, id: &TaskId) {
        if let Some(entry) = self.records.remove(id) {
            self.bytes -= entry.bytes;
        }
    }

    fn shrink(&mut self, max_bytes: usize) {
        // Places that tell of no entry any more are let go as well, before they are too many.
        while self.bytes > max_bytes || self.order.len() > 4 * self.records.len() + 64 {
            let Some((id, write)) = self.order.pop_front() else { return };
            if self.records.get(&id).is_some_and(|entry| entry.write == write) {
                self.remove(&id);
            }
        }
    }
}

/// About how many bytes a record takes; counting stops beyond `limit`.
fn weight(record: &Record, limit: usize) -> usize {
    let mut bytes = TASK;
    for message in &record.task.history {
        bytes += of_message(message);
        if bytes > limit {
            return bytes;
        }
    }
    for artifact in &record.task.artifacts {
        bytes += PIECE + artifact.parts.iter().map(of_part).sum::<usize>();
        if bytes > limit {
            return bytes;
        }
    }
    bytes + record.task.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len())
}

fn of_message(message: &Message) -> usize {
    let metadata = message.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len());
    PIECE + metadata + message.parts.iter().map(of_part).sum::<usize>()
}

fn of_part(part: &Part) -> usize {
    let content = match &part.content {
        Content::Text(text) => text.len(),
        Content::File { file, .. } => file.bytes.as_ref().map_or(0, String::len),
        Content::Data { data, .. } => data.as_str().len(),
        _ => 0,
    };
    let metadata = part.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len());
    size_of::<Part>() + content + metadata + 8 * part.embeddings.as_ref().map_or(0, |it| it.len())
}

#[cfg(test)]
mod tests {
    use bindu_protocol::{ContextId, Dialect, Owner, Task, TaskState, TaskStatus, Timestamp};
    use bindu_storage::Version;

    use super::*;

    fn record(id: &TaskId, version: u64, text: &str) -> Arc<Record> {
        let at = Timestamp::from_unix_micros(0);
        let said = Message::new(bindu_protocol::Role::User, vec![Part::text(text)]);
        Arc::new(Record {
            task: Arc::new(Task {
                id: id.clone(),
                context_id: ContextId::random(),
                status: TaskStatus::new(TaskState::Submitted, at),
                history: vec![Arc::new(said)],
                artifacts: Vec::new(),
                metadata: None,
            }),
            owner: Owner::nobody(),
            version: Version(version),
            dialect: Dialect::V0_3,
            lease: None,
            attempts: 0,
            deliveries: 0,
            webhooks: [].into(),
            created: at,
        })
    }

    #[test]
    fn the_last_writes_are_kept_within_the_bound() {
        let cache = Cache::new(100_000);
        let ids: Vec<_> = (0..1_000).map(|_| TaskId::random()).collect();
        for version in 1..=3 {
            for id in &ids {
                cache.update(vec![(id.clone(), Some(record(id, version, "hello")))]);
                assert_eq!(cache.get(id).unwrap().version, Version(version));
                let entries = cache.entries();
                assert!(entries.bytes <= 100_000);
                assert!(entries.order.len() <= 4 * entries.records.len() + 64);
            }
        }
        assert_eq!(cache.get(&ids[0]), None);
        assert!(cache.get(&ids[990]).is_some());
        let last = ids.last().unwrap();
        cache.forget(&[(last.clone(), None)]);
        assert_eq!(cache.get(last), None);
        let huge = record(last, 4, &"x".repeat(50_000));
        cache.update(vec![(last.clone(), Some(huge))]);
        assert_eq!(cache.get(last), None, "what is too large does not push out the others");
        assert!(cache.get(&ids[990]).is_some());
    }
}
