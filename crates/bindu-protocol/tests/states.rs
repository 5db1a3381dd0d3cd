//! The state machine against the table of moves, written out once more by name.

use bindu_protocol::{TaskState, TransitionError};

/// Every allowed move. Beyond these, whatever is not over can be canceled and can fail.
const MOVES: &str = "
    submitted                   working rejected payment-required trust-verification-required pending
    working                     completed input-required auth-required rejected payment-required
    working                     trust-verification-required suspended
    input-required              submitted
    auth-required               submitted
    payment-required            submitted
    trust-verification-required submitted
    pending                     submitted
    suspended                   resumed
    resumed                     working
    negotiation-bid-submitted   negotiation-bid-won negotiation-bid-lost
    negotiation-bid-won         submitted
";

/// States that nothing leaves; `unknown` is never ours to leave.
const ENDS: [&str; 6] =
    ["completed", "canceled", "failed", "rejected", "negotiation-bid-lost", "unknown"];

fn is_in_table(from: &str, to: &str) -> bool {
    let listed = MOVES.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(from) && words.any(|word| word == to)
    });
    listed || (!ENDS.contains(&from) && matches!(to, "canceled" | "failed"))
}

#[test]
fn the_289_moves_are_those_of_the_table() {
    let mut moves = 0;
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            let allowed = is_in_table(from.as_str(), to.as_str());
            let expected = if allowed { Ok(to) } else { Err(TransitionError { from, to }) };
            assert_eq!(from.to(to), expected, "{from} to {to}");
            assert_eq!(from.can_become(to), allowed, "{from} to {to}");
            moves += usize::from(allowed);
        }
    }
    assert_eq!(moves, 22 + 2 * 11, "the table itself was cut short");
}

#[test]
fn all_states_are_different_and_terminal_means_terminal() {
    for (index, state) in TaskState::ALL.iter().enumerate() {
        assert!(!TaskState::ALL[..index].contains(state), "{state} is listed twice");
        let leaves = TaskState::ALL.iter().any(|to| state.can_become(*to));
        assert_eq!(leaves, !state.is_terminal() && *state != TaskState::Unknown, "{state}");
        assert!(!(state.is_terminal() && state.is_interrupted()), "{state}");
        assert_eq!(state.is_settled(), state.is_terminal() || state.is_interrupted(), "{state}");
        let name = format!("\"{state}\"");
        assert_eq!(serde_json::from_str::<TaskState>(&name).unwrap(), *state);
    }
    for wrong in ["\"cancelled\"", "\"Working\"", "\"\"", "null", "1"] {
        assert!(serde_json::from_str::<TaskState>(wrong).is_err(), "{wrong}");
    }
}
