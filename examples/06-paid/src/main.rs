//! # 6. Paid work
//!
//! Teaches one thing beyond [the echo](../01-echo/src/main.rs): **a price**. With
//! [`execution_cost`](AgentConfig::execution_cost) a message costs something; who pays, how, and
//! what becomes of the money if the work fails, is the runtime's business, not the handler's.
//!
//! Run it, with its tasks and its account of payments in a file:
//!
//! ```text
//! STORAGE_TYPE=sqlite DATABASE_URL=sqlite:paid.db cargo run -p example-paid
//! ```
//!
//! and from another terminal ask for a poem without paying:
//!
//! ```text
//! curl -i http://localhost:3773 -d '{"jsonrpc": "2.0", "id": 1, "method": "message/send",
//!   "params": {"message": {"role": "user", "messageId": "m-1",
//!     "parts": [{"kind": "text", "text": "the sea"}]}}}'
//! ```
//!
//! The answer is HTTP 402 with what is asked for: a cent, in test money, on Base Sepolia. Any x402
//! client signs that and asks again; a person does it in a browser, at the `browser_url` of
//!
//! ```text
//! curl -X POST http://localhost:3773/api/start-payment-session
//! ```
//!
//! What came in, and what is owed back, `bindu payments balance` tells. Put an address of your own
//! in place of the one below: it is where the money goes.

use bindu::config::ExecutionCost;
use bindu::{AgentConfig, HandlerError, Reply, StartError, Turn};

const PAY_TO: &str = "0xa11ce0000000000000000000000000000000a11c";

fn main() -> Result<(), StartError> {
    let cent = ExecutionCost {
        amount: "0.01".into(),
        token: Some("USDC".into()),
        network: Some("base-sepolia".into()),
        pay_to_address: Some(PAY_TO.into()),
    };
    let config = AgentConfig {
        description: "Writes one line about anything, for a cent".into(),
        execution_cost: vec![cent],
        ..AgentConfig::new("ann@example.com", "poet")
    };
    bindu::bindufy(config, write)
}

/// Runs only once the money is there. If it fails, the payment is marked to be given back.
async fn write(turn: Turn) -> Result<Reply, HandlerError> {
    let subject = turn.text();
    if subject.trim().is_empty() {
        return Err("I need something to write about".into());
    }
    Ok(Reply::text(format!("O {subject}, so much of you, and I have but one line.")))
}
