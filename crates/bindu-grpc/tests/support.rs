//! SDKs of all kinds: one that does as it is told, and one that breaks every rule.

pub(crate) mod raw;

pub(crate) use bindu_testkit::sdk::{Act, Can, Health, LONG, Sdk, piece, text, until};
