//! What every request passes through before it reaches a route.
//!
//! Outermost first, as the stack in [`service`](crate::service) has it:
//!
//! 1. [`Cors`](cors): preflights are answered, allowed origins named.
//! 2. [`Meter`](meter): the request is counted, with whatever the layers below make of it.
//!
//! Limits on headers and connections lie below HTTP, in `bindu-http`. A layer that learns who
//! calls comes between these and the routes, and puts a
//! [`Caller`](bindu_protocol::Caller) among the request's extensions; the routes take a request
//! without one as anonymous.

pub(crate) mod cors;
pub(crate) mod meter;
