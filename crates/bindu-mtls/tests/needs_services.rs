//! Against a real step-ca that trusts a real Hydra.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindu_did::{Did, SigningKey};
use bindu_http::BoxError;
use bindu_http::client::Client;
use bindu_mtls::{
    Acceptor, CaTokens, Certificates, ClientCert, Config, Connector, Fingerprint, MtlsError, Peer,
    PeerRules, RootSource,
};
use bindu_testkit::services::{Machine, Server};
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use url::form_urlencoded::Serializer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use crate::support::wire::{Running, ask};
use crate::support::{Result, whole, within};

const SECRET: &str = "a secret of a test";

#[expect(clippy::disallowed_methods, reason = "where the servers are is the test's to know")]
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("run it through cargo xtask test, or set {name}"))
}

/// Somebody nobody has heard of, registered with Hydra.
async fn somebody(name: &str) -> Result<Did> {
    let key = SigningKey::generate()?;
    let did = Did::for_agent("test@example.com", name, key.public_key().id())?;
    let client = json!({
        "client_id": did, "client_secret": SECRET, "grant_types": ["client_credentials"],
        "scope": "openid", "token_endpoint_auth_method": "client_secret_post",
        "audience": ["step-ca", "elsewhere"], "access_token_strategy": "jwt",
    });
    let request = Request::post(format!("{}/admin/clients", env("HYDRA__ADMIN_URL")))
        .header(CONTENT_TYPE, "application/json")
        .body(Bytes::from(client.to_string()))?;
    let response = within(Client::default().send(request)).await??;
    assert_eq!(response.status(), 201, "{:?}", response.body());
    Ok(did)
}

async fn token(did: Did, audience: &str) -> Result<String, BoxError> {
    let form = Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", did.as_str())
        .append_pair("client_secret", SECRET)
        .append_pair("scope", "openid")
        .append_pair("audience", audience)
        .finish();
    let request = Request::post(format!("{}/oauth2/token", env("HYDRA__PUBLIC_URL")))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))?;
    let response = Client::default().send(request).await?;
    let answer: Value = serde_json::from_slice(response.body())?;
    let token = answer["access_token"].as_str().ok_or_else(|| answer.to_string())?;
    Ok(token.to_owned())
}

fn tokens(did: &Did) -> impl CaTokens + use<> {
    let did = did.clone();
    move || {
        let did = did.clone();
        async move { token(did, "step-ca").await }
    }
}

fn config(did: &Did, directory: &Path) -> Result<Config> {
    Ok(Config {
        ca_url: env("MTLS__CA_URL").parse()?,
        roots: RootSource::File(env("MTLS__CA_ROOT_FILE").into()),
        directory: directory.into(),
        peers: PeerRules {
            issuer: env("HYDRA__PUBLIC_URL"),
            public_roots: false,
            ..PeerRules::default()
        },
        ..Config::new(did.clone())
    })
}

async fn open(config: Config) -> Result<Result<Certificates, MtlsError>> {
    let tokens = tokens(&config.did);
    within(Certificates::open(config, tokens)).await
}

#[tokio::test]
async fn a_certificate_of_step_ca_names_the_issuer_and_the_did() -> Result {
    let did = somebody("cold").await?;
    let directory = tempfile::tempdir()?;
    let certificates = open(config(&did, directory.path())?).await??;

    let pem = fs::read(directory.path().join("tls_cert.pem"))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?;
    assert_eq!(chain.len(), 2);
    assert_eq!(certificates.fingerprint(), Fingerprint::of(&chain[0]));
    let leaf = Certificate::from_der(&chain[0])?.tbs_certificate;
    assert_eq!(leaf.subject.to_string(), format!("CN={did}"));
    let (_, names) = leaf.get::<SubjectAltName>()?.ok_or("no names")?;
    let uris: Vec<_> = names
        .0
        .iter()
        .map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => uri.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(uris, [format!("{}#{did}", env("HYDRA__PUBLIC_URL"))]);
    let (_, usages) = leaf.get::<ExtendedKeyUsage>()?.ok_or("no use")?;
    assert_eq!(usages.0.len(), 2);
    let (begin, end) = (leaf.validity.not_before, leaf.validity.not_after);
    let life = Duration::from_hours(24) + Duration::from_mins(1);
    assert_eq!(begin.to_unix_duration() + life, end.to_unix_duration());
    assert_eq!(certificates.not_after(), SystemTime::UNIX_EPOCH + end.to_unix_duration());
    Ok(())
}

