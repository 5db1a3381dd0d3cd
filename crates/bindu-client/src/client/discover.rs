//! The agent's card, and what follows from it: how to speak, and where to.

use std::sync::Arc;

use bindu_http::client::Replay;
use bindu_protocol::{AgentCard, CARD_PATH, Dialect, REFERENCE_CARD_PATH};
use http::{Method, StatusCode};
use url::Url;

use super::Client;
use super::transport::{Bears, status_error};
use crate::ClientError;

/// The largest card that is read, in bytes.
pub(super) const MAX_CARD_BYTES: usize = 1024 * 1024;

/// Where JSON-RPC is answered, and in which dialect.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) dialect: Dialect,
}

impl Client {
    /// The agent's card. Read once and kept.
    ///
    /// Looked for at `/.well-known/agent-card.json`, then, for agents of the reference, at
    /// `/.well-known/agent.json`; if the URL has a path, below it, then at the host, where
    /// the card must name this URL. At most 1 MiB.
    ///
    /// # Errors
    ///
    /// [`ClientError::Http`] if the agent cannot be reached; else what came instead of the
    /// card at the last of these places.
    pub async fn card(&self) -> Result<Arc<AgentCard>, ClientError> {
        self.shared.card.get_or_try_init(|| self.fetch_card()).await.cloned()
    }

    /// The dialect in which the agent is spoken to; reads the card if it was left open.
    ///
    /// # Errors
    ///
    /// [`ClientError::Http`] if the card had to be read and the agent cannot be reached.
    pub async fn dialect(&self) -> Result<Dialect, ClientError> {
        self.endpoint().await.map(|endpoint| endpoint.dialect)
    }

    pub(super) async fn endpoint(&self) -> Result<&Endpoint, ClientError> {
        self.look_first().await?;
        self.shared
            .endpoint
            .get_or_try_init(|| async {
                let base = self.shared.base.clone();
                if let Some(dialect) = self.shared.dialect {
                    return Ok(Endpoint { url: base, dialect });
                }
                match self.card().await {
                    Ok(card) => {
                        Ok(Endpoint { url: endpoint_of(&card, &base), dialect: dialect_of(&card) })
                    }
                    Err(error @ ClientError::Http(_)) => Err(error),
                    Err(error) if error.is_retryable() => Err(error),
                    // An agent may hide its card and still answer.
                    Err(error) => {
                        tracing::debug!(url = %base, %error, "no card, speaking A2A 0.3");
                        Ok(Endpoint { url: base, dialect: Dialect::V0_3 })
                    }
                }
            })
            .await
    }

    async fn fetch_card(&self) -> Result<Arc<AgentCard>, ClientError> {
        let base = &self.shared.base;
        let root = base.path() == "/";
        let mut last = None;
        for below in [true, false] {
            if !below && root {
                break;
            }
            for path in [CARD_PATH, REFERENCE_CARD_PATH] {
                match self.fetch_card_at(path, below).await {
                    Ok(card) if below || names(&card, base) => return Ok(Arc::new(card)),
                    Ok(_) => {
                        let reason = "the card of this host is that of another agent";
                        last = Some(ClientError::protocol("agent card", reason));
                    }
                    Err(error @ ClientError::Http(_)) => return Err(error),
                    Err(error) => last = Some(error),
                }
            }
        }
        Err(last.unwrap_or_else(|| ClientError::protocol("agent card", "there is none")))
    }

    async fn fetch_card_at(&self, path: &str, below: bool) -> Result<AgentCard, ClientError> {
        let mut url = self.shared.base.clone();
        let prefix =
            if below { url.path().trim_end_matches('/').to_owned() } else { String::new() };
        url.set_path(&format!("{prefix}{path}"));
        // Whoever this is gets neither token nor signature as long as we do not know them, unless
        // the card itself is hidden and nobody in particular is expected.
        let mut response =
            self.exchange(Method::GET, &url, None, Replay::Safe, Bears::Nothing).await?;
        let hidden = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if hidden && !self.shared.credentials.is_empty() && !self.shared.expected.must_have_did() {
            response =
                self.exchange(Method::GET, &url, None, Replay::Safe, Bears::Credentials).await?;
        }
        if response.status() != StatusCode::OK {
            return Err(status_error(&response));
        }
        let body = response.body();
        if body.len() > MAX_CARD_BYTES {
            let reason = format!("the card is larger than {MAX_CARD_BYTES} bytes");
            return Err(ClientError::protocol("agent card", reason));
        }
        serde_json::from_slice(body).map_err(|error| ClientError::protocol("agent card", error))
    }
}

