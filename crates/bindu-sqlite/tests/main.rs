//! The store from outside.

mod crash;
mod file;
mod payments;
mod rules;
mod support;
mod values;
