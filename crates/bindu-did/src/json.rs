//! JSON texts that are the same wherever they are made.
//!
//! [`canonical`] is the form that data parts are signed in (RFC 8785, "JCS").
//! [`python`] reproduces the text of Python's `json.dumps`, for peers that sign
//! or hash what they print.

mod canonical;
mod number;
mod python;

pub use canonical::canonical;
pub(crate) use python::write_string as write_python_string;
pub use python::{KeyOrder, python};
