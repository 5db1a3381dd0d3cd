//! Answers that come piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bindu_agent::{Chunk, Completed, HandlerError, Reply};
use bindu_protocol::Part;
use futures_core::Stream;

use super::reply;
use crate::proto::HandleResponse;

/// How much text a streamed answer may have, in bytes. All of it is stored at the end.
pub const MAX_STREAMED: usize = 16 * 1024 * 1024;

/// Turns the answers of one stream into a reply that comes piece by piece.
///
/// Each content continues the text before it. The answer that is final, or has a state, ends the
/// stream; nothing after it is read. With a state other than `completed` the turn ends as
/// [`reply`](super::reply()) says, after what was streamed so far. A stream that stops without such
/// an answer is complete all the same, and one without any answer is an empty text. More than
/// [`MAX_STREAMED`] bytes are an error, which like an error of the stream fails the task.
///
/// A stream of one single answer is no different from a call that does not stream.
pub fn stream<S, E>(responses: S) -> Reply
where
    S: Stream<Item = Result<HandleResponse, E>> + Send + 'static,
    E: Into<HandlerError>,
{
    Reply::stream(Chunks { responses: Some(Box::pin(responses)), text: String::new(), next: None })
}

struct Chunks<S> {
    /// Gone once the answer is complete, and with it the call.
    responses: Option<Pin<Box<S>>>,
    /// All that was streamed.
    text: String,
    /// How the stream ends, after its last piece.
    next: Option<Chunk>,
}

impl<S> Chunks<S> {
    /// A piece of text, or nothing if it has none.
    fn piece(&mut self, content: String) -> Option<Result<Chunk, HandlerError>> {
        if content.is_empty() {
            return None;
        }
        if self.text.len() + content.len() > MAX_STREAMED {
            self.responses = None;
            self.next = None;
            let text = format!("the streamed answer has more than {MAX_STREAMED} bytes");
            return Some(Err(text.into()));
        }
        self.text.push_str(&content);
        Some(Ok(Chunk::Text(content)))
    }

    /// The last answer: its piece, if it has one, and then the end.
    fn finish(&mut self, mut last: HandleResponse) -> Option<Result<Chunk, HandlerError>> {
        self.responses = None;
        let is_done = matches!(last.state.as_str(), "" | "completed");
        if self.text.is_empty() || !is_done {
            return Some(Ok(Chunk::End(reply(last))));
        }
        let content = std::mem::take(&mut last.content);
        let has_remarks = !last.metadata.is_empty();
        let piece = self.piece(content);
        if matches!(piece, Some(Err(_))) || !has_remarks {
            return piece;
        }
        // What was streamed is the artifact already; what is missing is what the agent says.
        let mut end = reply(HandleResponse { state: "completed".into(), ..last });
        if let Reply::Completed(Completed { message, artifacts, .. }) = &mut end {
            *message = vec![Part::text(std::mem::take(&mut self.text))];
            artifacts.clear();
        }
        let end = Chunk::End(end);
        match piece {
            None => Some(Ok(end)),
            piece => {
                self.next = Some(end);
                piece
            }
        }
    }
}

