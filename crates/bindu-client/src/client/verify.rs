//! Who the agent is, before anything is entrusted to it.

use std::sync::Arc;

use bindu_did::pins::{PinError, Pins, Trust};
use bindu_did::{Did, DidDocument, PublicKey};
use bindu_http::client::Replay;
use bindu_protocol::Task;
use http::{Method, StatusCode};
use url::{Host, Url};

use super::Client;
use super::discover::MAX_CARD_BYTES;
use super::transport::{Bears, status_error};
use crate::artifacts::check_task;
use crate::peer::{KNOWN_FOR, Peer, Seen};
use crate::{ClientError, Outgoing};

impl Client {
    /// Who the agent is: the DID on its card, the key in its DID document, and why the one is
    /// taken for the other's. `None` for an agent without a DID, as plain A2A agents are.
    ///
    /// Read once, and again after 5 minutes. A client with an identity, with tokens or with
    /// expectations of its own looks before its first call, and neither token nor signature
    /// goes out until then; for any other this is the call to make. One exception: where the card
    /// itself answers 401 or 403, and no DID is expected, it is asked for again with both.
    ///
    /// A DID that is a fingerprint of its key proves it by itself; for any other the key is
    /// pinned at the first meeting: see [`ClientBuilder::pins`](crate::ClientBuilder::pins).
    ///
    /// # Errors
    ///
    /// [`ClientError::Untrusted`] and [`ClientError::Pin`] if the agent is not who it should
    /// be; else what came instead of card or document.
    pub async fn peer(&self) -> Result<Option<Peer>, ClientError> {
        let known = &self.shared.known;
        let told = |seen: Option<Seen>| seen.and_then(|seen| seen.peer.as_deref().cloned());
        let is_fresh = |seen: &Option<Seen>| {
            seen.as_ref().is_some_and(|seen| seen.since.elapsed() < KNOWN_FOR)
        };
        let before = known.seen();
        if is_fresh(&before) {
            return Ok(told(before));
        }
        let _looking = match (known.looking.try_lock(), &before) {
            (Ok(looking), _) => looking,
            // Another call looks; what was known serves until it knows better.
            (Err(_), Some(_)) => return Ok(told(before)),
            (Err(_), None) => known.looking.lock().await,
        };
        let before = known.seen();
        if is_fresh(&before) {
            return Ok(told(before));
        }
        match self.look().await {
            Ok(peer) => {
                known.now_seen(peer.map(Arc::new));
                Ok(told(known.seen()))
            }
            // What was known does not become wrong because the agent is busy.
            Err(error) if error.is_retryable() && before.is_some() => {
                tracing::debug!(url = %self.shared.base, %error, "keeping the key that is known");
                Ok(told(before))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at the agent if this client is to know whom it calls.
    pub(super) async fn look_first(&self) -> Result<(), ClientError> {
        if self.shared.looks_first() {
            self.peer().await?;
        }
        Ok(())
    }

    /// The key that signatures in answers are checked with, if they are.
    pub(crate) fn key_of_artifacts(&self) -> Option<PublicKey> {
        if self.shared.expected.verify_artifacts == Some(false) {
            return None;
        }
        self.shared.known.seen()?.peer.map(|peer| peer.key)
    }

    /// The task, if all its signatures are good.
    pub(super) fn checked(&self, task: Task) -> Result<Task, ClientError> {
        self.check(&task)?;
        Ok(task)
    }

    pub(super) fn check(&self, task: &Task) -> Result<(), ClientError> {
        match self.key_of_artifacts() {
            Some(key) => check_task(task, &key),
            None => Ok(()),
        }
    }

    /// The message, as part of the conversation that the client is in.
    pub(super) fn in_conversation(&self, mut outgoing: Outgoing) -> Outgoing {
        if let Some(context) = &self.context {
            let message = &mut outgoing.params_mut().message;
            message.context_id.get_or_insert_with(|| context.clone());
        }
        outgoing
    }

    async fn look(&self) -> Result<Option<Peer>, ClientError> {
        let expected = &self.shared.expected;
        let none = |reason: &str| {
            if expected.must_have_did() { Err(untrusted(reason)) } else { Ok(None) }
        };
        let card = match self.card().await {
            Ok(card) => card,
            Err(error @ ClientError::Http(_)) => return Err(error),
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => return none(&format!("it shows no card ({error})")),
        };
        let Some(did) = card.did() else { return none("its card has no DID") };
        let did: Did = did.parse().map_err(|error| {
            untrusted(&format!("the DID on its card, {did:?}, is none: {error}"))
        })?;
        if let Some(other) = expected.did.as_ref().filter(|other| **other != did) {
            return Err(untrusted(&format!("it is {did}, not {other}")));
        }
        self.shared.call_only(&did);
        let document = self.document(&did).await?;
        if document.id != did {
            let reason = format!("its card says {did}, its DID document {}", document.id);
            return Err(untrusted(&reason));
        }
        let key = document.public_key().map_err(|error| untrusted(&error.to_string()))?;
        if expected.require_self_certified && !did.is_self_certified(&key) {
            return Err(PinError::NotSelfCertified { did }.into());
        }
        let trust = pin(&self.shared.pins, &did, &key).await?;
        if trust == Trust::FirstUse {
            tracing::info!(%did, %key, "met an agent for the first time, and keep its key");
        }
        self.shared.agent.get_or_init(|| did.clone());
        Ok(Some(Peer { did, key, trust }))
    }

    /// Below the agent's URL; and at the host, where several agents may share it.
    async fn document(&self, did: &Did) -> Result<DidDocument, ClientError> {
        let below = self.below(&["did", "resolve"])?;
        let mut root = self.shared.base.clone();
        root.set_path("/did/resolve");
        let mut places = vec![below];
        if places[0] != root {
            places.push(root);
        }
        let mut last = None;
        for mut place in places {
            place.query_pairs_mut().append_pair("did", did.as_str());
            let response =
                self.exchange(Method::GET, &place, None, Replay::Safe, Bears::Nothing).await?;
            if response.status() != StatusCode::OK {
                last = Some(status_error(&response));
                continue;
            }
            let body = response.body();
            if body.len() > MAX_CARD_BYTES {
                let reason = format!("the document is larger than {MAX_CARD_BYTES} bytes");
                return Err(ClientError::protocol("DID document", reason));
            }
            return serde_json::from_slice(body)
                .map_err(|error| ClientError::protocol("DID document", error));
        }
        Err(last.unwrap_or_else(|| ClientError::protocol("DID document", "there is none")))
    }
}

fn untrusted(reason: &str) -> ClientError {
    ClientError::Untrusted { reason: reason.to_owned() }
}

/// Files are not waited for on the threads that serve connections.
async fn pin(pins: &Arc<Pins>, did: &Did, key: &PublicKey) -> Result<Trust, ClientError> {
    if !pins.is_kept() {
        return Ok(pins.check(did, key)?);
    }
    let (pins, did, key) = (Arc::clone(pins), did.clone(), *key);
    let checked = tokio::task::spawn_blocking(move || pins.check(&did, &key)).await;
    let checked = checked.map_err(|error| untrusted(&format!("its key was not kept: {error}")))?;
    Ok(checked?)
}

/// Whether what goes to this URL can be read, and answered, by others on the way.
pub(super) fn is_in_the_open(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_another_machine_is_in_the_open() {
        for (url, open) in [
            ("http://localhost:1/", false),
            ("http://a.localhost/", false),
            ("http://127.3.2.1/", false),
            ("http://[::1]/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("https://example.com/", false),
            ("http://example.com/", true),
            ("http://10.0.0.1/", true),
            ("http://localhost.example.com/", true),
        ] {
            assert_eq!(is_in_the_open(&Url::parse(url).unwrap()), open, "{url}");
        }
    }
}
