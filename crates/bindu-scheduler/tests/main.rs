//! The suite on the in-memory queue, and what only that one promises.

mod memory;

use bindu_scheduler::MemoryScheduler;

async fn empty() -> MemoryScheduler {
    MemoryScheduler::default()
}

bindu_scheduler::conformance_tests!(empty);

#[tokio::test]
async fn the_suite_runs_as_one_function_too() {
    bindu_scheduler::conformance::run(empty).await;
}
