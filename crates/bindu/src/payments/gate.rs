//! What a message costs, and whether it was paid for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bindu_http::Body;
use bindu_protocol::{
    Content, Json, JsonObject, Owner, Part, Role, Task, TaskId, TaskState, payment,
};
use bindu_server::{Admission, Asked, Deposit, PaymentGate, PaymentRoute};
use bindu_storage::{Payment, Record, Storage};
use bindu_tasks::Wait;
use bindu_x402::{
    AgentInfo, Networks, PaymentPayload, PaymentRequired, PaymentRequirements, Refusal, Rejection,
    Resource, ResourceServer, SettleResponse, header, remarks, v1,
};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::TRIES;
use super::hook::{asked, failures, is_paid};
use super::sessions::Sessions;
use crate::settings::X402Settings;

/// How callers activate extensions.
const ACTIVATION: [&str; 2] = ["x-a2a-extensions", "a2a-extensions"];

/// The longest receipt that is sent as a header, in bytes: more is not read by everybody.
const LONGEST_HEADER: usize = 4096;

/// How long a message may be that nobody has paid for, in bytes. A longer one is paid for by header.
const UNPAID_BYTES: usize = 64 * 1024;

/// What begins the names of data of a flow that is not offered.
const MANDATE: &str = "ap2.mandates.";

/// What the server asks.
#[derive(Debug)]
pub(super) struct Gate {
    server: ResourceServer,
    networks: Networks,
    storage: Arc<dyn Storage>,
    agent: AgentInfo,
    resource: Resource,
    methods: Vec<String>,
    /// How many tasks may wait to be paid for.
    max_unpaid: u64,
    /// The prices, for people.
    prices: String,
    sessions: Sessions,
    /// The tasks that wait to be paid for, oldest first, and since when.
    unpaid: Mutex<VecDeque<(Instant, TaskId)>>,
    unpaid_life: Duration,
}

/// What is said of a payment that came as a header, or inside a message.
enum Paying<'a> {
    Header(&'a [u8]),
    Message(Json),
    Declined,
    Nothing,
}

impl Gate {
    pub(super) fn new(
        server: ResourceServer,
        networks: Networks,
        storage: Arc<dyn Storage>,
        agent: AgentInfo,
        resource: Resource,
        settings: &X402Settings,
    ) -> Self {
        let methods = settings.protected_methods.clone();
        let prices = server.offers().iter().map(|offer| price(offer, &networks));
        let prices = prices.collect::<Vec<_>>().join(" or ");
        let sessions = Sessions::new(&agent.name, &resource, settings.max_sessions);
        let max_unpaid = settings.max_unpaid_tasks;
        Self {
            server,
            networks,
            storage,
            agent,
            resource,
            methods,
            max_unpaid,
            prices,
            sessions,
            unpaid: Mutex::default(),
            unpaid_life: settings.unpaid_life,
        }
    }

    async fn admission(&self, with: Asked<'_>) -> Admission {
        let task = with.continues.map(|record| &*record.task);
        if task.is_some_and(is_paid) {
            return Admission::Free;
        }
        let waits = task.filter(|task| task.status.state == TaskState::PaymentRequired);
        let kept = waits.and_then(asked);
        let is_activated = is_activated(with.headers);
        match paying(&with, kept.is_some(), is_activated) {
            Paying::Header(value) => match header::decode(value) {
                Ok(payload) => {
                    let offers = kept.as_ref().map(|kept| kept.accepts.as_slice());
                    self.by_header(&with, &payload, offers).await
                }
                Err(refusal) => self.refused(&refusal),
            },
            Paying::Message(payload) => {
                let Some(kept) = kept else { return self.refused(&Refusal::Missing) };
                self.by_message(&with, &payload, &kept).await
            }
            Paying::Declined => {
                let told = JsonObject::empty().with(payment::STATUS, payment::status::REJECTED);
                Admission::Declined(told)
            }
            Paying::Nothing if !is_activated => self.refused(&Refusal::Missing),
            Paying::Nothing if kept.is_some() => Admission::Unchanged,
            Paying::Nothing if has_mandate(&with) => Admission::Invalid(
                "message.parts: payments of other protocols are not taken; send an x402 payment in \
                 the metadata of a message to the task"
                    .to_owned(),
            ),
            Paying::Nothing if !self.may_wait(&with).await => self.refused(&Refusal::Missing),
            Paying::Nothing => {
                self.remember(with.task);
                self.required(None, task.and_then(|task| task.metadata.as_ref()))
            }
        }
    }

    /// Whether a task may be kept for somebody who has not paid yet: a small one, and not too many.
    async fn may_wait(&self, with: &Asked<'_>) -> bool {
        let size: usize = with.message.parts.iter().map(part_size).sum();
        let notes = with.message.metadata.as_ref().map_or(0, |notes| notes.as_str().len());
        if size + notes > UNPAID_BYTES {
            return false;
        }
        let counted = self.storage.count().await.unwrap_or_default();
        let waiting = counted.iter().find(|(state, _)| *state == TaskState::PaymentRequired);
        waiting.is_none_or(|(_, count)| *count < self.max_unpaid)
    }

