//! Lets web pages of configured origins call the agent (Fetch standard, CORS protocol).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bindu_http::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tower::{Layer, Service};

use crate::error_response::text;

/// Adds the CORS headers, and answers preflights itself.
#[derive(Clone, Debug)]
pub(crate) struct CorsLayer(pub(crate) Arc<[HeaderValue]>);

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors { inner, origins: Arc::clone(&self.0) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Cors<S> {
    inner: S,
    origins: Arc<[HeaderValue]>,
}

impl<S, B> Service<Request<B>> for Cors<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(origin) = request.headers().get(ORIGIN).cloned() else {
            return Box::pin(self.inner.call(request));
        };
        let is_allowed = self.origins.contains(&origin);
        let asks = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() == Method::OPTIONS && asks {
            let response = preflight(request.headers(), is_allowed.then_some(origin));
            return Box::pin(std::future::ready(Ok(response)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let headers = response.headers_mut();
            headers.append(VARY, HeaderValue::from_static("Origin"));
            if is_allowed {
                allow(headers, origin);
                let exposed = HeaderValue::from_static(
                    "X-A2A-Extensions, Retry-After, ETag, Payment-Required, Payment-Response",
                );
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
            Ok(response)
        })
    }
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
}

fn preflight(asked: &HeaderMap, origin: Option<HeaderValue>) -> Response<Body> {
    const VARIES: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY";
    let Some(origin) = origin else {
        let mut refused = text(StatusCode::BAD_REQUEST, "Disallowed CORS origin");
        refused.headers_mut().insert(VARY, HeaderValue::from_static(VARIES));
        return refused;
    };
    let mut response = text(StatusCode::OK, "OK");
    let headers = response.headers_mut();
    allow(headers, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}
