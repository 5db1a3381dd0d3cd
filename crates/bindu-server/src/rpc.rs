//! `POST /`: reading a request, choosing its dialect, calling its method.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bindu_http::server::RemoteAddr;
use bindu_http::{Body, sse};
use bindu_protocol::{
    Caller, Dialect, Marks, Request as RpcRequest, RequestId, Response as RpcResponse, TaskId,
};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use jsonrpsee::core::server::{AsyncMethod, MethodCallback, MethodResponse, Methods};
use jsonrpsee::types::{Id, Params};
use jsonrpsee::{ConnectionId, Extensions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::Granted;
use crate::error_response::{Failure, bytes, denied, text, unread};
use crate::inbound::Inbound;
use crate::service::Shared;

/// One call of a method, as its function sees it.
#[derive(Clone)]
pub(crate) struct Call(Arc<Inner>);

struct Inner {
    server: Arc<Shared>,
    id: RequestId,
    caller: Caller,
    params: Bytes,
    marks: Marks,
    last_event_id: Option<u64>,
    remote: Option<IpAddr>,
    trace: Option<Box<str>>,
    /// The head of the request, if it may have to be paid for.
    headers: Option<HeaderMap>,
    answer: Mutex<Option<Response<Body>>>,
}

/// What a method's function returns: a response, or what went wrong.
pub(crate) type Answer = Result<Response<Body>, (Failure, Dialect)>;

impl Call {
    pub(crate) fn server(&self) -> &Arc<Shared> {
        &self.0.server
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.0.id
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// From where it comes, if that is known.
    pub(crate) fn remote(&self) -> Option<IpAddr> {
        self.0.remote
    }

    pub(crate) fn last_event_id(&self) -> Option<u64> {
        self.0.last_event_id
    }

    /// The head of a request that may have to be paid for; `None` for all others.
    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.0.headers.as_ref()
    }

    pub(crate) fn trace(&self) -> Option<Box<str>> {
        self.0.trace.clone()
    }

    /// The dialect as far as the request's own marks tell it.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.0.marks {
            Marks::Certain(dialect) => dialect,
            Marks::OfTask => Dialect::V0_3,
        }
    }

    /// The dialect of a request that reads the same in both: that in which its task was begun. A
    /// task that is not there is told of in `otherwise`.
    pub(crate) async fn dialect_of(&self, task: Option<&TaskId>, otherwise: Dialect) -> Dialect {
        match (self.0.marks, task) {
            (Marks::Certain(dialect), _) => dialect,
            (Marks::OfTask, None) => Dialect::V0_3,
            (Marks::OfTask, Some(id)) => {
                let task = self.server().tasks.get(self.caller(), id).await;
                task.map_or(otherwise, |record| record.dialect)
            }
        }
    }

    /// The parameters as a type.
    pub(crate) fn params<T: DeserializeOwned>(&self) -> Result<T, (Failure, Dialect)> {
        serde_json::from_slice(&self.0.params).map_err(|error| (error.into(), self.dialect()))
    }

    /// A response with a result.
    pub(crate) fn result<T: Serialize>(&self, result: &T) -> Answer {
        let body = RpcResponse { id: self.id(), outcome: Ok(result) };
        let mut json = Vec::with_capacity(512);
        match serde_json::to_writer(&mut json, &body) {
            Ok(()) => Ok(bytes(StatusCode::OK, "application/json", Bytes::from(json))),
            Err(error) => Err((Failure::internal(&error), self.dialect())),
        }
    }
}

/// Adds a method to the table.
pub(crate) fn register<F, Fut>(methods: &mut Methods, name: &'static str, method: F)
where
    F: Fn(Call) -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    // jsonrpsee carries the call in and lets the response out as extensions: its own ids and
    // strings know neither fractions nor streams.
    let callback =
        move |_: Id<'static>, _: Params<'static>, _: ConnectionId, _, with: Extensions| {
            let call = with.get::<Call>().cloned();
            let answering: futures_util::future::BoxFuture<'static, MethodResponse> =
                Box::pin(async move {
                    if let Some(call) = call {
                        let answer = method(call.clone()).await;
                        let response = answer.unwrap_or_else(|(failure, dialect)| {
                            failure.into_response(call.id(), dialect)
                        });
                        *call.0.answer.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(response);
                    }
                    MethodResponse::notification()
                });
            answering
        };
    methods
        .verify_and_insert(name, MethodCallback::Async(Arc::new(callback)))
        .expect("each method is registered once");
}

