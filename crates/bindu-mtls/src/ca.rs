//! What we ask of step-ca: its roots, and a signature.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bindu_http::BoxError;
use bindu_http::client::{Client, Config as HttpConfig, Tls};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::trust::read_certificates;
use crate::{Config, Fingerprint, MtlsError, RootSource};

/// Gives tokens that step-ca's OIDC provisioner takes: JWTs of the issuer it trusts, for
/// the audience `step-ca`, whose subject is our DID.
///
/// step-ca takes a token once, so each call must give a fresh one. Closures will do:
///
/// ```
/// use bindu_http::BoxError;
/// use bindu_mtls::CaTokens;
///
/// fn takes(_: impl CaTokens) {}
/// takes(async || Ok::<_, BoxError>(String::from("eyJ...")));
/// ```
pub trait CaTokens: Send + Sync + 'static {
    /// A fresh token.
    ///
    /// # Errors
    ///
    /// Why there is none. It is asked again later.
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send + '_>>;
}

impl<F, Fut> CaTokens for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, BoxError>> + Send + 'static,
{
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send + '_>> {
        Box::pin(self())
    }
}

/// Roots and certificates come in kilobytes.
const MOST_BYTES: usize = 1024 * 1024;

pub(crate) struct StepCa {
    pub(crate) tokens: Box<dyn CaTokens>,
}

impl StepCa {
    /// The roots as their source has them now. `known` are those trusted so far.
    pub(crate) async fn roots(
        &self,
        config: &Config,
        known: Option<&str>,
    ) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
        match &config.roots {
            RootSource::File(path) => {
                let read = tokio::fs::read(path).await;
                read_certificates(&read.map_err(MtlsError::file("reading", path))?)
            }
            RootSource::Url(url) => {
                let client = client(config, url, known)?;
                let request = get(url.as_str())?;
                read_certificates(&send(&client, "giving roots", request).await?)
            }
            RootSource::Pinned(pin) => pinned_roots(config, *pin).await,
        }
    }

    /// A certificate for the request, with its chain.
    pub(crate) async fn sign(
        &self,
        config: &Config,
        roots: &str,
        csr: &str,
    ) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
        let token = Zeroizing::new(self.tokens.token().await.map_err(MtlsError::Token)?);
        let client = client(config, &config.ca_url, Some(roots))?;
        let body = Sign { csr, ott: &token, not_after: go_duration(config.cert_ttl) };
        let body = serde_json::to_vec(&body).map_err(|error| MtlsError::Request(error.into()))?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut bearer =
            HeaderValue::from_str(&bearer).map_err(|error| MtlsError::Token(error.into()))?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(Method::POST)
            .uri(at(config, "1.0/sign"))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, bearer)
            .body(Bytes::from(body))
            .map_err(|error| MtlsError::Request(error.into()))?;
        let answer = send(&client, "signing", request).await?;
        let signed: Signed = serde_json::from_slice(&answer).map_err(|error| {
            MtlsError::Unavailable { doing: "signing", source: Some(error.into()) }
        })?;
        let pem = if signed.chain.is_empty() {
            format!("{}\n{}", signed.crt, signed.ca)
        } else {
            signed.chain.join("\n")
        };
        read_certificates(pem.as_bytes())
            .map_err(|error| MtlsError::Issued(format!("the answer cannot be read: {error}")))
    }
}

/// The root with a fingerprint, asked of step-ca without trusting it; then, trusting that
/// root, all the roots that step-ca has, since it may be in the middle of replacing one.
async fn pinned_roots(
    config: &Config,
    pin: Fingerprint,
) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
    let untrusting = build(config, Tls::unverified_but_compared());
    let request = get(&at(config, &format!("root/{}", pin.to_hex())))?;
    let answer = send(&untrusting, "giving the pinned root", request).await?;
    let not_it = |source| MtlsError::Roots {
        reason: format!("step-ca has no root with the fingerprint {pin}"),
        source,
    };
    let answer: Root =
        serde_json::from_slice(&answer).map_err(|error| not_it(Some(error.into())))?;
    let mut roots = read_certificates(answer.ca.as_bytes())?;
    roots.retain(|root| Fingerprint::of(root) == pin);
    if roots.is_empty() {
        return Err(not_it(None));
    }
    let trusting = client(config, &config.ca_url, Some(&to_pem(&roots)))?;
    match send(&trusting, "giving roots", get(&at(config, "1.0/roots"))?).await {
        Ok(answer) => {
            let all: Roots = serde_json::from_slice(&answer).unwrap_or_default();
            let all = read_certificates(all.crts.join("\n").as_bytes()).unwrap_or_default();
            let more: Vec<_> = all.into_iter().filter(|root| !roots.contains(root)).collect();
            roots.extend(more);
        }
        Err(error) => tracing::warn!(%error, "knowing the pinned root only"),
    }
    Ok(roots)
}