#[tokio::test]
async fn openssl_agrees_with_what_is_in_the_files() -> Result {
    let did = somebody("openssl").await?;
    let directory = tempfile::tempdir()?;
    let certificates = open(config(&did, directory.path())?).await??;
    let openssl = async |arguments: &str| {
        let command = tokio::process::Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(directory.path())
            .output();
        let output = within(command).await?.map_err(|error| format!("openssl: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        Ok::<_, crate::support::Error>(said)
    };
    for purpose in ["sslserver", "sslclient"] {
        let verify = format!(
            "verify -purpose {purpose} -CAfile ca_bundle.pem -untrusted tls_cert.pem tls_cert.pem"
        );
        assert_eq!(openssl(&verify).await?, "tls_cert.pem: OK\n");
    }
    let shown =
        openssl("x509 -in tls_cert.pem -noout -subject -fingerprint -sha256 -ext subjectAltName")
            .await?;
    let fingerprint = certificates.fingerprint().to_string().to_uppercase();
    for part in
        [format!("CN = {did}"), format!("URI:{}#{did}", env("HYDRA__PUBLIC_URL")), fingerprint]
    {
        assert!(shown.contains(&part), "{part} is not in\n{shown}");
    }
    let of_certificate = openssl("x509 -in tls_cert.pem -noout -pubkey").await?;
    assert_eq!(openssl("pkey -in tls_key.pem -pubout").await?, of_certificate);
    let request = openssl("req -in tls.csr -noout -verify -text").await?;
    assert!(request.contains(&format!("URI:{did}")), "{request}");
    assert!(request.contains("NIST CURVE: P-256"), "{request}");
    Ok(())
}

#[tokio::test]
async fn a_pinned_root_is_enough_to_begin_with() -> Result {
    let did = somebody("pinned").await?;
    let directory = tempfile::tempdir()?;
    let root = CertificateDer::from_pem_file(env("MTLS__CA_ROOT_FILE"))?;
    let pin =
        |roots| Ok::<_, crate::support::Error>(Config { roots, ..config(&did, directory.path())? });
    let wrong = Fingerprint::of(b"another");
    let refused = open(pin(RootSource::Pinned(wrong))?).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Refused { .. } | MtlsError::Roots { .. }), "{refused}");

    open(pin(RootSource::Pinned(Fingerprint::of(&root)))?).await??;
    let bundle = fs::read(directory.path().join("ca_bundle.pem"))?;
    let bundle: Vec<_> = CertificateDer::pem_slice_iter(&bundle).collect::<Result<_, _>>()?;
    assert_eq!(bundle, [root]);
    Ok(())
}

