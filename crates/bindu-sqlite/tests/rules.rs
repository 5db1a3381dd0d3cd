//! The rules of the seams.

use bindu_sqlite::SqliteStore;

async fn fresh() -> SqliteStore {
    crate::support::fresh().await
}

bindu_storage::conformance_tests!(fresh);

bindu_storage::replay_guard_tests!(fresh);

bindu_storage::ledger_tests!(fresh);

/// The same rules where every reading goes to the file.
mod without_cache {
    use bindu_sqlite::SqliteStore;

    async fn fresh() -> SqliteStore {
        crate::support::fresh_without_cache().await
    }

    bindu_storage::conformance_tests!(fresh);
}
