//! Who a program is to the agents it calls, from the directory of an identity.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use bindu_did::Did;
use bindu_did::key_dir::{self, Identity};
use bindu_http::client::Client as HttpClient;
use url::Url;

use crate::{ClientBuilder, ClientError};

/// Who a program is to the agents it calls: an identity, and what proves it.
///
/// Read from the directory of an agent, or of `bindu did new`:
///
/// | file | what it is for | feature |
/// |---|---|---|
/// | `private.pem`, `did.json` | every request is signed | |
/// | `oauth_credentials.json` | tokens of Hydra, with the scopes `agent:read` and `agent:write` | `hydra` |
/// | `tls_cert.pem`, `tls_key.pem`, `ca_bundle.pem` | the client certificate, and the private authority | `mtls` |
///
/// The first two must be there; what is not cannot be shown to an agent that asks for it.
/// Cheap to clone.
///
/// ```no_run
/// use bindu_client::{Client, Principal};
///
/// # async fn example() -> Result<(), bindu_client::ClientError> {
/// let me = Principal::open(".bindu").await?;
/// let agent = Client::builder("https://agent.example.com").call_as(&me).build()?;
/// println!("{}", agent.send_task("hello").await?.id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Principal {
    identity: Arc<Identity>,
    #[cfg(feature = "hydra")]
    tokens: Option<bindu_hydra::Tokens>,
    #[cfg(feature = "mtls")]
    certificates: Option<bindu_mtls::Certificates>,
}

/// Where a [`Principal`] is read from, and whom it gets its tokens from.
#[derive(Clone, Debug)]
pub struct PrincipalConfig {
    /// The directory, and which of its identities; see [`key_dir::read`].
    pub keys: key_dir::Config,
    /// Hydra's public URL: tokens come from there, and it is the issuer that certificates
    /// name. Default `https://hydra.getbindu.com`.
    pub hydra_url: Url,
    /// The HTTP client that asks Hydra, for one behind a private authority. Default: one that
    /// trusts what the system trusts.
    pub hydra_http: Option<HttpClient>,
}

impl PrincipalConfig {
    /// The identity in a directory, and the default for everything else.
    ///
    /// # Panics
    ///
    /// Never: the default is a URL.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            keys: key_dir::Config { dir: dir.into(), ..key_dir::Config::default() },
            hydra_url: Url::parse("https://hydra.getbindu.com").expect("the default is a URL"),
            hydra_http: None,
        }
    }
}

fn unusable(error: impl Error + Send + Sync + 'static) -> ClientError {
    ClientError::Identity(Box::new(error))
}

impl Principal {
    /// The identity in a directory that holds one, with tokens from the public Hydra.
    ///
    /// # Errors
    ///
    /// [`ClientError::Identity`] if there is none, there are several, or what is there cannot
    /// be used: a key that others can read, a certificate that has ended.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Self, ClientError> {
        Self::read(PrincipalConfig::new(dir)).await
    }

    /// As [`open`](Self::open), with a choice of everything.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn read(config: PrincipalConfig) -> Result<Self, ClientError> {
        let keys = config.keys.clone();
        // A key under a password takes a while.
        let read = tokio::task::spawn_blocking(move || key_dir::read(&keys)).await;
        let identity = read.map_err(unusable)?.map_err(unusable)?;
        Ok(Self {
            #[cfg(feature = "hydra")]
            tokens: tokens(&config, identity.did())?,
            #[cfg(feature = "mtls")]
            certificates: certificates(&config, identity.did()).await?,
            identity: Arc::new(identity),
        })
    }

    /// The DID.
    #[must_use]
    pub fn did(&self) -> &Did {
        self.identity.did()
    }

    /// Key and DID.
    #[must_use]
    pub const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Whether there are credentials to get tokens with.
    #[cfg(feature = "hydra")]
    #[must_use]
    pub const fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// The certificate, if there is one. A program that runs for long has
    /// [`keep`](bindu_mtls::Certificates::keep) follow what the agent of the directory renews.
    #[cfg(feature = "mtls")]
    #[must_use]
    pub const fn certificates(&self) -> Option<&bindu_mtls::Certificates> {
        self.certificates.as_ref()
    }
}

impl ClientBuilder {
    /// Calls as this principal: signs, and brings tokens and certificate as far as it has
    /// them. Short for [`identity`](Self::identity), [`tokens`](Self::tokens) and `mtls`.
    pub fn call_as(mut self, principal: &Principal) -> Self {
        self = self.identity(Arc::clone(&principal.identity));
        #[cfg(feature = "hydra")]
        if let Some(tokens) = &principal.tokens {
            self = self.tokens(tokens.clone());
        }
        #[cfg(feature = "mtls")]
        if let Some(certificates) = &principal.certificates {
            self = self.mtls(bindu_mtls::Connector::new(certificates.clone()));
        }
        self
    }
}

#[cfg(feature = "hydra")]
fn tokens(config: &PrincipalConfig, did: &Did) -> Result<Option<bindu_hydra::Tokens>, ClientError> {
    use bindu_http::client::Config as HttpConfig;
    use bindu_hydra::{Config, CredentialsFile, Hydra, Tokens};

    let keys = &config.keys;
    let file = keys.credentials_file.clone();
    let file = file.unwrap_or_else(|| keys.dir.join("oauth_credentials.json"));
    // Asked for before it is read: the reader moves aside what it does not understand.
    if !file.exists() {
        return Ok(None);
    }
    let Some(credentials) = CredentialsFile::at(file).load(did.as_str()).map_err(unusable)? else {
        return Ok(None);
    };
    let http = match &config.hydra_http {
        Some(http) => http.clone(),
        None => crate::client::default_http(HttpConfig::default(), &config.hydra_url)?,
    };
    let url = config.hydra_url.clone();
    let hydra = Hydra::new(&Config::new(url.clone(), url), http).map_err(unusable)?;
    Ok(Some(Tokens::new(hydra, credentials)))
}

#[cfg(feature = "mtls")]
async fn certificates(
    config: &PrincipalConfig,
    did: &Did,
) -> Result<Option<bindu_mtls::Certificates>, ClientError> {
    use bindu_mtls::{Certificates, Config, PeerRules};

    let issuer = config.hydra_url.as_str().trim_end_matches('/').to_owned();
    let config = Config {
        directory: config.keys.dir.clone(),
        peers: PeerRules { issuer, ..PeerRules::default() },
        ..Config::new(did.clone())
    };
    let there = |file: &str| config.directory.join(file).exists();
    if !there(&config.cert_file) || !there(&config.key_file) {
        return Ok(None);
    }
    Certificates::from_files(config).await.map(Some).map_err(unusable)
}
