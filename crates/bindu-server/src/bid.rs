//! Bids as tasks: asked for by a message, and won or lost by the next.

use bindu_protocol::{
    BID_ANSWER_KEY, BID_REQUEST_KEY, Bidding, Dialect, JsonObject, MAX_SUMMARY_CHARS, Message,
    NegotiationAnswer, NegotiationRequest, Part, TaskState,
};
use bindu_tasks::{Preview, Submission, TaskError, Wait};
use serde_json::{Map, Value};

use crate::error_response::Failure;
use crate::payment::{self, Step};
use crate::rpc::Call;

/// How many bids may wait to be decided at one time: they cost nothing, and nobody else ends them.
const MAX_UNDECIDED: u64 = 1_000;

/// Says what is to be done with a message: a bid costs nothing, all else what it costs.
pub(crate) async fn step(
    call: &Call,
    mut submission: Submission,
    dialect: Dialect,
) -> Result<Step, (Failure, Dialect)> {
    let refused = |reason: &str| (Failure::params(reason), dialect);
    let bidding = Bidding::of(&submission.message).map_err(|error| refused(&error.to_string()))?;
    let Some(bidding) = bidding else { return payment::step(call, submission, dialect).await };
    let told = |error: TaskError| (Failure::task(&error, dialect), dialect);
    let preview = call.server().tasks.preview(call.caller(), &submission).await.map_err(told)?;
    match (&preview, bidding) {
        (Preview::Continues(_), Bidding::Won) => {
            return payment::step(call, submission, dialect).await;
        }
        (Preview::Begins, Bidding::Asked) => {
            let request = request(&submission.message).map_err(|reason| refused(&reason))?;
            if undecided(call).await.map_err(told)? >= MAX_UNDECIDED {
                return Err(told(TaskError::Busy));
            }
            let answer = call.server().assess(&request, call.remote()).await;
            submission.wait = Some(bid(&answer));
        }
        // Lost, or sent once more: nothing that has a price.
        _ => {}
    }
    submission.only = Some(preview.only());
    Ok(Step::Submit(submission.into(), None))
}

/// How many bids wait to be decided.
async fn undecided(call: &Call) -> Result<u64, TaskError> {
    let counted = call.server().tasks.storage().count().await?;
    let bids = counted.iter().find(|(state, _)| *state == TaskState::NegotiationBidSubmitted);
    Ok(bids.map_or(0, |(_, count)| *count))
}

/// What a message asks the agent to bid for.
fn request(message: &Message) -> Result<NegotiationRequest, String> {
    let told = |what: &str| format!("message.metadata[\"{BID_REQUEST_KEY}\"]: {what}");
    let said = message.metadata.as_ref().and_then(|metadata| metadata.get(BID_REQUEST_KEY));
    let mut members = match said {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(told("must be an object")),
    };
    let text = message.text();
    if text.trim().is_empty() {
        return Err("message.parts: a text must say what to bid for".to_owned());
    }
    let summary: String = text.chars().take(MAX_SUMMARY_CHARS).collect();
    members.insert("task_summary".to_owned(), summary.into());
    let request = Value::Object(members).to_string();
    NegotiationRequest::from_json(request.as_bytes()).map_err(|error| told(&error.to_string()))
}

/// How a task waits to be decided, or is over at once.
fn bid(answer: &NegotiationAnswer) -> Wait {
    let (state, says) = if answer.accepted {
        let says = format!("This can be done; it suits with {} of 1.", answer.score);
        (TaskState::NegotiationBidSubmitted, says)
    } else {
        let reason = answer.rejection_reason.map(|reason| format!(": {reason}"));
        let says = format!("No bid is made for this{}.", reason.unwrap_or_default());
        (TaskState::NegotiationBidLost, says)
    };
    let answer = serde_json::to_value(answer).unwrap_or_default();
    Wait {
        state,
        parts: vec![Part::text(says)],
        remarks: Some(JsonObject::empty().with(BID_ANSWER_KEY, answer)),
    }
}

#[cfg(test)]
mod tests {
    use bindu_protocol::Role;
    use serde_json::json;

    use super::*;

    fn asked(text: &str, conditions: &Value) -> Result<NegotiationRequest, String> {
        let mut message = Message::new(Role::User, vec![Part::text(text)]);
        message.metadata = Some(JsonObject::empty().with(BID_REQUEST_KEY, conditions.clone()));
        request(&message)
    }

    #[test]
    fn what_is_to_be_done_is_in_the_text_and_the_conditions_beside_it() {
        let conditions = json!({ "task_summary": "other", "min_score": 0.5 });
        let mut expected = NegotiationRequest::new("read");
        expected.min_score = Some(0.5);
        assert_eq!(asked("read", &conditions), Ok(expected));
        assert_eq!(asked("read", &Value::Null), Ok(NegotiationRequest::new("read")));
        let long = asked(&"ä".repeat(MAX_SUMMARY_CHARS + 1), &Value::Null).unwrap();
        assert_eq!(long.task_summary.chars().count(), MAX_SUMMARY_CHARS);
    }

    #[test]
    fn what_cannot_be_bid_for_is_named() {
        let key = r#"message.metadata["bindu.negotiation.request"]"#;
        for (text, conditions, reason) in [
            (" ", json!({}), "message.parts: a text must say what to bid for".to_owned()),
            ("x", json!([]), format!("{key}: must be an object")),
            ("x", json!({"min_score": "a"}), format!("{key}: 'min_score' must be a number")),
        ] {
            assert_eq!(asked(text, &conditions), Err(reason));
        }
    }
}
