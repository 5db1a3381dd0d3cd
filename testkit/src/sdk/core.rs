//! Calls to a core, as an SDK makes them.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use bindu_grpc::proto::bindu_service_client::BinduServiceClient;
use bindu_grpc::proto::{
    HeartbeatRequest, HeartbeatResponse, RegisterAgentRequest, RegisterAgentResponse,
    SkillDefinition, UnregisterAgentRequest, UnregisterAgentResponse,
};
use bindu_grpc::tonic::body::Body;
use bindu_grpc::tonic::{Request, Status};
use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// One HTTP/2 connection, for the clients that tonic generates.
#[derive(Clone, Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    authority: String,
}

impl Connection {
    /// Connects, in the clear.
    ///
    /// # Errors
    ///
    /// What the system or the other side says.
    pub async fn open(
        address: SocketAddr,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(stream, address.to_string()).await
    }

    /// Speaks HTTP/2 over a connection that is there, such as one under TLS.
    ///
    /// # Errors
    ///
    /// What the other side says.
    pub async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        authority: String,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority })
    }
}

impl tower::Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<http::Response<Incoming>, hyper::Error>> + Send>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let uri = Uri::builder().scheme("http").authority(self.authority.as_str());
        if let Ok(uri) = uri.path_and_query(path).build() {
            *request.uri_mut() = uri;
        }
        Box::pin(self.sender.send_request(request))
    }
}

/// What an SDK asks of a core.
#[derive(Clone, Debug)]
pub struct Core {
    client: BinduServiceClient<Connection>,
    token: Option<String>,
}

impl Core {
    /// Connects to a core.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`].
    pub async fn at(address: SocketAddr) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::over(Connection::open(address).await?))
    }

    /// Calls a core over a connection.
    #[must_use]
    pub fn over(connection: Connection) -> Self {
        let client = BinduServiceClient::new(connection).max_encoding_message_size(usize::MAX);
        Self { client, token: None }
    }

    /// Shows a token from now on.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = self.token.as_ref().and_then(|it| format!("Bearer {it}").parse().ok())
        {
            request.metadata_mut().insert("authorization", token);
        }
        request
    }

    /// Registers an agent.
    ///
    /// # Errors
    ///
    /// The status of the call. What is wrong with the registration is in the answer.
    pub async fn register(
        &self,
        config: &Value,
        callback: &str,
    ) -> Result<RegisterAgentResponse, Status> {
        self.register_with(config.to_string(), Vec::new(), callback).await
    }

    /// Registers an agent of any text and with skills.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub async fn register_with(
        &self,
        config_json: String,
        skills: Vec<SkillDefinition>,
        callback: &str,
    ) -> Result<RegisterAgentResponse, Status> {
        let message = RegisterAgentRequest {
            config_json,
            skills,
            grpc_callback_address: callback.to_owned(),
        };
        let answer = self.client.clone().register_agent(self.request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Says that an SDK is alive.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn heartbeat(&self, agent_id: &str) -> Result<HeartbeatResponse, Status> {
        let message = HeartbeatRequest { agent_id: agent_id.to_owned(), timestamp: 0 };
        Ok(self.client.clone().heartbeat(self.request(message)).await?.into_inner())
    }

    /// Takes an agent away, or one instance of it.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn unregister(
        &self,
        agent_id: &str,
        callback: Option<&str>,
    ) -> Result<UnregisterAgentResponse, Status> {
        let message = UnregisterAgentRequest { agent_id: agent_id.to_owned() };
        let mut request = self.request(message);
        if let Some(callback) = callback {
            let value = callback.parse().map_err(|_| Status::invalid_argument("a header"))?;
            request.metadata_mut().insert("x-bindu-callback", value);
        }
        Ok(self.client.clone().unregister_agent(request).await?.into_inner())
    }
}
