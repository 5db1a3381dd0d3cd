//! The rules of a [`StateStore`](crate::state::StateStore), as a test that any store can run.
//!
//! ```
//! use bindu_agent::state::{MemoryState, State, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store = MemoryState::default();
//! let other = store.another_conversation();
//! conformance::run(&State::new(store), &State::new(other)).await;
//! # }
//! ```

use tokio::task::JoinSet;

use crate::state::{MAX_KEY, MAX_VALUE, State, StateError};

/// What most cases use.
const KEY: &str = "clé/1 %_\\'\"";

/// Checks every rule with the states of two conversations of one agent, which must be empty, and
/// leaves them and the agent's empty again.
///
/// Needs a tokio runtime.
///
/// # Panics
///
/// If a rule is broken; the message says which.
pub async fn run(one: &State, other: &State) {
    let agent = one.of_agent();
    for (state, elsewhere) in [(one, &agent), (other, one), (&agent, other)] {
        a_value_is_compared_and_set(state, elsewhere).await;
        none_of_ten_updates_is_lost(state).await;
        keys_are_in_order(state, elsewhere).await;
        room_is_limited(state).await;
    }
    agent_state_is_shared(one, other).await;
}

async fn version(state: &State, key: &str) -> u64 {
    let read = state.read::<serde_json::Value>(key).await;
    read.expect("a value can be read").version
}

async fn a_value_is_compared_and_set(state: &State, elsewhere: &State) {
    let nothing = state.get::<String>(KEY).await.expect("a value can be read");
    assert_eq!(nothing, None, "nothing is there at first");
    let first = state.set_if(KEY, "a\u{e4}\u{1f600}\n", 0).await.expect("a new value is written");
    assert_eq!(version(state, KEY).await, first, "the writer is told the version");
    let kept = state.get::<String>(KEY).await.expect("a value can be read");
    assert_eq!(kept.as_deref(), Some("a\u{e4}\u{1f600}\n"), "a value comes back as it was");
    assert_eq!(version(elsewhere, KEY).await, 0, "nobody else sees it");
    for wrong in [0, first + 1] {
        let refused = state.set_if(KEY, "b", wrong).await;
        assert!(matches!(refused, Err(StateError::Changed { .. })), "version {wrong}: {refused:?}");
        let refused = state.remove_if(KEY, wrong).await;
        assert!(matches!(refused, Err(StateError::Changed { .. })), "version {wrong}: {refused:?}");
    }
    assert_eq!(version(state, KEY).await, first, "what is refused changes nothing");
    let second = state.set(KEY, &[1.5]).await.expect("a value is replaced");
    assert!(second > first, "versions grow");
    state.remove_if(KEY, second).await.expect("a value is removed");
    assert_eq!(version(state, KEY).await, 0, "what is removed is not there");
    state.remove(KEY).await.expect("what is not there may be removed");
    let third = state.set_if(KEY, &(), 0).await.expect("a value is written again");
    assert!(third > second, "a version never comes again");
    let null = state.get::<Option<u8>>(KEY).await.expect("a value can be read");
    assert_eq!(null, Some(None), "null is a value");
    state.remove(KEY).await.expect("a value is removed");
}

async fn none_of_ten_updates_is_lost(state: &State) {
    let mut writers = JoinSet::new();
    for _ in 0..10 {
        let state = state.clone();
        writers.spawn(async move {
            for _ in 0..5 {
                let add = |sum: Option<u64>| sum.unwrap_or(0) + 1;
                state.update(KEY, add).await.expect("a value is updated");
            }
        });
    }
    writers.join_all().await;
    let sum = state.get::<u64>(KEY).await.expect("a value can be read");
    assert_eq!(sum, Some(50), "every update counts");
    state.remove(KEY).await.expect("a value is removed");
}

async fn keys_are_in_order(state: &State, elsewhere: &State) {
    let longest = "z".repeat(MAX_KEY);
    let all = ["B", "a", "a%", "a/1", "a_1", "b", &longest, "ä"];
    for key in all.iter().rev() {
        state.set(key, &0).await.expect("a value is written");
    }
    let keys = async |after, limit| state.keys(after, limit).await.expect("keys can be listed");
    assert_eq!(keys(None, 99).await, all, "keys are in the order of their bytes");
    assert_eq!(keys(None, 3).await, all[..3], "no more are listed than asked for");
    assert_eq!(keys(Some("a%"), 2).await, all[3..5], "a list can be gone on with");
    assert_eq!(keys(Some("a0"), 2).await, all[4..6], "from where nothing is too");
    assert!(keys(Some("ä"), 9).await.is_empty(), "after the last comes nothing");
    let others = elsewhere.keys(None, 9).await.expect("keys can be listed");
    assert!(others.is_empty(), "nobody else sees them: {others:?}");
    for key in all {
        state.remove(key).await.expect("a value is removed");
    }
    assert!(keys(None, 9).await.is_empty(), "what is removed is not listed");
}

async fn room_is_limited(state: &State) {
    let value = "x".repeat(MAX_VALUE - 2);
    let fitting = state.scope().room() / (MAX_VALUE + 3);
    for number in 0..fitting {
        let key = format!("{number:03}");
        state.set(&key, &value).await.expect("there is room still");
    }
    let refused = state.set("more", &value).await;
    assert!(
        matches!(refused, Err(StateError::Full { scope, limit })
            if scope == state.scope() && limit == scope.room()),
        "keys and values together take no more than the room: {refused:?}"
    );
    assert_eq!(version(state, "more").await, 0, "what is refused changes nothing");
    state.set("000", &value).await.expect("a value may be replaced by one as large");
    state.remove("000").await.expect("a value is removed from a full scope");
    state.set("more", &value).await.expect("what is removed makes room");
    state.remove("more").await.expect("a value is removed");
    for number in 0..fitting {
        state.remove(&format!("{number:03}")).await.expect("a value is removed");
    }
}

async fn agent_state_is_shared(one: &State, other: &State) {
    one.of_agent().set(KEY, &7).await.expect("a value is written");
    let seen = other.of_agent().get::<u8>(KEY).await.expect("a value can be read");
    assert_eq!(seen, Some(7), "the agent's state is that of all its conversations");
    other.of_agent().remove(KEY).await.expect("a value is removed");
    assert_eq!(version(&one.of_agent(), KEY).await, 0, "and so is what is removed");
}
