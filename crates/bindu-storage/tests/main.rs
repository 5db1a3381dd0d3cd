//! The suite on the memory store, and what only that one promises.

mod memory;

use bindu_storage::{MemoryReplayGuard, MemoryStore};

async fn empty() -> MemoryStore {
    MemoryStore::default()
}

bindu_storage::conformance_tests!(empty);

async fn unseen() -> MemoryReplayGuard {
    MemoryReplayGuard::default()
}

bindu_storage::replay_guard_tests!(unseen);
