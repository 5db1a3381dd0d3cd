//! Costs of the in-memory queue: a job in and out, with much or little waiting.

use bindu_protocol::{ContextId, Owner, TaskId};
use bindu_scheduler::{Job, MemoryScheduler, Scheduler};
use futures_util::FutureExt;

fn main() {
    divan::main();
}

fn job() -> Job {
    Job {
        task: TaskId::random(),
        context: ContextId::random(),
        owner: Owner::from(Some("did:bindu:ann:echo:1".to_owned())),
        version: 1,
        trace: None,
    }
}

#[divan::bench(args = [0, 1_000, 100_000])]
fn push_pull_ack(bencher: divan::Bencher<'_, '_>, waiting: usize) {
    let queue = MemoryScheduler::default();
    for _ in 0..waiting {
        queue.push(job()).now_or_never();
    }
    bencher.with_inputs(job).bench_values(|job| {
        queue.push(job).now_or_never();
        if let Some(Ok(delivered)) = queue.pull().now_or_never() {
            queue.ack(&delivered).now_or_never();
        }
    });
}
