//! The crate against a Hydra that can be made to misbehave, and against a real one.

mod faults;
mod introspection;
mod keys;
mod needs_services;
mod registration;
mod support;
mod tokens;
