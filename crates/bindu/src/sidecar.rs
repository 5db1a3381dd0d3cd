//! The core of agents in any language: SDKs register with it over gRPC, it serves their agents over
//! HTTP, and calls their handlers back.
//!
//! `bindu serve --grpc` is this. In a program of one's own:
//!
//! ```no_run
//! bindu::Sidecar::new().serve()?;
//! # Ok::<(), bindu::StartError>(())
//! ```
//!
//! Each agent has its address, its keys (under `.bindu/agents/`), its store and its queue, as the
//! settings and its configuration say; nothing of one is seen by another. Seen over HTTP it is like
//! any other agent.

mod host;
mod listen;
mod refusal;
#[cfg(feature = "mtls")]
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bindu_grpc::content::Transcriber;
use bindu_grpc::documents::{self, Documents};
use bindu_grpc::metrics::Metrics;
use bindu_grpc::registry::{self, Emptiness, Registry};
use bindu_grpc::{calls, service};
use bindu_http::server::{Server, Shutdown};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use self::host::Host;
use crate::agent::signal;
use crate::config::ConfigError;
use crate::settings::Settings;
use crate::{StartError, logging};

pub use bindu_grpc::documents::Program;

/// How long turns may run on once the core is told to end.
const GRACE: Duration = Duration::from_secs(5);

/// How long SDKs may take for calls of theirs that are under way.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// A core for SDKs that has not started yet.
#[derive(Debug, Default)]
pub struct Sidecar {
    settings: Option<Settings>,
    base: Option<PathBuf>,
    port: Option<u16>,
    extractor: Option<Program>,
}

impl Sidecar {
    /// A core as the settings have it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses these settings instead of those of the environment.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// The directory in which `.bindu/agents` is; by default the working directory.
    #[must_use]
    pub fn directory(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Listens on this port, whatever `GRPC__PORT` says; 0 takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The program that reads PDF and DOCX files which callers send; see
    /// [`bindu_grpc::documents`]. Without one, handlers are told that they cannot be read.
    #[must_use]
    pub fn extractor(mut self, program: Program) -> Self {
        self.extractor = Some(program);
        self
    }

    /// Starts the core and serves until the process is told to end (SIGINT or SIGTERM); or until
    /// nobody needs it: its agents have gone, and so has the process that started it.
    ///
    /// Makes an async runtime of its own, and sets up logging; do not call it from async code.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing was served.
    pub fn serve(mut self) -> Result<(), StartError> {
        let settings = self.take_settings()?;
        let console = logging::init_detached(&settings.logging);
        let orphan_exit = settings.grpc.orphan_exit;
        self.settings = Some(settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let served = runtime.map_err(StartError::Runtime)?.block_on(async {
            let running = self.spawn().await?;
            let emptiness = running.registry.emptiness();
            tokio::select! {
                () = signal() => tracing::info!("stopping; a second signal ends the process at once"),
                () = deserted(emptiness, orphan_exit) => {
                    tracing::warn!("stopping: there is no agent any more, and who started the core is gone");
                }
            }
            tokio::select! {
                () = running.stop(GRACE) => {}
                () = signal() => {
                    tracing::warn!("ended by a second signal");
                    console.finish();
                    std::process::exit(130);
                }
            }
            Ok(())
        });
        console.finish();
        served
    }

    fn take_settings(&mut self) -> Result<Settings, ConfigError> {
        self.settings.take().map_or_else(Settings::load, Ok)
    }

    /// Starts the core on the present tokio runtime. SDKs can register when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing is left running.
    pub async fn spawn(mut self) -> Result<RunningSidecar, StartError> {
        let settings = self.take_settings()?;
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let grpc = &settings.grpc;
        let (host, port) = (grpc.host.clone(), self.port.unwrap_or(grpc.port));
        let listener = listen::on_both_families(&host, port)
            .map_err(|source| StartError::BindGrpc { host, port, source })?;
        let server = server(&settings, listener).map_err(StartError::Runtime)?;
        let local = server.local_addr();

        let metrics = Metrics::new();
        let documents = Documents::new(documents::Config {
            program: self.extractor.take(),
            ..documents::Config::default()
        });
        let base = self.base.take().unwrap_or_else(|| PathBuf::from("."));
        let host = Host::new(settings.clone(), base, Arc::clone(&metrics));
        let config = registry::Config {
            calls: calls(&settings),
            evict_after: grpc.eviction(),
            grace: GRACE,
        };
        let registry =
            Registry::new(host, config, Transcriber::new(documents), Arc::clone(&metrics));
        let api = service::Config {
            concurrency: grpc.max_workers,
            max_message_bytes: grpc.max_message_length,
            token: grpc.auth_token.as_ref().map(|token| token.reveal().into()),
        };
        let api = service::ApiServer::new(registry.clone(), &api, metrics).await;
        let api = api.map_err(|error| StartError::Backend {
            what: "the gRPC service",
            source: error.into(),
        })?;

        let shutdown = Shutdown::new();
        let has_tls = grpc.tls_cert.is_some();
        if !has_tls && grpc.auth_token.is_none() && !local.ip().is_loopback() {
            tracing::warn!(
                listen = %local,
                "whoever reaches this port may register and take away agents: listen on this \
                 machine alone with GRPC__HOST=127.0.0.1, or set GRPC__AUTH_TOKEN or GRPC__TLS_CERT"
            );
        }
        let serving = serve(&settings, server, api, shutdown.clone()).await?;
        let keeping = tokio::spawn({
            let registry = registry.clone();
            async move { registry.keep().await }
        });
        let scheme = if has_tls { "grpcs" } else { "grpc" };
        tracing::info!("serving SDKs at {scheme}://{local}");
        Ok(RunningSidecar {
            registry,
            shutdown,
            serving,
            local,
            _keeping: AbortOnDropHandle::new(keeping),
        })
    }
}

/// A core that serves SDKs.
#[derive(Debug)]
pub struct RunningSidecar {
    registry: Registry<Host>,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    local: SocketAddr,
    _keeping: AbortOnDropHandle<()>,
}

impl RunningSidecar {
    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Ends the core and its agents: no new work, what runs is finished within `patience`, then
    /// connections are closed.
    pub async fn stop(self, patience: Duration) {
        self.shutdown.stop_accepting();
        self.registry.close(patience).await;
        self.shutdown.drain(LAST_CALLS);
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the gRPC server ended badly");
        }
        tracing::info!("stopped");
    }
}

/// The core in the process of an agent whose settings ask for one.
pub(crate) fn beside(settings: Option<&Settings>, base: &Path) -> Option<Sidecar> {
    let mut settings = settings.filter(|settings| settings.grpc.enabled)?.clone();
    // The address in the environment is that agent's.
    settings.deployment = crate::settings::DeploymentSettings::default();
    Some(Sidecar::new().settings(settings).directory(base))
}

fn calls(settings: &Settings) -> calls::Config {
    let grpc = &settings.grpc;
    calls::Config {
        handler_timeout: grpc.handler_timeout,
        health_interval: grpc.health_check_interval,
        reconnect_window: grpc.reconnect_window,
        channels: grpc.channels,
        max_message_bytes: grpc.max_message_length,
        ..calls::Config::default()
    }
}

fn server(settings: &Settings, listener: std::net::TcpListener) -> std::io::Result<Server> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Server::from_listener(crate::agent::http_config(settings), listener)
}

