//! Streams, whole and broken.

use bindu_client::{ClientError, EventStream};
use bindu_protocol::{Code, Dialect, StreamEvent};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::canned::{Canned, End, Result, Seen, answer, camel_task, events, snake_task};

fn status(state: &str, is_final: bool) -> Value {
    json!({ "kind": "status-update", "taskId": "t", "contextId": "c", "final": is_final,
            "status": { "state": state } })
}

fn piece(text: &str) -> Value {
    json!({ "kind": "artifact-update", "taskId": "t", "contextId": "c", "append": true,
            "artifact": { "artifactId": "a", "parts": [{ "kind": "text", "text": text }] } })
}

fn snake_status(state: &str, is_final: bool) -> Value {
    json!({ "kind": "status-update", "task_id": "t", "context_id": "c", "final": is_final,
            "status": { "state": state } })
}

/// What came, in short: `task:working`, `working`, `+text`, `error:code`.
async fn told(mut stream: EventStream) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = stream.next().await {
        told.push(match event {
            Ok(StreamEvent::Task(task)) => format!("task:{}", task.status.state),
            Ok(StreamEvent::Status(update)) => update.status.state.to_string(),
            Ok(StreamEvent::Artifact(piece)) => {
                format!("+{}", piece.artifact.parts[0].as_text().unwrap_or_default())
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => match error.code() {
                Some(code) => format!("error:{code}"),
                None => format!("error:{error}"),
            },
        });
    }
    told
}

fn wrapped(
    seen: &Seen,
    all: &[(Option<u64>, Value)],
    end: End,
) -> http::Response<bindu_http::Body> {
    let all: Vec<_> = all.iter().map(|(id, event)| (*id, seen.wrap(event))).collect();
    events(&all, end)
}

#[tokio::test]
async fn a_plain_stream_ends_with_its_final_event() -> Result {
    let agent = Canned::start(|seen, _| {
        let all = [
            (Some(1), camel_task("t", "submitted")),
            (Some(2), status("working", false)),
            (Some(3), piece("one")),
            (Some(4), status("completed", true)),
            (Some(5), piece("after the end")),
        ];
        wrapped(seen, &all, End::Clean)
    })
    .await?;
    let mut stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    assert_eq!(stream.task_id(), None);
    stream.next().await.ok_or("no first event")??;
    assert_eq!((stream.task_id(), stream.last_event_id()), (Some(&"t".parse()?), Some("1")));
    assert_eq!(told(stream).await, ["working", "+one", "completed"]);
    let seen = &agent.seen()[0];
    assert_eq!(seen.rpc(), "message/stream");
    assert!(seen.header("accept").is_some_and(|accept| accept.contains("text/event-stream")));
    Ok(())
}