    /// Notes a task that waits to be paid for. One that is forgotten for want of room waits on.
    fn remember(&self, task: &TaskId) {
        let mut unpaid = self.unpaid.lock().unwrap_or_else(PoisonError::into_inner);
        if unpaid.len() >= usize::try_from(self.max_unpaid).unwrap_or(usize::MAX) {
            unpaid.pop_front();
        }
        unpaid.push_back((Instant::now(), task.clone()));
    }

    /// The tasks that have waited long enough; they are not named again.
    pub(super) fn overdue(&self) -> Vec<TaskId> {
        let mut unpaid = self.unpaid.lock().unwrap_or_else(PoisonError::into_inner);
        let over =
            unpaid.iter().take_while(|(since, _)| since.elapsed() >= self.unpaid_life).count();
        unpaid.drain(..over).map(|(_, task)| task).collect()
    }

    async fn by_header(
        &self,
        with: &Asked<'_>,
        payload: &PaymentPayload,
        offers: Option<&[PaymentRequirements]>,
    ) -> Admission {
        let offers = offers.unwrap_or_else(|| self.server.offers());
        let owner = owner(with);
        match self.server.accept(payload, offers, with.task, &owner).await {
            Ok(payment) => self.paid(payment),
            Err(Rejection::Taken(other)) => match self.repeated(with, &other.task).await {
                Some(task) => Admission::Repeat(task),
                None => self.refused(&Refusal::Replay),
            },
            Err(Rejection::Refused(refusal)) => self.refused(&refusal),
        }
    }

    async fn by_message(
        &self,
        with: &Asked<'_>,
        payload: &Json,
        kept: &PaymentRequired,
    ) -> Admission {
        let owner = owner(with);
        let read = v1::decode(payload, &kept.accepts, &self.networks);
        let accepted = match &read {
            Ok(payload) => self.server.accept(payload, &kept.accepts, with.task, &owner).await,
            Err(refusal) => Err(refusal.clone().into()),
        };
        match accepted {
            Ok(payment) => self.paid(payment),
            Err(rejection) => {
                let before = with.continues.and_then(|record| record.task.metadata.as_ref());
                failed(&rejection.refusal(), before, kept)
            }
        }
    }

    /// The task says itself that it has a price: should its payment be given back meanwhile, it is
    /// not taken for one that costs nothing.
    fn paid(&self, payment: Payment) -> Admission {
        let told = JsonObject::empty().with(payment::STATUS, payment::status::VERIFIED);
        let payment = Arc::new(Accepted { server: self.server.clone(), payment });
        Admission::Paid { payment, metadata: Some(told) }
    }

    /// The task that a payment has paid for, if this is the very message that it was sent with.
    async fn repeated(&self, with: &Asked<'_>, task: &TaskId) -> Option<TaskId> {
        let record: Arc<Record> = match self.storage.load(task).await {
            Ok(record) => record?,
            Err(error) => {
                tracing::warn!(%task, error = &error as &dyn std::error::Error, "a task cannot be read");
                return None;
            }
        };
        let is_same = record.task.history.iter().any(|message| {
            message.role == Role::User
                && message.id == with.message.id
                && message.parts == with.message.parts
        });
        (is_same && with.caller.may_see(&record.owner)).then(|| task.clone())
    }

    /// Asks to be paid, inside the task.
    fn required(&self, error: Option<&str>, before: Option<&JsonObject>) -> Admission {
        let mut required = PaymentRequired::new("", self.server.offers().to_vec());
        required.error = error.map(str::to_owned);
        required.resource = Some(self.resource.clone());
        let told = JsonObject::empty().with(payment::STATUS, payment::status::REQUIRED);
        let mut metadata = before.map(JsonObject::to_map).unwrap_or_default();
        metadata.extend(told.to_map());
        Admission::Wait {
            wait: Wait {
                state: TaskState::PaymentRequired,
                parts: vec![Part::text(format!("This has to be paid for first: {}.", self.prices))],
                remarks: Some(told.with(payment::REQUIRED, required.in_task().to_value())),
            },
            metadata: Some(metadata.into()),
        }
    }

    /// Asks to be paid, by HTTP.
    fn refused(&self, refusal: &Refusal) -> Admission {
        let mut required = PaymentRequired::new(refusal.to_string(), self.server.offers().to_vec());
        required.agent = Some(self.agent.clone());
        let mut response = Response::new(Body::full(required.body()));
        *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(http::header::CONTENT_TYPE, json);
        if let Ok(value) = HeaderValue::try_from(required.header()) {
            headers.insert(HeaderName::from_static(header::PAYMENT_REQUIRED), value);
        }
        Admission::Refused(Box::new(response))
    }
}

impl PaymentGate for Gate {
    fn guards(&self, method: &str) -> bool {
        self.methods.iter().any(|guarded| guarded == method)
    }

    fn ask<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Admission> {
        Box::pin(self.admission(asked))
    }

