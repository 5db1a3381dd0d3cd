//! The agent that is treated badly, and the webhooks that treat it badly.

use std::net::SocketAddr;
use std::time::Duration;

use bindu::{Agent, AgentConfig, Chunk, HandlerError, Reply, Running, Settings, Turn};
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The largest body that the agent takes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// How long the head of a request may take.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Small limits, so that a minute reaches them all.
const SETTINGS: &[(&str, &str)] = &[
    ("STORAGE__MEMORY_MAX_TASKS", "500"),
    ("LIMITS__MAX_BODY_BYTES", "65536"),
    ("LIMITS__STREAM_BACKLOG", "256"),
    ("LIMITS__HEADER_TIMEOUT", "2s"),
    ("LIMITS__IDLE_TIMEOUT", "5s"),
    ("LIMITS__MAX_CONNECTIONS", "200"),
    ("WORKER__CONCURRENCY", "16"),
    ("WEBHOOK__TIMEOUT", "500ms"),
    ("WEBHOOK__MAX_ATTEMPTS", "2"),
    ("WEBHOOK__ALLOW_PRIVATE", "true"),
];

/// An agent, and webhooks that are no help.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) agent: Running,
    pub(super) address: SocketAddr,
    /// Takes connections and never answers.
    pub(super) hanging: SocketAddr,
    /// Answers 500.
    pub(super) failing: SocketAddr,
    receivers: [JoinHandle<()>; 2],
    _keys: TempDir,
}

impl Site {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let keys = tempfile::tempdir()?;
        let mut config = AgentConfig::new("soak@example.com", "soak");
        "http://127.0.0.1:0".clone_into(&mut config.deployment.url);
        config.capabilities.streaming = true;
        config.capabilities.push_notifications = true;
        let settings = Settings::from_vars(SETTINGS.iter().copied())?;
        let agent = Agent::builder(config, answer).settings(settings).directory(keys.path());
        let agent = agent.spawn().await?;
        let hanging = TcpListener::bind("127.0.0.1:0").await?;
        let failing = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            address: agent.local_addr(),
            hanging: hanging.local_addr()?,
            failing: failing.local_addr()?,
            receivers: [tokio::spawn(hang(hanging)), tokio::spawn(fail(failing))],
            agent,
            _keys: keys,
        })
    }

    /// Stops the agent, then the webhooks.
    pub(super) async fn stop(self, patience: Duration) {
        self.agent.stop(patience).await;
        for receiver in self.receivers {
            receiver.abort();
            // That it was aborted is no news.
            let _ = receiver.await;
        }
    }
}

/// What the agent does depends on what it is told.
async fn answer(turn: Turn) -> Result<Reply, HandlerError> {
    let text = turn.text().into_owned();
    let (word, number) = text.split_once(' ').unwrap_or((&text, ""));
    let number = number.parse().unwrap_or(0);
    match word {
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            Ok(Reply::text(text))
        }
        "stream" => Ok(Reply::stream(stream::iter(0..number).then(async |number| {
            tokio::task::yield_now().await;
            Ok(Chunk::from(format!("{number} ")))
        }))),
        "ask" if !turn.is_continuation() => Ok(Reply::input_required("which one?")),
        "fail" => Err("as it was told to".into()),
        _ => Ok(Reply::text(text)),
    }
}

/// Reads what comes, and never answers.
async fn hang(listener: TcpListener) {
    let mut open = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        while open.try_join_next().is_some() {}
        open.spawn(async move {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        });
    }
}

/// Answers 500 to whatever comes, and closes.
async fn fail(listener: TcpListener) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let mut open = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        while open.try_join_next().is_some() {}
        open.spawn(async move {
            let mut buffer = [0; 16 * 1024];
            // Whether the agent hears it is the agent's trouble.
            if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(ANSWER).await;
            }
        });
    }
}
