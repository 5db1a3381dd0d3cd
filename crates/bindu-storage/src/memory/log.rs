//! A task's events while they are kept as they came.

use std::sync::Arc;

use bindu_protocol::Task;

use super::weight;
use crate::{Event, EventBody};

/// The events, and what they weigh together.
#[derive(Default)]
pub(super) struct Log {
    events: Vec<Event>,
    weight: usize,
}

impl Log {
    pub(super) fn new(events: Vec<Event>) -> Self {
        let weight = weigh(&events);
        Self { events, weight }
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// Adds events. A log that then has more than `max` loses its older part, and a snapshot takes
    /// its place.
    pub(super) fn extend(&mut self, events: &[Event], max: usize) {
        self.events.extend_from_slice(events);
        if shorten(&mut self.events, max) {
            self.weight = weigh(&self.events);
        } else {
            self.weight += weigh(events);
        }
    }

    /// Leaves no room for events that never come.
    pub(super) fn close(&mut self) {
        self.events.shrink_to_fit();
    }
}

fn weigh(events: &[Event]) -> usize {
    events.iter().map(|event| weight::event(&event.body)).sum()
}

/// The events after number `after`, at most `limit`. Numbers have no gaps.
pub(super) fn after(log: &[Event], after: u64, limit: usize) -> Vec<Event> {
    let Some(first) = log.first() else { return Vec::new() };
    let skipped = after.saturating_add(1).saturating_sub(first.seq);
    let rest = usize::try_from(skipped).ok().and_then(|skipped| log.get(skipped..));
    rest.unwrap_or_default().iter().take(limit).cloned().collect()
}

/// Drops the older part of a log that has more than `max` events; says whether it did.
///
/// A quarter goes at a time, so that the work is spread over many events.
fn shorten(log: &mut Vec<Event>, max: usize) -> bool {
    let max = max.max(2);
    if log.len() <= max {
        return false;
    }
    let last = (log.len() - max + max / 4).min(log.len() - 1);
    // Every log begins with a snapshot, or there would be nothing to build on.
    let Some(EventBody::Snapshot(whole)) = log.first().map(|event| &event.body) else {
        return false;
    };
    let mut task = Task::clone(whole);
    for event in &log[1..=last] {
        event.body.apply(&mut task);
    }
    log[last].body = EventBody::Snapshot(Arc::new(task));
    log.drain(..last);
    true
}

/// Whether `events` made `next` of `previous`; for debug builds, where a mistake of the writer is
/// to come out.
pub(super) fn leads_to(previous: Option<&Task>, events: &[EventBody], next: &Task) -> bool {
    fn same<T: PartialEq>(ours: &[Arc<T>], theirs: &[Arc<T>]) -> bool {
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
    }
    let mut folded = previous.unwrap_or(next).clone();
    for event in events {
        event.apply(&mut folded);
    }
    folded.id == next.id
        && folded.context_id == next.context_id
        && folded.status == next.status
        && folded.metadata == next.metadata
        && same(&folded.history, &next.history)
        && same(&folded.artifacts, &next.artifacts)
}

#[cfg(test)]
mod tests {
    use bindu_protocol::{
        Artifact, ContextId, Message, Part, Role, TaskId, TaskState, TaskStatus, Timestamp,
    };

    use super::*;

    fn event(seq: u64, body: EventBody) -> Event {
        Event { seq, at: Timestamp::from_unix_micros(0), body }
    }

    fn chunk() -> EventBody {
        let artifact = Arc::new(Artifact::new("result", vec![Part::text("piece")]));
        EventBody::Chunk { artifact, append: true }
    }

    fn task() -> Task {
        Task {
            id: TaskId::random(),
            context_id: ContextId::random(),
            status: TaskStatus::new(TaskState::Working, Timestamp::from_unix_micros(0)),
            history: Vec::new(),
            artifacts: Vec::new(),
            metadata: None,
        }
    }

    #[test]
    fn a_log_that_is_too_long_loses_pieces_only() {
        let message = Arc::new(Message::new(Role::User, vec![]));
        let mut log = vec![
            event(1, EventBody::Snapshot(Arc::new(task()))),
            event(2, EventBody::Message(message)),
        ];
        for seq in 3..=50 {
            log.push(event(seq, chunk()));
            shorten(&mut log, 8);
            assert!(log.len() <= 8);
        }
        let EventBody::Snapshot(whole) = &log[0].body else { panic!("no snapshot at the start") };
        assert_eq!(whole.history.len(), 1);
        assert_eq!(log.last().unwrap().seq, 50);
        assert!(log.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    }

    #[test]
    fn reading_starts_after_a_number() {
        let log: Vec<_> = (5..=9).map(|seq| event(seq, chunk())).collect();
        let seqs = |from, limit| -> Vec<u64> {
            after(&log, from, limit).iter().map(|event| event.seq).collect()
        };
        assert_eq!(seqs(0, 2), [5, 6]);
        assert_eq!(seqs(5, 9), [6, 7, 8, 9]);
        assert!(seqs(9, 9).is_empty());
        assert!(seqs(u64::MAX, 9).is_empty());
    }
}
