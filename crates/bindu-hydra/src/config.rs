use std::time::Duration;

use url::Url;

/// Where Hydra is, and how long and how often it is asked.
///
/// ```
/// use bindu_hydra::Config;
///
/// let config = Config::new("http://127.0.0.1:4445".parse()?, "http://127.0.0.1:4444".parse()?);
/// assert_eq!(config.timeout.as_secs(), 10);
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The admin API: clients and introspection. A path is kept as a prefix.
    pub admin_url: Url,
    /// The public API: tokens and their revocation. A path is kept as a prefix.
    pub public_url: Url,
    /// How long one answer may take, waiting for a turn and one quick retry included.
    /// A [patient](crate::Hydra::patient) handle gives each attempt this time. Default 10 s.
    pub timeout: Duration,
    /// Attempts in all of a [patient](crate::Hydra::patient) handle. Default 4.
    pub attempts: u32,
    /// The shortest pause between attempts of a patient handle. Default 1 s.
    pub min_delay: Duration,
    /// The longest pause between attempts of a patient handle. Default 15 s.
    pub max_delay: Duration,
    /// Failures in a row after which Hydra counts as away, for each of the two URLs.
    /// Default 3.
    pub failure_threshold: u32,
    /// While Hydra is away, one request in this time goes out to see whether it is back;
    /// all others fail at once. Default 1 s.
    pub probe_interval: Duration,
    /// Requests under way at once, those of patient handles not counted; further ones wait
    /// within their [`timeout`](Self::timeout). Default 64.
    pub max_concurrent: usize,
}

impl Config {
    /// These URLs, and the default for everything else.
    #[must_use]
    pub fn new(admin_url: Url, public_url: Url) -> Self {
        Self {
            admin_url,
            public_url,
            timeout: Duration::from_secs(10),
            attempts: 4,
            min_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(15),
            failure_threshold: 3,
            probe_interval: Duration::from_secs(1),
            max_concurrent: 64,
        }
    }
}
