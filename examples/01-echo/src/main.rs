//! # 1. The smallest agent
//!
//! Teaches: what it takes to put a function on the wire. The function is given a [`Turn`], what
//! was said, and answers with a [`Reply`]. Everything else is made for it: an identity (a key and
//! a DID, kept in `.bindu/`), a card by which others find it, tasks with ids and states, and a
//! signature on whatever it answers.
//!
//! Run it:
//!
//! ```text
//! cargo run -p example-echo
//! ```
//!
//! and talk to it from another terminal:
//!
//! ```text
//! curl http://localhost:3773/.well-known/agent-card.json
//! curl http://localhost:3773 -d '{"jsonrpc": "2.0", "id": 1, "method": "message/send",
//!   "params": {"message": {"role": "user", "messageId": "m-1",
//!     "parts": [{"kind": "text", "text": "hello"}]}}}'
//! ```
//!
//! `BINDU_HOST` and `BINDU_PORT` move it elsewhere, as they do with every agent. Ctrl-C ends it:
//! what runs is finished first.

use bindu::{AgentConfig, Reply, StartError, Turn};

fn main() -> Result<(), StartError> {
    let config = AgentConfig {
        description: "Says what you say".into(),
        ..AgentConfig::new("ann@example.com", "echo")
    };
    bindu::bindufy(config, async |turn: Turn| Ok(Reply::text(turn.text())))
}
