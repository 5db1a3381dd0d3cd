//! The engine through its public door, over the in-memory store and queue.

mod bids;
mod cancel;
mod context;
mod follow;
mod payment;
mod receiver;
mod submit;
mod support;
mod webhook;