/// All places where the card says that JSON-RPC is spoken, the preferred one first.
fn json_rpc_urls(card: &AgentCard) -> impl Iterator<Item = Url> {
    let preferred = card.preferred_transport.as_deref().unwrap_or("JSONRPC");
    let main = (preferred, card.url.as_str());
    let others =
        card.additional_interfaces.iter().map(|other| (other.transport.as_str(), &*other.url));
    std::iter::once(main)
        .chain(others)
        .filter(|(transport, _)| *transport == "JSONRPC")
        .filter_map(|(_, url)| Url::parse(url).ok())
}

fn names(card: &AgentCard, url: &Url) -> bool {
    let path = url.path().trim_end_matches('/');
    json_rpc_urls(card)
        .any(|named| named.origin() == url.origin() && named.path().trim_end_matches('/') == path)
}

/// Where to call. Only a host's root is given up for what the card names, and only for a path
/// of the same host: a card must not send us, and what we carry, anywhere else.
fn endpoint_of(card: &AgentCard, base: &Url) -> Url {
    let named = json_rpc_urls(card).find(|url| url.origin() == base.origin());
    match named {
        Some(url) if base.path() == "/" && url.query().is_none() => {
            let mut endpoint = base.clone();
            endpoint.set_path(url.path());
            endpoint
        }
        _ => base.clone(),
    }
}

/// Agents of the reference show it by members that plain A2A cards do not have, and by giving
/// a version of their own, 1.0.0, for that of the protocol.
fn dialect_of(card: &AgentCard) -> Dialect {
    let bindu = card.kind.is_some() || card.agent_trust.is_some() || card.debug_mode.is_some();
    let plain = card.protocol_version.starts_with("0.") || card.preferred_transport.is_some();
    if bindu && !plain { Dialect::Reference } else { Dialect::V0_3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(json: &str) -> AgentCard {
        serde_json::from_str(json).unwrap()
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_card_shows_the_dialect() {
        let reference = card(r#"{"name":"a","url":"u","protocolVersion":"1.0.0","kind":"agent"}"#);
        assert_eq!(dialect_of(&reference), Dialect::Reference);
        let ours = card(
            r#"{"name":"a","url":"u","protocolVersion":"0.3.0","preferredTransport":"JSONRPC",
                "kind":"agent","debugMode":false}"#,
        );
        assert_eq!(dialect_of(&ours), Dialect::V0_3);
        assert_eq!(dialect_of(&card(r#"{"name":"a","url":"u"}"#)), Dialect::V0_3);
    }

    #[test]
    fn a_card_may_move_the_path_but_not_the_host() {
        let base = url("http://h:1/");
        let moved = card(r#"{"name":"a","url":"http://h:1/a2a"}"#);
        assert_eq!(endpoint_of(&moved, &base).as_str(), "http://h:1/a2a");
        assert_eq!(endpoint_of(&moved, &url("http://h:1/x")).as_str(), "http://h:1/x");
        let away = card(r#"{"name":"a","url":"http://evil/a2a"}"#);
        assert_eq!(endpoint_of(&away, &base).as_str(), "http://h:1/");
        let downgraded = card(r#"{"name":"a","url":"http://h/a2a"}"#);
        assert_eq!(endpoint_of(&downgraded, &url("https://h/")).as_str(), "https://h/");
    }

    #[test]
    fn json_rpc_is_found_among_other_transports() {
        let card = card(
            r#"{"name":"a","url":"http://h/grpc","preferredTransport":"GRPC",
                "additionalInterfaces":[{"transport":"HTTP+JSON","url":"http://h/rest"},
                                        {"transport":"JSONRPC","url":"http://h/rpc"}]}"#,
        );
        assert_eq!(endpoint_of(&card, &url("http://h/")).as_str(), "http://h/rpc");
        assert!(names(&card, &url("http://h/rpc/")) && !names(&card, &url("http://h/grpc")));
    }
}
