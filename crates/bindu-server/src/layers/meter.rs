//! Counts requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bindu_http::Body;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body as _;
use tower::{Layer, Service};

use crate::metrics::Metrics;
use crate::routes::{ROUTES, Router};

/// Counts every request but those for the counters themselves.
#[derive(Clone, Debug)]
pub(crate) struct MeterLayer {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) router: Arc<Router>,
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;

    fn layer(&self, inner: S) -> Meter<S> {
        Meter { inner, layer: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Meter<S> {
    inner: S,
    layer: MeterLayer,
}

impl<S, B> Service<Request<B>> for Meter<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Metered<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Metered<S::Future> {
        let route = self.layer.router.find(request.uri().path()).map(|found| found.index);
        let is_counted = route.is_none_or(|index| ROUTES[index].path != "/metrics");
        let count = is_counted.then(|| {
            self.layer.metrics.request_began(length(request.headers()));
            Count {
                metrics: Arc::clone(&self.layer.metrics),
                method: known(request.method()),
                route,
                begun: Instant::now(),
            }
        });
        Metered { inner: self.inner.call(request), count }
    }
}

/// Methods that strangers make up have no series of their own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// One request that is being answered; gone, it is in flight no more.
#[derive(Debug)]
pub(crate) struct Count {
    metrics: Arc<Metrics>,
    method: &'static str,
    route: Option<usize>,
    begun: Instant,
}

impl Count {
    fn answered(&self, response: &Response<Body>) {
        let (status, size) = (response.status().as_u16(), response.body().size_hint().exact());
        self.metrics.request_ended(self.method, self.route, status, self.begun.elapsed(), size);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.metrics.request_gone();
    }
}

pin_project_lite::pin_project! {
    /// A request that is being answered.
    #[derive(Debug)]
    pub(crate) struct Metered<F> {
        #[pin]
        inner: F,
        count: Option<Count>,
    }
}

impl<F, E> Future for Metered<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let Some(count) = this.count.take()
            && let Ok(response) = &answer
        {
            count.answered(response);
        }
        Poll::Ready(answer)
    }
}
