//! What each fixture agent does.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindu::loose::{self, Loose};
use bindu::protocol::{Content, Message, Part, Role};
use bindu::{AnyHandler, HandlerError, Reply, Turn};
use serde_json::{Map, Value, json};

type Answer = Result<Reply, HandlerError>;

/// The handler of an agent by name.
pub(super) fn of(agent: &str) -> Option<AnyHandler> {
    Some(match agent {
        "echo" | "plain" | "push" | "push_global" | "secured" | "secured_perms" | "private"
        | "paid" | "paid_multi" => AnyHandler::new(echo),
        "input_required" => AnyHandler::new(input_required),
        "auth_required" => AnyHandler::new(auth_required),
        "fail" => AnyHandler::new(fail),
        "messages" => AnyHandler::new(messages),
        "generator" => AnyHandler::new(generator),
        "async_generator" => AnyHandler::new(async_generator),
        "slow" => AnyHandler::new(slow),
        "data" => AnyHandler::new(data),
        "file" => AnyHandler::new(file),
        "large" => AnyHandler::new(large),
        "inspect" | "inspect_context" => AnyHandler::new(inspect),
        "script" | "script_push" => AnyHandler::new(script),
        _ => return None,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "every handler ends with it")]
fn value(value: Value) -> Answer {
    Ok(loose::reply(value))
}

async fn echo(turn: Turn) -> Answer {
    Ok(Reply::text(turn.text()))
}

async fn input_required(turn: Turn) -> Answer {
    let text = turn.text();
    value(match text.split_once("colour:") {
        Some((_, colour)) => format!("painted {}", colour.trim()).into(),
        None => json!({ "state": "input-required", "prompt": "Which colour?" }),
    })
}

async fn auth_required(turn: Turn) -> Answer {
    value(if turn.text().contains("token:") {
        "signed in".into()
    } else {
        json!({
            "state": "auth-required",
            "prompt": "Please sign in",
            "auth_type": "oauth2",
            "service": "paintshop",
        })
    })
}

async fn fail(turn: Turn) -> Answer {
    Err(format!("boom: {}", turn.text()).into())
}

async fn messages(turn: Turn) -> Answer {
    value(json!([
        { "role": "assistant", "content": "first" },
        { "role": "assistant", "content": format!("last: {}", turn.text()) },
    ]))
}

async fn generator(turn: Turn) -> Answer {
    let yields = vec!["one".into(), "two".into(), format!("three {}", turn.text()).into()];
    Ok(loose::reply(Loose::Generator(yields)))
}

async fn async_generator(turn: Turn) -> Answer {
    let mut yields = Vec::new();
    for word in ["uno".to_owned(), "dos".to_owned(), format!("tres {}", turn.text())] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        yields.push(Value::from(word));
    }
    Ok(loose::reply(Loose::Generator(yields)))
}

async fn slow(turn: Turn) -> Answer {
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(Reply::text(format!("slow {}", turn.text())))
}

async fn data(turn: Turn) -> Answer {
    value(json!({
        "answer": 42,
        "label": turn.text(),
        "nested": { "ok": true, "ratio": 0.5, "none": null },
        "items": [1, "two", false],
    }))
}

async fn file(turn: Turn) -> Answer {
    value(json!({
        "kind": "file",
        "file": {
            "bytes": STANDARD.encode(turn.text().as_bytes()),
            "mimeType": "text/plain",
            "name": "note.txt",
        },
        "text": "",
    }))
}

async fn large(turn: Turn) -> Answer {
    let bytes: usize = turn.text().trim().parse()?;
    Ok(Reply::text("0123456789abcdef".repeat(bytes / 16)))
}

async fn inspect(turn: Turn) -> Answer {
    let lines: Vec<String> = turn.messages().iter().map(|message| seen(message)).collect();
    Ok(Reply::text(lines.join("\n")))
}

/// One message as the inspecting agents tell it.
fn seen(message: &Message) -> String {
    if message.role == Role::System {
        return "system".to_owned();
    }
    let parts: Vec<String> = message.parts.iter().map(seen_part).collect();
    format!("{}:{}", message.role.as_str(), parts.join("|"))
}

fn seen_part(part: &Part) -> String {
    match &part.content {
        Content::Text(text) => format!("text={text}"),
        Content::Data { data, .. } => format!("data={}", data.to_value()),
        Content::File { file, .. } => {
            let mut line = "file=".to_owned();
            let (name, mime) = (file.name.as_deref(), file.mime_type.as_deref());
            // Writing to a string cannot fail.
            let _ = write!(line, "{},{}", name.unwrap_or_default(), mime.unwrap_or_default());
            line
        }
        _ => "?".to_owned(),
    }
}

async fn script(turn: Turn) -> Answer {
    let script: Map<String, Value> = serde_json::from_str(&turn.text())?;
    if let Some(raise) = script.get("raise") {
        return Err(raise.as_str().unwrap_or_default().to_owned().into());
    }
    if let Some(Value::Array(yields)) = script.get("yield") {
        return Ok(loose::reply(Loose::Generator(yields.clone())));
    }
    value(script.get("return").cloned().unwrap_or(Value::Null))
}
