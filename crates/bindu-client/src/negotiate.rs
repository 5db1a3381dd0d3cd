//! Asking agents whether they can do a task, and how well.

use std::cmp::Ordering;
use std::time::Duration;

use bindu_http::{HttpError, Phase};
use bindu_protocol::{NegotiationAnswer, NegotiationRequest};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Method;

use crate::{Client, ClientError};

/// Agents that are asked at one time.
const AT_ONCE: usize = 16;

/// What an agent says to a task.
#[derive(Debug)]
pub struct Bid {
    /// The agent.
    pub agent: Client,
    /// What it answered, or why there is no answer.
    pub answer: Result<NegotiationAnswer, ClientError>,
}

impl Bid {
    /// Whether the agent takes the task on.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.accepted)
    }

    /// Orders bids: who accepts before who refuses, who answers before who does not; then the higher
    /// score, the surer one, the faster one.
    fn compare(&self, other: &Self) -> Ordering {
        let (Ok(a), Ok(b)) = (&self.answer, &other.answer) else {
            return self.answer.is_err().cmp(&other.answer.is_err());
        };
        let time = |answer: &NegotiationAnswer| answer.latency_estimate_ms.unwrap_or(f64::INFINITY);
        b.accepted
            .cmp(&a.accepted)
            .then(b.score.total_cmp(&a.score))
            .then(b.confidence.total_cmp(&a.confidence))
            .then(time(a).total_cmp(&time(b)))
    }
}

impl Client {
    /// Asks the agent whether it takes a task on, and how well that suits it (Bindu). Nothing
    /// begins: to have the task done, send a message.
    ///
    /// What comes is the agent's own judgement, and nobody has checked it.
    ///
    /// ```no_run
    /// use bindu_client::Client;
    /// use bindu_protocol::NegotiationRequest;
    ///
    /// # async fn example() -> Result<(), bindu_client::ClientError> {
    /// let agent = Client::connect("http://localhost:3773")?;
    /// let answer = agent.negotiate(&NegotiationRequest::new("Extract text from a PDF")).await?;
    /// println!("{} with {}", answer.accepted, answer.score);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] if the agent has no such page, or finds the question wrong;
    /// [`ClientError::Protocol`] if a number is not one from 0 to 1; else [`ClientError`].
    pub async fn negotiate(
        &self,
        request: &NegotiationRequest,
    ) -> Result<NegotiationAnswer, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| {
            ClientError::Input(format!("the question cannot be written: {error}"))
        })?;
        let url = self.below(&["agent", "negotiation"])?;
        let body = Bytes::from(body);
        let answer: NegotiationAnswer = self.page(Method::POST, &url, Some(&body)).await?;
        // Whoever ranks bids trusts these.
        let scores = answer.skill_matches.iter().map(|skill| skill.score);
        if !scores.chain([answer.score, answer.confidence]).all(|it| (0.0..=1.0).contains(&it)) {
            return Err(ClientError::protocol("page", "a score is not between 0 and 1"));
        }
        Ok(answer)
    }
}

/// Asks several agents at once whether they take a task on, and ranks what they say, best first.
/// Who does not answer within `patience` is last, with all others of whom there is no answer.
///
/// ```no_run
/// use std::time::Duration;
///
/// use bindu_client::{Client, bids};
/// use bindu_protocol::NegotiationRequest;
///
/// # async fn example() -> Result<(), bindu_client::ClientError> {
/// let agents = [Client::connect("http://a.example")?, Client::connect("http://b.example")?];
/// let task = "Extract text from a PDF";
/// let bids = bids(agents, &NegotiationRequest::new(task), Duration::from_secs(10)).await;
/// if let Some(best) = bids.first().filter(|bid| bid.is_accepted()) {
///     best.agent.send_task(task).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub async fn bids(
    agents: impl IntoIterator<Item = Client>,
    request: &NegotiationRequest,
    patience: Duration,
) -> Vec<Bid> {
    // Owned ones, so that the work can move between threads.
    let asking: Vec<_> = agents
        .into_iter()
        .map(|agent| async move {
            let answer = tokio::time::timeout(patience, agent.negotiate(request)).await;
            let late = HttpError::Timeout { phase: Phase::Response };
            Bid { agent, answer: answer.unwrap_or_else(|_| Err(late.into())) }
        })
        .collect();
    // In the order in which they were named, which decides between equals.
    let mut bids: Vec<Bid> = stream::iter(asking).buffered(AT_ONCE).collect().await;
    bids.sort_by(Bid::compare);
    bids
}
