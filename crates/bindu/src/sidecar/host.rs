//! Agents as a core hosts them: each with an address, keys, store and queue of its own.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bindu_agent::AnyHandler;
use bindu_did::key_dir;
use bindu_grpc::calls::{Callback, Secure};
use bindu_grpc::metrics::Metrics;
use bindu_grpc::registry::{Farewell, Hosted, Registrar, Registration};
use serde_json::Value;

use super::{listen, refusal};
use crate::config::{AgentConfig, Resolved, SkillSource};
use crate::settings::{DeploymentSettings, SchedulerBackend, Secret, Settings, StorageBackend};
use crate::{Agent, Running, StartError};

/// Where agents have their directories, under the core's own.
const AGENTS: &str = ".bindu/agents";

/// How many turns of an agent run at once, unless `WORKER__CONCURRENCY` says.
const TURNS: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// The longest name that is also the name of a directory, in bytes.
const MAX_NAME: usize = 128;

/// Makes the agents of a core.
#[derive(Debug)]
pub(super) struct Host {
    settings: Settings,
    base: PathBuf,
    metrics: Arc<Metrics>,
    places: Arc<Mutex<Places>>,
}

/// Who is where.
#[derive(Debug, Default)]
struct Places {
    /// The agent whose address the environment may set: the first one.
    first: Option<String>,
    /// Who listens on a port.
    ports: HashMap<u16, String>,
    /// Whose a directory is.
    directories: HashMap<PathBuf, String>,
}

/// An agent that serves, and its listener: whoever takes its place goes on with it.
#[derive(Debug)]
pub(super) struct HostedAgent {
    running: Running,
    listener: TcpListener,
    agent_id: String,
    /// Its author and its name.
    who: (String, String),
    /// Where its tasks are, and its queue.
    kept_in: KeptIn,
    /// Where it is reached, as its configuration has it.
    url: String,
    places: Arc<Mutex<Places>>,
}

/// What a registration asks for, read.
struct Asked {
    agent_id: String,
    config: AgentConfig,
    settings: Settings,
    resolved: Resolved,
}

/// The store and the queue, as settings and configuration name them.
#[derive(Debug, PartialEq)]
struct KeptIn(StorageBackend, Option<Secret>, SchedulerBackend, Option<Secret>);

impl Host {
    pub(super) fn new(settings: Settings, base: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { settings, base, metrics, places: Arc::default() }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, registration: &Registration) -> Result<Asked, String> {
        let said = |error: crate::config::ConfigError| format!("ConfigError: {error}");
        refusal::check(&registration.config)?;
        let config = Value::Object(registration.config.clone());
        let mut config = AgentConfig::from_value(&config).map_err(said)?;
        let skills = registration.skills.iter().cloned();
        config.skills = skills.map(|skill| SkillSource::Read(Box::new(skill))).collect();
        // A path would be one on this machine, and what lies there would be shown.
        if config.private_skills.iter().any(|skill| matches!(skill, SkillSource::Path(_))) {
            return Err("ConfigError: 'private_skills' must hold skills here, not paths".to_owned());
        }
        let agent_id = config
            .id
            .unwrap_or_else(|| bindu_did::agent_id(&config.author, &config.name))
            .to_string();
        let mut settings = self.settings.clone();
        if self.places().first.as_ref().is_some_and(|first| *first != agent_id) {
            // The address in the environment is another agent's.
            settings.deployment = DeploymentSettings::default();
        }
        // Turns that run elsewhere cost this process next to nothing.
        settings.worker.concurrency.get_or_insert(TURNS);
        let resolved = Resolved::new(&config, &settings).map_err(said)?;
        Ok(Asked { agent_id, config, settings, resolved })
    }

    /// The directory of an agent: named as the agent is, if that is a name, and no other agent's.
    /// From now on it is this one's.
    fn directory(&self, name: &str, agent_id: &str) -> PathBuf {
        // A name that reads as an id is left to whom it may belong to.
        let is_plain = name.len() <= MAX_NAME
            && !matches!(name, "." | "..")
            && !name.contains(['/', '\\', ':'])
            && !name.chars().any(char::is_control)
            && name.parse::<uuid::Uuid>().is_err();
        let agents = self.base.join(AGENTS);
        let mut places = self.places();
        // Two authors may have the same idea; they do not share a key.
        let is_ours = |directory: &PathBuf| match places.directories.get(directory) {
            Some(holder) => holder == agent_id,
            None => self.may_be_of(directory, agent_id),
        };
        let named = agents.join(name);
        let chosen = if is_plain && is_ours(&named) { named } else { agents.join(agent_id) };
        places.directories.insert(chosen.clone(), agent_id.to_owned());
        chosen
    }

    /// Whether a directory has no keys yet, or those of this agent, or does not say whose.
    fn may_be_of(&self, directory: &Path, agent_id: &str) -> bool {
        let file = key_dir::Config::default().did_file;
        let record = std::fs::read(directory.join(&self.settings.did.pki_dir).join(file));
        let record = record.ok().and_then(|it| serde_json::from_slice::<Value>(&it).ok());
        record.is_none_or(|record| record["identities"].get(agent_id).is_some())
    }

