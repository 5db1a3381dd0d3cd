//! Everything that is a handler, behind the one type that an engine keeps.

use std::num::ParseIntError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use bindu_agent::{
    AnyHandler, Chunk, Collected, Handler, HandlerError, Reply, Turn, blocking, handler_fn,
};
use bindu_protocol::{Part, TaskState};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::oneshot;

async fn answer(handler: &AnyHandler, text: &str) -> Result<String, HandlerError> {
    match handler.handle(Turn::from(text)).await? {
        Reply::Completed(done) => {
            assert_eq!(done.artifacts[0].parts, done.message);
            Ok(done.message[0].as_text().unwrap().to_owned())
        }
        other => Err(format!("expected a result, got {other:?}").into()),
    }
}

#[tokio::test]
async fn an_async_closure_is_a_handler() {
    let handler = AnyHandler::new(async |turn: Turn| Ok(Reply::text(turn.text().to_uppercase())));
    assert_eq!(answer(&handler, "hello").await.unwrap(), "HELLO");
}

#[tokio::test]
async fn a_closure_may_use_the_question_mark() {
    let double = async |turn: Turn| {
        let number: i64 = turn.text().trim().parse()?;
        Ok((number * 2).to_string().into())
    };
    let handler = AnyHandler::from(double);
    assert_eq!(answer(&handler, " 21 ").await.unwrap(), "42");
    let error = answer(&handler, "x").await.unwrap_err();
    assert!(error.downcast_ref::<ParseIntError>().is_some(), "{error}");
}

#[tokio::test]
async fn a_function_with_a_state_is_a_handler_in_one_line() {
    async fn count(seen: Arc<AtomicUsize>, turn: Turn) -> Result<Reply, HandlerError> {
        Ok(format!("{} {}", seen.fetch_add(1, Ordering::Relaxed), turn.text()).into())
    }
    let handler = AnyHandler::new(handler_fn(AtomicUsize::new(7), count));
    assert_eq!(answer(&handler, "a").await.unwrap(), "7 a");
    assert_eq!(answer(&handler.clone(), "b").await.unwrap(), "8 b");
}

#[tokio::test]
async fn an_async_closure_with_a_state_is_a_handler_in_one_line() {
    let greet =
        async |greeting: Arc<&str>, turn: Turn| Ok(format!("{greeting} {}", turn.text()).into());
    let handler = AnyHandler::new(handler_fn("hi", greet));
    assert_eq!(answer(&handler, "Ann").await.unwrap(), "hi Ann");
}

#[tokio::test]
async fn a_type_of_ones_own_is_a_handler() {
    struct Greeter(&'static str);
    impl Handler for Greeter {
        async fn handle(&self, turn: Turn) -> Result<Reply, HandlerError> {
            tokio::task::yield_now().await;
            Ok(format!("{}, {}", self.0, turn.text()).into())
        }
    }
    assert_eq!(answer(&Greeter("hello").into(), "Ann").await.unwrap(), "hello, Ann");
}

#[tokio::test]
async fn a_blocking_function_runs_off_the_threads_that_do_io() {
    let here = std::thread::current().id();
    let handler = AnyHandler::new(blocking(move |turn: Turn| {
        assert_ne!(std::thread::current().id(), here);
        let number: i64 = turn.text().parse()?;
        Ok(number.to_string().into())
    }));
    assert_eq!(answer(&handler, "7").await.unwrap(), "7");
    assert!(answer(&handler, "x").await.is_err());
}

#[tokio::test]
async fn a_blocking_function_is_told_when_nobody_waits_any_more() {
    let (told, tell) = oneshot::channel();
    let (begun, start) = oneshot::channel();
    let ends = std::sync::Mutex::new(Some((begun, told)));
    let handler = AnyHandler::new(blocking(move |turn: Turn| {
        let (begun, told) = ends.lock().unwrap().take().unwrap();
        begun.send(()).unwrap();
        tokio::runtime::Handle::current().block_on(turn.cancelled());
        told.send(turn.is_cancelled()).unwrap();
        Ok("too late".into())
    }));

    let turn = Turn::from("x");
    let engines = turn.cancellation();
    let mut running = handler.handle(turn);
    tokio::select! {
        _ = &mut running => panic!("it waits to be cancelled"),
        begun = start => begun.unwrap(),
    }
    drop(running);
    assert!(tell.await.unwrap());
    assert!(!engines.is_cancelled(), "the engine's own token is not the handler's to cancel");
}

#[tokio::test]
async fn what_a_blocking_function_left_behind_is_not_cancelled() {
    let (give, taken) = mpsc::channel();
    let handler = AnyHandler::new(blocking(move |turn: Turn| {
        give.send(turn.cancellation()).unwrap();
        Ok("done".into())
    }));
    answer(&handler, "x").await.unwrap();
    assert!(!taken.recv().unwrap().is_cancelled());
}

#[tokio::test]
async fn blocking_functions_run_at_most_as_many_as_they_may() {
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = Arc::clone(&running);
    let handler = AnyHandler::new(
        blocking(move |_: Turn| {
            let (now, most) = &*seen;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            (0..100).for_each(|_| std::thread::yield_now());
            now.fetch_sub(1, Ordering::SeqCst);
            Ok("done".into())
        })
        .with_threads(2),
    );
    let turns = (0..64).map(|_| answer(&handler, "x"));
    let answers = futures_util::future::join_all(turns).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(running.1.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_cancelled_turn_does_not_begin_to_block() {
    let handler = AnyHandler::new(blocking(|_: Turn| panic!("nobody wants this")));
    let turn = Turn::from("x");
    turn.cancellation().cancel();
    let error = handler.handle(turn).await.unwrap_err();
    assert_eq!(error.to_string(), "cancelled before it began");
}

#[tokio::test]
async fn a_panic_of_a_blocking_function_is_passed_on() {
    let handler = AnyHandler::new(blocking(|_: Turn| panic!("boom")));
    let turn = std::panic::AssertUnwindSafe(handler.handle(Turn::from("x")));
    let panic = turn.catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"boom"));
}

#[tokio::test]
async fn a_streamed_answer_may_end_with_a_question() {
    let handler = AnyHandler::new(async |_: Turn| {
        let end = Chunk::End(Reply::input_required("go on?"));
        Ok(Reply::stream(stream::iter([Ok("one ".into()), Ok("two".into()), Ok(end)])))
    });
    let Reply::Stream(mut chunks) = handler.handle(Turn::from("x")).await.unwrap() else {
        panic!("expected a stream");
    };
    let mut collected = Collected::default();
    let mut end = None;
    while let Some(chunk) = chunks.next().await {
        match chunk.unwrap() {
            Chunk::End(reply) => end = Some(reply),
            chunk => collected.push(&chunk),
        }
    }
    assert_eq!(collected.into_parts(), [Part::text("one two")]);
    assert!(matches!(end, Some(Reply::Paused { state: TaskState::InputRequired, .. })));
}
