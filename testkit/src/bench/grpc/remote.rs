//! The least that a call to a handler's process needs: tonic's client on one HTTP/2 connection.

use std::net::SocketAddr;

use bindu_grpc::proto::agent_handler_client::AgentHandlerClient;
use bindu_grpc::proto::{ChatMessage, HandleRequest};
use bindu_grpc::tonic::Status;
use bindu_grpc::tonic::body::Body;
use http::{Request, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower::service_fn;

/// A handler in another process.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Remote {
    sender: SendRequest<Body>,
    origin: Uri,
}

impl Remote {
    /// Connects, and keeps the connection on the present runtime.
    pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let builder = Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, origin: format!("http://{address}").parse()? })
    }

    /// What the handler answers to this task's only message.
    pub(in crate::bench) async fn answer(
        &self,
        said: &str,
        task: &str,
        context: &str,
    ) -> Result<String, Status> {
        let mut sender = self.sender.clone();
        let service = service_fn(move |request: Request<Body>| sender.send_request(request));
        let mut client = AgentHandlerClient::with_origin(service, self.origin.clone());
        let message = ChatMessage { role: "user".to_owned(), content: said.to_owned() };
        let request = HandleRequest {
            messages: vec![message],
            task_id: task.to_owned(),
            context_id: context.to_owned(),
        };
        Ok(client.handle_messages(request).await?.into_inner().content)
    }
}