    fn dress(&self, task: &Task, headers: &mut HeaderMap) {
        let receipts = task.metadata.as_ref().and_then(|told| told.get(payment::RECEIPTS));
        let receipt = receipts.as_ref().and_then(|all| all.as_array()?.last());
        let value = receipt.map(header::encode).filter(|value| value.len() <= LONGEST_HEADER);
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(HeaderName::from_static(header::PAYMENT_RESPONSE), value);
        }
    }

    fn extensions(&self) -> &[&'static str] {
        &[payment::EXTENSION, payment::EXTENSION_V0_1]
    }

    fn serve<'a>(
        &'a self,
        route: PaymentRoute<'a>,
        head: &'a Parts,
    ) -> BoxFuture<'a, Response<Body>> {
        Box::pin(self.sessions.serve(self.server.offers(), &self.networks, route, head))
    }
}

/// How a message wants to pay.
fn paying<'a>(with: &Asked<'a>, is_asked: bool, is_activated: bool) -> Paying<'a> {
    let headers = [header::PAYMENT_SIGNATURE, header::X_PAYMENT];
    let header = headers.iter().find_map(|name| with.headers.get(*name));
    if let Some(value) = header.filter(|value| !value.as_bytes().trim_ascii().is_empty()) {
        return Paying::Header(value.as_bytes());
    }
    let Some(says) = with.message.metadata.as_ref().filter(|_| is_asked && is_activated) else {
        return Paying::Nothing;
    };
    let status = says.get(payment::STATUS);
    match status.as_ref().and_then(serde_json::Value::as_str) {
        Some(payment::status::REJECTED) => Paying::Declined,
        Some(payment::status::SUBMITTED) => {
            let payload = says.get(payment::PAYLOAD).unwrap_or_default();
            Json::new(&payload).map_or(Paying::Nothing, Paying::Message)
        }
        _ => Paying::Nothing,
    }
}

/// A payment inside the task was no good: it asks again, if it has not too often.
fn failed(refusal: &Refusal, before: Option<&JsonObject>, kept: &PaymentRequired) -> Admission {
    let network = kept.accepts.first().map(|offer| offer.network.clone()).unwrap_or_default();
    let receipt = serde_json::to_value(SettleResponse::failed(refusal.to_string(), network));
    let told = JsonObject::empty()
        .with(payment::STATUS, payment::status::FAILED)
        .with(payment::ERROR, refusal.code())
        .with(payment::RECEIPTS, remarks::receipts(before, receipt.ok()));
    // What may pass is no try.
    let is_over = !refusal.is_passing() && failures(&told) >= TRIES;
    let (state, remarks) = if is_over {
        (TaskState::Failed, told.clone())
    } else {
        let again = kept.in_task().to_value();
        (TaskState::PaymentRequired, told.with(payment::REQUIRED, again))
    };
    let wait = Wait { state, parts: vec![Part::text(refusal.to_string())], remarks: Some(remarks) };
    Admission::Wait { wait, metadata: Some(told) }
}

/// A payment that was accepted for a message.
#[derive(Debug)]
struct Accepted {
    server: ResourceServer,
    payment: Payment,
}

impl Deposit for Accepted {
    fn withdraw(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.server.withdraw(&self.payment).await {
                // It goes back when its time is over.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(payment = %self.payment.key, error, "a payment is not given back yet");
            }
        })
    }
}

/// About how many bytes a part takes.
fn part_size(part: &Part) -> usize {
    match &part.content {
        Content::Text(text) => text.len(),
        Content::File { file, text } => {
            file.bytes.as_ref().map_or(0, String::len) + text.as_ref().map_or(0, String::len)
        }
        Content::Data { data, .. } => data.as_str().len(),
        _ => 0,
    }
}

/// Whose the task is, or will be.
fn owner(with: &Asked<'_>) -> Owner {
    with.continues.map_or_else(|| with.caller.owner(), |record| record.owner.clone())
}

/// Whether a request activates one of the extensions: exactly, not as a part of another word.
fn is_activated(headers: &HeaderMap) -> bool {
    let values = ACTIVATION.iter().flat_map(|name| headers.get_all(*name));
    let mut uris = values.filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(','));
    uris.any(|uri| [payment::EXTENSION, payment::EXTENSION_V0_1].contains(&uri.trim()))
}

/// Whether a message carries a payment of another protocol.
fn has_mandate(with: &Asked<'_>) -> bool {
    with.message.parts.iter().any(|part| match &part.content {
        Content::Data { data, .. } => data.as_str().contains(MANDATE),
        _ => false,
    })
}

/// An offer as people read it.
fn price(offer: &PaymentRequirements, networks: &Networks) -> String {
    let known = networks.resolve(&offer.network).ok();
    let asset = known.as_ref().and_then(|network| {
        let mut assets = network.assets.iter();
        assets.find(|asset| asset.address.as_str().eq_ignore_ascii_case(&offer.asset))
    });
    let chain = networks.name_of(&offer.network).unwrap_or(&offer.network);
    match asset {
        Some(asset) => {
            format!("{} {} on {chain}", offer.amount.to_decimal(asset.decimals), asset.symbol)
        }
        None => format!("{} units of {} on {chain}", offer.amount, offer.asset),
    }
}
