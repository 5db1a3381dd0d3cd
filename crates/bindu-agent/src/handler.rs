//! The trait that an agent author implements, and ways to make one of a function.

use std::fmt;
use std::sync::Arc;

use crate::{Reply, Turn};

/// Why a handler could not answer: any error at all.
///
/// The task fails, and the error's text is what the caller is told.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

pub use futures_core::future::BoxFuture;
pub use futures_core::stream::BoxStream;

/// Answers one turn of a conversation.
///
/// Any `Fn(Turn)` that returns such a future is a handler, so an async closure or an `async fn`
/// will do. What several turns share goes through [`handler_fn`]: a future that borrows from its
/// closure is refused by the compiler. A type with state of its own implements the trait:
///
/// ```
/// use bindu_agent::{Handler, HandlerError, Reply, Turn};
///
/// struct Greeter {
///     greeting: String,
/// }
///
/// impl Handler for Greeter {
///     async fn handle(&self, turn: Turn) -> Result<Reply, HandlerError> {
///         Ok(format!("{}, {}!", self.greeting, turn.text()).into())
///     }
/// }
/// ```
///
/// One handler serves all tasks, several at a time. When a task is cancelled, or runs out of time,
/// the future is dropped at whichever `await` it stands; a handler that must not stop there spawns
/// that part and looks at [`Turn::cancellation`]. A panic fails the one task and nothing else.
/// Work is delivered at least once: after a crash the same turn may be handled again.
pub trait Handler: Send + Sync + 'static {
    /// Answers the newest message of `turn`.
    ///
    /// # Errors
    ///
    /// Whatever went wrong. The task ends as failed, with the error's text in its history; to
    /// choose the words oneself there is [`Reply::failed`].
    fn handle(&self, turn: Turn) -> impl Future<Output = Result<Reply, HandlerError>> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Turn) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, HandlerError>> + Send,
{
    fn handle(&self, turn: Turn) -> impl Future<Output = Result<Reply, HandlerError>> + Send {
        self(turn)
    }
}

/// A handler made of a state and an async function.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use bindu_agent::{HandlerError, Reply, Turn, handler_fn};
///
/// async fn answer(seen: Arc<AtomicU64>, turn: Turn) -> Result<Reply, HandlerError> {
///     let number = seen.fetch_add(1, Ordering::Relaxed) + 1;
///     Ok(format!("{number}: {}", turn.text()).into())
/// }
///
/// let handler = handler_fn(AtomicU64::new(0), answer);
/// # let _ = bindu_agent::AnyHandler::new(handler);
/// ```
pub fn handler_fn<S, F, Fut>(state: S, answer: F) -> impl Handler
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Turn) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, HandlerError>> + Send + 'static,
{
    let state = Arc::new(state);
    move |turn| answer(Arc::clone(&state), turn)
}

/// Any handler, behind one type: what an engine keeps. A clone is the same handler.
///
/// ```
/// use bindu_agent::{AnyHandler, Reply, Turn};
///
/// let handlers: Vec<AnyHandler> = vec![
///     AnyHandler::new(async |turn: Turn| Ok(Reply::text(turn.text()))),
///     AnyHandler::new(async |_: Turn| Ok(Reply::rejected("not today"))),
/// ];
/// # let _ = handlers;
/// ```
#[derive(Clone)]
pub struct AnyHandler(Arc<dyn DynHandler>);

impl AnyHandler {
    /// Puts a handler behind the one type.
    pub fn new(handler: impl Handler) -> Self {
        Self(Arc::new(handler))
    }

    /// Answers a turn, as [`Handler::handle`] does.
    #[must_use = "a handler does nothing until its future is awaited"]
    pub fn handle(&self, turn: Turn) -> BoxFuture<'_, Result<Reply, HandlerError>> {
        self.0.handle_boxed(turn)
    }
}

impl<H: Handler> From<H> for AnyHandler {
    fn from(handler: H) -> Self {
        Self::new(handler)
    }
}

impl fmt::Debug for AnyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyHandler").finish_non_exhaustive()
    }
}

/// [`Handler`] as an object; its one allocation per turn happens here.
trait DynHandler: Send + Sync {
    fn handle_boxed(&self, turn: Turn) -> BoxFuture<'_, Result<Reply, HandlerError>>;
}

impl<H: Handler> DynHandler for H {
    fn handle_boxed(&self, turn: Turn) -> BoxFuture<'_, Result<Reply, HandlerError>> {
        Box::pin(self.handle(turn))
    }
}
