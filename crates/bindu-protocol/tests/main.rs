//! The protocol as a user of the crate meets it: what is read, what is written, and that the one
//! is the inverse of the other.

mod golden;
mod model;
mod reading;
mod robust;
mod round_trip;
mod states;
