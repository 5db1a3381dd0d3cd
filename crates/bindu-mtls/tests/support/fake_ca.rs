use std::collections::HashSet;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bindu_http::server::{Config as HttpConfig, Drained, Server, Shutdown};
use bindu_http::{Body, BoxError, read_body};
use bindu_mtls::{CaTokens, Config, Fingerprint, RootSource};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

use super::authority::{Authority, Leaf, rules};
use super::wire::Careless;
use super::{ANN, Result, did};

/// A step-ca that does what it is told, faults above all.
pub(crate) struct FakeCa {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Cut on drop.
    serving: JoinHandle<Drained>,
}

pub(crate) struct State {
    pub(crate) authority: Arc<Authority>,
    pub(crate) mood: Mood,
    /// What `/roots` lists; the authority's own if empty.
    pub(crate) roots: Vec<String>,
    /// What it was asked to sign, with the `Authorization` header.
    pub(crate) signed: Vec<(Value, String)>,
    /// Every request, sign or not.
    pub(crate) requests: u64,
    tokens: HashSet<String>,
}

#[derive(Clone)]
pub(crate) enum Mood {
    Good,
    /// Refuses to sign.
    Refuse(u16),
    /// Never answers.
    Silent,
    /// Signs another key than it was asked to.
    WrongKey,
    /// Names another DID than ours.
    WrongDid,
    /// Signs as another authority.
    Impostor(Arc<Authority>),
    /// Answers 201 with something else.
    Garbage,
}

impl FakeCa {
    pub(crate) async fn start() -> Result<Self> {
        Self::of(Arc::new(Authority::new("one")?)).await
    }

    pub(crate) async fn of(authority: Arc<Authority>) -> Result<Self> {
        let own = authority.issue(&Leaf::of("step-ca").for_host("127.0.0.1"))?;
        let server = Server::bind(HttpConfig::default(), "127.0.0.1:0").await?;
        let server = server.with_acceptor(Careless::new(&own)?);
        let addr = server.local_addr();
        let state = Arc::new(Mutex::new(State {
            authority,
            mood: Mood::Good,
            roots: Vec::new(),
            signed: Vec::new(),
            requests: 0,
            tokens: HashSet::new(),
        }));
        let of_service = Arc::clone(&state);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let state = Arc::clone(&of_service);
            async move {
                Ok::<_, Infallible>(answer(request, &state).await.unwrap_or_else(|error| {
                    reply(500, &json!({"status": 500, "message": error.to_string()}))
                }))
            }
        });
        let serving = tokio::spawn(server.serve(service, Shutdown::new()));
        Ok(Self { addr, state, serving })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(crate) fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.state().authority)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Ann's configuration for it: the root pinned, quick to give up.
    pub(crate) fn config(&self, directory: &Path) -> Result<Config> {
        Ok(Config {
            ca_url: format!("https://{}", self.addr).parse()?,
            roots: RootSource::Pinned(Fingerprint::of(self.authority().root_der())),
            timeout: Duration::from_millis(500),
            directory: directory.into(),
            peers: rules(),
            ..Config::new(did(ANN))
        })
    }
}

impl Drop for FakeCa {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A fresh token each time.
pub(crate) fn tokens() -> impl CaTokens {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    || {
        let token = format!("token-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        async move { Ok::<_, BoxError>(token) }
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, 1 << 20).await?;
    let (mood, authority, roots) = {
        let mut state = state.lock().map_err(|error| error.to_string())?;
        state.requests += 1;
        (state.mood.clone(), Arc::clone(&state.authority), state.roots.clone())
    };
    if matches!(mood, Mood::Silent) {
        pending::<()>().await;
    }
    let path = parts.uri.path();
    Ok(match (&parts.method, path) {
        (&Method::GET, path) if path.starts_with("/root/") => {
            // As step-ca would not: whatever was asked for.
            let root = match &mood {
                Mood::Impostor(other) => other.root_pem(),
                _ => authority.root_pem(),
            };
            reply(200, &json!({"ca": root}))
        }
        (&Method::GET, "/1.0/roots") => {
            let roots = if roots.is_empty() { vec![authority.root_pem()] } else { roots };
            reply(201, &json!({"crts": roots}))
        }
        (&Method::GET, "/roots.pem") => Response::new(Body::from(authority.root_pem())),
        (&Method::POST, "/1.0/sign") => {
            let bearer = parts.headers.get("authorization").ok_or("no authorization")?;
            let bearer = bearer.to_str()?.to_owned();
            let asked: Value = serde_json::from_slice(&body)?;
            let ott = asked["ott"].as_str().ok_or("no ott")?.to_owned();
            let first_use = {
                let mut state = state.lock().map_err(|error| error.to_string())?;
                state.signed.push((asked.clone(), bearer));
                state.tokens.insert(ott)
            };
            if !first_use {
                return Ok(refusal(401));
            }
            sign(&mood, &authority, &asked)?
        }
        _ => refusal(404),
    })
}

fn sign(mood: &Mood, authority: &Authority, asked: &Value) -> Result<Response<Body>> {
    let csr = asked["csr"].as_str().ok_or("no csr")?;
    let csr = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())?;
    let csr = CertReq::from_der(&csr)?;
    let key = csr.info.public_key.subject_public_key.raw_bytes().to_vec();
    let life = life_of(asked["notAfter"].as_str().ok_or("no notAfter")?)?;
    let leaf = Leaf::of(ANN).ending_in(life);
    let chain = |authority: &Authority, crt: String| {
        let ca = authority.intermediate_pem();
        reply(201, &json!({"crt": crt, "ca": ca, "certChain": [crt, ca], "tlsOptions": {}}))
    };
    let key = CsrKey(key);
    Ok(match mood {
        Mood::Refuse(status) => refusal(*status),
        Mood::Garbage => Response::new(Body::from("<html>")),
        Mood::WrongKey => chain(authority, authority.sign(&leaf, &KeyPair::generate()?)?),
        Mood::WrongDid => chain(authority, authority.sign(&Leaf::of(super::BEN), &key)?),
        Mood::Impostor(other) => chain(other, other.sign(&leaf, &key)?),
        Mood::Good | Mood::Silent => chain(authority, authority.sign(&leaf, &key)?),
    })
}

fn life_of(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.len() - 1);
    Ok(match unit {
        "h" => Duration::from_hours(number.parse()?),
        "s" => Duration::from_secs(number.parse()?),
        _ => return Err(format!("no duration: {text}").into()),
    })
}

/// The key of a request, which is on P-256.
struct CsrKey(Vec<u8>);

impl PublicKeyData for CsrKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn refusal(status: u16) -> Response<Body> {
    reply(status, &json!({"status": status, "message": "The request lacked\n authorization."}))
}

fn reply(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(body.to_string())));
    *response.status_mut() =
        StatusCode::from_u16(status).expect("tests name statuses that there are");
    response
}
