//! A handler that is another process.

use bindu_agent::{Handler, HandlerError, Reply, Turn};

use crate::calls::{Answer, Head, Instances};
use crate::content::Transcriber;
use crate::outcome;

/// The handler of an agent whose work is done by SDK processes.
///
/// Each turn is one call to one of them; see [`calls`](crate::calls). The call is cancelled with
/// the turn.
///
/// ```
/// use bindu_agent::AnyHandler;
/// use bindu_grpc::calls::{Config, Instances};
/// use bindu_grpc::content::Transcriber;
/// use bindu_grpc::documents::{self, Documents};
/// use bindu_grpc::remote::RemoteHandler;
///
/// let instances = Instances::new("my-agent", Config::default(), None);
/// instances.add("localhost:50052".parse()?);
/// let content = Transcriber::new(Documents::new(documents::Config::default()));
/// let handler = AnyHandler::new(RemoteHandler::new(instances, content));
/// # let _ = handler;
/// # Ok::<(), bindu_grpc::calls::InvalidCallback>(())
/// ```
#[derive(Clone, Debug)]
pub struct RemoteHandler {
    instances: Instances,
    content: Transcriber,
}

impl RemoteHandler {
    /// A handler that these processes are, and that is given conversations as `content` writes
    /// them.
    #[must_use]
    pub const fn new(instances: Instances, content: Transcriber) -> Self {
        Self { instances, content }
    }
}

impl Handler for RemoteHandler {
    async fn handle(&self, turn: Turn) -> Result<Reply, HandlerError> {
        let request = self.content.request(&turn).await;
        let head = Head {
            task_id: &request.task_id,
            context_id: &request.context_id,
            trace: turn.trace(),
            deadline: turn.deadline(),
        };
        Ok(match self.instances.ask(&request, head).await? {
            Answer::Whole(response) => outcome::reply(response),
            Answer::Pieces(pieces) => outcome::stream(pieces),
        })
    }
}
