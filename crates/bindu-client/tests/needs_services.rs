//! Against an agent with a certificate of a real step-ca, and tokens of a real Hydra.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bindu_client::{Client, ClientError, Principal, PrincipalConfig};
use bindu_did::key_dir::{self, Identity};
use bindu_did::request::RequestSignature;
use bindu_did::{Did, DidDocument, PublicKey, target};
use bindu_http::client::Client as HttpClient;
use bindu_http::server::{Config as ServerConfig, Server, Shutdown};
use bindu_http::{Body, BoxError, read_body};
use bindu_hydra::{Config as HydraConfig, CredentialsFile, Hydra, Registration, Tokens, register};
use bindu_mtls::{Acceptor, Certificates, ClientCert, Config, Peer, PeerRules, RootSource};
use bindu_protocol::CARD_PATH;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use crate::canned::{Result, answer, camel_task, hasty};

#[expect(clippy::disallowed_methods, reason = "where the servers are is the test's to know")]
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("run it through cargo xtask test, or set {name}"))
}

fn hydra() -> Result<Hydra> {
    let (admin, public) = (env("HYDRA__ADMIN_URL").parse()?, env("HYDRA__PUBLIC_URL").parse()?);
    Ok(Hydra::new(&HydraConfig::new(admin, public), HttpClient::default())?)
}

/// Somebody nobody has heard of, with a key, credentials and a certificate in a directory.
async fn somebody(dir: &Path, name: &str) -> Result<(Identity, Certificates)> {
    let keys = key_dir::Config {
        dir: dir.to_owned(),
        author: "test@example.com".to_owned(),
        name: name.to_owned(),
        ..key_dir::Config::default()
    };
    let identity = key_dir::open(&keys, SystemTime::now())?;
    let registration = Registration {
        audience: Some("step-ca".to_owned()),
        jwt_tokens: true,
        ..Registration::new(
            identity.did().clone(),
            identity.agent_id(),
            name,
            identity.key().public_key(),
        )
    };
    let file = CredentialsFile::at(dir.join("oauth_credentials.json"));
    let registered = register(&hydra()?, &registration, &file, SystemTime::now()).await?;
    let tokens = Tokens::new(hydra()?, registered.credentials);
    let for_ca = move || {
        let tokens = tokens.clone();
        async move {
            let token = tokens.one_time_token(&["openid"], Some("step-ca")).await?;
            Ok::<_, BoxError>(token.reveal().to_owned())
        }
    };
    let config = Config {
        ca_url: env("MTLS__CA_URL").parse()?,
        roots: RootSource::File(env("MTLS__CA_ROOT_FILE").into()),
        directory: dir.to_owned(),
        peers: PeerRules { issuer: env("HYDRA__PUBLIC_URL"), ..PeerRules::default() },
        ..Config::new(identity.did().clone())
    };
    Ok((identity, Certificates::open(config, for_ca).await?))
}

async fn principal(dir: &Path) -> Result<Principal> {
    let hydra_url = env("HYDRA__PUBLIC_URL").parse()?;
    Ok(Principal::read(PrincipalConfig { hydra_url, ..PrincipalConfig::new(dir) }).await?)
}

/// Who called, by each of the three locks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Locks {
    certificate: Option<Did>,
    token: Option<String>,
    signature: Option<String>,
}

/// An agent that says of itself what it is told to, and writes down who calls.
struct Locked {
    url: String,
    calls: Arc<Mutex<Vec<Locks>>>,
    shutdown: Shutdown,
}

impl Locked {
    async fn start(
        certificates: Certificates,
        document: DidDocument,
        caller: PublicKey,
    ) -> Result<Self> {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (log, document, hydra) = (Arc::clone(&calls), Arc::new(document), hydra()?);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let (log, document, hydra) = (Arc::clone(&log), Arc::clone(&document), hydra.clone());
            async move {
                Ok::<_, Infallible>(match request.uri().path() {
                    CARD_PATH => {
                        answer(200, &json!({ "name": "a", "url": "u", "id": document.id }))
                    }
                    "/did/resolve" => answer(200, &json!(*document)),
                    "/" => judge(request, &document.id, &hydra, &caller, &log).await,
                    _ => answer(404, &json!({})),
                })
            }
        });
        let acceptor = Acceptor::new(certificates, ClientCert::Required);
        let server = Server::bind(ServerConfig::default(), "127.0.0.1:0").await?;
        let server = server.with_acceptor(acceptor);
        let url = format!("https://{}", server.local_addr());
        let shutdown = Shutdown::new();
        tokio::spawn(server.serve(service, shutdown.clone()));
        Ok(Self { url, calls, shutdown })
    }

    fn called(&self) -> Vec<Locks> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.shutdown.drain(Duration::ZERO);
    }
}

async fn judge(
    request: Request<Incoming>,
    own: &Did,
    hydra: &Hydra,
    caller: &PublicKey,
    log: &Mutex<Vec<Locks>>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = read_body(body, 1024 * 1024).await.unwrap_or_default();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let token = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = hydra.introspect(token.unwrap_or_default()).await.ok();
    let texts = head.headers.iter();
    let texts = texts.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signature = RequestSignature::from_headers(texts).ok().filter(|signature| {
        let meant = text(target::SIGNATURE_HEADER).unwrap_or_default();
        signature.verify(caller, &body, signature.timestamp).is_ok()
            && target::verify(caller, signature, &body, own.as_str(), meant).is_ok()
    });
    let locks = Locks {
        certificate: head.extensions.get::<Peer>().and_then(|peer| peer.did().cloned()),
        token: token.filter(|token| token.active).and_then(|token| token.client_id),
        signature: signature.map(|signature| signature.did),
    };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(locks);
    let id = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default()["id"].clone();
    let task = camel_task("t", "completed");
    answer(200, &json!({ "jsonrpc": "2.0", "id": id, "result": task }))
}

#[tokio::test]
async fn three_lines_call_an_agent_behind_three_locks() -> Result {
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (caller, _) = somebody(here.path(), "caller").await?;
    let (agent, certificates) = somebody(there.path(), "agent").await?;
    let key = caller.key().public_key();
    let agent = Locked::start(certificates, agent.document().clone(), key).await?;

    let me = principal(here.path()).await?;
    let client = Client::builder(&agent.url).retry(hasty()).call_as(&me).build()?;
    client.send_task("hello").await?;

    let expected = Locks {
        certificate: Some(caller.did().clone()),
        token: Some(caller.did().to_string()),
        signature: Some(caller.did().to_string()),
    };
    assert_eq!(agent.called(), [expected]);
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_another_than_the_card_names_ends_the_call() -> Result {
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (caller, _) = somebody(here.path(), "caller").await?;
    let (_, certificates) = somebody(there.path(), "impostor").await?;
    let victim = tempfile::tempdir()?;
    let keys = key_dir::Config {
        dir: victim.path().to_owned(),
        author: "test@example.com".to_owned(),
        name: "victim".to_owned(),
        ..key_dir::Config::default()
    };
    let victim = key_dir::open(&keys, SystemTime::now())?;
    let key = caller.key().public_key();
    // The card and the document are the victim's own; only the certificate is not.
    let impostor = Locked::start(certificates, victim.document().clone(), key).await?;

    let me = principal(here.path()).await?;
    let builder = || Client::builder(&impostor.url).retry(hasty()).call_as(&me);
    for client in [builder().build()?, builder().expect_did(victim.did().clone()).build()?] {
        let error = client.send_task("hello").await.unwrap_err();
        assert!(matches!(error, ClientError::Http(_)), "{error:?}");
    }
    assert_eq!(impostor.called(), []);
    Ok(())
}
