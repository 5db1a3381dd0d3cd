//! A schema of its own for each test, on the server that the environment names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bindu_postgres::{PostgresConfig, PostgresStore};
use tokio_postgres::{Client, NoTls};

/// The server's address.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment where the server is"
)]
pub(crate) fn url() -> String {
    std::env::var("DATABASE_URL").expect("run it through cargo xtask test, or set DATABASE_URL")
}

/// A schema that nobody else has.
pub(crate) fn schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("bindu_test_{}_{}_{number}", std::process::id(), fastrand::u32(..))
}

pub(crate) fn config(schema: &str) -> PostgresConfig {
    let mut config = PostgresConfig::new(url());
    config.schema = Some(schema.to_owned());
    config.pool_max = 4;
    config.pool_timeout = Duration::from_secs(30);
    config.queue_connections = 2;
    config
}

pub(crate) async fn store() -> PostgresStore {
    open(&config(&schema())).await
}

pub(crate) async fn open(config: &PostgresConfig) -> PostgresStore {
    PostgresStore::open(config.clone()).await.expect("a database can be opened")
}

/// A connection beside the store's, as another program has it.
pub(crate) async fn psql() -> Client {
    let (client, connection) =
        tokio_postgres::connect(&url(), NoTls).await.expect("the server takes a connection");
    tokio::spawn(connection);
    client
}
