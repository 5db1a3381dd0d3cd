//! The rules of [`Scheduler`], as tests that any backend can run.
//!
//! With a function that makes an empty queue, one line makes a test of every rule:
//!
//! ```
//! # use bindu_scheduler::MemoryScheduler;
//! async fn fresh() -> MemoryScheduler {
//!     MemoryScheduler::default()
//! }
//!
//! bindu_scheduler::conformance_tests!(fresh);
//! # fn main() {}
//! ```
//!
//! The macro needs `tokio` with the features `macros` and `rt` among the dev-dependencies. With
//! another runtime, or outside of tests, [`run`] runs all cases one after the other.
//!
//! Every case gets a queue of its own, which must be empty. A case that finds a rule broken panics
//! and says which. A rule that a job *comes* is broken by a queue that never delivers it: then the
//! case does not end. What happens to the jobs of a worker that vanishes is not asked here; it
//! takes a backend's own clock.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu_protocol::{ContextId, Owner, TaskId};
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::{Delivered, Job, Scheduler, SchedulerError};

/// Runs every case, each with a queue that `fresh` makes for it.
///
/// # Panics
///
/// If a rule is broken; the message says which.
pub async fn run<F, Fut, S>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = S>,
    S: Scheduler,
{
    macro_rules! all {
        ($fresh:ident: $($case:ident)*) => {$( $case(&$fresh().await).await; )*};
    }
    crate::for_each_scheduler_case!(all! fresh);
}

/// Makes a test of every rule of [`Scheduler`](crate::Scheduler): one `#[tokio::test]` per case.
///
/// Takes the path of an async function without arguments that makes an empty queue. See
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:path) => {
        mod scheduler_conformance {
            #[allow(unused_imports, reason = "a path may be absolute")]
            use super::*;

            $crate::for_each_scheduler_case!($crate::conformance_test! $fresh);
        }
    };
}

/// What [`conformance_tests`] makes of the list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test {
    ($fresh:path: $($case:ident)*) => {$(
        #[::tokio::test]
        async fn $case() {
            $crate::conformance::$case(&$fresh().await).await;
        }
    )*};
}

/// The list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_scheduler_case {
    ($($then:tt)::+ ! $($given:tt)*) => { $($then)::+ ! { $($given)*:
        a_job_comes_as_it_was_pushed
        a_context_keeps_its_order
        contexts_go_side_by_side
        owners_take_turns
        a_released_job_comes_first_again
        ending_twice_ends_once
        a_job_is_queued_once
        a_job_can_be_kept_and_given_up
        whatever_makes_a_job_ready_wakes_a_worker
        depth_tells_what_waits
        closing_ends_all_waiting
        a_dropped_pull_loses_nothing
        many_workers_lose_and_repeat_nothing
    } };
}

/// Panics with the rule, unless it holds.
macro_rules! rule {
    ($holds:expr, $($rule:tt)+) => {
        assert!($holds, "rule broken: {}", format_args!($($rule)+))
    };
}

/// A job whose task is named by its context and a number.
fn job(owner: &str, context: &str, number: usize) -> Job {
    let name = format!("{context}-{number}");
    Job {
        task: name.parse().expect("the ids of the cases are ids"),
        context: context.parse().expect("the ids of the cases are ids"),
        owner: Owner::from(Some(owner.to_owned())),
        version: 1,
        trace: None,
    }
}

async fn push(queue: &dyn Scheduler, job: Job) {
    if let Err(error) = queue.push(job).await {
        panic!("rule broken: an open queue takes jobs; instead: {error:?}");
    }
}

async fn pull(queue: &dyn Scheduler) -> Delivered {
    match queue.pull().await {
        Ok(delivered) => delivered,
        Err(error) => panic!("rule broken: an open queue delivers; instead: {error:?}"),
    }
}

