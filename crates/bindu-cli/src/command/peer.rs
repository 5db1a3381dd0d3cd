use std::time::Duration;

use anyhow::Result;
use bindu_client::Client;
use bindu_http::client::RetryPolicy;
use bindu_protocol::Dialect;
use clap::ValueEnum;

/// Which agent, and how to speak to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Peer {
    /// The agent's URL, such as `http://localhost:3773`.
    url: String,
    /// How to speak to it: as its card says, as Bindu's Python reference, or plain A2A 0.3.
    #[arg(long, value_enum, default_value_t = Spoken::Auto)]
    dialect: Spoken,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    Auto,
    Reference,
    #[value(name = "0.3")]
    V0_3,
}

impl Peer {
    pub(crate) fn client(&self) -> Result<Client> {
        // Someone is waiting: an agent that is gone should be known to be within two seconds.
        let retry = RetryPolicy {
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(5),
            ..RetryPolicy::default()
        };
        let builder = Client::builder(&self.url).retry(retry);
        Ok(match self.dialect {
            Spoken::Auto => builder.auto_dialect(),
            Spoken::Reference => builder.dialect(Dialect::Reference),
            Spoken::V0_3 => builder.dialect(Dialect::V0_3),
        }
        .build()?)
    }

    /// As it was given.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Reads a number of seconds, also a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