    /// The listener of the one before, if it is at that address, or a new one.
    fn listener(&self, asked: &Asked, before: Option<&HostedAgent>) -> Result<TcpListener, String> {
        let (host, port) = (asked.resolved.listen.host.as_str(), asked.resolved.listen.port);
        if let Some(before) = before {
            let local = before.listener.local_addr().map_err(|error| error.to_string())?;
            let is_there = |mut all: std::vec::IntoIter<SocketAddr>| all.any(|it| it == local);
            if port != 0 && (host, port).to_socket_addrs().is_ok_and(is_there) {
                return before.listener.try_clone().map_err(|error| error.to_string());
            }
        }
        listen::on(host, port).map_err(|error| {
            let holder = self.places().ports.get(&port).cloned();
            match holder {
                Some(holder) if error.kind() == io::ErrorKind::AddrInUse => {
                    format!("port {port} is taken by the agent {holder} of this core")
                }
                _ => format!("cannot listen on {host}:{port}: {error}"),
            }
        })
    }
}

impl Registrar for Host {
    type Agent = HostedAgent;

    fn agent_id(&self, registration: &Registration) -> Result<String, String> {
        Ok(self.read(registration)?.agent_id)
    }

    fn check_callback(&self, callback: &Callback) -> Result<(), String> {
        let mtls = self.settings.mtls.is_on();
        if callback.is_tls() && !mtls {
            return Err(format!(
                "the callback {callback} wants TLS, for which the core needs MTLS__ENABLED=true"
            ));
        }
        if !callback.is_tls() && mtls && !callback.is_loopback() {
            return Err(format!(
                "the callback {callback} is on another machine and in the clear, which \
                 MTLS__ENABLED=true does not allow; use grpcs://"
            ));
        }
        Ok(())
    }

    async fn start(
        &self,
        registration: Registration,
        handler: AnyHandler,
        before: Option<&HostedAgent>,
    ) -> Result<HostedAgent, String> {
        let asked = self.read(&registration)?;
        if let Some(HostedAgent { who: (author, name), agent_id, .. }) = before
            && (*author != asked.config.author || *name != asked.config.name)
        {
            return Err(format!(
                "the id {agent_id} is that of the agent {name:?} by {author}, which is registered"
            ));
        }
        let listener = self.listener(&asked, before)?;
        let kept = listener.try_clone().map_err(|error| error.to_string())?;
        let Asked { agent_id, config, mut settings, resolved } = asked;
        let directory = self.directory(&config.name, &agent_id);
        create(&directory).map_err(|error| {
            format!("the agent's directory {} cannot be made: {error}", directory.display())
        })?;
        if let Some(url) = settings.storage.url.as_ref().and_then(|url| beside(url, &directory)) {
            settings.storage.url = Some(url);
        }
        let Resolved { storage, database_url, scheduler, redis_url, .. } = resolved;
        let kept_in = KeptIn(storage, database_url, scheduler, redis_url);
        let written = config.deployment.url.clone();
        let (who, recreate_keys) =
            ((config.author.clone(), config.name.clone()), config.recreate_keys);
        let mut agent = Agent::builder_of(config, handler)
            .settings(settings)
            .directory(directory)
            .listener(listener);
        if let Some(before) = before {
            if !recreate_keys {
                agent = agent.identity(before.running.shared_identity());
            }
            // A file has one owner, and what is in memory would be gone.
            if before.kept_in == kept_in {
                agent = agent.backends(before.running.backends.clone());
            }
        }
        // The `Debug` form is the one for people: with what lies behind it.
        let running = agent.spawn().await.map_err(|error: StartError| format!("{error:?}"))?;
        let (metrics, own) = (Arc::clone(&self.metrics), agent_id.clone());
        running.metrics.also_show(move || metrics.collect_of(&own));
        {
            let mut places = self.places();
            places.first.get_or_insert_with(|| agent_id.clone());
            places.ports.retain(|_, holder| *holder != agent_id);
            places.ports.insert(running.local_addr().port(), agent_id.clone());
        }
        // The card does not advertise the address that is no address; the SDK is told what it said.
        let url = match running.url() {
            url if url == written.replacen("0.0.0.0", "localhost", 1) => written,
            url => url.to_owned(),
        };
        let places = Arc::clone(&self.places);
        Ok(HostedAgent { running, listener: kept, agent_id, who, kept_in, url, places })
    }
}

/// A database file that is named relatively is one of each agent: it lies in the agent's directory.
fn beside(url: &Secret, directory: &Path) -> Option<Secret> {
    let file = url.reveal().strip_prefix("sqlite:")?;
    let file = file.strip_prefix("//").unwrap_or(file);
    let is_relative = Path::new(file).is_relative() && !file.starts_with(':');
    is_relative.then(|| format!("sqlite:{}", directory.join(file).display()).into())
}

/// Makes a directory that only its owner sees into.
fn create(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

impl Hosted for HostedAgent {
    fn did(&self) -> String {
        self.running.identity().did().to_string()
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn secure(&self) -> Option<Arc<dyn Secure>> {
        #[cfg(feature = "mtls")]
        {
            let certificates = self.running.certificates.clone()?;
            Some(Arc::new(super::tls::Callbacks::new(certificates)))
        }
        #[cfg(not(feature = "mtls"))]
        None
    }

    async fn stop(self, grace: Duration, why: Farewell) {
        let Self { running, listener, agent_id, places, .. } = self;
        drop(listener);
        match why {
            Farewell::Replaced => return running.hand_over(grace).await,
            Farewell::Gone => running.dismiss(grace).await,
            Farewell::Closing => running.stop(grace).await,
        }
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        places.ports.retain(|_, holder| *holder != agent_id);
    }
}
