//! Where the database is, and how it is spoken to.

use std::fmt;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use url::Url;

use crate::PostgresError;
use crate::schema::schema_name;

/// Where the database is, whose tables are meant, and how long to wait.
///
/// ```
/// use bindu_postgres::PostgresConfig;
///
/// let config = PostgresConfig {
///     did: Some("did:bindu:alice:agent1:abc123".to_owned()),
///     ..PostgresConfig::new("postgresql://localhost/agents")
/// };
/// assert_eq!(config.schema_name(), "did_bindu_alice_agent1_abc123");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Where the database is: `postgres://`, `postgresql://` or `postgresql+asyncpg://`.
    /// Connections are not encrypted: a URL that requires it is refused, never weakened.
    pub url: String,
    /// The agent whose tables these are. Each agent has a schema of its own; without a DID it is
    /// `public`.
    pub did: Option<String>,
    /// Another schema than the DID's.
    pub schema: Option<String>,
    /// At most so many connections for tasks; 10 by default. The queue has
    /// [a few of its own](Self::queue_connections), and one more listens.
    pub pool_max: usize,
    /// How long to wait for a free connection; 5 s by default.
    pub pool_timeout: Duration,
    /// How long to wait for the server to take a connection; 1 s by default.
    pub connect_timeout: Duration,
    /// How long the server may take for one statement; 30 s by default, zero for any time.
    pub statement_timeout: Duration,
    /// How long changes are gathered before other processes are told; 5 ms by default.
    pub announce_every: Duration,
    /// At most so many connections for the queue, if there is one; 4 by default.
    pub queue_connections: usize,
    /// A job whose worker has been silent for so long is given to another; 60 s by default.
    pub visibility: Duration,
    /// With so many jobs waiting the queue says that it is full; 10,000 by default.
    pub queue_capacity: u64,
}

impl PostgresConfig {
    /// The defaults, with this database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            did: None,
            schema: None,
            pool_max: 10,
            pool_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(30),
            announce_every: Duration::from_millis(5),
            queue_connections: 4,
            visibility: Duration::from_mins(1),
            queue_capacity: 10_000,
        }
    }

    /// The schema of the agent's tables.
    #[must_use]
    pub fn schema_name(&self) -> String {
        match (&self.schema, &self.did) {
            (Some(schema), _) => schema.clone(),
            (None, Some(did)) => schema_name(did),
            (None, None) => "public".to_owned(),
        }
    }

    /// What the driver is given.
    pub(crate) fn driver(&self) -> Result<tokio_postgres::Config, PostgresError> {
        let schema = self.schema_name();
        if schema.is_empty() || schema.len() > 63 || schema.contains(['\'', '\0', '$']) {
            let problems = vec!["its name is not one that a schema can have".to_owned()];
            return Err(PostgresError::Layout { schema, problems });
        }
        let url = plain_url(&self.url)?;
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error: tokio_postgres::Error| {
                // The driver's text does not repeat the URL, which holds a password.
                PostgresError::Url(error.to_string())
            })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        config.ssl_mode(SslMode::Disable);
        config.connect_timeout(self.connect_timeout);
        config.tcp_user_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("bindu");
        }
        // Names are always qualified; a statement that forgets to be must not find anything. Each of
        // ours reads a few rows in the order of one index; a planner that remembers the table as it
        // was when empty would rather collect all and sort them.
        let ours = format!(
            "-c search_path=pg_catalog -c TimeZone=UTC -c jit=off -c enable_bitmapscan=off -c statement_timeout={} \
             -c idle_in_transaction_session_timeout=60000",
            self.statement_timeout.as_millis()
        );
        let options = match config.get_options() {
            Some(theirs) => format!("{theirs} {ours}"),
            None => ours,
        };
        config.options(options);
        Ok(config)
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.driver().map(|config| format!("{:?}", Hosts(config.get_hosts())));
        f.debug_struct("PostgresConfig")
            .field("hosts", &hosts.unwrap_or_default())
            .field("schema", &self.schema_name())
            .field("pool_max", &self.pool_max)
            .finish_non_exhaustive()
    }
}

struct Hosts<'a>(&'a [Host]);

impl fmt::Debug for Hosts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0).finish()
    }
}

/// The URL as the driver understands it: without what other drivers call things, and without a
/// wish for encryption that nobody would grant.
fn plain_url(text: &str) -> Result<String, PostgresError> {
    let rest = ["postgresql+asyncpg://", "postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Err(PostgresError::Url(
            "it must begin with postgresql:// or postgres://".to_owned(),
        ));
    };
    let text = format!("postgresql://{rest}");
    let Some((address, query)) = text.split_once('?') else { return Ok(text) };
    // Only to read the parameters: a list of hosts is no URL that this parser knows.
    let parsed = Url::parse(&format!("postgresql://h/?{query}"))
        .map_err(|error| PostgresError::Url(error.to_string()))?;
    for (key, value) in parsed.query_pairs() {
        if matches!(&*key, "ssl" | "sslmode")
            && !matches!(&*value, "disable" | "allow" | "prefer" | "false" | "0" | "")
        {
            return Err(PostgresError::Url(format!(
                "{key}={value} asks for an encrypted connection, which this build cannot make; \
                 use sslmode=disable on a trusted network, or a tunnel"
            )));
        }
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let key = pair.split('=').next().unwrap_or_default();
            !matches!(key, "ssl" | "sslmode" | "")
        })
        .collect();
    Ok(if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_other_drivers_are_understood() {
        for url in [
            "postgres://alice:s%40@db.example.com:5433/agents",
            "postgresql://alice:s%40@db.example.com:5433/agents?sslmode=disable",
            "postgresql+asyncpg://alice:s%40@db.example.com:5433/agents?ssl=prefer",
        ] {
            let driver = PostgresConfig::new(url).driver().unwrap();
            assert_eq!(driver.get_hosts(), [Host::Tcp("db.example.com".to_owned())], "{url}");
            assert_eq!(driver.get_ports(), [5433], "{url}");
            assert_eq!(driver.get_user(), Some("alice"), "{url}");
            assert_eq!(driver.get_password(), Some(&b"s@"[..]), "{url}");
            assert_eq!(driver.get_dbname(), Some("agents"), "{url}");
        }
    }

    #[test]
    fn a_wish_for_encryption_is_never_dropped() {
        for query in ["sslmode=require", "ssl=require", "sslmode=verify-full", "a=b&ssl=true"] {
            let config = PostgresConfig::new(format!("postgres://localhost/x?{query}"));
            let error = config.driver().unwrap_err();
            assert!(
                matches!(&error, PostgresError::Url(why) if why.contains("encrypted")),
                "{error}"
            );
        }
    }

    #[test]
    fn other_urls_are_refused_without_their_password() {
        let error = PostgresConfig::new("mysql://root:secret@h/x").driver().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let shown = format!("{:?}", PostgresConfig::new("postgres://u:secret@h/x"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
