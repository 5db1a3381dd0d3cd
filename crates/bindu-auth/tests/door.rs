//! An agent's door, and a Hydra behind it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindu_auth::{Certificate, Config, Grant, Head, Policy, Proof};
use bindu_did::request::{self, RequestSignature};
use bindu_did::{Did, SigningKey};
use bindu_http::client::Client;
use bindu_http::server::{self, Server, Shutdown};
use bindu_http::{Body, read_body};
use bindu_hydra::{Hydra, Introspector, IntrospectorConfig, Keys, KeysConfig};
use bindu_protocol::Denied;
use bindu_storage::{MemoryReplayGuard, ReplayGuard};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const BODY: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"message/send"}"#;

/// The moment at which everything here happens.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// What the Hydra of a test knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) tokens: Mutex<HashMap<String, Value>>,
    pub(crate) keys: Mutex<HashMap<String, Value>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) is_down: AtomicBool,
}

/// A door with its keeper.
pub(crate) struct Door {
    pub(crate) policy: Policy,
    pub(crate) hydra: Arc<Known>,
    pub(crate) keys: Keys,
    _shutdown: Shutdown,
}

/// Someone with a DID.
#[derive(Debug)]
pub(crate) struct Somebody {
    pub(crate) key: SigningKey,
    pub(crate) did: Did,
}

impl Somebody {
    pub(crate) fn new(name: &str) -> Self {
        let key = SigningKey::generate().unwrap();
        let did = Did::for_agent("ann", name, key.public_key().id()).unwrap();
        Self { key, did }
    }

    pub(crate) fn sign_at(&self, body: &[u8], seconds: u64) -> RequestSignature {
        request::sign(&self.key, &self.did, body, i64::try_from(seconds).unwrap()).unwrap()
    }
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::guarded(config, Arc::new(MemoryReplayGuard::default())).await
    }

    pub(crate) async fn guarded(config: Config, replay: Arc<dyn ReplayGuard>) -> Self {
        let known = Arc::new(Known::default());
        let server = Server::bind(server::Config::default(), "127.0.0.1:0").await.unwrap();
        let url: url::Url = format!("http://{}", server.local_addr()).parse().unwrap();
        let shutdown = Shutdown::new();
        let answering = Arc::clone(&known);
        let service = tower::service_fn(move |request| answer(Arc::clone(&answering), request));
        tokio::spawn(server.serve(service, shutdown.clone()));

        let config_of_hydra = bindu_hydra::Config::new(url.clone(), url);
        let hydra = Hydra::new(&config_of_hydra, Client::default()).unwrap();
        let introspector =
            Introspector::with_clock(hydra.clone(), IntrospectorConfig::default(), Arc::new(now));
        let keys = Keys::new(hydra, KeysConfig::default());
        let proof = Proof::Token { introspector, keys: keys.clone() };
        let policy = Policy::new(config, proof, replay);
        Self { policy, hydra: known, keys, _shutdown: shutdown }
    }

    /// Gives someone a token, and his key to Hydra.
    pub(crate) fn know(&self, somebody: &Somebody, token: &str) {
        let key = somebody.key.public_key().to_base58();
        self.know_key(somebody, json!(key));
        self.token(token, json!({ "client_id": somebody.did.as_str(), "sub": "s" }));
    }

    pub(crate) fn know_key(&self, somebody: &Somebody, key: Value) {
        self.hydra.keys.lock().unwrap().insert(somebody.did.to_string(), key);
    }

    /// A token that is good, but for what is said otherwise; `null` leaves a member out.
    pub(crate) fn token(&self, token: &str, but: Value) {
        let mut found = json!({
            "active": true, "client_id": "service", "sub": "service", "exp": NOW + 3600,
            "scope": "openid agent:read agent:write", "token_use": "access_token",
        });
        let Value::Object(but) = but else { panic!("an object") };
        for (name, value) in but {
            found[&name] = value;
        }
        found.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.hydra.tokens.lock().unwrap().insert(token.to_owned(), found);
    }

    pub(crate) async fn knock(
        &self,
        headers: &[(&str, &str)],
        body: &[u8],
        certificate: Certificate<'_>,
    ) -> Result<Grant, Denied> {
        let headers = map(headers);
        let head = Head {
            is_get: false,
            path: "/",
            query: None,
            headers: &headers,
            certificate,
            remote: Some([192, 0, 2, 7].into()),
        };
        let claim = self.policy.identify(&head, now()).await?.expect("the path is not open");
        claim.verify(body, now()).await
    }

    /// Knocks with a token and a signature.
    pub(crate) async fn send(
        &self,
        token: &str,
        signature: &RequestSignature,
        body: &[u8],
    ) -> Result<Grant, Denied> {
        let fields = signature.headers();
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        self.knock(&headers, body, Certificate::Absent).await
    }

    pub(crate) async fn with_token(&self, token: &str) -> Result<Grant, Denied> {
        let bearer = format!("Bearer {token}");
        self.knock(&[("authorization", &bearer)], BODY, Certificate::Absent).await
    }
}

pub(crate) fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    headers.iter().map(field).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}

async fn answer(
    known: Arc<Known>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    known.asked.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    let body = read_body(request.into_body(), 65_536).await.unwrap_or_default();
    let mut response = Response::new(Body::empty());
    if known.is_down.load(Ordering::SeqCst) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(response);
    }
    let found = if path == "/admin/oauth2/introspect" {
        let form: HashMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
        let tokens = known.tokens.lock().unwrap();
        Some(tokens.get(&form["token"]).cloned().unwrap_or(json!({ "active": false })))
    } else {
        let id = path.rsplit('/').next().unwrap_or_default().replace("%3A", ":");
        let keys = known.keys.lock().unwrap();
        keys.get(&id).map(|key| json!({ "client_id": id, "metadata": { "public_key": key } }))
    };
    match found {
        Some(found) => *response.body_mut() = Body::from(Bytes::from(found.to_string())),
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}
