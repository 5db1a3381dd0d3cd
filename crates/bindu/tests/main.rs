//! Whole agents on free ports.

mod caller;
mod drain;
mod start;
mod stream;
mod together;
