//! Lets in who may call.

use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bindu_http::{Body, ReadBodyError, read_body};
use bindu_protocol::{Denied, RequestId};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service};

use crate::access::{Authenticator, Granted};
use crate::error_response::{denied, unread};
use crate::inbound::Inbound;
use crate::metrics::Metrics;

/// Asks an authenticator; without one, everybody is let in.
#[derive(Clone, Debug)]
pub(crate) struct AccessLayer {
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) metrics: Arc<Metrics>,
    /// The largest body of a caller whose body does not matter to who it is.
    pub(crate) max_body: usize,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, layer: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Access<S> {
    inner: S,
    layer: AccessLayer,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Incoming>> for Access<S>
where
    S: Service<Request<Inbound>, Response = Response<Body>, Error = Infallible, Future = Answering>
        + Clone
        + Send
        + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Answering {
        let Some(authenticator) = self.layer.authenticator.clone() else {
            return self.inner.call(request.map(Inbound::Wire));
        };
        // `call` must use the instance that reported ready, so that one leaves and a clone stays.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let (max_body, metrics) = (self.layer.max_body, Arc::clone(&self.layer.metrics));
        let refuse = move |why: &Denied| {
            metrics.denied(why.reason());
            denied(why, &RequestId::NULL)
        };
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            // The head first: a stranger does not make us read a body.
            let claim = match authenticator.identify(&head).await {
                Ok(Some(claim)) => claim,
                Ok(None) => {
                    return inner.call(Request::from_parts(head, Inbound::Wire(body))).await;
                }
                Err(why) => return Ok(refuse(&why)),
            };
            let body = match read(body, claim.max_body(), max_body).await {
                Ok(body) => body,
                Err(None) => return Ok(refuse(&Denied::BodyTooLarge)),
                Err(Some(error)) => return Ok(unread(&error)),
            };
            match claim.verify(body.clone()).await {
                Ok(grant) => {
                    head.extensions.insert(grant.caller().clone());
                    head.extensions.insert(Granted(grant));
                    inner.call(Request::from_parts(head, Inbound::Whole(body))).await
                }
                Err(why) => Ok(refuse(&why)),
            }
        })
    }
}

/// Reads the body that comes with a claim. `None` says that it is larger than the claim allows.
async fn read(
    body: Incoming,
    own: Option<usize>,
    max_body: usize,
) -> Result<Bytes, Option<ReadBodyError>> {
    let own = own.filter(|own| *own < max_body);
    read_body(body, own.unwrap_or(max_body)).await.map_err(|error| match error {
        ReadBodyError::TooLarge { .. } if own.is_some() => None,
        other => Some(other),
    })
}