async fn ack(queue: &dyn Scheduler, delivered: &Delivered) {
    if let Err(error) = queue.ack(delivered).await {
        panic!("rule broken: a delivery can be acknowledged; instead: {error:?}");
    }
}

async fn release(queue: &dyn Scheduler, delivered: &Delivered) {
    if let Err(error) = queue.release(delivered).await {
        panic!("rule broken: a delivery can be released; instead: {error:?}");
    }
}

/// A job is delivered with all that it was pushed with, and is the first delivery of it.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_job_comes_as_it_was_pushed(queue: &dyn Scheduler) {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let full = Job { trace: Some(trace.into()), ..job("did:bindu:alice:a:1", "größe 7", 1) };
    let bare = Job {
        task: TaskId::random(),
        context: ContextId::random(),
        owner: Owner::nobody(),
        version: 7,
        trace: None,
    };
    for job in [full, bare] {
        push(queue, job.clone()).await;
        let delivered = pull(queue).await;
        rule!(delivered.job == job, "a job comes as it was pushed; came: {delivered:?}");
        rule!(delivered.attempt == 1, "a first delivery is attempt 1; was: {delivered:?}");
        ack(queue, &delivered).await;
    }
    rule!(matches!(queue.ping().await, Ok(())), "a queue that is up answers");
    rule!(!queue.name().is_empty(), "a queue has a name");
    rule!(!queue.is_full(), "an empty queue is not full");
}

/// The jobs of one context come one at a time, in the order in which they were pushed.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_context_keeps_its_order(queue: &dyn Scheduler) {
    for number in 0..20 {
        push(queue, job("alice", "c", number)).await;
    }
    for number in 0..20 {
        let delivered = pull(queue).await;
        let expected = job("alice", "c", number);
        rule!(
            delivered.job == expected,
            "a context's jobs come in order; {expected:?} was due, {delivered:?} came"
        );
        ack(queue, &delivered).await;
    }
}

/// While a job of one context runs, jobs of other contexts come, but none of the same context.
///
/// # Panics
///
/// If the rule is broken.
pub async fn contexts_go_side_by_side(queue: &dyn Scheduler) {
    const CONTEXTS: usize = 5;
    for number in 0..2 {
        for context in 0..CONTEXTS {
            push(queue, job("alice", &format!("c{context}"), number)).await;
        }
    }
    let mut first = Vec::new();
    for _ in 0..CONTEXTS {
        first.push(pull(queue).await);
    }
    let contexts: HashSet<_> = first.iter().map(|delivered| &delivered.job.context).collect();
    rule!(
        contexts.len() == CONTEXTS,
        "a context has one job in flight, and the others do not wait for it; came: {first:?}"
    );
    // In another order than they came: what comes next is of the context that was freed.
    for delivered in first.iter().rev() {
        ack(queue, delivered).await;
        let next = pull(queue).await;
        rule!(
            next.job.context == delivered.job.context && next.job.task != delivered.job.task,
            "when a context's job is done, its next comes; came: {next:?}"
        );
    }
}

/// An owner with one job does not wait for all the jobs of an owner with many.
///
/// # Panics
///
/// If the rule is broken.
pub async fn owners_take_turns(queue: &dyn Scheduler) {
    for context in 0..50 {
        push(queue, job("alice", &format!("a{context}"), 0)).await;
    }
    for context in 0..3 {
        push(queue, job("bob", &format!("b{context}"), 0)).await;
    }
    let mut bobs = 0;
    for _ in 0..7 {
        let delivered = pull(queue).await;
        bobs += usize::from(delivered.job.owner.name() == Some("bob"));
        ack(queue, &delivered).await;
    }
    rule!(bobs == 3, "owners take turns; of bob's 3 jobs {bobs} were among the first 7");
}

