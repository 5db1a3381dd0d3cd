//! What an agent's work costs: `bindu-x402` joined to the server, the worker and the store.

mod gate;
mod hook;
mod sessions;
mod upkeep;

use std::sync::Arc;

use bindu_http::client::{Client, Tls};
use bindu_protocol::{AgentExtension, Timestamp, method, payment};
use bindu_server::{Builder, Decided, PaymentGate};
use bindu_storage::Durability;
use bindu_tasks::Tasks;
use bindu_worker::BeforeRun;
use bindu_x402::{
    AgentInfo, Config, ExtraNetwork, Facilitator, Networks, Patience, PaymentOption,
    PaymentRequirements, Resource, ResourceServer,
};

use self::gate::Gate;
use self::hook::Hook;
use crate::StartError;
use crate::backends::Backends;
use crate::config::{AgentConfig, ConfigError, Problem};
use crate::door::Ground;
use crate::settings::{Settings, X402Settings};

/// How often a payment in a task may be tried before the task fails.
const TRIES: usize = 3;

/// The methods that begin work.
const CHARGEABLE: [&str; 2] = [method::MESSAGE_SEND, method::MESSAGE_STREAM];

/// The path that a 402 names for the agent's card.
const CARD: &str = bindu_protocol::REFERENCE_CARD_PATH;

/// The payments of one agent.
#[derive(Debug)]
pub(crate) struct Payments {
    server: ResourceServer,
    gate: Arc<Gate>,
}

/// What is wrong with what a task costs.
pub(crate) fn problem(config: &AgentConfig, settings: &Settings) -> Option<Problem> {
    if config.execution_cost.is_empty() {
        return None;
    }
    let wrong = settings
        .x402
        .protected_methods
        .iter()
        .find(|method| !CHARGEABLE.contains(&method.as_str()));
    if let Some(wrong) = wrong {
        let says = format!("names {wrong:?}; what can cost something is {}", CHARGEABLE.join(", "));
        return Some(Problem::new("X402__PROTECTED_METHODS", says));
    }
    terms(config, &settings.x402).err()
}

/// The known chains, and what is asked for.
fn terms(
    config: &AgentConfig,
    settings: &X402Settings,
) -> Result<(Networks, Vec<PaymentRequirements>), Problem> {
    let extra = |error: &dyn std::fmt::Display| {
        Problem::new("X402__EXTRA_NETWORKS", format!("is wrong: {error}"))
    };
    let mut networks = Vec::with_capacity(settings.extra_networks.len());
    for (name, network) in &settings.extra_networks {
        let read = serde_json::from_value::<ExtraNetwork>(network.clone());
        networks.push((name.clone(), read.map_err(|error| extra(&format!("{name}: {error}")))?));
    }
    let networks = Networks::with_extra(networks).map_err(|error| extra(&error))?;
    let options: Vec<_> = config
        .execution_cost
        .iter()
        .map(|cost| PaymentOption {
            amount: cost.amount.clone(),
            token: cost.token.clone(),
            network: cost.network.clone().unwrap_or_else(|| settings.default_network.clone()),
            pay_to: cost.pay_to_address.clone(),
        })
        .collect();
    let offers = bindu_x402::offers(&options, &networks)
        .map_err(|error| Problem::new("'execution_cost'", format!("is wrong: {error}")))?;
    Ok((networks, offers))
}

/// Says what anybody has for nothing.
fn warn_of_gaps(settings: &X402Settings, is_paid: bool) {
    for method in CHARGEABLE {
        if is_paid && !settings.protected_methods.iter().any(|named| named == method) {
            tracing::warn!(
                method,
                "X402__PROTECTED_METHODS leaves it out: by it anybody has the work for nothing"
            );
        }
    }
}

/// Whether there are payments that are not over.
async fn has_open(backends: &Backends) -> bool {
    let Some(ledger) = &backends.ledger else { return false };
    // All that is due at any time.
    let ever = Timestamp::from_unix_micros(i64::MAX / 2);
    match ledger.due_payments(ever, 1).await {
        Ok(open) => !open.is_empty(),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the account of payments cannot be read"
            );
            false
        }
    }
}

