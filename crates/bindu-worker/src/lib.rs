//! Takes one job, runs the handler, stores the outcome.
mod config;
mod execute;
mod sign;
mod worker;

pub use config::Config;
pub use worker::Worker;