#[tokio::test]
async fn two_agents_with_certificates_of_step_ca_call_each_other() -> Result {
    let (ann, ben) = (somebody("ann").await?, somebody("ben").await?);
    let (of_ann, of_ben) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let certificates =
        [open(config(&ann, of_ann.path())?).await??, open(config(&ben, of_ben.path())?).await??];
    let [of_ann, of_ben] = certificates.clone();
    for (here, there) in [(&of_ann, &of_ben), (&of_ben, &of_ann)] {
        let server = Running::start(Acceptor::new(there.clone(), ClientCert::Required)).await?;
        let connector = Connector::new(here.clone()).expecting(there.did().clone());
        let response = ask(&server.url(), connector).await?;
        assert_eq!(response.body(), here.did().as_str());
        let peer = response.extensions().get::<Peer>().ok_or("no peer")?;
        assert_eq!(peer.fingerprint(), there.fingerprint());

        // Whoever expects somebody else does not get far.
        let mistaken = Connector::new(here.clone()).expecting(here.did().clone());
        assert!(ask(&server.url(), mistaken).await.is_err());
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn tokens_that_step_ca_does_not_take_are_refused_with_401() -> Result {
    let did = somebody("tokens").await?;
    let directory = tempfile::tempdir()?;
    let elsewhere = token(did.clone(), "elsewhere").await?;
    let used = token(did.clone(), "step-ca").await?;
    let with = async |token: &str| {
        let token = token.to_owned();
        let tokens = move || {
            let token = token.clone();
            async move { Ok::<_, BoxError>(token) }
        };
        within(Certificates::open(config(&did, directory.path())?, tokens)).await
    };
    for bad in [&elsewhere, "no token"] {
        let refused = with(bad).await?.unwrap_err();
        assert!(matches!(refused, MtlsError::Refused { status: 401, .. }), "{refused}");
        assert!(!refused.to_string().contains(bad), "{refused}");
    }
    let certificates = with(&used).await??;
    let again = certificates.renew().await.unwrap_err();
    assert!(matches!(again, MtlsError::Refused { status: 401, .. }), "{again}");

    // A life beyond what the provisioner allows.
    let long = Config { cert_ttl: Duration::from_hours(48), ..config(&did, directory.path())? };
    fs::remove_file(directory.path().join("tls_cert.pem"))?;
    let refused = open(long).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Refused { status: 403, .. }), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_ten_seconds_renew_under_load_without_a_failed_request() -> Result {
    let did = somebody("short").await?;
    let directory = tempfile::tempdir()?;
    let config = Config { cert_ttl: Duration::from_secs(10), ..config(&did, directory.path())? };
    let certificates = open(config).await??;
    let acceptor = Acceptor::new(certificates.clone(), ClientCert::Required);
    let server = Running::start(acceptor).await?;
    let keeper = tokio::spawn({
        let certificates = certificates.clone();
        async move { certificates.keep().await }
    });
    let connector = Connector::new(certificates.clone()).expecting(did.clone());
    let kept = Client::builder().connector(Arc::new(connector.clone())).build();
    let mut requests = 0_u32;
    let load = async {
        while certificates.renewals() < 2 {
            let request = Request::get(server.url()).body(Bytes::new())?;
            assert_eq!(kept.send(request).await?.body(), did.as_str());
            assert_eq!(ask(&server.url(), connector.clone()).await?.body(), did.as_str());
            requests += 1;
        }
        Ok::<_, crate::support::Error>(())
    };
    let outcome = within(load).await?;
    let (renewals, failures) = (certificates.renewals(), certificates.failures());
    if let Err(error) = outcome {
        let why = whole(&*error);
        let now = certificates.renew().await.map_err(|error| whole(&error));
        panic!(
            "request {requests}, after {renewals} renewals and {failures} failures: {why}; \
             another renewal: {now:?}"
        );
    }
    assert!(requests > 100, "{requests}");
    assert_eq!(failures, 0);
    keeper.abort();
    server.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_ca_that_stops_keeps_nobody_from_serving_what_is_still_valid() -> Result {
    let mut ca = block_in_place(|| Server::step_ca(&Machine::this(), &env("HYDRA__PUBLIC_URL")))?;
    let did = somebody("stops").await?;
    let directory = tempfile::tempdir()?;
    let config = Config {
        ca_url: ca.url().parse()?,
        roots: RootSource::File(ca.root_file().ok_or("no root")?),
        timeout: Duration::from_secs(2),
        ..config(&did, directory.path())?
    };

    // At boot: without a certificate there is no start, with one there is.
    block_in_place(|| ca.kill())?;
    let cold = Config { attempts: 2, ..config.clone() };
    let refused = open(cold).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Unavailable { .. }), "{refused}");
    block_in_place(|| ca.start())?;
    let first = open(config.clone()).await??.fingerprint();
    block_in_place(|| ca.kill())?;
    let certificates = open(config.clone()).await??;
    assert_eq!(certificates.fingerprint(), first);

    // At renewal: what there is serves on, until step-ca is back.
    let server = Running::start(Acceptor::new(certificates.clone(), ClientCert::Required)).await?;
    let connector = Connector::new(certificates.clone()).expecting(did.clone());
    let refused = certificates.renew().await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert_eq!(certificates.fingerprint(), first);
    assert_eq!(ask(&server.url(), connector.clone()).await?.body(), did.as_str());
    block_in_place(|| ca.start())?;
    certificates.renew().await?;
    assert_ne!(certificates.fingerprint(), first);
    assert_eq!(ask(&server.url(), connector).await?.body(), did.as_str());
    assert_eq!((certificates.renewals(), certificates.failures()), (1, 1));
    server.stop().await?;
    block_in_place(|| ca.stop())?;
    Ok(())
}