#[tokio::test]
async fn a_bare_stream_is_read_to_its_end() -> Result {
    let agent = Canned::start(|_, _| {
        let artifact = json!({ "kind": "artifact-update", "task_id": "t", "context_id": "c",
            "artifact": { "artifact_id": "a", "parts": [{ "kind": "text", "text": "late" }] } });
        let all = [
            (None, snake_status("submitted", false)),
            (None, snake_status("completed", true)),
            (None, artifact),
        ];
        events(&all, End::Clean)
    })
    .await?;
    let stream = agent.client(Dialect::Reference)?.stream("go").await?;
    assert!(stream.task_id().is_some(), "the caller made it");
    assert_eq!(told(stream).await, ["submitted", "completed", "+late"]);
    assert_eq!(agent.seen().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_broken_stream_goes_on_without_repeats() -> Result {
    for end in [End::Broken, End::Clean] {
        let agent = Canned::start(move |seen, before| {
            let all = [
                (Some(1), camel_task("t", "working")),
                (Some(2), piece("a")),
                (Some(3), piece("b")),
                (Some(4), piece("c")),
                (Some(5), status("completed", true)),
            ];
            match before {
                0 => wrapped(seen, &all[..2], end),
                // This one begins too early, and breaks as well.
                1 => wrapped(seen, &all[1..3], end),
                2 => answer(503, &json!({})),
                _ => wrapped(seen, &all[3..], end),
            }
        })
        .await?;
        let stream = agent.client(Dialect::V0_3)?.stream("go").await?;
        assert_eq!(told(stream).await, ["task:working", "+a", "+b", "+c", "completed"], "{end:?}");
        let resumed: Vec<_> = agent
            .seen()
            .into_iter()
            .skip(1)
            .map(|seen| {
                let last = seen.header("last-event-id").unwrap_or_default().to_owned();
                (seen.rpc().to_owned(), seen.params().clone(), last)
            })
            .collect();
        let expected = ["2", "3", "3"]
            .map(|last| ("tasks/resubscribe".to_owned(), json!({ "id": "t" }), last.to_owned()));
        assert_eq!(resumed, expected);
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_only_breaks_is_given_up() -> Result {
    let agent = Canned::start(|seen, _| {
        let snapshot = [(None, camel_task("t", "working")), (None, piece("again"))];
        wrapped(seen, &snapshot, End::Broken)
    })
    .await?;
    let mut stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Err(ClientError::Broken(_)))), "{last:?}");
    assert_eq!(agent.seen().len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_breaks_before_the_task_is_known_is_asked_for_again() -> Result {
    let agent = Canned::start(|seen, before| match before {
        0 => wrapped(seen, &[], End::Broken),
        _ => wrapped(seen, &[(Some(1), camel_task("t", "completed"))], End::Clean),
    })
    .await?;
    let stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    assert_eq!(told(stream).await, ["task:completed"]);
    let seen = agent.seen();
    assert_eq!(seen[0].params(), seen[1].params());
    assert_ne!(seen[0].body["id"], seen[1].body["id"]);
    Ok(())
}

#[tokio::test]
async fn the_reference_cannot_resume_so_its_task_is_asked_for() -> Result {
    let agent = Canned::start(|seen, before| match seen.rpc() {
        "message/stream" => events(&[(None, snake_status("working", false))], End::Broken),
        "tasks/resubscribe" => seen.error(404, -32601),
        _ => seen.result(&snake_task("t", if before < 4 { "working" } else { "completed" })),
    })
    .await?;
    let client = agent.client(Dialect::Reference)?;
    assert_eq!(told(client.stream("go").await?).await, ["working", "task:completed"]);
    let methods: Vec<_> = agent.seen().iter().map(|seen| seen.rpc().to_owned()).collect();
    assert_eq!(
        methods,
        ["message/stream", "tasks/resubscribe", "tasks/get", "tasks/get", "tasks/get"]
    );
    let watched = client.resubscribe(&"t".parse()?, None).await?;
    assert_eq!(told(watched).await, ["task:completed"]);
    Ok(())
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it() -> Result {
    let agent = Canned::start(|seen, _| {
        let error = json!({ "jsonrpc": "2.0", "id": seen.body["id"],
                            "error": { "code": -32603, "message": "no" } });
        events(
            &[
                (Some(1), seen.wrap(&camel_task("t", "working"))),
                (Some(2), error),
                (Some(3), seen.wrap(&piece("x"))),
            ],
            End::Clean,
        )
    })
    .await?;
    let stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    assert_eq!(told(stream).await, ["task:working", "error:-32603"]);
    Ok(())
}

#[tokio::test]
async fn an_error_instead_of_a_stream_is_told_at_once() -> Result {
    let agent = Canned::start(|seen, _| seen.error(200, -32004)).await?;
    let client = agent.client(Dialect::V0_3)?;
    let error = client.stream("go").await.unwrap_err();
    assert_eq!(error.code(), Some(Code::UNSUPPORTED_OPERATION));
    Ok(())
}

#[tokio::test]
async fn a_plain_answer_instead_of_a_stream_is_one_event() -> Result {
    let agent = Canned::start(|seen, _| seen.result(&camel_task("t", "completed"))).await?;
    let stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    assert_eq!(told(stream).await, ["task:completed"]);
    Ok(())
}

#[tokio::test]
async fn going_on_elsewhere_begins_after_the_last_event() -> Result {
    let agent = Canned::start(|seen, _| {
        let all = [(Some(7), piece("seen")), (Some(8), status("completed", true))];
        wrapped(seen, &all, End::Clean)
    })
    .await?;
    let client = agent.client(Dialect::V0_3)?;
    let stream = client.resubscribe(&"t".parse()?, Some("7")).await?;
    assert_eq!(stream.last_event_id(), Some("7"));
    assert_eq!(told(stream).await, ["completed"]);
    assert_eq!(agent.seen()[0].header("last-event-id"), Some("7"));
    Ok(())
}

#[tokio::test]
async fn a_snapshot_does_not_hide_what_led_to_it() -> Result {
    let agent = Canned::start(|seen, before| {
        let start = [(Some(1), camel_task("t", "submitted")), (Some(2), status("working", false))];
        let rest = [
            (Some(4), camel_task("t", "working")),
            (Some(2), status("working", false)),
            (Some(3), piece("a")),
            (Some(4), piece("b")),
            (Some(5), status("completed", true)),
        ];
        if before == 0 {
            wrapped(seen, &start, End::Broken)
        } else {
            wrapped(seen, &rest, End::Clean)
        }
    })
    .await?;
    let stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    let expected = ["task:submitted", "working", "task:working", "+a", "+b", "completed"];
    assert_eq!(told(stream).await, expected);
    Ok(())
}

#[tokio::test]
async fn a_reader_that_fell_behind_goes_on() -> Result {
    let agent = Canned::start(|seen, before| {
        let behind = json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": {
            "code": -32603, "message": "this reader fell behind; resume with Last-Event-ID 1" } });
        match before {
            0 => events(
                &[(Some(1), seen.wrap(&camel_task("t", "working"))), (None, behind)],
                End::Clean,
            ),
            _ => wrapped(seen, &[(Some(2), status("completed", true))], End::Clean),
        }
    })
    .await?;
    let stream = agent.client(Dialect::V0_3)?.stream("go").await?;
    assert_eq!(told(stream).await, ["task:working", "completed"]);
    assert_eq!(agent.seen()[1].header("last-event-id"), Some("1"));
    Ok(())
}
