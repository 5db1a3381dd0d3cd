//! The words of bids inside tasks.

use std::fmt;

use crate::Message;

/// Where the metadata of a message says what it means for a bid: one of the words of [`Bidding`].
///
/// Bindu's own; A2A has no bids.
pub const BIDDING_KEY: &str = "bindu.negotiation";

/// Where the metadata of a message that [asks](Bidding::Asked) for a bid has the conditions: the
/// members of a [`NegotiationRequest`](crate::NegotiationRequest) but for the summary, which is the
/// message's text.
pub const BID_REQUEST_KEY: &str = "bindu.negotiation.request";

/// Where the metadata of the agent's message has the bid: a
/// [`NegotiationAnswer`](crate::NegotiationAnswer).
pub const BID_ANSWER_KEY: &str = "bindu.negotiation.answer";

/// What a message means for a bid.
///
/// ```
/// use bindu_protocol::{BIDDING_KEY, Bidding, JsonObject, Message, Part, Role};
///
/// let mut message = Message::new(Role::User, vec![Part::text("Extract the tables of this PDF")]);
/// assert_eq!(Bidding::of(&message)?, None);
/// message.metadata = Some(JsonObject::empty().with(BIDDING_KEY, "bid"));
/// assert_eq!(Bidding::of(&message)?, Some(Bidding::Asked));
/// # Ok::<(), bindu_protocol::BiddingError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bidding {
    /// `bid`: it begins a task that the agent shall bid for, and not work on yet.
    Asked,
    /// `won`: the bid is taken, and the work may begin.
    Won,
    /// `lost`: another was chosen.
    Lost,
}

/// A message says a word that means nothing for a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message.metadata[\"{BIDDING_KEY}\"]: must be \"bid\", \"won\" or \"lost\"")]
pub struct BiddingError;

impl Bidding {
    /// What a message says; `None` if it is about no bid.
    ///
    /// # Errors
    ///
    /// [`BiddingError`] if it says something else.
    pub fn of(message: &Message) -> Result<Option<Self>, BiddingError> {
        let Some(word) = message.metadata.as_ref().and_then(|all| all.get(BIDDING_KEY)) else {
            return Ok(None);
        };
        match word.as_str() {
            Some("bid") => Ok(Some(Self::Asked)),
            Some("won") => Ok(Some(Self::Won)),
            Some("lost") => Ok(Some(Self::Lost)),
            _ => Err(BiddingError),
        }
    }

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "bid",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for Bidding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{JsonObject, Role};

    #[test]
    fn words_are_read_as_they_are_written_and_no_others() {
        let saying = |word: serde_json::Value| {
            let mut message = Message::new(Role::User, Vec::new());
            message.metadata = Some(JsonObject::empty().with(BIDDING_KEY, word));
            Bidding::of(&message)
        };
        for bidding in [Bidding::Asked, Bidding::Won, Bidding::Lost] {
            assert_eq!(saying(json!(bidding.to_string())), Ok(Some(bidding)));
        }
        for other in [json!("Bid"), json!(true), json!(null)] {
            assert_eq!(saying(other), Err(BiddingError));
        }
    }
}
