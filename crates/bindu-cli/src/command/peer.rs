use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Context as _, Result, bail};
use bindu::settings::{HydraSettings, Settings};
use bindu_client::{Client, ClientBuilder, ClientError, Principal, PrincipalConfig};
use bindu_did::Did;
use bindu_did::key_dir::KeyDirError;
use bindu_did::pins::{self, Pins};
use bindu_http::client::{Client as HttpClient, RetryPolicy, Tls};
use bindu_protocol::Dialect;
use clap::ValueEnum;

/// Where the keys of agents that were met are kept, beside the identity that met them: where the
/// agent of that identity keeps them too.
const KNOWN_AGENTS: &str = "pins.json";

/// Which agent, how to speak to it, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Peer {
    /// The agent's URL, such as `http://localhost:3773`.
    url: String,
    /// How to speak to it: as its card says, as Bindu's Python reference, or plain A2A 0.3.
    #[arg(long, value_enum, default_value_t = Spoken::Auto)]
    dialect: Spoken,
    #[command(flatten)]
    caller: Caller,
    /// Call no agent but this one.
    #[arg(long, value_name = "DID")]
    expect: Option<Did>,
}

/// As whom to call.
#[derive(Debug, clap::Args)]
pub(crate) struct Caller {
    /// Call as the identity in this directory: sign, and show its token and its certificate, as
    /// far as there are any.
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// Which one, if the directory has several.
    #[arg(long = "as", value_name = "DID", requires = "identity")]
    did: Option<Did>,
}

/// An identity, and the keys of the agents that it has met.
#[derive(Debug)]
pub(crate) struct Somebody {
    principal: Principal,
    pins: Arc<Pins>,
}

impl Caller {
    /// The identity to call as; `None` to call as nobody.
    pub(crate) async fn somebody(&self) -> Result<Option<Somebody>> {
        let Some(dir) = &self.identity else { return Ok(None) };
        let file = Some(dir.join(KNOWN_AGENTS));
        let principal = principal(dir, self.did.as_ref()).await?;
        let pins = Pins::open(pins::Config { file, ..pins::Config::default() })?;
        Ok(Some(Somebody { principal, pins: Arc::new(pins) }))
    }

    /// Begins a client of an agent.
    pub(crate) fn builder(url: &str, somebody: Option<&Somebody>) -> ClientBuilder {
        // Someone is waiting: an agent that is gone should be known to be within two seconds.
        let retry = RetryPolicy {
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(5),
            ..RetryPolicy::default()
        };
        let builder = Client::builder(url).retry(retry);
        match somebody {
            Some(Somebody { principal, pins }) => builder.call_as(principal).pins(Arc::clone(pins)),
            None => builder,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    Auto,
    Reference,
    #[value(name = "0.3")]
    V0_3,
}

impl Peer {
    pub(crate) async fn client(&self) -> Result<Client> {
        let somebody = self.caller.somebody().await?;
        let mut builder = Caller::builder(&self.url, somebody.as_ref());
        if let Some(did) = &self.expect {
            builder = builder.expect_did(did.clone());
        }
        Ok(match self.dialect {
            Spoken::Auto => builder.auto_dialect(),
            Spoken::Reference => builder.dialect(Dialect::Reference),
            Spoken::V0_3 => builder.dialect(Dialect::V0_3),
        }
        .build()?)
    }

    /// Whether the call is made as an identity.
    pub(crate) const fn is_somebody(&self) -> bool {
        self.caller.identity.is_some()
    }

    /// The URL as it was given, and the identity: for the next command.
    pub(crate) fn arguments(&self) -> String {
        let identity =
            self.caller.identity.as_deref().map(|dir| format!("--identity {}", word(dir)));
        let did = self.caller.did.as_ref().map(|did| format!("--as {did}"));
        let all = iter::once(self.url.clone()).chain(identity).chain(did);
        all.collect::<Vec<_>>().join(" ")
    }
}

/// A path as one word for a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@:".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

async fn principal(dir: &Path, did: Option<&Did>) -> Result<Principal> {
    let hydra = Settings::load()?.hydra;
    let mut config = PrincipalConfig::new(dir);
    config.keys.known_did = did.cloned();
    config.hydra_url = hydra
        .public_url
        .parse()
        .with_context(|| format!("HYDRA__PUBLIC_URL is {:?}", hydra.public_url))?;
    config.hydra_http = hydra_http(&hydra)?;
    let error = match Principal::read(config).await {
        Ok(principal) => return Ok(principal),
        Err(error) => error,
    };
    let ClientError::Identity(source) = &error else { return Err(error.into()) };
    match source.downcast_ref::<KeyDirError>() {
        Some(KeyDirError::NoIdentity { .. }) => {
            bail!("{source}; make one with: bindu did new --dir {}", word(dir))
        }
        Some(KeyDirError::WhichIdentity { .. }) => bail!("{source}, with --as DID"),
        _ => Err(error.into()),
    }
}

/// What asks Hydra, if what the system trusts is not what the settings say.
fn hydra_http(settings: &HydraSettings) -> Result<Option<HttpClient>> {
    let tls = match &settings.ca_file {
        _ if !settings.verify_ssl => Tls::dangerously_unverified(),
        None => return Ok(None),
        Some(file) => {
            let pem = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            Tls::with_roots(&pem, true)
                .with_context(|| format!("understanding {}", file.display()))?
        }
    };
    Ok(Some(HttpClient::builder().connector(Arc::new(tls)).build()))
}

/// Reads a number of seconds, also a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_called_as_the_same() {
        let peer = Peer {
            url: "http://h".to_owned(),
            dialect: Spoken::Auto,
            caller: Caller {
                identity: Some("my keys/.bindu".into()),
                did: "did:bindu:a:b:c".parse().ok(),
            },
            expect: None,
        };
        assert_eq!(peer.arguments(), "http://h --identity 'my keys/.bindu' --as did:bindu:a:b:c");
        assert_eq!(word(Path::new("it's")), r"'it'\''s'");
    }
}
