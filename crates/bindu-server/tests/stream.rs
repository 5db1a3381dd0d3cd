//! Streams on the socket: numbered, resumable, bounded, and the same for everybody.

use std::time::Duration;

use bindu_protocol::Part;
use bindu_server::Config;
use serde_json::{Value, json};

use crate::http::{self, Said};
use crate::served::{Result, Served, completed, request};

fn kinds(events: &[(Option<u64>, Value)]) -> Vec<&str> {
    events.iter().map(|(_, data)| data["result"]["kind"].as_str().unwrap_or("-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_numbered_without_gaps_and_can_be_resumed_anywhere() -> Result {
    let served = Served::start().await?;
    let id = served.queued().await?;
    let mut first =
        served.stream("tasks/resubscribe", json!({ "id": id.to_string() }), Some(0)).await?;
    let mut run = served.begun(&id).await?;
    for word in ["one ", "two ", "three"] {
        run.chunks(vec![vec![Part::text(word)]]).await?;
    }
    run.finish(completed("one two three")).await?;
    let all = first.events().await?;
    assert_eq!(
        kinds(&all),
        [
            "task",
            "status-update",
            "artifact-update",
            "artifact-update",
            "artifact-update",
            "artifact-update",
            "status-update"
        ]
    );
    let numbers: Vec<_> = all.iter().filter_map(|(id, _)| *id).collect();
    assert_eq!(numbers.len(), all.len());
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let last: Vec<_> = all.iter().filter(|(_, data)| data["result"]["final"] == true).collect();
    assert_eq!(last, [all.last().unwrap()]);
    // Whoever heard so much hears the rest, and nothing twice.
    for heard in 0..=all.len() {
        let after = if heard == 0 { 0 } else { numbers[heard - 1] };
        let params = json!({ "id": id.to_string() });
        let mut rest = served.stream("tasks/resubscribe", params, Some(after)).await?;
        assert_eq!(rest.events().await?, all[heard..], "after {after}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_hear_the_same_in_the_same_order() -> Result {
    let served = Served::start().await?;
    let id = served.queued().await?;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let params = json!({ "id": id.to_string() });
        let mut open = served.stream("tasks/resubscribe", params, Some(0)).await?;
        readers.push(tokio::spawn(async move { open.events().await }));
    }
    let mut run = served.begun(&id).await?;
    for number in 0..300 {
        run.chunks(vec![vec![Part::text(number.to_string())]]).await?;
    }
    run.finish(completed("all")).await?;
    let mut heard = Vec::new();
    for reader in readers {
        heard.push(reader.await??);
    }
    assert_eq!(heard[0].len(), 1 + 1 + 300 + 2);
    assert!(heard.iter().all(|events| *events == heard[0]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_and_can_resume() -> Result {
    let tasks = bindu_tasks::Config { stream_backlog: 4, ..bindu_tasks::Config::default() };
    let served = Served::with(Config::default(), tasks, "agent").await?;
    let id = served.queued().await?;
    let params = json!({ "id": id.to_string() });
    let body = request("tasks/resubscribe", &params);
    // A reader that takes almost nothing from its socket.
    let mut slow =
        http::open(served.address, "POST /\nLast-Event-ID: 0", &body, Some(4096)).await?;
    let mut run = served.begun(&id).await?;
    let text = "x".repeat(64 * 1024);
    for _ in 0..400 {
        run.chunks(vec![vec![Part::text(text.clone())]]).await?;
        tokio::task::yield_now().await;
    }
    run.finish(completed("all")).await?;

    let heard = slow.events().await?;
    let (told, events) = heard.split_last().expect("something was said");
    let numbers: Vec<u64> = events.iter().filter_map(|(id, _)| *id).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no gap before the word");
    assert!(numbers.len() < 402, "it fell behind");
    assert_eq!((told.0, &told.1["id"]), (None, &Value::from(1)));
    assert_eq!(told.1["error"]["code"], -32603);
    let why = told.1["error"]["message"].as_str().unwrap();
    assert!(why.contains("fell behind"), "{why}");
    let after: u64 = why.rsplit(' ').next().unwrap().parse()?;
    assert_eq!(Some(&after), numbers.last());

    let mut rest = served.stream("tasks/resubscribe", params, Some(after)).await?;
    let rest = rest.events().await?;
    assert_eq!(rest[0].0, Some(after + 1));
    assert_eq!(rest.last().unwrap().1["result"]["final"], true);
    Ok(())
}

#[tokio::test]
async fn silence_is_filled_with_comments() -> Result {
    let config = Config { keep_alive: Duration::from_millis(10), ..Config::default() };
    let served = Served::with(config, bindu_tasks::Config::default(), "agent").await?;
    let id = served.queued().await?;
    let params = json!({ "id": id.to_string() });
    let mut open = served.stream("tasks/resubscribe", params, None).await?;
    assert_eq!(open.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(open.headers["cache-control"], "no-cache");
    let first = open.next().await?;
    assert!(matches!(&first, Some(Said::Event { data, .. }) if data["result"]["kind"] == "task"));
    for _ in 0..3 {
        let said = open.next().await?;
        assert!(matches!(said, Some(Said::Comment(_))), "{said:?}");
    }
    // It goes on as if nothing had been.
    served.begun(&id).await?.finish(completed("done")).await?;
    let events = open.events().await?;
    assert_eq!(kinds(&events), ["status-update", "artifact-update", "status-update"]);
    Ok(())
}

#[tokio::test]
async fn streams_end_with_the_present_state_when_the_agent_does() -> Result {
    let served = Served::start().await?;
    let id = served.queued().await?;
    let params = json!({ "id": id.to_string() });
    let mut open = served.stream("tasks/resubscribe", params, None).await?;
    open.next().await?;
    served.service.close_streams();
    let events = open.events().await?;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].1["result"]["status"]["state"], "submitted");
    assert_eq!(events[0].1["result"]["final"], true);
    Ok(())
}

#[tokio::test]
async fn a_reader_that_leaves_is_missed_by_nobody() -> Result {
    let served = Served::start().await?;
    let id = served.queued().await?;
    let params = json!({ "id": id.to_string() });
    let left = served.stream("tasks/resubscribe", params.clone(), Some(0)).await?;
    let mut stays = served.stream("tasks/resubscribe", params, Some(0)).await?;
    drop(left);
    served.begun(&id).await?.finish(completed("done")).await?;
    let events = stays.events().await?;
    assert_eq!(kinds(&events), ["task", "status-update", "artifact-update", "status-update"]);
    Ok(())
}

#[tokio::test]
async fn the_reference_sees_bare_events() -> Result {
    let served = Served::start().await?;
    let id = served.queued().await?;
    let params = json!({ "task_id": id.to_string() });
    let mut open = served.stream("tasks/resubscribe", params, None).await?;
    served.begun(&id).await?.finish(completed("done")).await?;
    let events = open.events().await?;
    let shown: Vec<_> = events
        .iter()
        .map(|(_, data)| {
            assert_eq!(data["task_id"], id.to_string());
            (data["kind"].as_str().unwrap(), data["final"].as_bool())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("status-update", Some(false)),
            ("status-update", Some(false)),
            ("artifact-update", None),
            ("status-update", Some(true))
        ]
    );
    Ok(())
}