impl Payments {
    /// Makes them, if anything costs something.
    pub(crate) async fn make(
        ground: &Ground<'_>,
        backends: &Backends,
    ) -> Result<Option<Self>, StartError> {
        const WHAT: &str = "the connection to the facilitator";
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| StartError::Backend {
            what: WHAT,
            source: error,
        };
        let Ground { config, settings, resolved, identity, url, .. } = ground;
        let is_paid = !config.execution_cost.is_empty();
        if !is_paid && !has_open(backends).await {
            return Ok(None);
        }
        let (networks, offers) = if is_paid {
            terms(config, &settings.x402).map_err(|problem| ConfigError::Invalid(vec![problem]))?
        } else {
            // Nothing costs anything any more, but there is money that somebody has to look after.
            (Networks::default(), Vec::new())
        };
        warn_of_gaps(&settings.x402, is_paid);
        let mut facilitator = Config::new(settings.x402.facilitator_url.parse().map_err(
            |error: url::ParseError| {
                let key = "X402__FACILITATOR_URL";
                let problem = Problem::new(key, format!("is no URL: {error}"));
                ConfigError::Invalid(vec![problem])
            },
        )?);
        facilitator.verify_timeout = settings.x402.verify_timeout;
        facilitator.settle_timeout = settings.x402.settle_timeout;
        let mut client = Client::builder();
        // Without roots there is still http.
        if let Ok(tls) = Tls::native_roots() {
            client = client.connector(Arc::new(tls));
        }
        let facilitator =
            Facilitator::new(&facilitator, client).map_err(|error| failed(error.into()))?;
        let ledger = backends.ledger.clone().ok_or_else(|| {
            failed(
                "the store of the tasks keeps no account of payments; bring one with Agent::ledger"
                    .into(),
            )
        })?;
        if backends.storage.durability() == Durability::Volatile {
            tracing::warn!(
                "payments are kept in memory: what was paid, and what it was paid for, is forgotten when the process ends; choose another STORAGE_TYPE"
            );
        }
        let margin = std::time::Duration::from_secs(15);
        let patience = Patience {
            claim: settings.x402.verify_timeout + margin,
            // A no is asked about twice.
            attempt: settings.x402.settle_timeout * 2 + margin,
            work: settings.x402.work_patience,
            // Until then a worker that is gone still has its task.
            work_check: settings.worker.lease,
            ..Patience::default()
        };
        let mut server = ResourceServer::new(offers, facilitator, ledger, patience);
        if let Some(guard) = backends.nonces(settings, resolved, identity).await? {
            server = server.nonces(guard);
        }
        let agent = AgentInfo {
            name: config.name.clone(),
            description: config.description.clone(),
            agent_card: CARD.to_owned(),
            did: Some(identity.did().to_string()),
        };
        let resource = Resource { url: (*url).to_owned(), ..Resource::default() };
        let gate = Gate::new(
            server.clone(),
            networks,
            Arc::clone(&backends.storage),
            agent,
            resource,
            &settings.x402,
        );
        Ok(Some(Self { server, gate: Arc::new(gate) }))
    }

    /// What the card says of them.
    pub(crate) fn extensions() -> Vec<AgentExtension> {
        [payment::EXTENSION_V0_1, payment::EXTENSION]
            .map(|uri| AgentExtension {
                uri: uri.to_owned(),
                description: Some("Tasks are paid for with x402".to_owned()),
                required: Some(true),
                params: None,
            })
            .into()
    }

    /// Has the server ask for them.
    pub(crate) fn guard(&self, builder: Builder<Decided>) -> Builder<Decided> {
        if self.server.offers().is_empty() {
            return builder;
        }
        builder.payments(Some(Arc::clone(&self.gate) as Arc<dyn PaymentGate>))
    }

    /// Has the worker take them before it begins.
    pub(crate) fn hook(&self, tasks: &Tasks, config: &mut bindu_worker::Config) {
        let hook = Arc::new(Hook::new(self.server.clone(), tasks.clone()));
        config.before_run = Some(hook as Arc<dyn BeforeRun>);
    }

    /// Looks after them until it is dropped.
    pub(crate) async fn upkeep(self, tasks: Tasks) {
        upkeep::upkeep(&self.server, &self.gate, &tasks).await;
    }
}
