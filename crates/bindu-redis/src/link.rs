//! Connections: to where, how they come back, and how long a call may take.

use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig};
use tokio::task::AbortHandle;
use url::Url;

use crate::RedisError;

/// How long the server may take to answer a command, unless the command waits by itself.
pub(crate) const ANSWER: Duration = Duration::from_millis(1_500);

/// How often and how far apart connecting is tried at the start.
const TRIES: u32 = 3;

/// Connections are ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    builder: Builder,
    server: Box<str>,
    routers: Vec<AbortHandle>,
}

impl Drop for Link {
    fn drop(&mut self) {
        for router in &self.routers {
            router.abort();
        }
    }
}

/// Host and port of an address, for logs and errors: the rest may hold a password.
pub(crate) fn server(url: &str) -> Box<str> {
    match Url::parse(url) {
        Ok(url) => {
            format!("{}:{}", url.host_str().unwrap_or("?"), url.port().unwrap_or(6379)).into()
        }
        Err(_) => "?".into(),
    }
}

impl Link {
    pub(crate) fn new(url: &str) -> Result<Self, RedisError> {
        let parsed = Url::parse(url).map_err(|_| RedisError::Address("it is not a URL"))?;
        match parsed.scheme() {
            "redis" => {}
            "rediss" if cfg!(feature = "tls") => {}
            "rediss" => {
                return Err(RedisError::Address(
                    "rediss:// needs a build with the feature `tls` of bindu-redis",
                ));
            }
            _ => return Err(RedisError::Address("it begins with neither redis:// nor rediss://")),
        }
        // The client's own error may repeat parts of the address.
        let config = Config::from_url_centralized(url)
            .map_err(|_| RedisError::Address("host, port or database are not right"))?;
        let mut builder = Builder::from_config(config);
        builder
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                // Whoever asks tries again, and knows until when.
                connection.max_command_attempts = 1;
                connection.reconnect_on_auth_error = true;
                connection.auto_client_setname = true;
                connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            })
            .set_policy(ReconnectPolicy::Exponential {
                attempts: 0,
                max_attempts: 0,
                min_delay: 50,
                max_delay: 1_000,
                base: 2,
                jitter: 50,
            });
        Ok(Self { builder, server: server(url), routers: Vec::new() })
    }

    /// A connection for commands that are answered at once.
    pub(crate) async fn commands(&mut self) -> Result<Client, RedisError> {
        self.builder
            .with_connection_config(|connection| {
                connection.unresponsive = UnresponsiveConfig {
                    max_timeout: Some(2 * ANSWER),
                    interval: Duration::from_secs(1),
                };
            })
            .with_performance_config(|performance| performance.default_command_timeout = ANSWER);
        let client = self.builder.build().map_err(|error| self.failed(error))?;
        self.open(client).await
    }

    /// A connection for one command at a time that waits on the server.
    pub(crate) async fn waiting(&mut self, longest: Duration) -> Result<Client, RedisError> {
        self.builder
            .with_connection_config(|connection| {
                connection.unresponsive = UnresponsiveConfig::default();
            })
            .with_performance_config(|performance| {
                performance.default_command_timeout = longest + ANSWER;
            });
        let client = self.builder.build().map_err(|error| self.failed(error))?;
        self.open(client).await
    }

    /// A connection that listens.
    pub(crate) async fn subscriber(&mut self) -> Result<SubscriberClient, RedisError> {
        let client = self.builder.build_subscriber_client().map_err(|error| self.failed(error))?;
        self.open(client).await
    }

    async fn open<C: ClientLike>(&mut self, client: C) -> Result<C, RedisError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match client.init().await {
                Ok(router) => {
                    self.routers.push(router.abort_handle());
                    return Ok(client);
                }
                Err(error) if tried < TRIES && *error.kind() == ErrorKind::IO => {
                    tokio::time::sleep(Duration::from_millis(500) * 2_u32.pow(tried)).await;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Ends another task with the connections.
    pub(crate) fn also(&mut self, task: AbortHandle) {
        self.routers.push(task);
    }

    pub(crate) fn failed(&self, error: Error) -> RedisError {
        RedisError::Connect { server: self.server.clone(), source: Box::new(error) }
    }
}
