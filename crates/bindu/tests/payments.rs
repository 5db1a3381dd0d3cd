//! Agents that are paid, a facilitator that does as it is told, and payers of all kinds.

mod bids;
mod faults;
mod in_task;
mod over_http;
#[cfg(feature = "grpc")]
mod sdk;
mod shop;
