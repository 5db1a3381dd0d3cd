use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bindu_did::Did;
use url::Url;

use crate::Fingerprint;

/// Where certificates come from, where they are kept, and whom they let in.
///
/// ```
/// use std::time::Duration;
///
/// use bindu_did::Did;
/// use bindu_mtls::{Config, RootSource};
///
/// let did: Did = "did:bindu:ann_at_example_com:echo:139e3940-e64b-5491-7220-88d9a0d74162".parse()?;
/// let config = Config {
///     ca_url: "https://127.0.0.1:9000".parse()?,
///     roots: RootSource::File("/etc/bindu/root.crt".into()),
///     cert_ttl: Duration::from_secs(3600),
///     ..Config::new(did)
/// };
/// assert_eq!(config.cert_file, "tls_cert.pem");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom the certificate must name: ourselves.
    pub did: Did,
    /// The step-ca to ask, by https. Default `https://ca.getbindu.com`.
    pub ca_url: Url,
    /// How we come to trust root certificates. Default: `https://ca.getbindu.com/roots.pem`,
    /// trusting what the system trusts.
    pub roots: RootSource,
    /// Whether step-ca's own certificate is verified. Default true. False sends tokens to
    /// whoever answers; pin the root instead ([`RootSource::Pinned`]). Matters for roots from a
    /// URL alone: with a root of your own, or a pinned one, it is verified in any case.
    pub verify_ca: bool,
    /// How long one call to step-ca may take. Default 10 s.
    pub timeout: Duration,
    /// How often [`Certificates::open`](crate::Certificates::open) asks for a certificate
    /// before it gives up, as long as another attempt may help. Default 4.
    pub attempts: u32,
    /// The life to ask for. Default 24 h.
    pub cert_ttl: Duration,
    /// A certificate is replaced when less than this remains, or less than a third of its
    /// life if that is shorter. Default 8 h.
    pub renew_before: Duration,
    /// How often the files are looked at for changes made by others. Default 60 s.
    pub check_files_every: Duration,
    /// Where the files are. Made with mode 0700 if missing. Default `.bindu`.
    pub directory: PathBuf,
    /// Leaf and intermediates. Default `tls_cert.pem`.
    pub cert_file: String,
    /// The private key, mode 0600. Default `tls_key.pem`.
    pub key_file: String,
    /// The root certificates. Default `ca_bundle.pem`.
    pub bundle_file: String,
    /// The last certificate request, for whoever looks for a fault. Default `tls.csr`.
    pub csr_file: String,
    /// Host names and IP addresses to ask for besides the DID. Most step-ca provisioners
    /// ignore them. Default none.
    pub hosts: Vec<String>,
    /// Whom to believe, and as whom.
    pub peers: PeerRules,
}

impl Config {
    /// The defaults, for an agent.
    #[must_use]
    pub fn new(did: Did) -> Self {
        Self {
            did,
            ca_url: url("https://ca.getbindu.com"),
            roots: RootSource::Url(url("https://ca.getbindu.com/roots.pem")),
            verify_ca: true,
            timeout: Duration::from_secs(10),
            attempts: 4,
            cert_ttl: Duration::from_hours(24),
            renew_before: Duration::from_hours(8),
            check_files_every: Duration::from_mins(1),
            directory: PathBuf::from(".bindu"),
            cert_file: "tls_cert.pem".into(),
            key_file: "tls_key.pem".into(),
            bundle_file: "ca_bundle.pem".into(),
            csr_file: "tls.csr".into(),
            hosts: Vec::new(),
            peers: PeerRules::default(),
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        Path::new(&self.directory).join(file)
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("the defaults are URLs")
}

/// How we come to trust root certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// A PEM bundle at a URL, fetched if there is none on disk, and at each renewal.
    /// Only as good as the trust in that URL's own certificate; so it must be https,
    /// unless it is on this machine.
    Url(Url),
    /// A PEM file that the operator brought.
    File(PathBuf),
    /// The SHA-256 of the root: step-ca is asked for it without being trusted, and only
    /// that certificate is believed. From then on it vouches for every call to step-ca.
    Pinned(Fingerprint),
}

/// Whom to believe, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRules {
    /// The OIDC issuer whose `<issuer>#<did>` in a certificate counts: Hydra's public URL,
    /// without the slash at its end. Default `https://hydra.getbindu.com`.
    pub issuer: String,
    /// DIDs that are refused in the handshake whatever their certificate says. Default
    /// none.
    pub denied: HashSet<Did>,
    /// What makes a server of the private authority the one that was called.
    pub identity: PeerIdentity,
    /// Whether servers with a certificate that the system trusts, for the URL's host, are
    /// believed too. Never applies to clients. Default true.
    pub public_roots: bool,
}

impl Default for PeerRules {
    fn default() -> Self {
        Self {
            issuer: "https://hydra.getbindu.com".into(),
            denied: HashSet::new(),
            identity: PeerIdentity::default(),
            public_roots: true,
        }
    }
}

/// What makes a server of the private authority the one that was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerIdentity {
    /// The DID in its certificate: the expected one, if one is expected. Certificates of
    /// step-ca hold no host names unless somebody arranged for it.
    #[default]
    Did,
    /// The URL's host, which must be in its certificate.
    Hostname,
    /// Its DID; or the URL's host, if it names no DID.
    Either,
}