/// A job that is handed back comes again before its context's others, counted as one attempt more.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_released_job_comes_first_again(queue: &dyn Scheduler) {
    for number in 0..2 {
        push(queue, job("alice", "c", number)).await;
    }
    for attempt in 1..=3 {
        let delivered = pull(queue).await;
        rule!(
            delivered.job == job("alice", "c", 0),
            "a released job comes before its context's others; came: {delivered:?}"
        );
        rule!(
            delivered.attempt == attempt,
            "deliveries are counted; this was number {attempt}: {delivered:?}"
        );
        if attempt < 3 {
            release(queue, &delivered).await;
        } else {
            ack(queue, &delivered).await;
        }
    }
    let delivered = pull(queue).await;
    rule!(
        delivered.job == job("alice", "c", 1) && delivered.attempt == 1,
        "an acknowledged job does not come again; came: {delivered:?}"
    );
}

/// To end a delivery that has ended is no error and has no effect.
///
/// # Panics
///
/// If the rule is broken.
pub async fn ending_twice_ends_once(queue: &dyn Scheduler) {
    for number in 0..3 {
        push(queue, job("alice", "c", number)).await;
    }
    let first = pull(queue).await;
    ack(queue, &first).await;
    let second = pull(queue).await;
    ack(queue, &first).await;
    release(queue, &first).await;
    push(queue, job("alice", "other", 0)).await;
    let other = pull(queue).await;
    rule!(
        other.job == job("alice", "other", 0),
        "ending a delivery again frees nothing; came: {other:?}"
    );
    release(queue, &second).await;
    ack(queue, &second).await;
    ack(queue, &other).await;
    let again = pull(queue).await;
    rule!(
        again.job == second.job && again.attempt == 2,
        "a released job stays released; came: {again:?}"
    );
}

/// A job that waits or runs is not queued a second time; one of another version, or one that is
/// done, is.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_job_is_queued_once(queue: &dyn Scheduler) {
    let first = job("alice", "c", 0);
    let later = Job { version: 3, ..first.clone() };
    let other = job("alice", "d", 0);
    push(queue, first.clone()).await;
    push(queue, first.clone()).await;
    let delivered = pull(queue).await;
    push(queue, first.clone()).await;
    push(queue, later.clone()).await;
    push(queue, other.clone()).await;
    let beside = pull(queue).await;
    rule!(beside.job == other, "a job that waits or runs is not queued again; came: {beside:?}");
    ack(queue, &delivered).await;
    let next = pull(queue).await;
    rule!(next.job == later, "a job of a later version is another job; came: {next:?}");
    release(queue, &next).await;
    push(queue, later.clone()).await;
    let again = pull(queue).await;
    rule!(again.job == later && again.attempt == 2, "a released job waits; came: {again:?}");
    ack(queue, &again).await;
    push(queue, later.clone()).await;
    let anew = pull(queue).await;
    rule!(anew.job == later && anew.attempt == 1, "a job that is done is new; came: {anew:?}");
    ack(queue, &anew).await;
    ack(queue, &beside).await;
    match queue.depth().await {
        Ok(depth) => rule!(
            (depth.waiting, depth.running) == (0, 0),
            "nothing was queued twice; left: {depth:?}"
        ),
        Err(error) => panic!("rule broken: the depth can be asked; instead: {error:?}"),
    }
}

/// A delivery can be kept for as long as it takes; one that is given up does not come again, and
/// frees its context.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_job_can_be_kept_and_given_up(queue: &dyn Scheduler) {
    for number in 0..2 {
        push(queue, job("alice", "c", number)).await;
    }
    let first = pull(queue).await;
    for _ in 0..2 {
        let kept = queue.keep(&first).await;
        rule!(kept.is_ok(), "a delivery can be kept; instead: {kept:?}");
    }
    let buried = queue.bury(&first, "it never ends well").await;
    rule!(buried.is_ok(), "a job can be given up; instead: {buried:?}");
    let kept = queue.keep(&first).await;
    rule!(kept.is_ok(), "to keep what has ended is no error; instead: {kept:?}");
    let next = pull(queue).await;
    rule!(
        next.job == job("alice", "c", 1),
        "a job that was given up frees its context and does not come again; came: {next:?}"
    );
    ack(queue, &next).await;
}