impl<S, E> Stream for Chunks<S>
where
    S: Stream<Item = Result<HandleResponse, E>>,
    E: Into<HandlerError>,
{
    type Item = Result<Chunk, HandlerError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(responses) = &mut this.responses else {
                return Poll::Ready(this.next.take().map(Ok));
            };
            match ready!(responses.as_mut().poll_next(cx)) {
                Some(Err(error)) => {
                    this.responses = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(last)) if last.is_final || !last.state.is_empty() => {
                    return Poll::Ready(this.finish(last));
                }
                Some(Ok(response)) => {
                    if let Some(piece) = this.piece(response.content) {
                        return Poll::Ready(Some(piece));
                    }
                }
                None => return Poll::Ready(this.finish(HandleResponse::default())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    fn chunk(content: &str, state: &str, is_final: bool) -> HandleResponse {
        HandleResponse {
            content: content.into(),
            state: state.into(),
            is_final,
            ..HandleResponse::default()
        }
    }

    /// The pieces; an end as the reply shows itself.
    async fn seen(responses: Vec<Result<HandleResponse, &'static str>>) -> Vec<String> {
        let Reply::Stream(chunks) = stream(stream::iter(responses)) else {
            panic!("expected a stream");
        };
        let show = |chunk| match chunk {
            Ok(Chunk::Text(text)) => text,
            Ok(Chunk::End(reply)) => format!("{reply:?}"),
            other => format!("{other:?}"),
        };
        chunks.map(show).collect().await
    }

    #[tokio::test]
    async fn pieces_continue_each_other_and_the_final_text_is_the_last() {
        let answers = vec![
            Ok(chunk("one ", "", false)),
            Ok(chunk("", "", false)),
            Ok(chunk("two ", "", false)),
            Ok(chunk("three", "", true)),
            Ok(chunk("never read", "", false)),
        ];
        assert_eq!(seen(answers).await, ["one ", "two ", "three"]);
        let without_end = vec![Ok(chunk("one ", "", false)), Ok(chunk("two", "", false))];
        assert_eq!(seen(without_end).await, ["one ", "two"]);
        let completed = vec![Ok(chunk("one ", "", false)), Ok(chunk("two", "completed", true))];
        assert_eq!(seen(completed).await, ["one ", "two"]);
    }

    #[tokio::test]
    async fn a_state_ends_the_turn_after_what_was_streamed() {
        for is_final in [true, false] {
            let answers = vec![
                Ok(chunk("so far", "", false)),
                Ok(chunk("Which?", "input-required", is_final)),
                Ok(chunk("never read", "", false)),
            ];
            let seen = seen(answers).await;
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert_eq!(seen[0], "so far");
            assert!(seen[1].contains("InputRequired") && seen[1].contains("Which?"), "{seen:?}");
        }
    }

    #[tokio::test]
    async fn no_answer_and_a_single_one_are_those_of_a_plain_call() {
        let nothing = seen(Vec::new()).await;
        assert_eq!(nothing, [format!("{:?}", Reply::text(""))]);
        let hidden = r#"{"state": "input-required", "prompt": "From text?"}"#;
        let single = seen(vec![Ok(chunk(hidden, "", true))]).await;
        assert_eq!(single, [format!("{:?}", Reply::input_required("From text?"))]);
    }

    #[tokio::test]
    async fn remarks_of_the_final_answer_are_kept_without_a_second_artifact() {
        let mut last = chunk("two", "", true);
        last.metadata.insert("model".into(), "small".into());
        let answers = vec![Ok(chunk("one ", "", false)), Ok(last)];
        let Reply::Stream(chunks) =
            stream(stream::iter(answers.into_iter().map(|answer: Result<_, HandlerError>| answer)))
        else {
            panic!("expected a stream");
        };
        let chunks: Vec<_> = chunks.collect().await;
        assert_eq!(chunks.len(), 3);
        let Ok(Chunk::End(Reply::Completed(done))) = &chunks[2] else {
            panic!("expected a completed end, got {:?}", chunks[2]);
        };
        assert_eq!(done.message, [Part::text("one two")]);
        assert!(done.artifacts.is_empty());
        let remarks = done.remarks.as_ref().map(|remarks| remarks.get("model"));
        assert_eq!(remarks, Some(Some("small".into())));
    }

    #[tokio::test]
    async fn an_error_ends_the_stream() {
        let answers = vec![Ok(chunk("a", "", false)), Err("gone"), Ok(chunk("b", "", false))];
        assert_eq!(seen(answers).await, ["a", r#"Err("gone")"#]);
    }

    #[tokio::test]
    async fn a_stream_that_does_not_end_is_cut_off() {
        let piece = "x".repeat(MAX_STREAMED / 4);
        let Reply::Stream(chunks) = stream(
            stream::repeat(piece).map(|piece| Ok::<_, HandlerError>(chunk(&piece, "", false))),
        ) else {
            panic!("expected a stream");
        };
        let chunks: Vec<_> = chunks.collect().await;
        assert_eq!(chunks.len(), 5);
        let Some(Err(error)) = chunks.last() else { panic!("expected an error") };
        assert_eq!(error.to_string(), "the streamed answer has more than 16777216 bytes");
    }
}
