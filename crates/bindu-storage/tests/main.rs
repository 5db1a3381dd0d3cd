//! The suite on the memory store, and what only that one promises.

mod memory;

use bindu_storage::MemoryStore;

async fn empty() -> MemoryStore {
    MemoryStore::default()
}

bindu_storage::conformance_tests!(empty);