/// A worker that waits is woken by a push, by the end of the job before, and by a job handed back.
///
/// # Panics
///
/// If the rule is broken, unless by a worker that sleeps for ever: then this does not end.
pub async fn whatever_makes_a_job_ready_wakes_a_worker(queue: &dyn Scheduler) {
    // The pull is polled first each time, so that it waits for what comes after it.
    let (first, ()) = futures_util::join!(pull(queue), push(queue, job("alice", "c", 0)));
    push(queue, job("alice", "c", 1)).await;
    let (again, ()) = futures_util::join!(pull(queue), release(queue, &first));
    rule!(
        again.job == first.job && again.attempt == 2,
        "a job handed back wakes a worker; came: {again:?}"
    );
    let (next, ()) = futures_util::join!(pull(queue), ack(queue, &again));
    rule!(next.job == job("alice", "c", 1), "the end of a job lets the next in; came: {next:?}");
    let workers = join_all((0..4).map(|_| pull(queue)));
    let pushes = async {
        for context in 0..4 {
            push(queue, job("alice", &format!("d{context}"), 0)).await;
        }
    };
    let (came, ()) = futures_util::join!(workers, pushes);
    let tasks: HashSet<_> = came.iter().map(|delivered| &delivered.job.task).collect();
    rule!(tasks.len() == 4, "four jobs wake four workers, one each; came: {came:?}");
}

/// Depth tells how many jobs wait, how many run, and how long the oldest has waited.
///
/// # Panics
///
/// If the rule is broken.
pub async fn depth_tells_what_waits(queue: &dyn Scheduler) {
    let depth = async || match queue.depth().await {
        Ok(depth) => depth,
        Err(error) => panic!("rule broken: the depth can be asked; instead: {error:?}"),
    };
    let of = |depth: crate::Depth| (depth.waiting, depth.running);
    let empty = depth().await;
    rule!(of(empty) == (0, 0), "an empty queue has no depth; was: {empty:?}");
    rule!(empty.oldest.is_none(), "where nothing waits nothing has waited; was: {empty:?}");
    for number in 0..3 {
        push(queue, job("alice", "c", number)).await;
    }
    let full = depth().await;
    rule!(of(full) == (3, 0), "what was pushed waits; was: {full:?}");
    rule!(full.oldest.is_some(), "what waits has waited; was: {full:?}");
    let delivered = pull(queue).await;
    let one = depth().await;
    rule!(of(one) == (2, 1), "what was pulled runs; was: {one:?}");
    release(queue, &delivered).await;
    let back = depth().await;
    rule!(of(back) == (3, 0), "what was released waits; was: {back:?}");
    for _ in 0..3 {
        let delivered = pull(queue).await;
        ack(queue, &delivered).await;
    }
    let done = depth().await;
    rule!(of(done) == (0, 0), "what was acknowledged is gone; was: {done:?}");
    rule!(done.oldest.is_none(), "where nothing waits nothing has waited; was: {done:?}");
}

/// A closed queue tells all who wait, delivers nothing and takes nothing; deliveries can still be
/// ended.
///
/// # Panics
///
/// If the rule is broken.
pub async fn closing_ends_all_waiting(queue: &dyn Scheduler) {
    push(queue, job("alice", "c", 0)).await;
    let delivered = pull(queue).await;
    push(queue, job("alice", "c", 1)).await;
    let pulls = join_all((0..8).map(|_| queue.pull()));
    // The pulls are polled first, so that they wait when the queue is closed.
    let (pulls, ()) = futures_util::join!(pulls, queue.close());
    for result in pulls {
        rule!(
            matches!(result, Err(SchedulerError::Closed)),
            "who waits is told that the queue was closed; instead: {result:?}"
        );
    }
    ack(queue, &delivered).await;
    let pulled = queue.pull().await;
    rule!(
        matches!(pulled, Err(SchedulerError::Closed)),
        "a closed queue delivers nothing; instead: {pulled:?}"
    );
    let pushed = queue.push(job("alice", "d", 0)).await;
    rule!(
        matches!(pushed, Err(SchedulerError::Closed)),
        "a closed queue takes nothing; instead: {pushed:?}"
    );
    queue.close().await;
}

