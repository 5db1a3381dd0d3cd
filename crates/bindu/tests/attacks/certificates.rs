//! Certificates: none, another's, nobody's, and those that a header talks of.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bindu::{Reply, Running, Settings, Turn};
use bindu_did::Did;
use bindu_http::client::Client;
use bindu_mtls::{Certificates, Config, Connector, PeerRules, Trust};
use bindu_testkit::fake_hydra::FakeHydra;
use bytes::Bytes;
use http::Request;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Letter, Somebody, send};
use crate::caller::{Result, agent};

const NAME: &str = "locked";

/// A private authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes a certificate with these URIs, its key and the root.
    fn issue(&self, uris: &[&str], directory: &Path) -> Result {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        fs::write(directory.join("tls_cert.pem"), params.signed_by(&key, &self.0)?.pem())?;
        let file = directory.join("tls_key.pem");
        fs::write(&file, key.serialize_pem())?;
        #[cfg(unix)]
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::write(directory.join("ca_bundle.pem"), self.0.pem())?;
        Ok(())
    }

    /// A client with a certificate of these URIs.
    async fn client(&self, who: &Did, uris: &[&str]) -> Result<Client> {
        let directory = tempfile::tempdir()?;
        self.issue(uris, directory.path())?;
        // Roots of the agent: what the client shows is another matter.
        let config = Config { directory: directory.path().into(), ..Config::new(who.clone()) };
        let certificates = Certificates::from_files(config).await?;
        Ok(Client::builder().connector(Arc::new(Connector::new(certificates))).build())
    }

    /// A client without a certificate.
    fn stranger(&self) -> Result<Client> {
        let trust = Trust::from_pem(self.0.pem().as_bytes(), PeerRules::default())?;
        Ok(Client::builder().connector(Arc::new(Connector::anonymous(trust))).build())
    }
}

/// An agent with a certificate.
struct Site {
    hydra: FakeHydra,
    agent: Running,
    authority: Authority,
    _directory: TempDir,
}

impl Site {
    async fn with(settings: &[(&str, &str)]) -> Result<Self> {
        let (hydra, authority) = (FakeHydra::start().await?, Authority::new()?);
        let directory = tempfile::tempdir()?;
        let own = Did::for_known_agent(
            "ann@example.com",
            NAME,
            bindu_did::agent_id("ann@example.com", NAME),
        )?;
        authority.issue(&[own.as_str()], directory.path())?;
        let mut vars = vec![
            ("AUTH__ENABLED", "true"),
            ("HYDRA__ADMIN_URL", hydra.admin_url()),
            ("HYDRA__PUBLIC_URL", hydra.public_url()),
            ("MTLS__ENABLED", "true"),
            ("MTLS__CERT_FILE", "tls_cert.pem"),
            ("MTLS__KEY_FILE", "tls_key.pem"),
            ("MTLS__CA_FILE", "ca_bundle.pem"),
        ];
        vars.extend(settings);
        let agent = agent(NAME, async |_: Turn| Ok(Reply::text("done")))?
            .settings(Settings::from_vars(vars)?)
            .directory(directory.path())
            .spawn()
            .await?;
        Ok(Self { hydra, agent, authority, _directory: directory })
    }

    async fn post(&self, client: &Client, letter: &Letter) -> Result<(u16, Value)> {
        let mut request = Request::post(format!("https://{}/", self.agent.local_addr()));
        for (name, value) in &letter.headers {
            request = request.header(name, value);
        }
        let answer = client.send(request.body(Bytes::from(letter.body.clone()))?).await?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(answer.body())?))
    }
}

