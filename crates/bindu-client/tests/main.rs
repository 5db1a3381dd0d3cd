//! The client against canned agents.

mod canned;
mod errors;
mod messages;
mod streams;
