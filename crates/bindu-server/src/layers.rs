//! What every request passes through before it reaches a route.
//!
//! Outermost first, as the stack in [`service`](crate::service) has it:
//!
//! 1. [`Cors`](cors): preflights are answered, allowed origins named.
//! 2. [`Meter`](meter): the request is counted, with whatever the layers below make of it.
//!
//! 3. [`Access`](access): the caller is named by an [`Authenticator`](crate::Authenticator), first
//!    from the head of the request, then from its body, which is read here and not again. It puts
//!    a [`Caller`](bindu_protocol::Caller) and its grant among the request's extensions; the
//!    routes take a request without them as anonymous. Whether the grant goes as far as a method
//!    is asked once the request is parsed, in [`rpc`](crate::rpc).
//!
//! Limits on headers and connections lie below HTTP, in `bindu-http`.

pub(crate) mod access;
pub(crate) mod cors;
pub(crate) mod meter;
