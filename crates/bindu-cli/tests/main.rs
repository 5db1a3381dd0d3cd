//! The built command against canned agents.

mod agent;
mod did;
mod run;
mod send;
mod serve;
mod task;
