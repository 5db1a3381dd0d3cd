//! Handlers that block their thread.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{Handler, HandlerError, Reply, Turn};

/// How many threads per core a blocking handler uses, unless told otherwise.
const THREADS_PER_CORE: usize = 4;

/// Makes a handler of a function that blocks: that computes for long, or waits for a file, a
/// database or a process without `await`.
///
/// It runs on tokio's pool of blocking threads, never on one that does I/O.
///
/// ```
/// use bindu_agent::{Reply, Turn, blocking};
///
/// let count_lines = blocking(|turn: Turn| {
///     let text = std::fs::read_to_string(&*turn.text())?;
///     Ok(Reply::text(text.lines().count().to_string()))
/// });
/// # let _ = bindu_agent::AnyHandler::new(count_lines);
/// ```
///
/// A thread cannot be stopped from outside. When the task is cancelled, or out of time, what the
/// function returns is thrown away, and [`Turn::is_cancelled`] turns true: a function that may
/// run for long looks at it from time to time.
pub fn blocking<F>(answer: F) -> Blocking<F>
where
    F: Fn(Turn) -> Result<Reply, HandlerError> + Send + Sync + 'static,
{
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Blocking { answer: Arc::new(answer), threads: permits(cores.saturating_mul(THREADS_PER_CORE)) }
}

/// A handler whose function blocks; made by [`blocking`].
///
/// Its future panics if it is polled outside a tokio runtime, as
/// [`spawn_blocking`](tokio::task::spawn_blocking) does, and passes on a panic of the function.
pub struct Blocking<F> {
    answer: Arc<F>,
    threads: Arc<Semaphore>,
}

impl<F> Blocking<F> {
    /// Lets at most `threads` turns run at once, and the others wait; at least 1. The default is
    /// four per core. A turn whose result is thrown away counts until its function returns.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: permits(threads), ..self }
    }
}

fn permits(threads: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS)))
}

impl<F> Handler for Blocking<F>
where
    F: Fn(Turn) -> Result<Reply, HandlerError> + Send + Sync + 'static,
{
    async fn handle(&self, turn: Turn) -> Result<Reply, HandlerError> {
        let permit = Arc::clone(&self.threads).acquire_owned().await?;
        let answer = Arc::clone(&self.answer);

        // A token of its own: dropping this future is then seen by the function, while the
        // engine's token stays the engine's.
        let cancel = turn.cancellation().child_token();
        let turn = turn.with_cancellation(cancel.clone());
        let abandoned = cancel.drop_guard();

        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            if turn.is_cancelled() {
                return Err("cancelled before it began".into());
            }
            answer(turn)
        });
        let answered = thread.await;
        abandoned.disarm();
        match answered {
            Ok(reply) => reply,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(stopped) => Err(stopped.into()),
            },
        }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking")
            .field("free_threads", &self.threads.available_permits())
            .finish_non_exhaustive()
    }
}
