//! Runs the script that changes the queue.

use std::fmt::Write as _;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, LuaInterface};
use fred::types::{CustomCommand, FromValue, Value};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

const TEXT: &str = include_str!("script.lua");

/// The group that all workers of an agent belong to.
pub(crate) const GROUP: &str = "workers";

/// The keys of one agent, and the script that works on them.
#[derive(Debug)]
pub(crate) struct Script {
    hash: String,
    base: String,
    queue: String,
    window: usize,
}

impl Script {
    pub(crate) fn new(agent: &str, window: usize) -> Self {
        let mut hash = String::with_capacity(40);
        for byte in digest(&SHA1_FOR_LEGACY_USE_ONLY, TEXT.as_bytes()).as_ref() {
            let _ = write!(hash, "{byte:02x}");
        }
        // Braces, so that all keys of an agent are in one slot of a cluster.
        let base = format!("bindu:{{{agent}}}:");
        Self { hash, queue: format!("{base}q"), base, window }
    }

    /// The stream.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// Another key of the agent.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    /// Runs one operation. A server that lost its data gets the script and the group again.
    pub(crate) async fn run<R: FromValue>(
        &self,
        client: &Client,
        op: &'static str,
        args: Vec<Value>,
    ) -> Result<R, Error> {
        self.run_on(client, vec![self.queue.clone()], op, args).await
    }

    /// Runs an operation on more keys than the stream.
    pub(crate) async fn run_on<R: FromValue>(
        &self,
        client: &Client,
        keys: Vec<String>,
        op: &'static str,
        args: Vec<Value>,
    ) -> Result<R, Error> {
        let mut all = Vec::with_capacity(args.len() + 3);
        all.push(Value::from(self.base.as_str()));
        all.push(Value::from(op));
        all.push(Value::from(self.window.to_string()));
        all.extend(args);
        let mut made_group = false;
        loop {
            let result = client
                .evalsha::<Value, _, _, _>(self.hash.as_str(), keys.clone(), all.clone())
                .await;
            let result = match result {
                Err(error) if error.details().starts_with("NOSCRIPT") => {
                    client.eval::<Value, _, _, _>(TEXT, keys.clone(), all.clone()).await
                }
                other => other,
            };
            match result {
                Err(error) if !made_group && is_missing(&error) => {
                    made_group = true;
                    self.make_group(client).await?;
                }
                other => return other?.convert(),
            }
        }
    }

    /// Makes the stream and its group, unless they are there.
    pub(crate) async fn make_group(&self, client: &Client) -> Result<(), Error> {
        let command = CustomCommand::new_static("XGROUP", None::<u16>, false);
        let args = ["CREATE", self.queue.as_str(), GROUP, "0", "MKSTREAM"];
        match client.custom::<Value, _>(command, args.to_vec()).await {
            Err(error) if !error.details().starts_with("BUSYGROUP") => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the stream or its group is not there, as after a flush.
pub(crate) fn is_missing(error: &Error) -> bool {
    let details = error.details();
    details.contains("NOGROUP") || details.contains("no such key")
}

/// Whether trying again may help.
pub(crate) fn is_passing(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Backpressure => true,
        _ => ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN"]
            .iter()
            .any(|code| error.details().starts_with(code)),
    }
}
