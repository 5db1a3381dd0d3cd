//! What a handler keeps between turns.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu_agent::state::{
    MAX_KEY, MAX_VALUE, MemoryState, Scope, State, StateError, StateStore, Versioned, Write,
    conformance,
};
use bindu_agent::{AnyHandler, BoxFuture, HandlerError, Reply, Turn, TurnParts, blocking};
use bindu_protocol::{Json, Message, Part, Role};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

#[tokio::test(flavor = "multi_thread")]
async fn state_in_memory_keeps_the_rules() {
    let store = MemoryState::default();
    let other = State::new(store.another_conversation());
    conformance::run(&State::new(store), &other).await;
}

#[tokio::test]
async fn a_turn_without_a_store_has_a_state_of_its_own() -> Result<(), StateError> {
    let turn = Turn::from("hello");
    turn.state().set("k", "v").await?;
    turn.state().of_agent().set("k", "agent").await?;
    let copy = turn.clone();
    assert_eq!(copy.state().get::<String>("k").await?.as_deref(), Some("v"));
    assert_eq!(copy.state().of_agent().get::<String>("k").await?.as_deref(), Some("agent"));
    let another = Turn::from("hello");
    assert_eq!(another.state().get::<String>("k").await?, None);
    assert_eq!(another.state().of_agent().get::<String>("k").await?, None);
    Ok(())
}

#[tokio::test]
async fn an_engine_brings_the_state() -> Result<(), Box<dyn Error>> {
    let message = Arc::new(Message::new(Role::User, vec![Part::text("hello")]));
    let state = State::in_memory();
    let turn = Turn::new(TurnParts {
        state: state.clone(),
        ..TurnParts::new("t".parse()?, "c".parse()?, vec![message])
    });
    turn.state().set("k", &1).await?;
    assert_eq!(state.get("k").await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn any_type_of_serde_can_be_kept() -> Result<(), StateError> {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum Move {
        Bet { chips: u32 },
        Fold,
    }
    let state = State::in_memory();
    let moves = vec![Move::Bet { chips: 5 }, Move::Fold];
    state.set("moves", &moves).await?;
    assert_eq!(state.get("moves").await?, Some(moves));
    state.set("text", "as it is").await?;
    assert_eq!(state.get::<Json>("text").await?.unwrap().as_str(), r#""as it is""#);
    Ok(())
}

#[tokio::test]
async fn an_error_says_what_to_change() -> Result<(), StateError> {
    let state = State::in_memory();
    state.set("name", "Ann").await?;
    let mut said = Vec::new();
    let mut note = |error: StateError| said.push(error.to_string());
    note(state.get::<u32>("name").await.unwrap_err());
    note(state.set("map", &HashMap::from([((1, 2), 3)])).await.unwrap_err());
    note(state.set_if("name", "Bob", 9).await.unwrap_err());
    note(state.set("long", &"x".repeat(MAX_VALUE - 1)).await.unwrap_err());
    note(state.set("a\nb", &1).await.unwrap_err());
    assert_eq!(
        said,
        [
            r#"the value of "name" is of another type: read it as what was written, or remove it"#,
            r#"the new value of "map" cannot be written as JSON: give it another type"#,
            r#""name" was changed by another writer: read it again, or use update"#,
            r#"the value of "long" takes 65537 bytes, more than 65536: split it, or keep less"#,
            r#""a\nb" is not a valid key: use 1 to 256 bytes without control characters"#,
        ]
    );
    assert_eq!(state.keys(None, 9).await?, ["name"], "what is refused is not written");
    assert_eq!(state.get::<String>("name").await?.as_deref(), Some("Ann"));
    let full = StateError::Full { scope: Scope::Context, limit: Scope::Context.room() };
    assert_eq!(
        full.to_string(),
        "the state of the conversation is full, 1048576 bytes: remove what is no longer needed"
    );
    Ok(())
}

#[tokio::test]
async fn wrong_keys_are_refused_everywhere() {
    let state = State::in_memory();
    for key in ["", "\0", "a\u{7f}", "\u{85}", &"é".repeat(MAX_KEY / 2 + 1)] {
        let refused = [
            state.get::<Json>(key).await.err(),
            state.read::<Json>(key).await.err(),
            state.set(key, &1).await.err(),
            state.set_if(key, &1, 0).await.err(),
            state.remove(key).await.err(),
            state.remove_if(key, 0).await.err(),
            state.update(key, |old: Option<u8>| old.unwrap_or(0)).await.err(),
            state.keys(Some(key), 1).await.err(),
        ];
        for (number, error) in refused.into_iter().enumerate() {
            assert!(matches!(error, Some(StateError::BadKey { .. })), "{key:?}, {number}");
        }
    }
    state.set(&"é".repeat(MAX_KEY / 2), &1).await.unwrap();
}

#[tokio::test]
async fn a_value_may_take_its_limit_to_the_byte() -> Result<(), StateError> {
    let state = State::in_memory();
    state.set("k", &"x".repeat(MAX_VALUE - 2)).await?;
    let grow = |old: Option<String>| old.unwrap_or_default() + "x";
    let refused = state.update("k", grow).await.unwrap_err();
    assert!(matches!(refused, StateError::TooLarge { bytes, limit, .. }
            if bytes == MAX_VALUE + 1 && limit == MAX_VALUE));
    assert_eq!(state.get::<String>("k").await?.map(|kept| kept.len()), Some(MAX_VALUE - 2));
    Ok(())
}

/// A store in which another writer always comes first.
#[derive(Debug, Default)]
struct Crowded {
    tried: Arc<AtomicUsize>,
}

impl StateStore for Crowded {
    fn get<'a>(
        &'a self,
        _: Scope,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Versioned<Json>>, StateError>> {
        Box::pin(async { Ok(Some(Versioned { value: Json::new(&1).unwrap(), version: 1 })) })
    }

    fn set(&self, _: Scope, write: Write) -> BoxFuture<'_, Result<u64, StateError>> {
        assert_eq!(write.expected, Some(1), "an update compares");
        self.tried.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(StateError::Changed { key: write.key }) })
    }

    fn keys<'a>(
        &'a self,
        _: Scope,
        _: Option<&'a str>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StateError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn an_update_gives_up_in_the_end() {
    let store = Crowded::default();
    let tried = Arc::clone(&store.tried);
    let refused = State::new(store).update("k", |old: Option<u8>| old.unwrap_or(0)).await;
    assert!(matches!(refused, Err(StateError::Changed { key }) if key == "k"));
    assert_eq!(tried.load(Ordering::Relaxed), 128);
}

#[tokio::test]
async fn a_handler_may_pass_an_error_on() {
    async fn remember(turn: Turn) -> Result<Reply, HandlerError> {
        turn.state().set(&turn.text(), &true).await?;
        Ok(Reply::text("kept"))
    }
    let handler = AnyHandler::new(remember);
    let error = handler.handle(Turn::from("")).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(StateError::BadKey { .. })), "{error}");
    assert!(handler.handle(Turn::from("milk")).await.is_ok());
}

#[tokio::test]
async fn a_blocking_handler_waits_on_its_thread() -> Result<(), HandlerError> {
    let handler = AnyHandler::new(blocking(|turn: Turn| {
        let add = |old: Option<u64>| old.unwrap_or(40) + 1;
        let sum = Handle::current().block_on(turn.state().update("sum", add))?;
        Ok(Reply::text(sum.to_string()))
    }));
    let state = State::in_memory();
    for _ in 0..2 {
        handler.handle(Turn::from("go").with_state(state.clone())).await?;
    }
    assert_eq!(state.get("sum").await?, Some(42));
    Ok(())
}
