//! Streams of events, as each dialect writes them.

use std::io;
use std::sync::Arc;

use bindu_http::Body;
use bindu_http::sse::{DataWriter, SseBody, write_comment};
use bindu_protocol::{
    Code, Dialect, RequestId, Response as RpcResponse, RpcError, StreamEvent, Task,
    TaskStatusUpdate,
};
use bindu_storage::{Event, EventBody};
use bindu_tasks::{Follow, Followed, is_settled, to_stream_event};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, Response, header};
use tokio_util::sync::CancellationToken;

use crate::rpc::Call;

/// A stream from a message on, or from the present state on: it opens with the task.
pub(crate) fn begun(call: &Call, follow: Follow, dialect: Dialect) -> Response<Body> {
    respond(call, follow, dialect, true)
}

/// A stream that goes on where another ended: nothing but what follows.
pub(crate) fn resumed(call: &Call, follow: Follow, dialect: Dialect) -> Response<Body> {
    respond(call, follow, dialect, false)
}

struct Writer {
    follow: Follow,
    dialect: Dialect,
    id: RequestId,
    task: Arc<Task>,
    /// Whether the task itself is still to be shown.
    opening: bool,
    closing: CancellationToken,
    ended: bool,
}

fn respond(call: &Call, follow: Follow, dialect: Dialect, opening: bool) -> Response<Body> {
    let writer = Writer {
        dialect,
        id: call.id().clone(),
        task: Arc::clone(&follow.record().task),
        opening,
        closing: call.server().closing.clone(),
        ended: false,
        follow,
    };
    let pieces = stream::unfold(writer, |mut writer| async move {
        let piece = writer.next().await?;
        Some((piece, writer))
    });
    let body = SseBody::with_keep_alive(pieces, call.server().config.keep_alive);
    let mut response = Response::new(Body::wrap(body));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Writer {
    /// The next piece: all events that are there, in one.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            let mut piece = BytesMut::new();
            if self.opening {
                self.opening = false;
                self.open(&mut piece);
                if !piece.is_empty() {
                    return Some(piece.freeze());
                }
            }
            let followed = tokio::select! {
                biased;
                followed = self.follow.next() => followed,
                () = self.closing.cancelled() => {
                    self.ended = true;
                    self.close(&mut piece).await;
                    return Some(piece.freeze());
                }
            };
            match followed {
                Ok(Some(Followed::Events(events))) => self.write_all(&mut piece, &events),
                Ok(Some(Followed::FellBehind)) => {
                    self.ended = true;
                    self.fail(&mut piece, "this reader fell behind");
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    tracing::warn!(task = %self.task.id, error = &error as &dyn std::error::Error, "a stream broke");
                    self.ended = true;
                    self.fail(&mut piece, "the events could not be read");
                }
            }
            if !piece.is_empty() {
                return Some(piece.freeze());
            }
        }
    }

    /// Shows the task as it is, unless the log is about to show it from its very beginning.
    fn open(&mut self, piece: &mut BytesMut) {
        if self.follow.position() == 0 {
            return;
        }
        let record = Arc::clone(self.follow.record());
        let is_over = record.task.status.state.is_settled();
        // Pieces of an artifact that is under way follow from the log.
        let seq = Some(self.follow.skip_to_shown());
        if self.dialect == Dialect::V0_3 {
            self.put(piece, seq, &StreamEvent::Task(Arc::clone(&record.task)));
            if is_over {
                self.put_status(piece, None, &record.task, true);
            }
        } else {
            let is_final = record.task.status.state.is_terminal();
            self.put_status(piece, seq, &record.task, is_final);
        }
        self.ended = is_over;
    }

    fn put_status(&self, piece: &mut BytesMut, seq: Option<u64>, task: &Task, is_final: bool) {
        let update = TaskStatusUpdate {
            task_id: task.id.clone(),
            context_id: task.context_id.clone(),
            status: task.status.clone(),
            is_final,
            metadata: None,
        };
        self.put(piece, seq, &StreamEvent::Status(update));
    }

    fn write_all(&mut self, piece: &mut BytesMut, events: &[Event]) {
        let last = events.last().map(|event| event.seq);
        for event in events {
            // In A2A the last event of a stream says so, whether the task is over or waits.
            let is_final = match (self.dialect, &event.body) {
                (Dialect::V0_3, body) => {
                    is_settled(body) && Some(event.seq) == last && self.follow.has_ended()
                }
                (_, EventBody::Status(status)) => status.state.is_terminal(),
                _ => false,
            };
            let shown = match (self.dialect, &event.body) {
                // The reference knows no event for a whole task.
                (Dialect::Reference, EventBody::Snapshot(task)) => {
                    self.put_status(piece, Some(event.seq), task, is_final);
                    continue;
                }
                (_, body) => to_stream_event(&self.task, body, is_final),
            };
            if let Some(shown) = shown {
                self.put(piece, Some(event.seq), &shown);
            }
        }
    }

    fn put(&self, piece: &mut BytesMut, seq: Option<u64>, event: &StreamEvent) {
        let shown = self.dialect.view(event);
        let written = match self.dialect {
            Dialect::V0_3 => {
                let response = RpcResponse { id: &self.id, outcome: Ok(shown) };
                write(piece, seq, |data| serde_json::to_writer(data, &response))
            }
            _ => write(piece, seq, |data| serde_json::to_writer(data, &shown)),
        };
        if let Err(error) = written {
            tracing::error!(task = %self.task.id, %error, "an event cannot be written");
        }
    }

    /// Tells the reader that the stream ends before the task does, and how to go on.
    fn fail(&self, piece: &mut BytesMut, why: &str) {
        let last = self.follow.position();
        let how = format!("{why}; resume with Last-Event-ID {last}");
        write_comment(piece, &how);
        let written = if self.dialect == Dialect::V0_3 {
            let mut error = RpcError::new(Code::INTERNAL).with_message(how);
            error.data = Some(serde_json::json!({ "resumeAfter": last }).into());
            let response = RpcResponse::<()> { id: &self.id, outcome: Err(&error) };
            write(piece, None, |data| serde_json::to_writer(data, &response))
        } else {
            let failed = serde_json::json!({
                "kind": "status-update",
                "task_id": self.task.id,
                "context_id": self.task.context_id,
                "status": { "state": "unknown", "timestamp": bindu_protocol::Timestamp::now() },
                "final": false,
                "error": how,
            });
            write(piece, None, |data| serde_json::to_writer(data, &failed))
        };
        if let Err(error) = written {
            tracing::error!(task = %self.task.id, %error, "an event cannot be written");
        }
    }

    /// The agent shuts down: the last word is the present state.
    async fn close(&self, piece: &mut BytesMut) {
        write_comment(piece, "the agent is shutting down");
        if let Ok(record) = self.follow.reload().await {
            let is_final = match self.dialect {
                Dialect::V0_3 => true,
                _ => record.task.status.state.is_terminal(),
            };
            self.put_status(piece, None, &record.task, is_final);
        }
    }
}

fn write(
    piece: &mut BytesMut,
    seq: Option<u64>,
    event: impl FnOnce(&mut DataWriter<'_>) -> serde_json::Result<()>,
) -> io::Result<()> {
    piece.reserve(512);
    let mut data = DataWriter::begin(piece, seq, None).map_err(io::Error::other)?;
    event(&mut data)?;
    data.finish();
    Ok(())
}
