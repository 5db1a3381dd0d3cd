//! The agents of a core: registered, found, given up.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bindu_agent::AnyHandler;
use bindu_agent::skills::Skill;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::calls::{self, Callback, Instances};
use crate::content::Transcriber;
use crate::metrics::Metrics;
use crate::remote::RemoteHandler;

/// How many processes one agent may have.
const MAX_INSTANCES: usize = 64;

/// What an SDK wants served.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Registration {
    /// The agent's configuration, as it was sent.
    pub config: Map<String, Value>,
    /// Its skills. They count, and `skills` in the configuration does not.
    pub skills: Vec<Skill>,
}

/// Makes agents: what a core is built on.
///
/// The texts of errors go to the developer whose SDK registers.
pub trait Registrar: Send + Sync + 'static {
    /// An agent that serves.
    type Agent: Hosted;

    /// Reads a registration, and says which agent it is about. Nothing is started.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration.
    fn agent_id(&self, registration: &Registration) -> Result<String, String>;

    /// Refuses a callback that must not be called.
    ///
    /// # Errors
    ///
    /// Why.
    fn check_callback(&self, callback: &Callback) -> Result<(), String>;

    /// Starts the agent, or starts it again: with `before`, its callers must not notice, and what
    /// was accepted is kept. It accepts connections when this returns.
    fn start(
        &self,
        registration: Registration,
        handler: AnyHandler,
        before: Option<&Self::Agent>,
    ) -> impl Future<Output = Result<Self::Agent, String>> + Send;
}

/// An agent that serves over HTTP.
pub trait Hosted: Send + Sync + 'static {
    /// Its DID.
    fn did(&self) -> String;

    /// Where it is reached.
    fn url(&self) -> String;

    /// What secures calls to `grpcs://` callbacks, if the agent has a certificate.
    fn secure(&self) -> Option<Arc<dyn calls::Secure>>;

    /// Ends it: no new requests, and turns that run may end within `grace`.
    fn stop(self, grace: Duration, why: Farewell) -> impl Future<Output = ()> + Send;
}

/// Why an agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Nobody runs its handler any more: what is not done in time is canceled.
    Gone,
    /// It has been started anew: the one in its place goes on with what is not done.
    Replaced,
    /// The core ends: what is kept outside of the process is taken up by the next one.
    Closing,
}

/// How a core looks after its agents.
#[derive(Clone, Debug)]
pub struct Config {
    /// How SDKs are called.
    pub calls: calls::Config,
    /// An agent none of whose instances answers is given up after this; `None` for never.
    pub evict_after: Option<Duration>,
    /// How long turns may run on when an agent ends.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            calls: calls::Config::default(),
            evict_after: Some(Duration::from_mins(3)),
            grace: Duration::from_secs(5),
        }
    }
}

/// What a registration came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// A UUID in lower case.
    pub agent_id: String,
    /// The agent's DID.
    pub did: String,
    /// Where it is reached over HTTP.
    pub url: String,
}

/// The agents of a core. A clone is the same registry.
pub struct Registry<R: Registrar>(Arc<Shared<R>>);

impl<R: Registrar> Clone for Registry<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Registrar> fmt::Debug for Registry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("config", &self.0.config).finish_non_exhaustive()
    }
}

struct Shared<R: Registrar> {
    registrar: R,
    config: Config,
    content: Transcriber,
    metrics: Arc<Metrics>,
    agents: Mutex<HashMap<String, Arc<Slot<R::Agent>>>>,
    /// Whether there are agents.
    empty: watch::Sender<Emptiness>,
    /// Set once the core ends: nobody may come any more.
    is_closing: AtomicBool,
}

/// Whether a core has agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Emptiness {
    /// Nobody has registered yet.
    Idle,
    /// There are agents.
    Serving,
    /// There were agents, and the last one is gone.
    Deserted,
}

/// The place of an agent. What changes it, one at a time: it is locked.
struct Slot<A> {
    live: tokio::sync::Mutex<Option<Live<A>>>,
    /// When the SDK was heard of last.
    heard: Mutex<Option<Instant>>,
}

struct Live<A> {
    registration: Registration,
    agent: A,
    instances: Instances,
    /// Those whose place this one has taken, and who are not done yet.
    leaving: Vec<JoinHandle<()>>,
    /// Looks after the instances: as long as they stay, whatever becomes of the agent.
    watching: Option<AbortOnDropHandle<()>>,
}

