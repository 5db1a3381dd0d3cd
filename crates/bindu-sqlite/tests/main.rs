//! The store from outside.

mod crash;
mod file;
mod rules;
mod support;
mod values;