#[cfg_attr(
    not(feature = "mtls"),
    expect(clippy::unused_async, reason = "without TLS nothing is read")
)]
async fn serve(
    settings: &Settings,
    server: Server,
    api: service::ApiServer,
    shutdown: Shutdown,
) -> Result<JoinHandle<()>, StartError> {
    if settings.grpc.tls_cert.is_some() {
        #[cfg(feature = "mtls")]
        {
            let (acceptor, keeping) = tls::acceptor(settings).await?;
            let server = server.with_acceptor(acceptor);
            return Ok(tokio::spawn(async move {
                let _keeping = keeping;
                server.serve_connections(move |_| api.clone(), shutdown).await;
            }));
        }
        #[cfg(not(feature = "mtls"))]
        return Err(StartError::Backend {
            what: "the certificate that GRPC__TLS_CERT names",
            source: "TLS needs the `mtls` feature, not in this build".into(),
        });
    }
    Ok(tokio::spawn(async move {
        server.serve_connections(move |_| api.clone(), shutdown).await;
    }))
}

/// Waits until nobody needs the core: its agents have gone, and so has who started the process, and
/// it has been so for a while.
async fn deserted(mut emptiness: tokio::sync::watch::Receiver<Emptiness>, patience: Duration) {
    #[cfg(unix)]
    if !patience.is_zero() {
        let parent = std::os::unix::process::parent_id();
        loop {
            if emptiness.wait_for(|now| *now == Emptiness::Deserted).await.is_err() {
                break;
            }
            tokio::select! {
                _ = emptiness.wait_for(|now| *now != Emptiness::Deserted) => {}
                () = tokio::time::sleep(patience) => {
                    if std::os::unix::process::parent_id() != parent {
                        return;
                    }
                }
            }
        }
    }
    #[cfg(not(unix))]
    let _ = (&mut emptiness, patience);
    std::future::pending::<()>().await;
}