/// A pull that is dropped, before it was polled, while it waits, or after a job was pushed for it,
/// loses no job and no wake-up.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_dropped_pull_loses_nothing(queue: &dyn Scheduler) {
    const JOBS: usize = 300;
    let mut delivered = Vec::new();
    for number in 0..JOBS {
        let mut waiting: Vec<_> = (0..3).map(|_| queue.pull()).collect();
        drop(queue.pull());
        // A pull that has ended is not polled again.
        waiting.retain_mut(|pull| match pull.now_or_never() {
            Some(result) => {
                delivered.push(result);
                false
            }
            None => true,
        });
        // Two jobs in a context, so that an acknowledgement has to wake somebody too.
        push(queue, job("alice", &format!("c{}", number / 2), number)).await;
        // Those that were woken go, in varying number; who stays must be woken in their place.
        waiting.drain(..(number % 3).min(waiting.len()));
        for pull in waiting {
            delivered.extend(pull.now_or_never());
        }
    }
    let mut tasks = HashSet::new();
    for result in delivered {
        match result {
            Ok(delivered) => {
                ack(queue, &delivered).await;
                rule!(tasks.insert(delivered.job.task.clone()), "no job comes twice");
            }
            Err(error) => panic!("rule broken: an open queue delivers; instead: {error:?}"),
        }
    }
    while tasks.len() < JOBS {
        let delivered = pull(queue).await;
        ack(queue, &delivered).await;
        rule!(tasks.insert(delivered.job.task.clone()), "no job comes twice");
    }
}

/// Ten thousand jobs and 32 workers: every job comes once, in its context's order.
///
/// # Panics
///
/// If the rule is broken.
pub async fn many_workers_lose_and_repeat_nothing(queue: &dyn Scheduler) {
    const JOBS: usize = 10_000;
    const CONTEXTS: usize = 500;
    let done = AtomicUsize::new(0);
    let producer = async {
        for number in 0..JOBS {
            let context = number % CONTEXTS;
            let owner = format!("owner-{}", context % 7);
            push(queue, job(&owner, &format!("c{context}"), number / CONTEXTS)).await;
        }
    };
    let workers = (0..32).map(|_| async {
        let mut mine = Vec::new();
        loop {
            match queue.pull().await {
                Ok(delivered) => {
                    // Before it is acknowledged, or another worker might note its successor first.
                    let place = done.fetch_add(1, Ordering::SeqCst);
                    ack(queue, &delivered).await;
                    mine.push((place, delivered));
                    if place + 1 == JOBS {
                        queue.close().await;
                    }
                }
                Err(SchedulerError::Closed) => return mine,
                Err(error) => panic!("rule broken: an open queue delivers; instead: {error:?}"),
            }
        }
    });
    let ((), all) = futures_util::join!(producer, join_all(workers));
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    all.sort_by_key(|(place, _)| *place);
    rule!(all.len() == JOBS, "every job comes once; {} came of {JOBS}", all.len());
    let mut next: HashMap<ContextId, usize> = HashMap::new();
    for (_, delivered) in &all {
        let number = next.entry(delivered.job.context.clone()).or_default();
        let expected = format!("{}-{number}", delivered.job.context);
        rule!(
            delivered.job.task.to_string() == expected,
            "a context's jobs come in order; {expected} was due, {delivered:?} came"
        );
        *number += 1;
    }
}
