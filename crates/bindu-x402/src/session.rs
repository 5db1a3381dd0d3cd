use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bindu_protocol::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{Checked, PaymentPayload};

/// How many payment sessions there are, and how long they last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Sessions at once; who wants one more is refused. Default 1000.
    pub limit: usize,
    /// How long one lasts, captured or not. Default 15 min.
    pub life: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { limit: 1000, life: Duration::from_mins(15) }
    }
}

/// A payment that a person is to sign in a browser, for a program that waits for it.
///
/// Whoever knows its id reads the payment; so the id is a secret, and not shown by `Debug`.
#[derive(Clone, PartialEq)]
pub struct Session {
    id: String,
    expires: Timestamp,
    payload: Option<PaymentPayload>,
}

impl Session {
    /// Its id: 43 characters that need no escaping in an address.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What was signed, once it is.
    #[must_use]
    pub fn payload(&self) -> Option<&PaymentPayload> {
        self.payload.as_ref()
    }

    /// `pending`, and `completed` once the payment is there.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.payload.is_some() { "completed" } else { "pending" }
    }

    /// The JSON for whoever started it: `session_id`, `browser_url`, `expires_at`, `status`.
    /// `agent_url` is the agent's address, with or without a slash at its end.
    #[must_use]
    pub fn started_body(&self, agent_url: &str) -> String {
        #[derive(Serialize)]
        struct Started<'a> {
            session_id: &'a str,
            browser_url: String,
            expires_at: Timestamp,
            status: &'a str,
        }
        json(&Started {
            session_id: &self.id,
            browser_url: format!(
                "{}/payment-capture?session_id={}",
                agent_url.trim_end_matches('/'),
                self.id
            ),
            expires_at: self.expires,
            status: self.status(),
        })
    }

    /// The JSON for whoever asks how it stands: `session_id`, `status`, and `payment_token` once
    /// it is there: the value of a payment header.
    #[must_use]
    pub fn status_body(&self) -> String {
        #[derive(Serialize)]
        struct Standing<'a> {
            session_id: &'a str,
            status: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            payment_token: Option<String>,
        }
        json(&Standing {
            session_id: &self.id,
            status: self.status(),
            payment_token: self.payload.as_ref().map(PaymentPayload::token),
        })
    }
}

fn json<T: Serialize>(value: &T) -> String {
    // Strings only: it always prints.
    serde_json::to_string(value).unwrap_or_default()
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("status", &self.status())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why there is no payment session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There are as many as there may be.
    #[error("there are too many payment sessions")]
    TooMany,
    /// There is none of this id, or no longer.
    #[error("there is no such payment session")]
    Unknown,
    /// The system has no random bytes to give.
    #[error("the system has no random bytes to give")]
    Randomness,
}

/// The payment sessions of an agent, in memory. Clones are the same sessions.
///
/// ```
/// use bindu_protocol::Timestamp;
/// use bindu_x402::{SessionConfig, Sessions};
///
/// let sessions = Sessions::new(SessionConfig::default());
/// let now = Timestamp::now();
/// let session = sessions.start(now)?;
/// assert_eq!(session.status(), "pending");
/// assert_eq!(sessions.find(session.id(), now), Some(session));
/// # Ok::<(), bindu_x402::SessionError>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    config: SessionConfig,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

struct Entry {
    session: Session,
    /// Whether the payment is there. Gone with the session.
    captured: watch::Sender<bool>,
}

impl Sessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self { config, entries: Arc::default() }
    }

    /// Starts one. What has ended makes room for it.
    ///
    /// # Errors
    ///
    /// [`SessionError::TooMany`] or [`SessionError::Randomness`].
    pub fn start(&self, now: Timestamp) -> Result<Session, SessionError> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| SessionError::Randomness)?;
        let session = Session {
            id: URL_SAFE_NO_PAD.encode(bytes),
            expires: SystemTime::from(now).checked_add(self.config.life).map_or(now, Into::into),
            payload: None,
        };
        let mut entries = self.lock();
        entries.retain(|_, entry| entry.session.expires > now);
        if entries.len() >= self.config.limit {
            return Err(SessionError::TooMany);
        }
        let entry = Entry { session: session.clone(), captured: watch::Sender::new(false) };
        entries.insert(session.id.clone(), entry);
        Ok(session)
    }

    /// The session of this id, unless it has ended.
    #[must_use]
    pub fn find(&self, id: &str, now: Timestamp) -> Option<Session> {
        let entries = self.lock();
        entries.get(id).map(|entry| entry.session.clone()).filter(|found| found.expires > now)
    }

    /// Keeps a payment for whoever waits for it. The first one stays: a session that has one is
    /// answered with as it is.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unknown`].
    pub fn capture(
        &self,
        id: &str,
        payment: &Checked,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        let mut entries = self.lock();
        let entry = entries.get_mut(id).filter(|entry| entry.session.expires > now);
        let Entry { session, captured } = entry.ok_or(SessionError::Unknown)?;
        session.payload.get_or_insert_with(|| payment.payload().clone());
        captured.send_replace(true);
        Ok(session.clone())
    }

    /// Waits until the payment is there, for so long at most: `None` if it did not come, if the
    /// session ended, or if there is none.
    ///
    /// The future may be dropped at any time.
    pub async fn wait(&self, id: &str, now: Timestamp, limit: Duration) -> Option<Session> {
        let (expires, mut captured) = {
            let entries = self.lock();
            let entry = entries.get(id)?;
            (entry.session.expires, entry.captured.subscribe())
        };
        let left = SystemTime::from(expires).duration_since(now.into()).ok()?;
        timeout(limit.min(left), captured.wait_for(|captured| *captured)).await.ok()?.ok()?;
        // As it was while it was waited for.
        self.find(id, now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("config", &self.config)
            .field("sessions", &self.lock().len())
            .finish_non_exhaustive()
    }
}
