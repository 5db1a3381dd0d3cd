//! The rules of the seams.

use bindu_postgres::{PostgresScheduler, PostgresStore};

use crate::server;

async fn store() -> PostgresStore {
    server::store().await
}

async fn queue() -> PostgresScheduler {
    server::store().await.scheduler().expect("a queue can be opened")
}

mod storage {
    use super::store;

    bindu_storage::conformance_tests!(store);
}

mod replay {
    use super::store;

    bindu_storage::replay_guard_tests!(store);
}

mod ledger {
    use super::store;

    bindu_storage::ledger_tests!(store);
}

mod scheduler {
    use super::queue;

    bindu_scheduler::conformance_tests!(queue);
}
