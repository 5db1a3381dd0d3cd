use std::sync::Arc;
use std::time::Duration;

use bindu_did::pins::PinError;
use bindu_http::HttpError;
use bindu_http::sse::SseError;
use bindu_protocol::{Code, RpcError, Task, TaskId};
use http::StatusCode;

/// Why a call to an agent failed.
///
/// What the agent said is inside as it came, only shortened: a program that prints it on a
/// terminal must take out control characters first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL is not one that an agent can be called by.
    #[error("{url:?} is not the URL of an agent: {reason}")]
    Url {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it, and what to write instead.
        reason: &'static str,
    },
    /// The call itself is wrong, so that nothing was sent.
    #[error("{0}")]
    Input(String),
    /// No answer came.
    #[error("the agent could not be reached")]
    Http(#[from] HttpError),
    /// The agent answered with a JSON-RPC error.
    #[error("the agent refused: {0}")]
    Rpc(RpcError),
    /// The agent, or a proxy before it, answered with an HTTP status that is no success.
    #[error("the agent answered {status}{}", said(body))]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of what came with it, at most some hundred characters.
        body: String,
        /// When to come back, if the answer said so.
        retry_after: Option<Duration>,
    },
    /// What came is not what A2A says must come.
    #[error("the agent's answer ({what}) makes no sense: {reason}")]
    Protocol {
        /// What was asked for: a method's name, or "agent card", "event stream", "page".
        what: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// There is no access token to call with.
    #[error("no access token could be had")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Someone who must be asked first cannot be asked at the moment.
    #[error("{what} cannot be asked")]
    Unavailable {
        /// Who: "the authorization server".
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent is not who it should be, or does not show who it is. Nothing was entrusted
    /// to it.
    #[error("the agent is not trusted: {reason}")]
    Untrusted {
        /// What speaks against it.
        reason: String,
    },
    /// The agent's key is not the one it should be. Nothing was entrusted to it.
    #[error("the agent is not trusted: {0}")]
    Pin(#[from] PinError),
    /// An artifact bears a signature that is not the agent's over its content.
    #[error("artifact {artifact} is not what the agent signed: {reason}")]
    Forged {
        /// The artifact's id.
        artifact: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's own identity cannot be used.
    #[error("the identity to call with cannot be used")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stream broke, and could not be resumed either.
    #[error("the stream broke and could not be resumed")]
    Broken(#[source] Box<Self>),
    /// The time a caller was willing to wait is over; the task goes on.
    #[error("not finished after {waited:?}")]
    NotFinished {
        /// The task, if its id is known already.
        task_id: Option<TaskId>,
        /// The task when it was last seen.
        task: Option<Arc<Task>>,
        /// How long the call waited.
        waited: Duration,
    },
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

impl ClientError {
    /// Whether the same call may succeed later, with nothing changed.
    ///
    /// The client has tried several times by itself where that was harmless.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Http(error) => error.is_retryable(),
            Self::Status { status, .. } => is_passing(*status),
            Self::Broken(_) | Self::NotFinished { .. } | Self::Unavailable { .. } => true,
            Self::Url { .. }
            | Self::Input(_)
            | Self::Rpc(_)
            | Self::Protocol { .. }
            | Self::Token(_)
            | Self::Untrusted { .. }
            | Self::Pin(_)
            | Self::Forged { .. }
            | Self::Identity(_) => false,
        }
    }

    /// The JSON-RPC code, if the agent answered with one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Rpc(error) => Some(error.code),
            Self::Broken(source) => source.code(),
            _ => None,
        }
    }

    /// What a person can do about it, where that can be told from the error alone.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(HttpError::Connect { .. }) => {
                Some("check that the agent runs and listens on this host and port")
            }
            Self::Http(HttpError::Timeout { .. }) => Some("try again, or allow more time"),
            Self::Http(HttpError::TooLarge { .. }) => {
                Some("ask for less, for example with a history length, or raise the limit")
            }
            Self::Token(_) => {
                Some("check that the authorization server can be reached and knows this identity")
            }
            Self::Unavailable { .. } => Some("try again later"),
            Self::Pin(PinError::OtherKey { .. }) => {
                Some("ask the agent's owner, not the agent, whether its key was changed")
            }
            Self::Untrusted { .. } => Some("check that this is the right URL"),
            Self::Forged { .. } => {
                Some("do not use the answer: it was changed on its way or made up")
            }
            Self::Status { status, body, .. } => match *status {
                StatusCode::UNAUTHORIZED => Some(LOCKED),
                StatusCode::FORBIDDEN => Some(forbidden(body)),
                status if status.is_redirection() => {
                    Some("redirects are not followed; call the URL that the agent's card names")
                }
                StatusCode::PAYMENT_REQUIRED => Some("this agent wants to be paid"),
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                    Some("check the path of the URL: the agent's card names where it answers")
                }
                StatusCode::PAYLOAD_TOO_LARGE => Some("send less, or send files by URI"),
                status if is_passing(status) => Some("try again later"),
                _ => None,
            },
            Self::Rpc(error) => match error.code {
                Code::TASK_NOT_FOUND => {
                    Some("check the task's id; an agent shows tasks only to whom they belong")
                }
                Code::CONTEXT_NOT_FOUND => {
                    Some("check the context's id; an agent shows contexts only to their owner")
                }
                Code::TASK_IMMUTABLE => Some("begin a new task that references this one"),
                Code::METHOD_NOT_FOUND => Some("this agent cannot do that, or not in this dialect"),
                Code::AUTHENTICATION_REQUIRED
                | Code::INVALID_TOKEN
                | Code::TOKEN_EXPIRED
                | Code::INVALID_TOKEN_SIGNATURE => Some(LOCKED),
                _ => None,
            },
            Self::Broken(source) => source.hint(),
            Self::NotFinished { .. } => Some("the task goes on; ask for it again later"),
            _ => None,
        }
    }

    pub(crate) fn protocol(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Protocol { what, reason: excerpt(reason.to_string().as_bytes()) }
    }

    /// An event stream failed; not every way of failing is worth another connection.
    pub(crate) fn from_sse(error: SseError) -> Self {
        match error {
            SseError::Body(source) => match source.downcast::<HttpError>() {
                Ok(error) => Self::Http(*error),
                Err(error) => Self::Http(HttpError::Io(error)),
            },
            SseError::TooLarge { limit } => Self::Http(HttpError::TooLarge { limit }),
            error => Self::protocol("event stream", error),
        }
    }
}

