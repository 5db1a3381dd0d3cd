//! An agent put together: its parts made, joined, started and ended.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindu_agent::negotiation::Embedder;
use bindu_agent::skills::{Skill, SkillSet};
use bindu_agent::{AnyHandler, Handler};
use bindu_did::key_dir::{self, Identity, KeyPassword};
use bindu_http::server::{Server, Shutdown};
use bindu_protocol::{Message, Part, PushConfig, Role};
use bindu_scheduler::Scheduler;
use bindu_server::{AgentServer, Builder, Metrics, Profile, Workers};
use bindu_storage::{Ledger, Storage};
use bindu_tasks::{PushSettings, Pushes, Tasks};
use bindu_worker::Worker;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::backends::Backends;
use crate::config::{AgentConfig, ConfigError, Resolved, SkillSource};
use crate::door::{Ground, Serving};
use crate::locks::Locks;
use crate::payments::Payments;
#[cfg(feature = "client")]
use crate::peers::Peers;
use crate::settings::{OnCrash, Settings};
use crate::{StartError, card, logging, negotiation, private};

/// How long open requests may take to end once the work is drained.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long an agent that another takes the place of serves what it has just accepted.
#[cfg(feature = "grpc")]
const FIRST_REQUESTS: Duration = Duration::from_millis(500);

/// An agent that has not started yet.
///
/// ```no_run
/// use bindu::{Agent, AgentConfig, Reply, Turn};
///
/// let echo = async |turn: Turn| Ok(Reply::text(turn.text()));
/// Agent::builder(AgentConfig::new("ann@example.com", "echo"), echo).serve()?;
/// # Ok::<(), bindu::StartError>(())
/// ```
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    handler: AnyHandler,
    settings: Option<Settings>,
    base: PathBuf,
    storage: Option<Arc<dyn Storage>>,
    scheduler: Option<Arc<dyn Scheduler>>,
    ledger: Option<Arc<dyn Ledger>>,
    embedder: Option<Arc<dyn Embedder>>,
    identity: Option<Arc<Identity>>,
    listener: Option<TcpListener>,
    backends: Option<Backends>,
    #[cfg(feature = "client")]
    peers: Option<Peers>,
}

impl Agent {
    /// Begins an agent of a handler.
    #[must_use]
    pub fn builder(config: AgentConfig, handler: impl Handler) -> Self {
        Self::builder_of(config, AnyHandler::new(handler))
    }

    /// Begins an agent of a handler whose type was chosen at run time.
    #[must_use]
    pub fn builder_of(config: AgentConfig, handler: AnyHandler) -> Self {
        Self {
            config,
            handler,
            settings: None,
            base: PathBuf::from("."),
            storage: None,
            scheduler: None,
            ledger: None,
            embedder: None,
            identity: None,
            listener: None,
            backends: None,
            #[cfg(feature = "client")]
            peers: None,
        }
    }

