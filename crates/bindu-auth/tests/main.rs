//! Who is let in, by what is asked of a Hydra that the tests play themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod certificate;
mod door;
mod gates;
mod replay;
