//! # 2. A conversation
//!
//! Teaches two things beyond [the echo](../01-echo/src/main.rs):
//!
//! - **Asking back.** [`Reply::input_required`] pauses the task. The caller's next message names
//!   the task and brings a new [`Turn`] of it, with all that was said before.
//! - **Remembering.** Tasks that belong together share a context. With
//!   `enable_context_based_history` a turn also has the messages of the context's earlier tasks.
//!
//! Run it:
//!
//! ```text
//! cargo run -p example-conversation
//! ```
//!
//! and from another terminal order something without saying what colour:
//!
//! ```text
//! curl http://localhost:3773 -d '{"jsonrpc": "2.0", "id": 1, "method": "message/send",
//!   "params": {"message": {"role": "user", "messageId": "m-1",
//!     "parts": [{"kind": "text", "text": "paint the door"}]}}}'
//! ```
//!
//! The answer's `status` is `input-required`, with the question. Answer it by naming the task:
//! put its `id` into the message as `"taskId"`, with a new `messageId` and the text `green`. Then
//! begin a new task in the same context: `"contextId"` instead of `"taskId"`, and the text
//! `paint the fence in the same colour`.

use std::sync::Arc;

use bindu::protocol::{Message, Role};
use bindu::{AgentConfig, HandlerError, Reply, StartError, Turn};

const COLOURS: [&str; 6] = ["blue", "green", "orange", "red", "white", "yellow"];

fn main() -> Result<(), StartError> {
    let config = AgentConfig {
        description: "Paints things, and asks for the colour".into(),
        enable_context_based_history: true,
        ..AgentConfig::new("ann@example.com", "painter")
    };
    bindu::bindufy(config, paint)
}

/// Paints what the task's first message names, in the colour that was named last.
async fn paint(turn: Turn) -> Result<Reply, HandlerError> {
    // The messages of this task: the order, then questions and answers if there were any.
    let own = turn.own_messages();
    // What comes before them belongs to earlier tasks of the same context.
    let earlier = &turn.messages()[..turn.messages().len() - own.len()];

    let order = own.first().map(|message| message.text()).unwrap_or_default();
    let Some(thing) = thing_in(&order) else {
        return Ok(Reply::rejected("I only paint. Say for example: paint the door"));
    };
    let colour = match last_colour(own) {
        None if order.contains("same colour") => last_colour(earlier),
        named => named,
    };
    Ok(match colour {
        Some(colour) => Reply::text(format!("I painted {thing} {colour}.")),
        None => Reply::input_required(format!("Which colour: {}?", COLOURS.join(", "))),
    })
}

/// What is to be painted: `the door` of `paint the door green, please`.
fn thing_in(order: &str) -> Option<String> {
    let order = order.to_lowercase();
    let words = order.split_whitespace().skip_while(|word| *word != "paint").skip(1);
    let thing: Vec<&str> = words.take(2).collect();
    (thing.len() == 2).then(|| thing.join(" "))
}

/// The colour that the caller named last.
fn last_colour(messages: &[Arc<Message>]) -> Option<&'static str> {
    let mut by_caller = messages.iter().rev().filter(|message| message.role == Role::User);
    by_caller.find_map(|message| {
        let text = message.text().to_lowercase();
        COLOURS.into_iter().find(|colour| text.contains(colour))
    })
}