    /// Uses these settings instead of those of the environment.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// The directory that relative paths start from: of skills, and of the key directory `.bindu`.
    /// By default the working directory.
    #[must_use]
    pub fn directory(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// Keeps tasks in a store of the caller's choice. Signatures that were accepted are then
    /// remembered by this process alone, unless the queue is in Redis.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Hands out work by a queue of the caller's choice.
    #[must_use]
    pub fn scheduler(mut self, scheduler: Arc<dyn Scheduler>) -> Self {
        self.scheduler = Some(scheduler);
        self
    }

    /// Keeps account of payments in a ledger of the caller's choice. A [`storage`](Self::storage)
    /// of the caller's choice comes without one.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Asks the caller's own what texts mean, when the agent is asked to bid for a task, instead of
    /// the service that the settings name. `NEGOTIATION__USE_EMBEDDINGS` can switch it off.
    #[must_use]
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// Uses this identity instead of the one in the key directory.
    #[must_use]
    pub fn identity(mut self, identity: Arc<Identity>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Serves on a listener that is bound already, for example by a service manager, whatever the
    /// configuration says of host and port. What the card advertises stays what they say.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Goes on with the store and the queue of an agent whose place it takes.
    #[cfg(feature = "grpc")]
    pub(crate) fn backends(mut self, backends: Backends) -> Self {
        self.backends = Some(backends);
        self
    }

    /// Fills in what a handler calls other agents by; see [`Peers`].
    #[cfg(feature = "client")]
    #[must_use]
    pub fn peers(mut self, peers: &Peers) -> Self {
        self.peers = Some(peers.clone());
        self
    }

    /// Starts the agent and serves until the process is told to end (SIGINT or SIGTERM), then
    /// drains: no new work, what runs is finished, then connections are closed. A second signal
    /// ends the process at once.
    ///
    /// Makes an async runtime of its own, and sets up logging; do not call it from async code.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing was served.
    pub fn serve(mut self) -> Result<(), StartError> {
        let settings = self.take_settings()?;
        if let Some(file) = &settings.deployment.capture {
            return self.capture(file);
        }
        logging::init(&settings.logging);
        self.settings = Some(settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(StartError::Runtime)?.block_on(async {
            #[cfg(feature = "grpc")]
            let sidecar = crate::sidecar::beside(self.settings.as_ref(), &self.base);
            let running = self.spawn().await?;
            #[cfg(feature = "grpc")]
            if let Some(sidecar) = sidecar {
                let sidecar = match sidecar.spawn().await {
                    Ok(sidecar) => sidecar,
                    Err(error) => {
                        running.stop(Duration::ZERO).await;
                        return Err(error);
                    }
                };
                running.until_signal().await;
                sidecar.stop(LAST_REQUESTS).await;
                return Ok(());
            }
            running.until_signal().await;
            Ok(())
        })
    }

    /// Tells a deployment tool which agent this is, and where it lies, instead of starting it.
    fn capture(&self, file: &Path) -> Result<(), StartError> {
        let base = std::path::absolute(&self.base).map_err(StartError::Capture)?;
        let told = serde_json::json!({ "agent_name": self.config.name, "caller_dir": base });
        std::fs::write(file, told.to_string()).map_err(StartError::Capture)
    }

    fn take_settings(&mut self) -> Result<Settings, ConfigError> {
        self.settings.take().map_or_else(Settings::load, Ok)
    }

    /// Starts the agent on the present tokio runtime. It listens when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing is left running.
    pub async fn spawn(self) -> Result<Running, StartError> {
        // Boxed, so that what starts several does not carry all of it around.
        Box::pin(self.start()).await
    }

    /// What the program brings itself comes first.
    async fn open_backends(
        &mut self,
        settings: &Settings,
        resolved: &Resolved,
        identity: &Identity,
    ) -> Result<Backends, StartError> {
        if let Some(backends) = self.backends.take() {
            return Ok(backends);
        }
        let (storage, scheduler) = (self.storage.take(), self.scheduler.take());
        let ledger = self.ledger.take();
        Backends::open(settings, resolved, identity, storage, scheduler, ledger).await
    }

    async fn start(mut self) -> Result<Running, StartError> {
        let settings = self.take_settings()?;
        let resolved = Resolved::new(&self.config, &settings)?;
        for warning in &resolved.warnings {
            tracing::warn!("{warning}");
        }
        let identity = match self.identity.take() {
            Some(identity) => identity,
            None => Arc::new(open_identity(&self.config, &settings, &resolved, &self.base)?),
        };
        let (skills, private) = private::load(&self.config, &self.base)?;
        let server = listen(self.listener.take(), &resolved, http_config(&settings)).await?;
        let local = server.local_addr();
        let url = resolved.public_url_at(local.port());

        let backends = self.open_backends(&settings, &resolved, &identity).await?;
        let ground = Ground {
            config: &self.config,
            settings: &settings,
            resolved: &resolved,
            identity: &identity,
            url: &url,
            base: &self.base,
        };
        let locks = Locks::make(&ground, &backends).await?;
        let url = locks.url(&ground);
        #[cfg(feature = "client")]
        if let Some(peers) = &self.peers {
            peers.fill(&ground, &locks)?;
        }
        #[cfg(all(feature = "grpc", feature = "mtls"))]
        let certificates = locks.certificates();
        #[cfg(feature = "grpc")]
        let kept = backends.clone();
        let payments = Payments::make(&Ground { url: &url, ..ground }, &backends).await?;
        let Backends { storage, scheduler, .. } = backends;
        let metrics = Metrics::new(identity.did().as_str(), storage.name());
        let pushes = self.config.capabilities.push_notifications.then(|| {
            let push = PushSettings { connector: locks.connector(), ..push_settings(&settings) };
            Pushes::new(push, Some(Arc::clone(&identity)))
        });
        let mut tasks = Tasks::builder(storage, scheduler)
            .config(tasks_config(&self.config, &settings, &resolved))
            .observer(Arc::clone(&metrics) as _);
        if let Some(pushes) = pushes.clone() {
            tasks = tasks.pushes(pushes);
        }
        let tasks = tasks.build();
        tasks.sweep(Duration::ZERO).await.map_err(StartError::Storage)?;
        let signer = settings.did.sign_artifacts.then(|| Arc::clone(&identity));
        if signer.is_none() {
            tracing::warn!("DID__SIGN_ARTIFACTS is off: artifacts carry no signature");
        }
        let mut working = worker_config(&self.config, &settings);
        if let Some(payments) = &payments {
            payments.hook(&tasks, &mut working);
        }
        let worker = Worker::start(tasks.clone(), self.handler, signer, working);
        let card = card::of(&self.config, &identity, &url, &locks.told(&ground));
        let (negotiation, tells_addresses) = negotiation::of(&ground, &skills, self.embedder);
        let profile =
            Profile { card: card.clone(), skills, did: Some(identity.document().clone()) };
        let workers = Arc::new(WorkerStatus(worker.clone()));
        let builder = Builder::new(profile, tasks.clone(), workers, Arc::clone(&metrics))
            .config(server_config(&self.config, &settings));
        let mut builder = locks.decide(builder).negotiation(negotiation).private(private);
        if let Some(payments) = &payments {
            builder = payments.guard(builder);
        }
        let service = builder.build()?;
        let upkeep = look_after(tasks.clone(), payments);

        let shutdown = Shutdown::new();
        let serving = Serving {
            service: service.clone(),
            card,
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
            tells_addresses,
        };
        let serving = locks.serve(&ground, server, serving);
        tracing::info!(agent = %self.config.name, did = %identity.did(), %url, listen = %local, "ready");
        Ok(Running {
            tasks,
            worker,
            pushes,
            service,
            shutdown,
            serving,
            upkeep,
            identity,
            local,
            url,
            drain: settings.worker.drain,
            #[cfg(feature = "grpc")]
            metrics,
            #[cfg(feature = "grpc")]
            backends: kept,
            #[cfg(all(feature = "grpc", feature = "mtls"))]
            certificates,
        })
    }
}

/// An agent that serves.
///
/// Dropped, it goes on serving until its runtime ends; [`stop`](Self::stop) ends it in good order.
#[derive(Debug)]
pub struct Running {
    tasks: Tasks,
    worker: Worker,
    pushes: Option<Pushes>,
    service: AgentServer,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    identity: Arc<Identity>,
    local: SocketAddr,
    url: String,
    drain: Duration,
    #[cfg(feature = "grpc")]
    pub(crate) metrics: Arc<Metrics>,
    #[cfg(feature = "grpc")]
    pub(crate) backends: Backends,
    /// What the agent serves with, if it serves with TLS.
    #[cfg(all(feature = "grpc", feature = "mtls"))]
    pub(crate) certificates: Option<bindu_mtls::Certificates>,
}

impl Running {
    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address that the card advertises.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who the agent is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The same, for an agent that takes this one's place.
    #[cfg(feature = "grpc")]
    pub(crate) fn shared_identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// The engine below, for a program that looks after its own tasks.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Ends the agent: no new work, what runs is finished within `patience`, streams end with the
    /// present state, webhooks are told what they can be, connections are closed.
    pub async fn stop(self, patience: Duration) {
        self.tasks.close();
        self.worker.drain(patience).await;
        // A message that slipped in meanwhile is refused, not forgotten.
        self.tasks.scheduler().close().await;
        self.close().await;
        tracing::info!("stopped");
    }

    /// Ends an agent whose handler goes with it, for good: what still runs after `patience` is
    /// canceled.
    #[cfg(feature = "grpc")]
    pub(crate) async fn dismiss(self, patience: Duration) {
        self.tasks.close();
        {
            let drain = std::pin::pin!(self.worker.drain(patience + LAST_REQUESTS));
            let canceled = async {
                tokio::time::sleep(patience).await;
                self.tasks.cancel_running().await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = drain => {}
                () = canceled => {}
            }
        }
        self.tasks.scheduler().close().await;
        self.close().await;
    }

    /// Ends an agent that has been started anew with the same store and queue.
    #[cfg(feature = "grpc")]
    pub(crate) async fn hand_over(self, patience: Duration) {
        // Requests under way are answered here; whoever comes, or comes again, is answered there.
        // A connection that was accepted a moment ago has time for its first request.
        self.shutdown.stop_accepting();
        tokio::time::sleep(FIRST_REQUESTS.min(patience)).await;
        self.shutdown.drain(patience);
        self.service.close_streams();
        self.worker.hand_over(patience).await;
        self.tasks.close();
        self.close().await;
    }

    async fn close(mut self) {
        self.upkeep.abort();
        // It has the store: a file is free when everybody has let go of it.
        _ = (&mut self.upkeep).await;
        self.service.close_streams();
        self.shutdown.drain(LAST_REQUESTS);
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the server ended badly");
        }
        if let Some(pushes) = &self.pushes {
            pushes.close(LAST_REQUESTS).await;
        }
    }

    /// Serves until SIGINT or SIGTERM, then [stops](Self::stop) within the configured time. A
    /// second signal ends the process at once.
    pub async fn until_signal(self) {
        signal().await;
        tracing::info!("stopping; a second signal ends the process at once");
        let drain = self.drain;
        tokio::select! {
            () = self.stop(drain) => {}
            () = signal() => {
                tracing::warn!("ended by a second signal");
                std::process::exit(130);
            }
        }
    }
}

/// Looks after the agent's tasks, and after what was paid for them.
fn look_after(tasks: Tasks, payments: Option<Payments>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let paid = async {
            match payments {
                Some(payments) => payments.upkeep(tasks.clone()).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(tasks.upkeep(), paid);
    })
}

/// Listens where the configuration says, unless there is a listener.
async fn listen(
    listener: Option<TcpListener>,
    resolved: &Resolved,
    config: bindu_http::server::Config,
) -> Result<Server, StartError> {
    let (host, port) = (resolved.listen.host.as_str(), resolved.listen.port);
    let listening = match listener {
        None => Server::bind(config, (host, port)).await,
        Some(listener) => {
            let listener = listener.set_nonblocking(true).map(|()| listener);
            let listener = listener.and_then(tokio::net::TcpListener::from_std);
            listener.and_then(|listener| Server::from_listener(config, listener))
        }
    };
    listening.map_err(|source| StartError::Bind { host: host.to_owned(), port, source })
}

/// Waits for the process to be told to end.
pub(crate) async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let heard = signal(SignalKind::interrupt()).and_then(|interrupt| {
            signal(SignalKind::terminate()).map(|terminate| (interrupt, terminate))
        });
        if let Ok((mut interrupt, mut terminate)) = heard {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        } else {
            tracing::error!("signals cannot be heard; the process must be killed to end it");
            std::future::pending::<()>().await;
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What the server asks of the worker.
#[derive(Debug)]
struct WorkerStatus(Worker);

impl Workers for WorkerStatus {
    fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    fn busy(&self) -> usize {
        self.0.busy()
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

fn open_identity(
    config: &AgentConfig,
    settings: &Settings,
    resolved: &Resolved,
    base: &Path,
) -> Result<Identity, StartError> {
    let keys = key_dir::Config {
        dir: base.join(&settings.did.pki_dir),
        private_key_file: settings.did.private_key_filename.clone(),
        public_key_file: settings.did.public_key_filename.clone(),
        author: config.author.clone(),
        name: config.name.clone(),
        agent_id: config.id,
        suffix: settings.did.suffix,
        password: resolved
            .key_password
            .as_ref()
            .map(|secret| KeyPassword::from(secret.reveal().to_owned())),
        recreate_keys: config.recreate_keys,
        allow_lax_permissions: settings.did.allow_lax_permissions,
        ..key_dir::Config::default()
    };
    let identity = key_dir::open(&keys, SystemTime::now())?;
    if let Some(old) = identity.replaced() {
        tracing::warn!(%old, new = %identity.did(), "the agent has a new DID");
    }
    Ok(identity)
}

pub(crate) fn load_skills(sources: &[SkillSource], base: &Path) -> Result<SkillSet, StartError> {
    let skills = sources.iter().map(|source| match source {
        SkillSource::Path(path) => Skill::load(&base.join(path)),
        SkillSource::Inline(object) => Skill::from_value(Value::Object(object.clone())),
        SkillSource::Read(skill) => Ok(Skill::clone(skill)),
    });
    Ok(SkillSet::new(skills.collect::<Result<_, _>>()?)?)
}

pub(crate) fn http_config(settings: &Settings) -> bindu_http::server::Config {
    bindu_http::server::Config {
        max_connections: settings.limits.max_connections,
        header_read_timeout: settings.limits.header_timeout,
        idle_timeout: settings.limits.idle_timeout,
        max_header_bytes: settings.limits.max_header_bytes,
        ..bindu_http::server::Config::default()
    }
}

fn push_settings(settings: &Settings) -> PushSettings {
    let mut push = PushSettings::default();
    push.rules.allow_private = settings.webhook.allow_private;
    push.rules.allowed_hosts.clone_from(&settings.webhook.allowed_hosts);
    if let Some(deny) = &settings.webhook.deny_cidrs {
        push.rules.deny.clone_from(deny);
    }
    push.timeout = settings.webhook.timeout;
    push.max_attempts = settings.webhook.max_attempts;
    push
}

fn tasks_config(
    config: &AgentConfig,
    settings: &Settings,
    resolved: &Resolved,
) -> bindu_tasks::Config {
    bindu_tasks::Config {
        lease: settings.worker.lease,
        max_attempts: settings.worker.max_deliveries,
        on_crash: match settings.worker.on_crash {
            OnCrash::Requeue => bindu_tasks::OnCrash::Requeue,
            OnCrash::Fail => bindu_tasks::OnCrash::Fail,
        },
        requeue_after: settings.worker.requeue_after,
        adopt_after: settings.worker.adopt_after,
        retention: NonZeroU32::new(settings.storage.retention_days)
            .map(|days| Duration::from_hours(24) * days.get()),
        stream_backlog: settings.limits.stream_backlog,
        max_page: settings.limits.max_page,
        history_max_bytes: settings.storage.history_max_bytes,
        context_history: config.enable_context_based_history,
        max_earlier_tasks: usize::try_from(config.num_history_sessions).unwrap_or(usize::MAX),
        global_webhook: resolved.webhook.as_ref().map(|webhook| PushConfig {
            id: None,
            url: webhook.url.to_string(),
            token: webhook.token.as_ref().map(|token| token.reveal().to_owned()),
            authentication: None,
        }),
        ..bindu_tasks::Config::default()
    }
}

fn worker_config(config: &AgentConfig, settings: &Settings) -> bindu_worker::Config {
    let prompt = &settings.agent.structured_response_system_prompt;
    let instructs = config.enable_system_message
        && settings.agent.enable_structured_responses
        && !prompt.is_empty();
    bindu_worker::Config {
        concurrency: settings.worker.slots(),
        task_timeout: settings.worker.task_timeout,
        heartbeat: settings.worker.heartbeat,
        instructions: instructs
            .then(|| Arc::new(Message::new(Role::System, vec![Part::text(prompt.clone())]))),
        redact_errors: settings.worker.redact_errors,
        ..bindu_worker::Config::default()
    }
}

fn server_config(config: &AgentConfig, settings: &Settings) -> bindu_server::Config {
    bindu_server::Config {
        dialect: settings.a2a.dialect,
        blocking_timeout: settings.a2a.blocking_timeout,
        max_body_bytes: settings.limits.max_body_bytes,
        cors_origins: config.deployment.cors_origins.clone(),
        environment: settings.project.health_environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..bindu_server::Config::default()
    }
}
