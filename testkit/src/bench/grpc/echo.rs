//! A process that echoes: what an SDK is to a core.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use bindu_grpc::proto::agent_handler_server::{AgentHandler, AgentHandlerServer};
use bindu_grpc::proto::{
    GetCapabilitiesRequest, GetCapabilitiesResponse, HandleRequest, HandleResponse,
    HealthCheckRequest, HealthCheckResponse,
};
use bindu_grpc::tonic::{self, Request, Response, Status};
use bindu_http::server::{Config, Server, Shutdown};
use futures_util::stream::Empty;

/// A process that says again what was said last, until this is dropped.
#[derive(Debug)]
pub(super) struct Echo {
    process: Child,
    address: SocketAddr,
}

impl Echo {
    pub(super) fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        // It ends with its input, whatever becomes of this process.
        command.arg("sdk").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = command.spawn().context("starting the handler's process")?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut echo = Self { process, address: nowhere };
        let output = echo.process.stdout.take().context("the process has an output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        echo.address = line.trim().parse().context("the handler's process says where it is")?;
        Ok(echo)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves a handler that echoes until the input ends; where, is written to the output. What the
/// process does that [`run_grpc`](super::run_grpc) starts.
///
/// # Errors
///
/// It could not start.
pub fn serve_echo() -> anyhow::Result<()> {
    // One thread, as most SDKs have for their loop.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Config { h2_max_concurrent_streams: 1000, ..Config::default() };
        let server = Server::bind(config, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        writeln!(std::io::stdout(), "{}", server.local_addr())?;
        let (over, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            // Nobody writes; an error means no more than the end does.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = over.send(());
        });
        let serving = server.serve(AgentHandlerServer::new(Handler), Shutdown::new());
        tokio::select! {
            _ = serving => {}
            _ = ended => {}
        }
        Ok(())
    })
}

struct Handler;

#[tonic::async_trait]
impl AgentHandler for Handler {
    async fn handle_messages(
        &self,
        request: Request<HandleRequest>,
    ) -> Result<Response<HandleResponse>, Status> {
        let content = request.into_inner().messages.pop().map(|last| last.content);
        Ok(Response::new(HandleResponse {
            content: content.unwrap_or_default(),
            is_final: true,
            ..HandleResponse::default()
        }))
    }

    type HandleMessagesStreamStream = Empty<Result<HandleResponse, Status>>;

    async fn handle_messages_stream(
        &self,
        _: Request<HandleRequest>,
    ) -> Result<Response<Self::HandleMessagesStreamStream>, Status> {
        Err(Status::unimplemented("it answers in one piece"))
    }

    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        Ok(Response::new(GetCapabilitiesResponse::default()))
    }

    async fn health_check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { healthy: true, message: "OK".into() }))
    }
}
