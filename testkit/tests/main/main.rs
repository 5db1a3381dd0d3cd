//! The transcript runner against a server that answers as each case says.

mod canned;
mod wire;