/// A client for step-ca. A pinned root or a file vouches for it alone; else the system's
/// roots do too, and those known so far.
fn client(config: &Config, url: &Url, roots: Option<&str>) -> Result<Client, MtlsError> {
    let is_brought = !matches!(config.roots, RootSource::Url(_));
    if url.scheme() == "http" {
        return Ok(build(config, None));
    }
    let tls = match roots {
        // A root that the operator brought makes verification possible, so nothing turns it off:
        // who could pose as step-ca could add roots of his own.
        Some(roots) if is_brought => Tls::with_roots(roots.as_bytes(), false),
        _ if !config.verify_ca => Ok(Tls::dangerously_unverified()),
        Some(roots) => Tls::with_roots(roots.as_bytes(), true),
        None => Tls::native_roots(),
    };
    let tls = tls.map_err(|error| MtlsError::Roots {
        reason: "step-ca cannot be verified".into(),
        source: Some(error.into()),
    })?;
    Ok(build(config, Some(tls)))
}

fn build(config: &Config, tls: impl Into<Option<Tls>>) -> Client {
    let builder = Client::builder().config(HttpConfig {
        connect_timeout: config.timeout,
        timeout: config.timeout,
        max_response_bytes: MOST_BYTES,
        ..HttpConfig::default()
    });
    match tls.into() {
        Some(tls) => builder.connector(Arc::new(tls)).build(),
        None => builder.build(),
    }
}

fn at(config: &Config, path: &str) -> String {
    format!("{}/{path}", config.ca_url.as_str().trim_end_matches('/'))
}

fn get(url: &str) -> Result<Request<Bytes>, MtlsError> {
    Request::get(url).body(Bytes::new()).map_err(|error| MtlsError::Request(error.into()))
}

async fn send(
    client: &Client,
    doing: &'static str,
    request: Request<Bytes>,
) -> Result<Bytes, MtlsError> {
    let response = client
        .send(request)
        .await
        .map_err(|error| MtlsError::Unavailable { doing, source: Some(error.into()) })?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    Err(MtlsError::Refused { doing, status: response.status().as_u16(), message: said(&response) })
}

/// What step-ca says of a refusal; nothing, if somebody else answered.
fn said(response: &Response<Bytes>) -> String {
    let refusal: Refusal = serde_json::from_slice(response.body()).unwrap_or_default();
    refusal.message.chars().filter(|c| !c.is_control()).take(300).collect()
}

pub(crate) fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    use std::fmt::Write as _;

    let mut pem = String::new();
    for certificate in certificates {
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// As Go reads durations.
fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

#[derive(Serialize)]
struct Sign<'a> {
    csr: &'a str,
    ott: &'a str,
    /// How long, rather than until when: our clocks may differ.
    #[serde(rename = "notAfter")]
    not_after: String,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    crt: String,
    #[serde(default)]
    ca: String,
    #[serde(default, rename = "certChain")]
    chain: Vec<String>,
}

#[derive(Deserialize)]
struct Root {
    ca: String,
}

#[derive(Default, Deserialize)]
struct Roots {
    crts: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_for_go() {
        for (duration, text) in [
            (Duration::from_hours(24), "24h"),
            (Duration::from_secs(30), "30s"),
            (Duration::from_secs(3661), "3661s"),
            (Duration::from_millis(1500), "1500ms"),
        ] {
            assert_eq!(go_duration(duration), text);
        }
    }

    #[test]
    fn what_is_written_as_pem_reads_back() -> Result<(), MtlsError> {
        let certificates: Vec<_> =
            [1, 47, 48, 49, 500].map(|length| CertificateDer::from(vec![7; length])).into();
        assert_eq!(read_certificates(to_pem(&certificates).as_bytes())?, certificates);
        Ok(())
    }
}
