use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::Service;

use super::activity::Activity;

/// The address a request came from; an extension of every request.
///
/// It is the peer of the TCP connection: behind a proxy, the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// The address it connected from.
    pub remote: SocketAddr,
    /// What the [`Acceptor`](super::Acceptor) learned about it.
    pub extensions: Extensions,
}

impl Peer {
    pub(super) const fn new(remote: SocketAddr, extensions: Extensions) -> Self {
        Self { remote, extensions }
    }
}

/// Puts the peer into each request's extensions.
#[derive(Clone, Debug)]
pub(super) struct WithPeer<S> {
    service: S,
    remote: RemoteAddr,
    /// Shared, and only there when the acceptor had something to say.
    extensions: Option<Arc<Extensions>>,
}

impl<S> WithPeer<S> {
    pub(super) fn new(service: S, peer: Peer) -> Self {
        let extensions = (!peer.extensions.is_empty()).then(|| Arc::new(peer.extensions));
        Self { service, remote: RemoteAddr(peer.remote), extensions }
    }
}

impl<S, B> Service<Request<Incoming>> for WithPeer<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> S::Future {
        if let Some(extensions) = &self.extensions {
            request.extensions_mut().extend(Extensions::clone(extensions));
        }
        request.extensions_mut().insert(self.remote);
        self.service.call(request)
    }
}

/// The service of one connection as hyper wants it: counts what is in flight.
#[derive(Debug)]
pub(super) struct Counted<S> {
    service: S,
    activity: Arc<Activity>,
    /// HTTP/1.1 shows at the socket when a peer takes nothing; HTTP/2 only here.
    watch_body: bool,
}

impl<S> Counted<S> {
    pub(super) const fn new(service: S, activity: Arc<Activity>, watch_body: bool) -> Self {
        Self { service, activity, watch_body }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes>,
{
    type Response = Response<CountedBody<B>>;
    type Error = Infallible;
    type Future = Call<S>;

    fn call(&self, request: Request<Incoming>) -> Call<S> {
        self.activity.request_began(!request.body().is_end_stream());
        let in_flight = InFlight {
            activity: Arc::clone(&self.activity),
            watch_body: self.watch_body,
            waiting: false,
        };
        Call {
            state: State::NotReady { service: self.service.clone(), request: Some(request) },
            in_flight: Some(in_flight),
        }
    }
}

pin_project_lite::pin_project! {
    /// A call: waits until the service is ready, then for its answer.
    pub(super) struct Call<S: Service<Request<Incoming>>> {
        #[pin]
        state: State<S, S::Future>,
        in_flight: Option<InFlight>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        NotReady { service: S, request: Option<Request<Incoming>> },
        Called { #[pin] future: F },
    }
}

impl<S, B> Future for Call<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<CountedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::NotReady { service, request } => {
                    let Ok(()) = ready!(service.poll_ready(cx));
                    let request = request.take().expect("the state changes with the request");
                    let future = service.call(request);
                    this.state.set(State::Called { future });
                }
                StateProj::Called { future } => {
                    let Ok(response) = ready!(future.poll(cx));
                    let in_flight = this.in_flight.take().expect("not polled after completion");
                    return Poll::Ready(Ok(response.map(|body| CountedBody { body, in_flight })));
                }
            }
        }
    }
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
struct InFlight {
    activity: Arc<Activity>,
    watch_body: bool,
    waiting: bool,
}

impl InFlight {
    fn wait(&mut self, waiting: bool) {
        if self.waiting != waiting {
            self.waiting = waiting;
            if waiting { self.activity.body_waits() } else { self.activity.body_resumes() }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.wait(false);
        self.activity.request_ended();
    }
}

pin_project_lite::pin_project! {
    /// A response body that keeps its request in flight until it is handed over.
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        if this.in_flight.watch_body {
            this.in_flight.wait(false);
            this.in_flight.wait(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
