//! Bare servers: hyper, serde and nothing else. No server that speaks this JSON can be faster.

use std::convert::Infallible;
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bindu::protocol::AgentCard;
use bindu_http::server::{Acceptor, PlainTcp};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::signature::{Ed25519KeyPair, UnparsedPublicKey};
use tokio::net::TcpListener;

use super::grpc::Remote;
use super::typed::{Answer, Call, GetParams, SendParams};

/// What a floor does with a request.
pub(super) enum Floor {
    /// Reads `message/send` and answers with a task; with a key, signs the text as well.
    Send { answer: Answer, key: Option<Ed25519KeyPair> },
    /// The same, after it has verified a signature.
    Locked { answer: Answer, key: Ed25519KeyPair, signed: Signed },
    /// Reads `message/send`, asks a handler in another process, signs what that says.
    Remote { answer: Answer, key: Ed25519KeyPair, handler: Remote },
    /// Reads `tasks/get` and answers with a task.
    Get { answer: Answer },
    /// Writes a card.
    Card(Box<AgentCard>),
    /// Reads `message/stream` and writes so many events, a frame each.
    Stream { event: Bytes, events: usize },
}

/// A signature that is verified again and again.
pub(super) struct Signed {
    pub(super) by: UnparsedPublicKey<Vec<u8>>,
    pub(super) text: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What is answered when a request is not what the load generator sends.
const NOT_MINE: &[u8] = b"not a request of this benchmark";

type Reply = Response<Either<Full<Bytes>, Events>>;

/// Starts a floor on a free port of the loopback address, on the present runtime.
pub(super) async fn start(floor: Floor) -> std::io::Result<SocketAddr> {
    start_behind(floor, PlainTcp).await
}

/// The same, behind TLS perhaps.
pub(super) async fn start_behind(
    floor: Floor,
    acceptor: impl Acceptor,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (floor, acceptor) = (Arc::new(floor), Arc::new(acceptor));
    tokio::spawn(async move {
        while let Ok((stream, remote)) = listener.accept().await {
            // A connection that fails shows at the other end of it.
            let _ = stream.set_nodelay(true);
            let (floor, acceptor) = (Arc::clone(&floor), Arc::clone(&acceptor));
            let service = service_fn(move |request| {
                let floor = Arc::clone(&floor);
                async move { Ok::<_, Infallible>(floor.answer(request).await) }
            });
            tokio::spawn(async move {
                let Ok(accepted) = acceptor.accept(stream, remote).await else { return };
                let io = TokioIo::new(accepted.io);
                let _ = http1::Builder::new().serve_connection(io, service).await;
            });
        }
    });
    Ok(address)
}

impl Floor {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let Ok(body) = request.into_body().collect().await else { return whole(NOT_MINE) };
        let body = body.to_bytes();
        match self {
            Self::Locked { answer, key, signed } => {
                match call::<SendParams>(&body, "message/send") {
                    Some(call) if signed.by.verify(&signed.text, &signed.signature).is_ok() => {
                        if let [part, ..] = call.params.message.parts.as_slice() {
                            black_box(key.sign(part.text.as_bytes()));
                        }
                        json(&answer.to(call.id, call.params.message))
                    }
                    _ => whole(NOT_MINE),
                }
            }
            Self::Send { answer, key } => match call::<SendParams>(&body, "message/send") {
                Some(call) if call.params.configuration.blocking => {
                    if let (Some(key), [part, ..]) = (key, call.params.message.parts.as_slice()) {
                        black_box(key.sign(part.text.as_bytes()));
                    }
                    json(&answer.to(call.id, call.params.message))
                }
                _ => whole(NOT_MINE),
            },
            Self::Remote { answer, key, handler } => {
                match call::<SendParams>(&body, "message/send") {
                    Some(call) if call.params.configuration.blocking => {
                        let mut message = call.params.message;
                        if let [part, ..] = message.parts.as_mut_slice() {
                            let (task, context) = (&answer.result.id, &answer.result.context_id);
                            match handler.answer(&part.text, task, context).await {
                                Ok(said) => part.text = said,
                                Err(_) => return whole(NOT_MINE),
                            }
                            black_box(key.sign(part.text.as_bytes()));
                        }
                        json(&answer.to(call.id, message))
                    }
                    _ => whole(NOT_MINE),
                }
            }
            Self::Get { answer } => match call::<GetParams>(&body, "tasks/get") {
                Some(call) if call.params.id == answer.result.id => json(answer),
                _ => whole(NOT_MINE),
            },
            Self::Card(card) => json(card),
            Self::Stream { event, events } => match call::<SendParams>(&body, "message/stream") {
                Some(_) => {
                    let events = Events { event: event.clone(), left: *events };
                    let mut response = Response::new(Either::Right(events));
                    let kind = HeaderValue::from_static("text/event-stream");
                    response.headers_mut().insert(header::CONTENT_TYPE, kind);
                    response
                }
                None => whole(NOT_MINE),
            },
        }
    }
}

fn call<P: serde::de::DeserializeOwned>(body: &[u8], method: &str) -> Option<Call<P>> {
    let call: Call<P> = serde_json::from_slice(body).ok()?;
    (call.jsonrpc == "2.0" && call.method == method).then_some(call)
}

fn json<T: serde::Serialize>(value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => whole(body),
        Err(_) => whole(NOT_MINE),
    }
}

fn whole(body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The same event again and again.
pub(super) struct Events {
    event: Bytes,
    left: usize,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(self.event.clone()))))
    }
}