impl Shared {
    /// Answers `POST /`.
    pub(crate) async fn call(self: &Arc<Self>, request: Request<Inbound>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = match body.read(self.config.max_body_bytes).await {
            Ok(body) => body,
            Err(error) => return unread(&error),
        };
        let accepted = self.accept(&head, &body);
        let grant = head.extensions.get::<Granted>().cloned();
        // Both are parts of the buffer that the connection reads into. As long as they are held it
        // needs another one, for every request that is not answered at once.
        drop((head, body));
        let (name, method, call) = match accepted {
            Ok(accepted) => accepted,
            Err(response) => return *response,
        };
        if let Some(Granted(grant)) = grant
            && let Err(why) = grant.permit(name).await
        {
            self.metrics.denied(why.reason());
            return denied(&why, call.id());
        }
        let mut with = Extensions::new();
        with.insert(call.clone());
        method(Id::Null, Params::new(None), ConnectionId(0), usize::MAX, with).await;
        let answer = call.0.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.unwrap_or_else(|| text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
    }

    /// Finds what a request calls, or says why it calls nothing.
    fn accept(
        self: &Arc<Self>,
        head: &Parts,
        body: &Bytes,
    ) -> Result<(&'static str, AsyncMethod<'static>, Call), Box<Response<Body>>> {
        let request = match RpcRequest::parse(body) {
            Ok(request) => request,
            Err(error) => {
                let dialect = self.plain_dialect();
                let failure = Failure::request(error.code, error.reason);
                return Err(failure.into_response(&error.id, dialect).into());
            }
        };
        let marks = Marks::of(self.config.dialect, &request.method, request.params);
        let dialect = match marks {
            Marks::Certain(dialect) => dialect,
            Marks::OfTask => Dialect::V0_3,
        };
        if let Some(asked) = foreign_version(&head.headers) {
            return Err(Failure::version(asked).into_response(&request.id, dialect).into());
        }
        if !request.expects_answer {
            let reason = "id: is required; notifications are not supported";
            let failure = Failure::request(bindu_protocol::Code::INVALID_REQUEST, reason);
            return Err(failure.into_response(&request.id, dialect).into());
        }
        let found = self.methods.method_with_name(&request.method);
        let Some((name, MethodCallback::Async(method))) = found else {
            return Err(Failure::method_not_found().into_response(&request.id, dialect).into());
        };
        let guarded = self.payments.as_ref().is_some_and(|gate| gate.guards(name));
        let call = Call(Arc::new(Inner {
            headers: guarded.then(|| head.headers.clone()),
            server: Arc::clone(self),
            caller: head.extensions.get::<Caller>().cloned().unwrap_or_default(),
            params: params_of(body, request.params),
            marks,
            last_event_id: sse::parse_last_event_id(&head.headers).ok().flatten(),
            remote: head.extensions.get::<RemoteAddr>().map(|remote| remote.0.ip()),
            trace: traceparent(&head.headers),
            answer: Mutex::default(),
            id: request.id,
        }));
        Ok((name, Arc::clone(method), call))
    }

    /// The dialect of a request that is none.
    fn plain_dialect(&self) -> Dialect {
        match Marks::of(self.config.dialect, "", "{}") {
            Marks::Certain(dialect) => dialect,
            Marks::OfTask => Dialect::V0_3,
        }
    }
}

/// The parameters of a request, apart from the rest of it: copied, unless they are large.
fn params_of(body: &Bytes, params: &str) -> Bytes {
    const LARGE: usize = 4096;
    match range_of(body, params) {
        Some(range) if params.len() > LARGE => body.slice(range),
        _ => Bytes::copy_from_slice(params.as_bytes()),
    }
}

/// Where `part` is inside `whole`; `None` if it is a text of its own.
fn range_of(whole: &Bytes, part: &str) -> Option<std::ops::Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// The version that the caller asks for, if it is one that is not served.
fn foreign_version(headers: &HeaderMap) -> Option<&str> {
    let asked = headers.get("A2A-Version")?.to_str().unwrap_or("unreadable").trim();
    let is_ours = asked.is_empty() || asked == "0.3" || asked.starts_with("0.3.");
    (!is_ours).then_some(asked)
}

/// The W3C trace context of a request, if it has the form of one.
fn traceparent(headers: &HeaderMap) -> Option<Box<str>> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut fields = value.split('-');
    let is_one = is_hex(fields.next()?, 2)
        && is_hex(fields.next()?, 32)
        && is_hex(fields.next()?, 16)
        && is_hex(fields.next()?, 2);
    (is_one && value.len() <= 128).then(|| value.into())
}
