//! Webhooks: which there are, and what they are told.

mod deliver;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bindu_did::key_dir::Identity;
use bindu_http::HttpError;
use bindu_http::client::{self, Client, Connector};
use bindu_http::ssrf::AddressRules;
use bindu_protocol::{
    Caller, Dialect, PushConfig, PushConfigId, StreamEvent, Task, TaskId, TaskPushConfig,
    TaskState, Timestamp, reference,
};
use bindu_storage::{BoxFuture, Delivery, EventBody, OutboxBody, Record, Webhook};
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use crate::{Config, TaskError, Tasks, to_stream_event};

/// The id of the webhook that tasks without one of their own are told through.
const GLOBAL: &str = "global";

/// How webhooks are told.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// Which addresses may be called.
    pub rules: AddressRules,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often one delivery is tried before it is given up.
    pub max_attempts: u32,
    /// The wait after the first failed attempt; doubles with each, up to `max_wait`.
    pub min_wait: Duration,
    /// The longest wait between two attempts.
    pub max_wait: Duration,
    /// How many deliveries are under way at once.
    pub concurrency: usize,
    /// What secures connections to https receivers; without it https addresses are refused.
    pub connector: Option<Arc<dyn Connector>>,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            rules: AddressRules::default(),
            timeout: Duration::from_secs(5),
            max_attempts: 8,
            min_wait: Duration::from_secs(1),
            max_wait: Duration::from_mins(5),
            concurrency: 64,
            connector: None,
        }
    }
}

/// Carries a signed delivery to a receiver and brings its answer. [`Client`] does; a test may let
/// receivers answer that are not there.
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// Makes one attempt.
    ///
    /// # Errors
    ///
    /// [`HttpError`]: no answer came.
    fn carry(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>>;
}

impl Courier for Client {
    fn carry(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        Box::pin(self.send(request))
    }
}

/// Tells webhooks of changes: in the background, in order for each task and webhook, signed with
/// the agent's key, and again until the receiver takes it.
///
/// What is to be told is in the store's outbox, written together with the change; this only
/// empties it. Before an attempt the entry is taken in hand, so that of several processes one makes
/// it; if that one dies, another does. Receivers may see a delivery twice, with the same `event_id`.
#[derive(Clone, Debug)]
pub struct Pushes(pub(crate) Arc<Sender>);