const LOCKED: &str = "this agent is locked: it wants a token that it knows, and a signature";

/// Agents of Bindu name the reason.
fn forbidden(body: &str) -> &'static str {
    let says = |word| body.contains(word);
    if says("did_mismatch") {
        "the token, the certificate and the signature must be of one and the same DID"
    } else if says("public_key_unavailable") {
        "register the identity with the authorization server that the agent asks"
    } else if says("missing_signature_headers") {
        "this agent wants requests signed: call it with an identity"
    } else if says("invalid_signature") {
        "check this machine's clock, and that the registered key is the identity's"
    } else if says("not admitted") {
        "the agent's operator must let this DID in"
    } else {
        LOCKED
    }
}

/// Statuses that say more about the moment than about the request.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// How much of a foreign answer an error quotes, in characters.
const EXCERPT: usize = 300;

/// The beginning of a text in one line.
pub(crate) fn excerpt(text: &[u8]) -> String {
    // Four bytes a character at most, and one more character to see that it is cut.
    let head = &text[..text.len().min(4 * (EXCERPT + 1))];
    let line = String::from_utf8_lossy(head);
    let line = line.split(|c: char| c.is_whitespace() || c.is_control());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt(b" a\r\n\x1b[31m b\t\n"), "a [31m b");
        assert_eq!(excerpt("é".repeat(1000).as_bytes()).chars().count(), EXCERPT + 1);
        assert_eq!(excerpt(b""), "");
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        let status =
            |status| ClientError::Status { status, body: String::new(), retry_after: None };
        assert!(status(StatusCode::SERVICE_UNAVAILABLE).is_retryable());
        assert!(!status(StatusCode::NOT_FOUND).is_retryable());
        assert!(!ClientError::Rpc(RpcError::new(Code::INTERNAL)).is_retryable());
        let broken = ClientError::Broken(Box::new(HttpError::Io("reset".into()).into()));
        assert!(broken.is_retryable());
    }
}
