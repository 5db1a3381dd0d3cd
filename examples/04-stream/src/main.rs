//! # 4. Word by word
//!
//! Teaches: an answer that reaches its caller while it is made. [`Reply::stream`] takes a stream
//! of [`Chunk`]s; each is stored as an event of the task and leaves at once to whoever follows
//! it. At the end the task has one artifact, which is all the chunks together, so a caller of
//! `message/send` or `tasks/get` gets the same answer in one piece.
//!
//! The card says that the agent streams; A2A clients look there before they ask.
//!
//! Run it:
//!
//! ```text
//! cargo run -p example-stream
//! ```
//!
//! and watch the words arrive (`-N` keeps curl from holding them back):
//!
//! ```text
//! curl -N http://localhost:3773 -d '{"jsonrpc": "2.0", "id": 1, "method": "message/stream",
//!   "params": {"message": {"role": "user", "messageId": "m-1",
//!     "parts": [{"kind": "text", "text": "the quick brown fox"}]}}}'
//! ```
//!
//! Each event has an `id:`. A reader whose connection breaks calls `tasks/resubscribe` with the
//! header `Last-Event-ID` and misses nothing.

use std::time::Duration;

use bindu::config::Capabilities;
use bindu::{AgentConfig, Chunk, HandlerError, Reply, StartError, Turn};
use futures_util::{StreamExt, stream};

/// The pause before each word, so that one sees them come.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> Result<(), StartError> {
    let config = AgentConfig {
        description: "Says what you say, a word at a time".into(),
        capabilities: Capabilities { streaming: true, ..Capabilities::default() },
        ..AgentConfig::new("ann@example.com", "word-by-word")
    };
    bindu::bindufy(config, speak)
}

async fn speak(turn: Turn) -> Result<Reply, HandlerError> {
    let text = turn.text();
    let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    let chunks = stream::iter(words).then(|word| async {
        tokio::time::sleep(PAUSE).await;
        Ok(Chunk::from(word))
    });
    Ok(Reply::stream(chunks))
}
