//! The seam: who decides who may call.

use std::fmt;
use std::sync::Arc;

use bindu_protocol::{Caller, Denied};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;

/// Decides who may call, in three steps: by the head of a request, by its body, and by the method
/// it turns out to call.
///
/// A stranger ends at the first step, so that nothing of his body is read.
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Looks at the head: its header fields, and what the connection put among its extensions,
    /// such as the client's certificate and [address](bindu_http::server::RemoteAddr). `None` if
    /// what is asked for is open to everybody; its caller is then anonymous.
    ///
    /// # Errors
    ///
    /// [`Denied`]: the request is answered with that.
    fn identify<'a>(
        &'a self,
        head: &'a Parts,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Claim>>, Denied>>;
}

/// Who a caller says to be, by the head of the request.
pub trait Claim: Send {
    /// The largest body that may come with it, in bytes; `None` leaves it to the server. A larger
    /// one is [`Denied::BodyTooLarge`].
    fn max_body(&self) -> Option<usize>;

    /// Looks at the body, as it was sent.
    ///
    /// # Errors
    ///
    /// [`Denied`]: the request is answered with that.
    fn verify(self: Box<Self>, body: Bytes) -> BoxFuture<'static, Result<Arc<dyn Grant>, Denied>>;
}

/// Who a caller is, and what it may do.
pub trait Grant: fmt::Debug + Send + Sync + 'static {
    /// The caller.
    fn caller(&self) -> &Caller;

    /// Whether this request may call a JSON-RPC method, which is one that the server has. Asked
    /// once for a request, just before the method is called.
    ///
    /// # Errors
    ///
    /// [`Denied`]: the request is answered with that, and changes nothing.
    fn permit<'a>(&'a self, method: &'a str) -> BoxFuture<'a, Result<(), Denied>>;
}

/// A grant among the extensions of a request.
#[derive(Clone, Debug)]
pub(crate) struct Granted(pub(crate) Arc<dyn Grant>);
