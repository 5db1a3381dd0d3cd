//! Who the called agent is.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bindu_did::pins::{Pins, Trust};
use bindu_did::{Did, PublicKey};
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Client, ClientError};

/// How long the key of a peer is taken for known before its document is read again.
pub(crate) const KNOWN_FOR: Duration = Duration::from_mins(5);

/// An agent whose DID and key are known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The DID on its card.
    pub did: Did,
    /// The key in its DID document.
    pub key: PublicKey,
    /// Why the one is taken for the other's.
    pub trust: Trust,
}

/// Where the key of a DID can be had: what a [`WebhookReceiver`](crate::WebhookReceiver) asks.
///
/// A [`Client`] knows the key of its agent. With the feature `hydra`, `bindu_hydra::Keys` knows
/// all that are registered there.
pub trait KeySource: Send + Sync + 'static {
    /// The key of a DID, or `None` if it is nobody this source knows.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the source cannot be asked, or what it found cannot be trusted.
    fn key<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, Result<Option<PublicKey>, ClientError>>;
}

impl KeySource for Client {
    fn key<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, Result<Option<PublicKey>, ClientError>> {
        async move {
            let peer = self.peer().await?;
            Ok(peer.filter(|peer| peer.did == *did).map(|peer| peer.key))
        }
        .boxed()
    }
}

/// What a client wants of the agent it calls.
#[derive(Default)]
pub(crate) struct Expectations {
    pub(crate) did: Option<Did>,
    pub(crate) require_self_certified: bool,
    pub(crate) pins: Option<Arc<Pins>>,
    /// `None`: whatever signature can be checked is.
    pub(crate) verify_artifacts: Option<bool>,
}

impl Expectations {
    /// Whether an agent without a DID will not do.
    pub(crate) const fn must_have_did(&self) -> bool {
        self.did.is_some() || self.require_self_certified
    }

    /// Whether the agent is looked at before the first call.
    pub(crate) const fn look_first(&self) -> bool {
        self.must_have_did() || self.pins.is_some() || matches!(self.verify_artifacts, Some(true))
    }
}

/// What is known of the agent. One look at a time, and only who knows nothing yet waits for it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    seen: RwLock<Option<Seen>>,
    pub(crate) looking: Mutex<()>,
}

/// Who the agent was, and when that was looked at; `None` for an agent without a DID.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) since: Instant,
    pub(crate) peer: Option<Arc<Peer>>,
}

impl Known {
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn now_seen(&self, peer: Option<Arc<Peer>>) {
        let seen = Seen { since: Instant::now(), peer };
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}