#[derive(Debug)]
pub(crate) struct Sender {
    settings: PushSettings,
    courier: Arc<dyn Courier>,
    identity: Option<Arc<Identity>>,
    /// One per task and webhook that is being told; `true` if there may be more to tell since.
    chains: Mutex<HashMap<(TaskId, PushConfigId), bool>>,
    permits: Semaphore,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Pushes {
    /// Tells webhooks under these settings; signed, if there is an identity to sign with.
    #[must_use]
    pub fn new(settings: PushSettings, identity: Option<Arc<Identity>>) -> Self {
        let config = client::Config {
            timeout: settings.timeout,
            connect_timeout: settings.timeout,
            max_response_bytes: 64 * 1024,
            ..client::Config::default()
        };
        let mut client =
            Client::builder().config(config).address_policy(Arc::new(settings.rules.clone()));
        if let Some(connector) = &settings.connector {
            client = client.connector(Arc::clone(connector));
        }
        let client = client.build();
        Self::with_courier(settings, identity, Arc::new(client))
    }

    /// The same, with another way to the receivers.
    #[must_use]
    pub fn with_courier(
        settings: PushSettings,
        identity: Option<Arc<Identity>>,
        courier: Arc<dyn Courier>,
    ) -> Self {
        Self(Arc::new(Sender {
            courier,
            identity,
            chains: Mutex::default(),
            permits: Semaphore::new(settings.concurrency.max(1)),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            settings,
        }))
    }

    /// Checks a webhook's address: the URL, and every address that its host has.
    pub(crate) async fn check(&self, url: &str) -> Result<(), TaskError> {
        let refuse = |why: String| TaskError::InvalidWebhook(why);
        let url = Url::parse(url).map_err(|_| refuse("the URL cannot be read".into()))?;
        if url.scheme() == "https" && self.0.settings.connector.is_none() {
            // Better refused now than given up after eight attempts.
            return Err(refuse("https is not supported by this build, use http".into()));
        }
        self.0.settings.rules.check_url(&url).map_err(|error| refuse(error.to_string()))?;
        if let Some(url::Host::Domain(host)) = url.host() {
            let port = url.port_or_known_default().unwrap_or(443);
            let lookup = tokio::net::lookup_host((host, port));
            let found = tokio::time::timeout(self.0.settings.timeout, lookup).await;
            let addresses: Vec<SocketAddr> = match found {
                Ok(Ok(addresses)) => addresses.collect(),
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            if addresses.is_empty() {
                return Err(refuse(format!("the host {host:?} could not be resolved")));
            }
            for address in addresses {
                let checked = self.0.settings.rules.check_ip(address.ip());
                checked.map_err(|error| refuse(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Stops sending, waits for the attempts under way, and leaves the rest in the outbox.
    pub async fn close(&self, patience: Duration) {
        self.0.tracker.close();
        // Whatever can still be told is told; a receiver that hangs does not hold us up.
        if tokio::time::timeout(patience, self.0.tracker.wait()).await.is_err() {
            self.0.stop.cancel();
            self.0.tracker.wait().await;
        }
    }

    /// How many task-and-webhook pairs have something to be told.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.chains.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What a change is to be told to whom; written together with it.
pub(crate) fn announce(
    record: &Record,
    after: &Task,
    events: &[EventBody],
    at: Timestamp,
    config: &Config,
) -> Vec<OutboxBody> {
    let global;
    let webhooks: &[Webhook] = match &config.global_webhook {
        Some(config) if record.webhooks.is_empty() => {
            let mut config = config.clone();
            config.id = GLOBAL.parse().ok();
            global = [Webhook { config, dialect: Dialect::Reference }];
            &global
        }
        _ => &record.webhooks,
    };
    if webhooks.is_empty() {
        return Vec::new();
    }
    let mut sequence = record.deliveries;
    let mut told = Vec::new();
    for body in events {
        let is_final = matches!(body, EventBody::Status(status) if status.state.is_terminal());
        let Some(event) = told_event(after, body, is_final) else { continue };
        sequence += 1;
        let event_id = Uuid::new_v4();
        for webhook in webhooks {
            let Some(body) = payload(webhook, after, &event, event_id, sequence, at) else {
                continue;
            };
            let webhook = webhook.clone();
            told.push(OutboxBody::Deliver(Delivery { webhook, event_id, sequence, body }));
        }
    }
    told
}

/// What webhooks are told: every change of state after acceptance, and whole artifacts.
fn told_event(task: &Task, body: &EventBody, is_final: bool) -> Option<StreamEvent> {
    match body {
        EventBody::Status(status) if status.state == TaskState::Submitted => None,
        EventBody::Status(_) => to_stream_event(task, body, is_final),
        EventBody::Artifact { artifact, .. } => {
            let whole = EventBody::Artifact { artifact: Arc::clone(artifact), streamed: false };
            to_stream_event(task, &whole, false)
        }
        _ => None,
    }
}

/// What one webhook is told; `None` if its dialect does not tell this.
fn payload(
    webhook: &Webhook,
    task: &Task,
    event: &StreamEvent,
    event_id: Uuid,
    sequence: u64,
    at: Timestamp,
) -> Option<Bytes> {
    let json = match (webhook.dialect, event) {
        // A plain A2A receiver gets the task itself, and so its artifacts with the last state.
        (Dialect::V0_3, StreamEvent::Artifact(_)) => return None,
        (Dialect::V0_3, _) => serde_json::to_vec(&Dialect::V0_3.view(task)),
        (_, event) => {
            let timestamp = match event {
                StreamEvent::Status(update) => update.status.timestamp.unwrap_or(at),
                _ => at,
            };
            serde_json::to_vec(&reference::Notification { event_id, sequence, timestamp, event })
        }
    };
    match json {
        Ok(json) => Some(Bytes::from(json)),
        Err(error) => {
            tracing::error!(task = %task.id, %error, "a webhook payload cannot be written");
            None
        }
    }
}

impl Tasks {
    /// How many pairs of a task and a webhook have something still to be told.
    #[must_use]
    pub fn pending_webhooks(&self) -> usize {
        self.0.pushes.as_ref().map_or(0, Pushes::pending)
    }

    fn pushes(&self) -> Result<&Pushes, TaskError> {
        self.0.pushes.as_ref().ok_or(TaskError::PushNotSupported)
    }

    /// Adds a webhook to a task of the caller's, or replaces the one of its id.
    ///
    /// # Errors
    ///
    /// [`TaskError::PushNotSupported`], [`TaskError::NotFound`], [`TaskError::InvalidWebhook`];
    /// [`TaskError::Invalid`] if the task has [`Config::max_webhooks`] already.
    pub async fn set_webhook(
        &self,
        caller: &Caller,
        id: &TaskId,
        config: PushConfig,
        dialect: Dialect,
    ) -> Result<TaskPushConfig, TaskError> {
        self.pushes()?;
        let record = self.get(caller, id).await?;
        let webhook = self.check_webhook(config, dialect).await?;
        let is_known = record.webhooks.iter().any(|known| known.config.id == webhook.config.id);
        if !is_known && record.webhooks.len() >= self.0.config.max_webhooks {
            return Err(TaskError::Invalid(format!(
                "the task has {} push notification configurations; delete one first",
                record.webhooks.len()
            )));
        }
        let config = webhook.config.clone();
        self.0.storage.set_webhook(id, webhook).await?;
        Ok(TaskPushConfig { task_id: id.clone(), config })
    }

    /// Reads a webhook of a task of the caller's: the one of `config`, or the newest.
    ///
    /// # Errors
    ///
    /// [`TaskError::PushNotSupported`]; [`TaskError::WebhookNotFound`] if there is none or no such
    /// task.
    pub async fn webhook(
        &self,
        caller: &Caller,
        id: &TaskId,
        config: Option<&PushConfigId>,
    ) -> Result<TaskPushConfig, TaskError> {
        let all = self.webhooks(caller, id).await?;
        let mut newest_first = all.into_iter().rev();
        match config {
            Some(_) => newest_first.find(|known| known.config.id.as_ref() == config),
            None => newest_first.next(),
        }
        .ok_or(TaskError::WebhookNotFound)
    }

    /// Reads all webhooks of a task of the caller's, oldest first.
    ///
    /// # Errors
    ///
    /// As [`webhook`](Self::webhook).
    pub async fn webhooks(
        &self,
        caller: &Caller,
        id: &TaskId,
    ) -> Result<Vec<TaskPushConfig>, TaskError> {
        self.pushes()?;
        let record = match self.get(caller, id).await {
            Ok(record) => record,
            Err(TaskError::NotFound) => return Err(TaskError::WebhookNotFound),
            Err(error) => return Err(error),
        };
        let of_task = |webhook: &Webhook| TaskPushConfig {
            task_id: id.clone(),
            config: webhook.config.clone(),
        };
        Ok(record.webhooks.iter().map(of_task).collect())
    }

    /// Removes a webhook of a task of the caller's, and what was still to be told it.
    ///
    /// # Errors
    ///
    /// As [`webhook`](Self::webhook).
    pub async fn remove_webhook(
        &self,
        caller: &Caller,
        id: &TaskId,
        config: &PushConfigId,
    ) -> Result<TaskPushConfig, TaskError> {
        let removed = self.webhook(caller, id, Some(config)).await?;
        if self.0.storage.remove_webhook(id, config).await? {
            Ok(removed)
        } else {
            Err(TaskError::WebhookNotFound)
        }
    }
}
