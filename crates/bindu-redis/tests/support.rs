//! What the tests share.

use bindu_protocol::Owner;
use bindu_redis::{RedisConfig, RedisScheduler};
use bindu_scheduler::{Job, Scheduler as _};
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::Config;
use fred::types::{Builder, CustomCommand, FromValue};

/// Where the tests' Redis is.
#[allow(clippy::disallowed_methods, reason = "tests are told by the environment where servers are")]
pub(crate) fn url() -> String {
    std::env::var("REDIS_URL")
        .expect("run it through cargo xtask test, or set REDIS_URL to the address of a Redis")
}

/// A queue that nobody else uses.
pub(crate) fn config() -> RedisConfig {
    RedisConfig::new(url(), uuid::Uuid::new_v4().to_string())
}

pub(crate) async fn connect(config: &RedisConfig) -> RedisScheduler {
    RedisScheduler::connect(config.clone()).await.expect("a Redis that answers")
}

pub(crate) fn job(owner: &str, context: &str, number: usize) -> Job {
    Job {
        task: format!("{context}-{number}").parse().expect("an id"),
        version: 1,
        context: context.parse().expect("an id"),
        owner: Owner::from(Some(owner.to_owned())),
        trace: None,
    }
}

pub(crate) async fn push_all(queue: &RedisScheduler, jobs: impl IntoIterator<Item = Job>) {
    for job in jobs {
        queue.push(job).await.expect("an open queue takes jobs");
    }
}

/// A connection of the test's own.
pub(crate) struct Raw {
    client: Client,
    agent: String,
}

impl Raw {
    pub(crate) async fn connect(config: &RedisConfig) -> Self {
        let client = Builder::from_config(Config::from_url(&config.url).expect("an address"))
            .build()
            .expect("a configuration that can be used");
        client.init().await.expect("a Redis that answers");
        Self { client, agent: config.agent.clone() }
    }

    /// The name of one of the agent's keys.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("bindu:{{{}}}:{name}", self.agent)
    }

    pub(crate) async fn run<R: FromValue>(&self, command: &'static str, args: &[&str]) -> R {
        let command = CustomCommand::new_static(command, None::<u16>, false);
        self.client.custom(command, args.to_vec()).await.expect("a command that works")
    }

    /// The dead letters, each as its fields.
    pub(crate) async fn dead_letters(&self) -> Vec<Vec<String>> {
        let entries: Vec<(String, Vec<String>)> =
            self.run("XRANGE", &[&self.key("dlq"), "-", "+"]).await;
        entries.into_iter().map(|(_, fields)| fields).collect()
    }
}

/// The value of a field.
pub(crate) fn field<'a>(fields: &'a [String], name: &str) -> &'a str {
    let pair = fields.chunks(2).find(|pair| pair[0] == name);
    pair.map_or_else(|| panic!("no field {name} in {fields:?}"), |pair| &pair[1])
}
