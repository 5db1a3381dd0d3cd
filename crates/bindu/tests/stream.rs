//! A handler that streams, as its caller hears it.

use bindu::{Chunk, Reply, Turn};
use bindu_did::Signature;
use futures_util::stream;
use serde_json::{Value, json};

use crate::caller::{Caller, LONG, Result, message, start};

/// Answers word by word.
async fn words(turn: Turn) -> Result<Reply> {
    let words: Vec<_> =
        turn.text().split_inclusive(' ').map(|word| Ok(Chunk::from(word))).collect();
    Ok(Reply::stream(stream::iter(words)))
}

const TEXT: &str = "one two three four";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_is_what_is_stored_and_signed() -> Result {
    let agent = start(words).await?;
    let caller = Caller::of(&agent);
    let heard = caller.stream("message/stream", message(TEXT), None).await?;
    let results: Vec<&Value> = heard.iter().map(|(_, data)| &data["result"]).collect();
    assert_eq!(results[0]["kind"], "task");
    let id = results[0]["id"].as_str().ok_or("a task has an id")?;
    let pieces: String = results
        .iter()
        .filter(|result| result["kind"] == "artifact-update")
        .filter_map(|result| result["artifact"]["parts"][0]["text"].as_str())
        .collect();
    assert_eq!(pieces, TEXT);
    let last: Vec<_> = results.iter().filter(|result| result["final"] == true).collect();
    assert_eq!(last, [results.last().unwrap()]);

    let task = caller.until(id, "completed").await?;
    let part = &task["artifacts"][0]["parts"][0];
    assert_eq!(part["text"], TEXT);
    let signature = part["metadata"]["did.message.signature"].as_str().ok_or("it is signed")?;
    let signature: Signature = signature.parse()?;
    agent.identity().key().public_key().verify_text(TEXT, &signature)?;
    agent.stop(LONG).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_broke_off_is_resumed_without_a_gap() -> Result {
    let agent = start(words).await?;
    let caller = Caller::of(&agent);
    let heard = caller.stream("message/stream", message(TEXT), None).await?;
    let id = &heard[0].1["result"]["id"];
    let numbers: Vec<u64> = heard
        .iter()
        .map(|(id, _)| id.as_ref().map_or(Ok(0), |id| id.parse()))
        .collect::<Result<_, _>>()?;
    assert_eq!(numbers[0], 1);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for (position, number) in numbers.iter().enumerate() {
        let after = number.to_string();
        let rest = caller.stream("tasks/resubscribe", json!({ "id": id }), Some(&after)).await?;
        assert_eq!(rest, heard[position + 1..], "after {after}");
    }
    agent.stop(LONG).await;
    Ok(())
}
