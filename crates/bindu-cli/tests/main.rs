//! The built command against canned agents.

mod agent;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod db;
mod did;
mod identity;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod needs_services;
mod negotiate;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod payments;
mod run;
mod send;
mod serve;
mod sidecar;
mod task;
