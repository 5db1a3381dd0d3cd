//! Where a task stands, and which moves are allowed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task stands in its life.
///
/// A task is born [`Submitted`](Self::Submitted) and moves until it reaches a
/// [terminal](Self::is_terminal) state, which it never leaves. On the wire the state is a
/// kebab-case string:
///
/// ```
/// # use bindu_protocol::TaskState;
/// let state: TaskState = serde_json::from_str(r#""input-required""#)?;
/// assert!(!state.is_terminal());
/// assert!(state.can_become(TaskState::Submitted));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TaskState {
    /// Stored and queued; no worker has taken it yet.
    Submitted,
    /// A worker runs the handler.
    Working,
    /// The handler asked the caller a question; the next message resumes it.
    InputRequired,
    /// The handler asked the caller to sign in somewhere; the next message resumes it.
    AuthRequired,
    /// Done, with a result. Terminal.
    Completed,
    /// Ended by the caller. Terminal.
    Canceled,
    /// Ended by an error. Terminal.
    Failed,
    /// The agent declined the work. Terminal.
    Rejected,
    /// The caller must pay first; the work begins when it has.
    PaymentRequired,
    /// Only ever read, of a peer's task; never written.
    Unknown,
    /// The caller must prove more trust first.
    TrustVerificationRequired,
    /// Held back by the agent, for want of a free place.
    Pending,
    /// Taken off work by an operator or a drain.
    Suspended,
    /// Let go again after a suspension; the next worker takes it.
    Resumed,
    /// A bid was made for the task; the caller says whether it is taken.
    NegotiationBidSubmitted,
    /// The bid was not chosen. Terminal.
    NegotiationBidLost,
    /// The bid was chosen; a message starts the work.
    NegotiationBidWon,
}

/// A move that the state machine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task cannot go from {from} to {to}")]
pub struct TransitionError {
    /// The state the task is in.
    pub from: TaskState,
    /// The state that was asked for.
    pub to: TaskState,
}