impl<A> Slot<A> {
    fn heard(&self, at: Option<Instant>) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn last_heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Registrar> Registry<R> {
    /// An empty registry.
    pub fn new(registrar: R, config: Config, content: Transcriber, metrics: Arc<Metrics>) -> Self {
        let (empty, _) = watch::channel(Emptiness::Idle);
        Self(Arc::new(Shared {
            registrar,
            config,
            content,
            metrics,
            agents: Mutex::default(),
            empty,
            is_closing: AtomicBool::new(false),
        }))
    }

    /// Says whether there are agents, and when that changes.
    #[must_use]
    pub fn emptiness(&self) -> watch::Receiver<Emptiness> {
        self.0.empty.subscribe()
    }

    /// Registers an agent: starts it; or, if it serves already, adds the callback to those that
    /// share its work, and starts it anew if its configuration is another one now.
    ///
    /// # Errors
    ///
    /// What is wrong, for the developer. What served before goes on.
    pub async fn register(
        &self,
        registration: Registration,
        callback: Callback,
    ) -> Result<Registered, String> {
        let shared = &self.0;
        let agent_id = shared.registrar.agent_id(&registration)?;
        shared.registrar.check_callback(&callback)?;
        let slot = self.slot(&agent_id);
        let mut live = slot.live.lock().await;
        if shared.is_closing.load(Ordering::SeqCst) {
            return Err("the core is about to end".to_owned());
        }
        if let Some(live) = live.as_ref() {
            let known = live.instances.statuses();
            let is_new = known.iter().all(|instance| instance.callback != callback);
            if is_new && known.len() >= MAX_INSTANCES {
                return Err(format!("the agent has {MAX_INSTANCES} callbacks already"));
            }
        }
        let registered = match live.take() {
            Some(known) if known.registration == registration => {
                known.instances.add(callback.clone());
                tracing::info!(agent = agent_id, %callback, "another callback of the agent");
                Ok(live.insert(known))
            }
            before => {
                let registration = registration.clone();
                match self.start(&agent_id, registration, &callback, before.as_ref()).await {
                    Ok(mut now) => {
                        if let Some(Live { agent, mut leaving, watching, .. }) = before {
                            let grace = shared.config.grace;
                            leaving.retain(|leaving| !leaving.is_finished());
                            leaving.push(tokio::spawn(agent.stop(grace, Farewell::Replaced)));
                            (now.leaving, now.watching) = (leaving, watching);
                        }
                        Ok(live.insert(now))
                    }
                    Err(error) => {
                        *live = before;
                        Err(error)
                    }
                }
            }
        };
        let answer = registered.map(|live| Registered {
            agent_id: agent_id.clone(),
            did: live.agent.did(),
            url: live.agent.url(),
        });
        if answer.is_ok() {
            slot.heard(Some(Instant::now()));
        }
        let is_there = live.is_some();
        drop(live);
        self.settle(&agent_id, is_there);
        answer
    }

    async fn start(
        &self,
        agent_id: &str,
        registration: Registration,
        callback: &Callback,
        before: Option<&Live<R::Agent>>,
    ) -> Result<Live<R::Agent>, String> {
        let shared = &self.0;
        let instances = match before {
            Some(before) => before.instances.clone(),
            None => Instances::new(
                agent_id,
                shared.config.calls.clone(),
                Some(Arc::clone(&shared.metrics)),
            ),
        };
        let handler = RemoteHandler::new(instances.clone(), shared.content.clone());
        let before_agent = before.map(|before| &before.agent);
        let agent = shared
            .registrar
            .start(registration.clone(), AnyHandler::new(handler), before_agent)
            .await?;
        if let Some(secure) = agent.secure() {
            instances.secure(secure);
        }
        instances.add(callback.clone());
        // Of two that watch, each would leave the instances to the other.
        let watching = before.is_none().then(|| {
            let instances = instances.clone();
            AbortOnDropHandle::new(tokio::spawn(async move { instances.watch().await }))
        });
        tracing::info!(agent = agent_id, did = agent.did(), url = agent.url(), %callback, "registered");
        let leaving = Vec::new();
        Ok(Live { registration, agent, instances, leaving, watching })
    }

    /// Notes that an SDK is alive, and says whether its agent is known.
    #[must_use]
    pub fn heartbeat(&self, agent_id: &str) -> bool {
        let slot = self.agents().get(agent_id).cloned();
        // An agent that is only just starting has not been heard of.
        let known = slot.filter(|slot| slot.last_heard().is_some());
        if let Some(slot) = &known {
            slot.heard(Some(Instant::now()));
        }
        known.is_some()
    }

    /// Ends an agent; or, with a callback, takes that one instance from it, and ends it with the
    /// last. Returns when its address is free again.
    ///
    /// # Errors
    ///
    /// There is no such agent, or no such instance.
    pub async fn unregister(
        &self,
        agent_id: &str,
        callback: Option<&Callback>,
    ) -> Result<(), String> {
        let slot = self.agents().get(agent_id).cloned();
        let unknown = || format!("Agent {agent_id} not found");
        let slot = slot.ok_or_else(unknown)?;
        let mut live = slot.live.lock().await;
        let Some(known) = live.as_ref() else {
            return Err(unknown());
        };
        if let Some(callback) = callback {
            if !known.instances.remove(callback) {
                return Err(format!("Agent {agent_id} has no instance at {callback}"));
            }
            tracing::info!(agent = agent_id, %callback, "a callback of the agent is taken away");
            if !known.instances.is_empty() {
                return Ok(());
            }
        }
        if let Some(known) = live.take() {
            self.end(&slot, known).await;
        }
        drop(live);
        self.settle(agent_id, false);
        tracing::info!(agent = agent_id, "unregistered");
        Ok(())
    }

    async fn end(&self, slot: &Slot<R::Agent>, live: Live<R::Agent>) {
        slot.heard(None);
        live.agent.stop(self.0.config.grace, Farewell::Gone).await;
        // They have the same address and the same store.
        futures_util::future::join_all(live.leaving).await;
        live.instances.close();
    }

    /// Gives up agents that nobody runs any more; runs until it is dropped.
    pub async fn keep(&self) {
        let Config { calls, evict_after, .. } = &self.0.config;
        let Some(after) = *evict_after else { return std::future::pending().await };
        let silence = calls.health_interval * 3;
        let pause = calls.health_interval.min(after).max(Duration::from_millis(50));
        loop {
            tokio::time::sleep(pause).await;
            let slots: Vec<_> =
                self.agents().iter().map(|(id, slot)| (id.clone(), Arc::clone(slot))).collect();
            for (agent_id, slot) in slots {
                // One that is being changed is not given up.
                let Ok(mut live) = slot.live.try_lock() else { continue };
                if let Some(live) = live.as_ref() {
                    live.instances.remove_dead(after);
                }
                let dead = live.as_ref().and_then(|live| live.instances.all_dead_since());
                let silent = slot.last_heard().is_none_or(|heard| heard.elapsed() >= silence);
                if !silent || dead.is_none_or(|since| since.elapsed() < after) {
                    continue;
                }
                if let Some(known) = live.take() {
                    tracing::warn!(agent = agent_id, "given up: none of its SDKs answers");
                    self.0.metrics.evicted();
                    self.end(&slot, known).await;
                }
                drop(live);
                self.settle(&agent_id, false);
            }
        }
    }

    /// Ends all agents at once.
    pub async fn close(&self, grace: Duration) {
        self.0.is_closing.store(true, Ordering::SeqCst);
        let slots: Vec<_> = self.agents().drain().collect();
        let stops = slots.into_iter().map(|(_, slot)| async move {
            // One that is only just starting is not waited for longer than for a turn.
            let live = tokio::time::timeout(grace, slot.live.lock()).await;
            if let Some(live) = live.ok().and_then(|mut live| live.take()) {
                slot.heard(None);
                live.agent.stop(grace, Farewell::Closing).await;
                futures_util::future::join_all(live.leaving).await;
                live.instances.close();
            }
        });
        futures_util::future::join_all(stops).await;
    }

    fn slot(&self, agent_id: &str) -> Arc<Slot<R::Agent>> {
        let mut agents = self.agents();
        let slot = agents.entry(agent_id.to_owned()).or_insert_with(|| {
            Arc::new(Slot { live: tokio::sync::Mutex::new(None), heard: Mutex::new(None) })
        });
        Arc::clone(slot)
    }

    /// Keeps the list and what is told of it in step with what has happened to one agent.
    fn settle(&self, agent_id: &str, is_there: bool) {
        let mut agents = self.agents();
        // The list has one, and whoever settles another.
        if !is_there && agents.get(agent_id).is_some_and(|slot| Arc::strong_count(slot) <= 2) {
            agents.remove(agent_id);
        }
        let serving = agents.values().filter(|slot| slot.last_heard().is_some()).count();
        self.0.metrics.set_agents(serving);
        self.0.empty.send_if_modified(|now| {
            let then = match (serving, *now) {
                (0, Emptiness::Idle) => Emptiness::Idle,
                (0, _) => Emptiness::Deserted,
                _ => Emptiness::Serving,
            };
            std::mem::replace(now, then) != then
        });
    }

    fn agents(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot<R::Agent>>>> {
        self.0.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
