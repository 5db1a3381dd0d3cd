//! The seam: who decides what a message costs.

use std::fmt;
use std::sync::Arc;

use bindu_http::Body;
use bindu_protocol::{Caller, Dialect, JsonObject, Message, Task, TaskId};
use bindu_storage::Record;
use bindu_tasks::{Only, Preview, Submission, TaskError, Wait};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};

use crate::error_response::Failure;
use crate::rpc::Call;

/// Decides what a message costs, and whether it was paid for.
///
/// It is asked after the caller was named and the message found good in itself: what it takes is
/// not taken for nothing.
pub trait PaymentGate: fmt::Debug + Send + Sync + 'static {
    /// Whether calling a JSON-RPC method with a message may cost something.
    fn guards(&self, method: &str) -> bool;

    /// Decides on a message.
    fn ask<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Admission>;

    /// Adds to the head of an answer what the task of the answer says of its payment.
    fn dress(&self, task: &Task, headers: &mut HeaderMap);

    /// The URIs of the extensions that callers activate.
    fn extensions(&self) -> &[&'static str];

    /// Answers a route of payments beside JSON-RPC.
    fn serve<'a>(
        &'a self,
        route: PaymentRoute<'a>,
        head: &'a Parts,
    ) -> BoxFuture<'a, Response<Body>>;
}

/// What a gate is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The head of the request.
    pub headers: &'a HeaderMap,
    /// The message, as it was sent.
    pub message: &'a Message,
    /// The task that it continues, if there is one.
    pub continues: Option<&'a Record>,
    /// The task that it begins otherwise: its id is settled before it is there.
    pub task: &'a TaskId,
    /// The dialect that is answered in.
    pub dialect: Dialect,
}

/// What a gate decides.
#[derive(Debug)]
pub enum Admission {
    /// It costs nothing, or has been paid for.
    Free,
    /// It is paid for; the money is taken before the work begins.
    Paid {
        /// The payment.
        payment: Arc<dyn Deposit>,
        /// Members of the task's metadata that come with the message.
        metadata: Option<JsonObject>,
    },
    /// The message is taken, and its task waits to be paid for.
    Wait {
        /// How it waits.
        wait: Wait,
        /// Members of the task's metadata that come with the message.
        metadata: Option<JsonObject>,
    },
    /// The payment has paid for this very message before, and made this task.
    Repeat(TaskId),
    /// Nothing is done; the caller is shown the task as it is.
    Unchanged,
    /// The caller will not pay: its task is canceled, with these members of metadata.
    Declined(JsonObject),
    /// The message makes no sense to the gate; the text says why.
    Invalid(String),
    /// The message is refused with this answer.
    Refused(Box<Response<Body>>),
}

/// A payment that was accepted for a message.
pub trait Deposit: fmt::Debug + Send + Sync + 'static {
    /// Gives it back, since the message was not taken after all. Nothing has moved by then.
    fn withdraw(&self) -> BoxFuture<'_, ()>;
}

/// A route of payments beside JSON-RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentRoute<'a> {
    /// `POST /api/start-payment-session`
    Start,
    /// `GET /payment-capture`
    Capture,
    /// `GET /api/payment-status/{session_id}`, with the id as it was sent.
    Status(&'a str),
}

/// What is to be done with a message once its price is settled.
pub(crate) enum Step {
    /// It is submitted; and what paid for it, if something did.
    Submit(Box<Submission>, Option<Arc<dyn Deposit>>),
    /// The caller is shown a task.
    Show(Arc<Record>),
    /// The caller is answered.
    Answer(Response<Body>),
}

/// Gives a payment back if its message was not taken. Whoever cannot say whether it was leaves it.
pub(crate) async fn conclude<T>(
    paid: Option<Arc<dyn Deposit>>,
    taken: &Result<T, TaskError>,
    is_repeat: impl FnOnce(&T) -> bool,
) {
    let goes_back = match taken {
        Ok(taken) => is_repeat(taken),
        Err(TaskError::Storage(_) | TaskError::Scheduler(_)) => false,
        Err(_) => true,
    };
    if goes_back && let Some(paid) = paid {
        paid.withdraw().await;
    }
}

/// Settles what a message costs.
pub(crate) async fn step(
    call: &Call,
    mut submission: Submission,
    dialect: Dialect,
) -> Result<Step, (Failure, Dialect)> {
    let server = call.server();
    let (Some(gate), Some(headers)) = (&server.payments, call.headers()) else {
        return Ok(Step::Submit(submission.into(), None));
    };
    let told = |error: TaskError| (Failure::task(&error, dialect), dialect);
    let preview = server.tasks.preview(call.caller(), &submission).await.map_err(told)?;
    // What is decided here holds for this task, as it is now.
    submission.only = Some(preview.only());
    let continues = match preview {
        Preview::Repeats(_) => return Ok(Step::Submit(submission.into(), None)),
        Preview::Continues(record) => Some(record),
        Preview::Begins => None,
    };
    let task = match (&continues, &submission.message.task_id) {
        (Some(record), _) => record.task.id.clone(),
        (None, Some(id)) => id.clone(),
        (None, None) => submission.fresh.get_or_insert_with(TaskId::random).clone(),
    };
    let asked = Asked {
        caller: call.caller(),
        headers,
        message: &submission.message,
        continues: continues.as_deref(),
        task: &task,
        dialect,
    };
    Ok(match gate.ask(asked).await {
        Admission::Free => Step::Submit(submission.into(), None),
        Admission::Paid { payment, metadata } => {
            submission.metadata = metadata;
            Step::Submit(submission.into(), Some(payment))
        }
        Admission::Wait { wait, metadata } => {
            (submission.wait, submission.metadata) = (Some(wait), metadata);
            Step::Submit(submission.into(), None)
        }
        Admission::Repeat(id) => {
            submission.message.task_id = Some(id);
            submission.only = Some(Only::Repeat);
            Step::Submit(submission.into(), None)
        }
        Admission::Unchanged => match continues {
            Some(record) => Step::Show(record),
            None => Step::Submit(submission.into(), None),
        },
        Admission::Declined(metadata) => {
            let only = continues.as_ref().map(|record| record.version);
            let tasks = &server.tasks;
            let canceled = tasks.cancel_with(call.caller(), &task, Some(&metadata), only).await;
            Step::Show(canceled.map_err(told)?)
        }
        Admission::Invalid(reason) => return Err((Failure::params(&reason), dialect)),
        Admission::Refused(response) => Step::Answer(*response),
    })
}

/// What is said of the extensions that a request activates, if it does.
pub(crate) fn activated(gate: &dyn PaymentGate, headers: &HeaderMap) -> Option<HeaderValue> {
    let asked =
        ["x-a2a-extensions", "a2a-extensions"].iter().flat_map(|name| headers.get_all(*name));
    let mut known: Vec<&str> = Vec::new();
    for uri in asked.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let found = gate.extensions().iter().find(|known| **known == uri.trim());
        if let Some(uri) = found
            && !known.contains(uri)
        {
            known.push(uri);
        }
    }
    (!known.is_empty()).then(|| HeaderValue::from_str(&known.join(", ")).ok()).flatten()
}