impl TaskState {
    /// All states, A2A's own first.
    pub const ALL: [Self; 17] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::Completed,
        Self::Canceled,
        Self::Failed,
        Self::Rejected,
        Self::AuthRequired,
        Self::Unknown,
        Self::PaymentRequired,
        Self::TrustVerificationRequired,
        Self::Pending,
        Self::Suspended,
        Self::Resumed,
        Self::NegotiationBidSubmitted,
        Self::NegotiationBidLost,
        Self::NegotiationBidWon,
    ];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::AuthRequired => "auth-required",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::PaymentRequired => "payment-required",
            Self::Unknown => "unknown",
            Self::TrustVerificationRequired => "trust-verification-required",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::NegotiationBidSubmitted => "negotiation-bid-submitted",
            Self::NegotiationBidLost => "negotiation-bid-lost",
            Self::NegotiationBidWon => "negotiation-bid-won",
        }
    }

    /// Whether the task is over: nothing changes it any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed
                | Self::Canceled
                | Self::Failed
                | Self::Rejected
                | Self::NegotiationBidLost
        )
    }

    /// Whether the task waits for its caller: to answer, to sign in, to pay, to prove trust or to
    /// choose.
    #[must_use]
    pub const fn is_interrupted(self) -> bool {
        matches!(
            self,
            Self::InputRequired
                | Self::AuthRequired
                | Self::PaymentRequired
                | Self::TrustVerificationRequired
                | Self::NegotiationBidSubmitted
        )
    }

    /// Whether a caller who waits for this task has waited long enough: it is over, or it is the
    /// caller's turn.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        self.is_terminal() || self.is_interrupted()
    }

    /// Whether a task may begin in this state.
    #[must_use]
    pub const fn is_initial(self) -> bool {
        matches!(self, Self::Submitted | Self::PaymentRequired | Self::NegotiationBidSubmitted)
    }

    /// Whether a task in this state may go to `next`. A state never follows itself.
    #[must_use]
    pub const fn can_become(self, next: Self) -> bool {
        use TaskState as S;
        match (self, next) {
            (from, S::Canceled | S::Failed) => !from.is_terminal() && !matches!(from, S::Unknown),
            (S::Submitted, to) => matches!(
                to,
                S::Working
                    | S::Rejected
                    | S::PaymentRequired
                    | S::TrustVerificationRequired
                    | S::Pending
            ),
            (S::Working, to) => matches!(
                to,
                S::Completed
                    | S::InputRequired
                    | S::AuthRequired
                    | S::Rejected
                    | S::PaymentRequired
                    | S::TrustVerificationRequired
                    | S::Suspended
            ),
            (S::Suspended, to) => matches!(to, S::Resumed),
            (S::Resumed, to) => matches!(to, S::Working),
            (S::NegotiationBidSubmitted, to) => {
                matches!(to, S::NegotiationBidWon | S::NegotiationBidLost)
            }
            (
                S::InputRequired
                | S::AuthRequired
                | S::PaymentRequired
                | S::TrustVerificationRequired
                | S::Pending
                | S::NegotiationBidWon,
                to,
            ) => matches!(to, S::Submitted),
            (
                S::Completed
                | S::Canceled
                | S::Failed
                | S::Rejected
                | S::NegotiationBidLost
                | S::Unknown,
                _,
            ) => false,
        }
    }

    /// The state after a move to `next`.
    ///
    /// # Errors
    ///
    /// [`TransitionError`] if [`can_become`](Self::can_become) says no.
    pub const fn to(self, next: Self) -> Result<Self, TransitionError> {
        if self.can_become(next) { Ok(next) } else { Err(TransitionError { from: self, to: next }) }
    }

    /// The state as a plain A2A peer knows it: Bindu's own states become the nearest of A2A's
    /// nine.
    #[must_use]
    pub const fn as_a2a(self) -> Self {
        match self {
            Self::PaymentRequired => Self::InputRequired,
            Self::TrustVerificationRequired => Self::AuthRequired,
            Self::Pending
            | Self::NegotiationBidSubmitted
            | Self::NegotiationBidLost
            | Self::NegotiationBidWon => Self::Submitted,
            Self::Resumed | Self::Suspended => Self::Working,
            own => own,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::TaskState as S;

    /// Every allowed move, written out once more, independently of the function.
    const MOVES: &[(S, &[S])] = &[
        (
            S::Submitted,
            &[
                S::Working,
                S::Failed,
                S::Rejected,
                S::Canceled,
                S::PaymentRequired,
                S::TrustVerificationRequired,
                S::Pending,
            ],
        ),
        (
            S::Working,
            &[
                S::Completed,
                S::InputRequired,
                S::AuthRequired,
                S::Failed,
                S::Rejected,
                S::Canceled,
                S::PaymentRequired,
                S::TrustVerificationRequired,
                S::Suspended,
            ],
        ),
        (S::InputRequired, &[S::Submitted, S::Canceled, S::Failed]),
        (S::AuthRequired, &[S::Submitted, S::Canceled, S::Failed]),
        (S::PaymentRequired, &[S::Submitted, S::Canceled, S::Failed]),
        (S::TrustVerificationRequired, &[S::Submitted, S::Canceled, S::Failed]),
        (S::Pending, &[S::Submitted, S::Canceled, S::Failed]),
        (S::Suspended, &[S::Resumed, S::Canceled, S::Failed]),
        (S::Resumed, &[S::Working, S::Canceled, S::Failed]),
        (
            S::NegotiationBidSubmitted,
            &[S::NegotiationBidWon, S::NegotiationBidLost, S::Canceled, S::Failed],
        ),
        (S::NegotiationBidWon, &[S::Submitted, S::Canceled, S::Failed]),
    ];

    #[test]
    fn all_289_moves_are_as_the_table_says() {
        for from in S::ALL {
            let allowed =
                MOVES.iter().find(|(state, _)| *state == from).map_or(&[][..], |row| row.1);
            for to in S::ALL {
                assert_eq!(from.can_become(to), allowed.contains(&to), "{from} to {to}");
            }
        }
    }

    #[test]
    fn names_are_what_serde_writes() {
        for state in S::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<S>(&json).unwrap(), state);
        }
    }

    #[test]
    fn plain_peers_see_only_their_own_states() {
        for state in S::ALL {
            assert!(S::ALL[..9].contains(&state.as_a2a()), "{state}");
        }
    }
}
