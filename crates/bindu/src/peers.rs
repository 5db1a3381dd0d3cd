//! Other agents, as an agent calls them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bindu_agent::Turn;
use bindu_client::{Client, ClientBuilder, ClientError};
use bindu_did::key_dir::Identity;
use bindu_did::pins::Pins;

use crate::StartError;
use crate::door::Ground;
use crate::locks::Locks;

/// Agents whose clients are kept.
const MOST: usize = 1_000;

/// The file of the keys of agents that were met, beside the agent's own.
const PINS: &str = "pins.json";

/// Other agents, called in this agent's name: signed with its key, with its token and its
/// certificate where it has them, as part of the conversation that led to the call.
///
/// The handler has it before there is an agent; the agent [fills it in](crate::Agent::peers) when
/// it starts.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use bindu::{Agent, AgentConfig, Peers, Reply, Turn, handler_fn};
///
/// # fn main() -> Result<(), bindu::StartError> {
/// let peers = Peers::default();
/// let handler = handler_fn(peers.clone(), async |peers: Arc<Peers>, turn: Turn| {
///     let painter = peers.call("https://painter.example.com", &turn)?;
///     let task = painter.send_task(turn.text()).await?;
///     let painted = painter.wait(&task.id, Duration::from_secs(60)).await?;
///     Ok(Reply::text(format!("the painter says: {}", painted.status.state)))
/// });
/// let config = AgentConfig::new("ann@example.com", "customer");
/// Agent::builder(config, handler).peers(&peers).serve()
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Peers(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    means: OnceLock<Means>,
    /// By URL, so that connections and what is known of an agent are kept.
    clients: Mutex<HashMap<String, Client>>,
}

/// What an agent calls others with.
#[derive(Debug)]
struct Means {
    identity: Arc<Identity>,
    pins: Arc<Pins>,
    require_self_certified: bool,
    #[cfg(feature = "hydra")]
    membership: Option<crate::locks::Membership>,
    #[cfg(feature = "mtls")]
    certificates: Option<bindu_mtls::Certificates>,
}

impl Peers {
    /// The agent at a URL, as called from a turn: the context goes along, and so does the trace.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`]; [`ClientError::Input`] if no agent was started with this.
    pub fn call(&self, url: &str, turn: &Turn) -> Result<Client, ClientError> {
        let client = self.client(url)?.with_conversation(turn.context_id());
        match turn.trace() {
            Some(trace) => client.with_traceparent(trace),
            None => Ok(client),
        }
    }

    /// The agent at a URL, as called outside of any conversation.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn client(&self, url: &str) -> Result<Client, ClientError> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(url) {
            return Ok(client.clone());
        }
        let client = self.builder(url)?.build()?;
        if clients.len() >= MOST {
            clients.clear();
        }
        clients.insert(url.to_owned(), client.clone());
        Ok(client)
    }

    /// Begins a client for an agent that is to be called otherwise than others. It is not kept.
    ///
    /// # Errors
    ///
    /// [`ClientError::Input`] if no agent was started with this.
    pub fn builder(&self, url: &str) -> Result<ClientBuilder, ClientError> {
        let Some(means) = self.0.means.get() else {
            return Err(ClientError::Input(
                "no agent was started with these peers: Agent::peers takes them".to_owned(),
            ));
        };
        let builder = Client::builder(url)
            .identity(Arc::clone(&means.identity))
            .pins(Arc::clone(&means.pins))
            .require_self_certified(means.require_self_certified);
        #[cfg(feature = "hydra")]
        let builder = match &means.membership {
            Some(membership) => builder.tokens(membership.clone()),
            None => builder,
        };
        #[cfg(feature = "mtls")]
        let builder = match &means.certificates {
            Some(certificates) => builder.mtls(bindu_mtls::Connector::new(certificates.clone())),
            None => builder,
        };
        Ok(builder)
    }

    /// Gives the means. Of several agents that were started with the same, the first gives them.
    #[cfg_attr(not(feature = "hydra"), expect(unused_variables, reason = "there are no locks"))]
    pub(crate) fn fill(&self, ground: &Ground<'_>, locks: &Locks) -> Result<(), StartError> {
        let file = ground.base.join(&ground.settings.did.pki_dir).join(PINS);
        let config = bindu_did::pins::Config { file: Some(file), ..Default::default() };
        let pins = Pins::open(config).map_err(|error| StartError::Backend {
            what: "the keys of agents that were met",
            source: error.into(),
        })?;
        let means = Means {
            identity: Arc::clone(ground.identity),
            pins: Arc::new(pins),
            require_self_certified: ground.settings.auth.require_self_certified,
            #[cfg(feature = "hydra")]
            membership: locks.membership(),
            #[cfg(feature = "mtls")]
            certificates: locks.certificates(),
        };
        if self.0.means.set(means).is_err() {
            tracing::warn!("these peers are another agent's already, and stay it");
        }
        Ok(())
    }
}
