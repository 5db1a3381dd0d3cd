//! Answers that come piece by piece.

use std::sync::Arc;
use std::time::Duration;

use bindu_agent::{Chunk, Handler, HandlerError, Reply, Turn};
use bindu_protocol::{Part, StreamEvent, TaskState};
use bindu_storage::EventBody;
use bindu_tasks::{Followed, to_stream_event};
use bindu_worker::Config;
use futures_util::{StreamExt, stream};

use crate::support::{
    Bench, Tested, caller, engine, identity, last_word, reason, result, said, slots, within,
};

/// A handler that answers with these chunks.
fn chunks(make: fn() -> Vec<Result<Chunk, HandlerError>>) -> impl Handler {
    move |_: Turn| async move { Ok(Reply::stream(stream::iter(make()))) }
}

/// The text of the pieces that a follower sees, and how each was marked.
async fn followed(bench: &Bench) -> Result<(String, Vec<(bool, bool)>), bindu_tasks::TaskError> {
    let mut follow = bench.tasks.submit_and_follow(&caller(), said("go")).await?;
    let (mut text, mut marks) = (String::new(), Vec::new());
    while let Some(Followed::Events(events)) = within(follow.next()).await? {
        for event in events {
            let shown = to_stream_event(&follow.record().task, &event.body, false);
            if let Some(StreamEvent::Artifact(update)) = shown {
                text.extend(update.artifact.parts.iter().filter_map(Part::as_text));
                marks.push((update.append, update.last_chunk));
            }
        }
    }
    Ok((text, marks))
}

#[tokio::test]
async fn what_is_stored_is_what_was_streamed() -> Tested {
    let words = || ["one ", "two ", "three"].map(|word| Ok(word.into())).into();
    let identity = identity()?;
    let key = identity.key().public_key();
    let bench = Bench::signing(chunks(words), identity);
    let (text, marks) = followed(&bench).await?;
    assert_eq!(text, "one two three");
    assert_eq!(marks, [(false, false), (true, false), (true, false), (true, true)]);

    let task = bench.ask("go").await?;
    assert_eq!(task.artifacts.len(), 1);
    assert_eq!((result(&task), last_word(&task).as_str()), (text.as_str(), text.as_str()));
    // The signature is that of the whole.
    let notes = task.artifacts[0].parts[0].metadata.as_ref().expect("it is signed").to_map();
    key.verify_text(&text, &notes["did.message.signature"].as_str().unwrap().parse()?)?;
    Ok(())
}

#[tokio::test]
async fn parts_stay_parts() -> Tested {
    let bench = Bench::start(
        chunks(|| {
            vec![
                Ok("a".into()),
                Ok("b".into()),
                Ok(Part::data(serde_json::json!({ "n": 1 })).into()),
                Ok("c".into()),
            ]
        }),
        slots(1),
    );
    let task = bench.ask("go").await?;
    let [ab, data, c] = task.artifacts[0].parts.as_slice() else {
        panic!("three parts, not {:?}", task.artifacts[0].parts)
    };
    assert_eq!((ab.as_text(), c.as_text()), (Some("ab"), Some("c")));
    assert_eq!(data.as_data().unwrap().to_value(), serde_json::json!({ "n": 1 }));
    Ok(())
}

#[tokio::test]
async fn a_stream_may_be_empty() -> Tested {
    let bench = Bench::start(chunks(Vec::new), slots(1));
    let task = bench.ask("go").await?;
    assert_eq!((task.status.state, result(&task)), (TaskState::Completed, ""));
    Ok(())
}

#[tokio::test]
async fn a_stream_may_end_with_a_question() -> Tested {
    let bench = Bench::start(
        chunks(|| vec![Ok("so far".into()), Ok(Chunk::End(Reply::input_required("Go on?")))]),
        slots(1),
    );
    let task = bench.ask("go").await?;
    assert_eq!(task.status.state, TaskState::InputRequired);
    assert_eq!(task.status.message.as_ref().unwrap().text(), "Go on?");
    assert_eq!(result(&task), "so far");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_breaks_keeps_what_went_out() -> Tested {
    let bench = Bench::start(chunks(|| vec![Ok("so far".into()), Err("boom".into())]), slots(1));
    let task = bench.ask("go").await?;
    assert_eq!(reason(&task), "Task execution failed: boom");
    assert_eq!(result(&task), "so far");
    Ok(())
}

#[tokio::test]
async fn a_panic_in_a_stream_fails_its_own_task_only() -> Tested {
    let handler = async |turn: Turn| {
        let panics = turn.text() == "panic";
        let chunks = stream::iter(0..3).map(move |number| {
            assert!(!(panics && number == 1), "no");
            Ok(Chunk::from(number.to_string()))
        });
        Ok(Reply::stream(chunks))
    };
    let bench = Bench::start(handler, slots(1));
    let task = bench.ask("panic").await?;
    assert_eq!(reason(&task), "Task execution failed: the handler panicked");
    assert_eq!(result(&*bench.ask("fine").await?), "012");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_stream_without_end_is_stopped_by_a_cancel() -> Tested {
    // Always ready, on the only thread.
    let handler = async |_: Turn| Ok(Reply::stream(stream::repeat_with(|| Ok("x".into()))));
    let bench = Bench::start(handler, slots(1));
    let id = bench.send("go").await?;
    bench.until(&id, |record| record.version.0 > 200).await?;
    let canceled = bench.tasks.cancel(&caller(), &id).await?;
    within(async {
        while bench.worker.busy() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.get(&id).await?, canceled);
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_stream_without_end_is_stopped_by_its_deadline() -> Tested {
    let handler = async |_: Turn| Ok(Reply::stream(stream::repeat_with(|| Ok("x".into()))));
    let config = Config { task_timeout: Some(Duration::from_millis(50)), ..slots(1) };
    let bench = Bench::start(handler, config);
    let task = within(bench.ask("go")).await?;
    assert_eq!(reason(&task), "Task execution failed: the handler took longer than it may");
    Ok(())
}

#[tokio::test]
async fn a_stream_keeps_its_lease_between_chunks() -> Tested {
    // A chunk comes more often than a lease is renewed.
    let handler = async |_: Turn| {
        let chunks = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok(Chunk::from("x")), ()))
        });
        Ok(Reply::stream(chunks))
    };
    let config = Config { heartbeat: Duration::from_millis(20), ..slots(1) };
    let bench = Bench::over(engine(bindu_tasks::Config::default()), handler, config);
    let id = bench.send("go").await?;
    let first = bench.until(&id, |record| record.lease.is_some()).await?.lease;
    let later = bench.until(&id, |record| record.lease.map(|l| l.until) > first.map(|l| l.until));
    within(later).await?;
    bench.tasks.cancel(&caller(), &id).await?;
    Ok(())
}

#[tokio::test]
async fn pieces_are_in_the_log_only() -> Tested {
    let words = || ["one ", "two"].map(|word| Ok(word.into())).into();
    let bench = Bench::start(chunks(words), slots(1));
    let task = bench.ask("go").await?;
    let log = bench.tasks.storage().events(&task.id, 0, usize::MAX).await?;
    let pieces: Vec<_> = log
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Chunk { artifact, .. } => Some(Arc::clone(artifact)),
            _ => None,
        })
        .collect();
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|piece| piece.id == task.artifacts[0].id));
    Ok(())
}
