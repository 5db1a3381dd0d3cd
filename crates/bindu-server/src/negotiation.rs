//! Tasks that the agent is asked to bid for: `POST /agent/negotiation`, and messages that ask for a
//! bid.

mod ration;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bindu_agent::negotiation::{Circumstances, Negotiator, Semantics};
use bindu_http::Body;
use bindu_http::server::RemoteAddr;
use bindu_protocol::{NegotiationAnswer, NegotiationRequest, TaskState};
use bindu_tasks::Tasks;
use http::{Request, Response, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::ration::Ration;
use crate::error_response::{complaint, json, unread};
use crate::inbound::Inbound;
use crate::service::Shared;

/// The largest body of a question, in bytes: the texts that count, whatever their script, and some.
const MAX_BODY: usize = 256 * 1024;

/// How long a count of tasks is good for, and how long counting may take.
const COUNT_AGAIN: Duration = Duration::from_secs(1);
const COUNT_TIMEOUT: Duration = Duration::from_secs(1);

/// How tasks are judged that the agent is asked to bid for.
#[derive(Debug)]
pub struct Negotiation {
    /// Judges by skills and price.
    pub negotiator: Negotiator,
    /// Compares meanings, which costs something; without it, words count.
    pub semantics: Option<Semantics>,
    /// How many tasks of one address (one IPv6 network of 64 bits) are compared by meaning each
    /// minute; beyond it words count. `None` for no limit. An address is known if the server puts
    /// [`RemoteAddr`] among a request's extensions; all others share one ration.
    pub per_minute: Option<NonZeroU32>,
}

impl Negotiation {
    /// Judges by words.
    #[must_use]
    pub fn new(negotiator: Negotiator) -> Self {
        Self { negotiator, semantics: None, per_minute: NonZeroU32::new(30) }
    }
}

/// Where tasks are judged.
pub(crate) struct Desk {
    negotiation: Negotiation,
    ration: Option<Ration>,
    /// How many tasks were not finished, if that could be told, and when.
    depth: Mutex<Option<(Instant, Option<u64>)>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.negotiation.fmt(f)
    }
}

impl Desk {
    pub(crate) fn new(negotiation: Negotiation) -> Self {
        let ration = negotiation.per_minute.map(Ration::new);
        Self { negotiation, ration, depth: Mutex::default() }
    }

    /// How many tasks are not finished. Strangers ask for it, so it is not counted for each of them.
    async fn depth(&self, tasks: &Tasks) -> Option<u64> {
        let mut last = self.depth.lock().await;
        if let Some((at, depth)) = *last
            && at.elapsed() < COUNT_AGAIN
        {
            return depth;
        }
        let counts = timeout(COUNT_TIMEOUT, tasks.storage().count()).await;
        let depth = match counts {
            Ok(Ok(counts)) => Some(
                counts.iter().filter(|(state, _)| is_open(*state)).map(|(_, count)| count).sum(),
            ),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "tasks cannot be counted");
                None
            }
            Err(_) => {
                tracing::warn!("tasks cannot be counted in time");
                None
            }
        };
        *last = Some((Instant::now(), depth));
        depth
    }

    async fn similarities(
        &self,
        request: &NegotiationRequest,
        remote: Option<IpAddr>,
    ) -> Option<Vec<f64>> {
        let semantics = self.negotiation.semantics.as_ref()?;
        let may_ask =
            || self.ration.as_ref().is_none_or(|ration| ration.take(remote, Instant::now()));
        semantics.similarities(&self.negotiation.negotiator.task_text(request), may_ask).await
    }
}

/// Whether a task keeps the agent busy, or its caller.
const fn is_open(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Submitted
            | TaskState::Working
            | TaskState::InputRequired
            | TaskState::AuthRequired
    )
}

impl Shared {
    pub(crate) async fn negotiate(&self, request: Request<Inbound>) -> Response<Body> {
        let remote = request.extensions().get::<RemoteAddr>().map(|remote| remote.0.ip());
        let limit = self.config.max_rest_body_bytes.min(MAX_BODY);
        let body = match request.into_body().read(limit).await {
            Ok(body) => body,
            Err(error) => return unread(&error),
        };
        let asked = match NegotiationRequest::from_json(&body) {
            Ok(asked) => asked,
            Err(error) => return complaint(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        json(StatusCode::OK, &self.assess(&asked, remote).await)
    }

    /// Judges a task that somebody at this address asks about.
    pub(crate) async fn assess(
        &self,
        asked: &NegotiationRequest,
        remote: Option<IpAddr>,
    ) -> NegotiationAnswer {
        let desk = &self.negotiation;
        let (queue_depth, similarities) =
            tokio::join!(desk.depth(&self.tasks), desk.similarities(asked, remote));
        let circumstances = Circumstances { queue_depth, similarities: similarities.as_deref() };
        desk.negotiation.negotiator.assess(asked, &circumstances)
    }
}