#[tokio::test]
async fn the_certificate_of_one_does_not_go_with_the_token_of_another() -> Result {
    let site = Site::with(&[]).await?;
    let (ann, bob) = (Somebody::known(&site.hydra, "ann")?, Somebody::known(&site.hydra, "bob")?);
    let as_ann = site.authority.client(&ann.did, &[ann.did.as_str()]).await?;
    let as_bob = site.authority.client(&bob.did, &[bob.did.as_str()]).await?;
    let (status, answer) = site.post(&as_ann, &bob.letter(&send())).await?;
    assert_eq!((status, &answer["details"]["reason"]), (403, &json!("did_mismatch")), "{answer}");
    let (status, answer) = site.post(&as_bob, &ann.letter(&send())).await?;
    assert_eq!((status, &answer["details"]["reason"]), (403, &json!("did_mismatch")), "{answer}");
    // One of the three is not enough, nor are two.
    assert_eq!(site.post(&as_ann, &Letter::plain(&send())).await?.0, 401);
    assert_eq!(site.post(&as_ann, &Letter::bearing(&ann.token, &send())).await?.0, 403);
    assert_eq!(site.post(&as_ann, &ann.letter(&send())).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_there_is_no_connection() -> Result {
    let site = Site::with(&[]).await?;
    let ann = Somebody::known(&site.hydra, "ann")?;
    let refused = site.post(&site.authority.stranger()?, &ann.letter(&send())).await;
    assert!(refused.is_err(), "{refused:?}");
    // Another authority that vouches for Ann: its client believes ours, and shows its own.
    let other = Authority::new()?;
    let directory = tempfile::tempdir()?;
    other.issue(&[ann.did.as_str()], directory.path())?;
    let roots = format!("{}{}", site.authority.0.pem(), other.0.pem());
    fs::write(directory.path().join("ca_bundle.pem"), roots)?;
    let config = Config { directory: directory.path().into(), ..Config::new(ann.did.clone()) };
    let connector = Connector::new(Certificates::from_files(config).await?);
    let client = Client::builder().connector(Arc::new(connector)).build();
    let refused = site.post(&client, &ann.letter(&send())).await;
    assert!(refused.is_err(), "{refused:?}");
    // And in the clear there is nobody to talk to.
    let bytes = ann.letter(&send()).bytes("POST", "/");
    let plain = super::site::raw(site.agent.local_addr(), &bytes).await?;
    assert!(!plain.text.contains("HTTP/"), "{}", plain.text);
    Ok(())
}

#[tokio::test]
async fn a_caller_on_the_list_of_the_denied_is_turned_away_at_the_handshake() -> Result {
    let hydra = FakeHydra::start().await?;
    let ann = Somebody::known(&hydra, "ann")?;
    let list = json!([ann.did]).to_string();
    let site = Site::with(&[("AUTH__DENIED_DIDS", list.as_str())]).await?;
    ann.enter(&site.hydra, ann.did.as_str());
    let as_ann = site.authority.client(&ann.did, &[ann.did.as_str()]).await?;
    let refused = site.post(&as_ann, &ann.letter(&send())).await;
    assert!(refused.is_err(), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn where_the_certificate_alone_counts_no_header_stands_for_it() -> Result {
    let settings = [("MTLS__MODE", "mtls"), ("MTLS__REQUIRE_CLIENT_CERT", "false")];
    let site = Site::with(&settings).await?;
    let ann = Somebody::known(&site.hydra, "ann")?;
    let stranger = site.authority.stranger()?;
    let bare = Letter::plain(&send());
    let did = ann.did.as_str();
    for letter in [
        bare.clone(),
        ann.letter(&send()),
        bare.clone().and("X-Forwarded-Client-Cert", &format!("URI={did}")),
        bare.clone().and("X-SSL-Client-Verify", "SUCCESS").and("X-SSL-Client-S-DN", did),
        bare.clone().and("Client-Cert", ":MIIB:"),
        bare.clone().and("X-DID", did),
    ] {
        let (status, answer) = site.post(&stranger, &letter).await?;
        assert_eq!((status, &answer["error"]["code"]), (401, &json!(-32009)), "{answer}");
        assert_eq!(answer["error"]["data"], "A client certificate is required");
    }
    let as_ann = site.authority.client(&ann.did, &[did]).await?;
    assert_eq!(site.post(&as_ann, &bare).await?.0, 200);
    // Signature headers that come must be good, and its own.
    let bob = Somebody::known(&site.hydra, "bob")?;
    assert_eq!(site.post(&as_ann, &bob.letter(&send())).await?.0, 403);
    assert_eq!(site.post(&as_ann, &bare.and("X-DID", did)).await?.0, 403);
    Ok(())
}
