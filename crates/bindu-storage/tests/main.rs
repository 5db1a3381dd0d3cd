//! The suite on the memory store, and what only that one promises.

mod ledger;
mod memory;

use bindu_storage::{MemoryLedger, MemoryReplayGuard, MemoryStore};

async fn empty() -> MemoryStore {
    MemoryStore::default()
}

bindu_storage::conformance_tests!(empty);

async fn unseen() -> MemoryReplayGuard {
    MemoryReplayGuard::default()
}

bindu_storage::replay_guard_tests!(unseen);

async fn unwritten() -> MemoryLedger {
    MemoryLedger::default()
}

bindu_storage::ledger_tests!(unwritten);
