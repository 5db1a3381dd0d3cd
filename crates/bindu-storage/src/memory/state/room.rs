//! How much the store holds, and what goes when it is too much.

use std::ops::{Add, Sub};

use bindu_protocol::{TaskId, TaskState};

use super::{State, slot};
use crate::StorageError;

/// About how many bytes something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// All of it.
    pub(super) all: usize,
    /// Of that, tasks that are over, with what is kept beside them: it can be dropped.
    pub(super) over: usize,
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { all: self.all + other.all, over: self.over + other.over }
    }
}

impl Sub for Load {
    type Output = Self;

    // Only what was added before is subtracted. Should that ever be wrong, the count is off, and
    // the store still there.
    fn sub(self, other: Self) -> Self {
        Self { all: self.all.saturating_sub(other.all), over: self.over.saturating_sub(other.over) }
    }
}

impl State {
    /// About how many bytes the store holds.
    pub(in crate::memory) const fn bytes(&self) -> usize {
        self.load.all + self.once.weight() + self.states.weight()
    }

    /// What a task takes, with everything beside it.
    pub(super) fn load_of(&self, id: &TaskId) -> Load {
        let Some(entry) = self.tasks.get(id) else { return Load::default() };
        let feedback = self.feedback.get(id).map_or(0, |opinions| opinions.weight);
        let all = entry.weight(id) + feedback + self.outbox.weight(id);
        Load { all, over: if entry.state().is_terminal() { all } else { 0 } }
    }

    /// Counts what a change made of a task that took `before`. What this is too much for goes:
    /// tasks that are over, the oldest first, this one excepted.
    pub(super) fn settle(&mut self, id: &TaskId, before: Load) {
        self.load = self.load - before + self.load_of(id);
        self.drop_oldest(0, 0, Some(id));
    }

    /// Drops tasks that are over until so much more fits. `spared` stays in any case.
    ///
    /// If dropping all of them would not do, none is dropped.
    pub(super) fn make_room(
        &mut self,
        tasks: usize,
        bytes: usize,
        spared: Option<&TaskId>,
    ) -> Result<(), StorageError> {
        let config = self.config;
        let over = TaskState::ALL.into_iter().filter(|state| state.is_terminal());
        let over: u64 = over.map(|state| self.counts[slot(state)]).sum();
        // As many as are in the map fit a `usize`.
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        if tasks > 0 && self.tasks.len().saturating_sub(over) + tasks > config.max_tasks {
            return Err(StorageError::Full { limit: config.max_tasks, unit: "tasks" });
        }
        let kept = spared.map_or(0, |id| self.load_of(id).over);
        // The state of a context goes with its last task, so that of all contexts might go.
        let staying = self.bytes() - self.states.of_contexts() - self.load.over + kept;
        let full = StorageError::Full { limit: config.max_bytes, unit: "bytes" };
        if staying.saturating_add(bytes) > config.max_bytes {
            return Err(full);
        }
        self.drop_oldest(tasks, bytes, spared);
        if self.bytes().saturating_add(bytes) > config.max_bytes { Err(full) } else { Ok(()) }
    }

    fn drop_oldest(&mut self, tasks: usize, bytes: usize, spared: Option<&TaskId>) {
        let beyond = |state: &Self| {
            state.tasks.len() + tasks > state.config.max_tasks
                || state.bytes().saturating_add(bytes) > state.config.max_bytes
        };
        if !beyond(self) {
            return;
        }
        let kept = spared.map_or(0, |id| self.load_of(id).over);
        let mut passed = None;
        while beyond(self)
            && self.load.over > kept
            && let Some(oldest) = self.finished.pop_front()
        {
            if spared == Some(&oldest) {
                passed = Some(oldest);
            } else if self.tasks.get(&oldest).is_some_and(|entry| entry.state().is_terminal()) {
                self.remove(&oldest);
            }
        }
        if let Some(passed) = passed {
            self.finished.push_front(passed);
        }
    }
}
