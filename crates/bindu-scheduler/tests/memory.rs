//! What the in-memory queue promises beyond the suite.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu_protocol::{Owner, TaskId};
use bindu_scheduler::{
    Delivered, Job, MemoryConfig, MemoryScheduler, Receipt, Scheduler, SchedulerError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::task::JoinSet;

fn job(owner: usize, context: usize, number: usize) -> Job {
    Job {
        task: format!("{context}-{number}").parse().expect("an id"),
        context: format!("c{context}").parse().expect("an id"),
        owner: Owner::from(Some(format!("owner-{owner}"))),
        version: 1,
        trace: None,
    }
}

#[tokio::test]
async fn a_full_queue_says_so_and_still_takes_what_was_accepted() {
    let queue = MemoryScheduler::new(MemoryConfig { capacity: 2 });
    queue.push(job(0, 0, 0)).await.unwrap();
    assert!(!queue.is_full());
    queue.push(job(0, 0, 1)).await.unwrap();
    assert!(queue.is_full());
    queue.push(job(0, 1, 0)).await.unwrap();
    for _ in 0..2 {
        queue.pull().await.unwrap();
    }
    // What runs does not count.
    assert!(!queue.is_full());
}

#[tokio::test]
async fn a_receipt_of_another_backend_ends_nothing() {
    let queue = MemoryScheduler::default();
    queue.push(job(0, 0, 0)).await.unwrap();
    let delivered = queue.pull().await.unwrap();
    let foreign = Delivered { receipt: Receipt::Text("1-0".into()), ..delivered };
    queue.ack(&foreign).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().running, 1);
}

/// Threads, aborted pulls and closing at once: each job is done once, and everybody comes home.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_on_threads_do_every_job_once() {
    const JOBS: usize = 10_000;
    const CONTEXTS: usize = 97;
    let queue = Arc::new(MemoryScheduler::default());
    let done = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..32 {
        let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
        workers.spawn(async move {
            let mut mine = Vec::new();
            for turn in 0_u32.. {
                let pulled = if turn.is_multiple_of(3) {
                    // Gives up soon, whether or not a job is on its way.
                    tokio::select! {
                        biased;
                        () = tokio::task::yield_now() => continue,
                        pulled = queue.pull() => pulled,
                    }
                } else {
                    queue.pull().await
                };
                match pulled {
                    Ok(delivered) if turn.is_multiple_of(5) => {
                        queue.release(&delivered).await.unwrap();
                    }
                    Ok(delivered) => {
                        mine.push(delivered.job.task.clone());
                        queue.ack(&delivered).await.unwrap();
                        if done.fetch_add(1, Ordering::SeqCst) + 1 == JOBS {
                            queue.close().await;
                        }
                    }
                    Err(SchedulerError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            mine
        });
    }
    for number in 0..JOBS {
        queue.push(job(number % 5, number % CONTEXTS, number)).await.unwrap();
    }
    let mut seen: HashSet<TaskId> = HashSet::new();
    for task in workers.join_all().await.into_iter().flatten() {
        assert!(seen.insert(task), "a job came twice");
    }
    assert_eq!(seen.len(), JOBS);
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Push { context: usize },
    Pull,
    Ack(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..6).prop_map(|context| Step::Push { context }),
        4 => Just(Step::Pull),
        3 => any::<usize>().prop_map(Step::Ack),
        1 => any::<usize>().prop_map(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model that is a queue and a flag per context: what may come does, and nothing else.
    #[test]
    fn a_pull_delivers_the_head_of_some_free_context(steps in vec(step(), 0..200)) {
        use futures_util::FutureExt as _;

        let queue = MemoryScheduler::default();
        let mut model: HashMap<usize, (VecDeque<(usize, u32)>, bool)> = HashMap::new();
        let mut running: Vec<(usize, usize, Delivered)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { context } => {
                    queue.push(job(context % 2, context, number)).now_or_never().unwrap().unwrap();
                    model.entry(context).or_default().0.push_back((number, 0));
                }
                Step::Pull => {
                    let free: Vec<_> = model
                        .iter()
                        .filter(|(_, (jobs, busy))| !busy && !jobs.is_empty())
                        .map(|(context, _)| *context)
                        .collect();
                    let Some(pulled) = queue.pull().now_or_never() else {
                        prop_assert!(free.is_empty(), "a job was ready and did not come");
                        continue;
                    };
                    let delivered = pulled.unwrap();
                    let context = free.into_iter().find(|context| {
                        let (number, attempts) = model[context].0[0];
                        delivered.job == job(context % 2, *context, number)
                            && delivered.attempt == attempts + 1
                    });
                    let Some(context) = context else {
                        panic!("{delivered:?} is not the head of a free context");
                    };
                    let (jobs, busy) = model.get_mut(&context).unwrap();
                    let (number, _) = jobs.pop_front().unwrap();
                    *busy = true;
                    running.push((context, number, delivered));
                }
                Step::Ack(which) if !running.is_empty() => {
                    let (context, _, delivered) = running.swap_remove(which % running.len());
                    queue.ack(&delivered).now_or_never().unwrap().unwrap();
                    model.get_mut(&context).unwrap().1 = false;
                }
                Step::Release(which) if !running.is_empty() => {
                    let (context, number, delivered) = running.swap_remove(which % running.len());
                    queue.release(&delivered).now_or_never().unwrap().unwrap();
                    let (jobs, busy) = model.get_mut(&context).unwrap();
                    jobs.push_front((number, delivered.attempt));
                    *busy = false;
                }
                Step::Ack(_) | Step::Release(_) => {}
            }
            let depth = queue.depth().now_or_never().unwrap().unwrap();
            let waiting: usize = model.values().map(|(jobs, _)| jobs.len()).sum();
            prop_assert_eq!((depth.waiting, depth.running), (waiting as u64, running.len() as u64));
            prop_assert_eq!(depth.oldest.is_some(), waiting > 0);
        }
    }
}
