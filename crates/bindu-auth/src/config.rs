//! What a policy asks of callers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bindu_protocol::{TrustLevel, method};

/// Scope that lets a caller read what is its own.
pub const READ: &str = "agent:read";

/// Scope that lets a caller begin, change and end things.
pub const WRITE: &str = "agent:write";

/// Paths that need no token unless it is said otherwise; see [`Config::public_paths`].
pub const PUBLIC_PATHS: &[&str] = &[
    "/.well-known/agent.json",
    "/.well-known/*",
    "/did/resolve",
    "/agent/info",
    "/agent/negotiation",
    "/agent/skills",
    "/agent/skills/*",
    "/health",
    "/healthz",
    "/metrics",
    "/payment-capture",
    "/favicon.ico",
    "/oauth/*",
    "/api/start-payment-session",
    "/api/payment-status/*",
];

/// What is asked of callers; every member has a default.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Config {
    /// Paths that are open to everybody. `*` stands for any text, slashes too, and `?` for one
    /// character. Default [`PUBLIC_PATHS`].
    pub public_paths: Vec<String>,
    /// For each JSON-RPC method the scopes of which a token must have one. A method that is not
    /// named needs none. `None` asks for no scopes at all. Default [`permissions`].
    pub permissions: Option<BTreeMap<String, Vec<String>>>,
    /// The only callers that are admitted, by `client_id`; `None` admits every one.
    pub allowed: Option<BTreeSet<String>>,
    /// Callers that are refused whatever they show, by DID.
    pub denied: BTreeSet<String>,
    /// Admits of the callers with a DID only those whose DID is a fingerprint of their key.
    pub require_self_certified: bool,
    /// Refuses a token whose audience does not name this; `None` takes every audience.
    pub audience: Option<String>,
    /// The DID of the agent, for signatures that say whom they are for; `None` passes them over.
    pub own_did: Option<String>,
    /// Refuses signed requests that do not say that they are for [`own_did`](Self::own_did). Those
    /// that name another agent are refused in any case.
    pub require_target: bool,
    /// Takes the token from the query parameter `token` of a GET request too. It then stands in
    /// the logs of every proxy on the way.
    pub allow_query_token: bool,
    /// How old a signature may be, at most 300 seconds.
    pub max_age: Duration,
    /// How far ahead of this machine's clock a signature may be, at most 300 seconds.
    pub max_skew: Duration,
    /// Accepts the signature of a request that changes something once, and not again.
    pub replay_protection: bool,
    /// The largest signed body, in bytes.
    pub max_signed_body: usize,
    /// How far callers are trusted, by `client_id`; others are [guests](TrustLevel::Guest).
    pub trust: BTreeMap<String, TrustLevel>,
    /// The trust that a JSON-RPC method needs; a method that is not named needs none.
    pub operations: BTreeMap<String, TrustLevel>,
    /// Refused tokens from one address (one IPv6 network of 64 bits), after which only
    /// tokens that are known to be good are taken from it. One more is allowed each
    /// [`refusal_pause`](Self::refusal_pause).
    pub max_refusals: u32,
    /// See [`max_refusals`](Self::max_refusals).
    pub refusal_pause: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_paths: PUBLIC_PATHS.iter().map(|&path| path.to_owned()).collect(),
            permissions: Some(permissions()),
            allowed: None,
            denied: BTreeSet::new(),
            require_self_certified: false,
            audience: None,
            own_did: None,
            require_target: false,
            allow_query_token: false,
            max_age: Duration::from_secs(bindu_did::request::WINDOW),
            max_skew: Duration::from_secs(bindu_did::request::WINDOW),
            replay_protection: true,
            max_signed_body: 2 * 1024 * 1024,
            trust: BTreeMap::new(),
            operations: BTreeMap::new(),
            max_refusals: 100,
            refusal_pause: Duration::from_millis(200),
        }
    }
}

/// The scopes that each method needs: [`READ`] for those that [only read](is_read), [`WRITE`] for
/// all others. The extended card needs none but a token.
///
/// ```
/// use bindu_auth::{READ, WRITE, permissions};
///
/// let table = permissions();
/// assert_eq!(table["message/stream"], [WRITE]);
/// assert_eq!(table["tasks/resubscribe"], [READ]);
/// assert_eq!(table.get("agent/getAuthenticatedExtendedCard"), None);
/// ```
#[must_use]
pub fn permissions() -> BTreeMap<String, Vec<String>> {
    method::ALL
        .iter()
        .filter(|&&name| name != method::EXTENDED_CARD)
        .map(|&name| {
            let scope = if is_read(name) { READ } else { WRITE };
            (name.to_owned(), vec![scope.to_owned()])
        })
        .collect()
}

/// Whether a method changes nothing, so that a request for it may come again. A method that is not
/// known may change something.
#[must_use]
pub fn is_read(name: &str) -> bool {
    matches!(
        name,
        method::TASKS_GET
            | method::TASKS_LIST
            | method::TASKS_RESUBSCRIBE
            | method::CONTEXTS_LIST
            | method::PUSH_GET
            | method::PUSH_LIST
            | method::EXTENDED_CARD
    )
}
