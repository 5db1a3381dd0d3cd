//! Replays recorded conversations against running agents.
//!
//! A transcript is a JSON file: what a client sends, step by step, and a pattern
//! for each answer. [`Runner`] sends the requests over plain HTTP, compares, and
//! writes one line for each transcript, `PASS`, `FAIL` or `SKIP`, with the
//! differences below it and `N passed, M failed` at the end.
//!
//! The format and its meaning were fixed by a recorder and checker written in
//! Python, and both must give the same verdict. That is why numbers, text
//! conversion, line splitting and regular expressions follow Python's rules here
//! even where Rust's own would be simpler; each such place says so.
//!
//! ```no_run
//! use bindu_testkit::wire::{Options, Runner};
//!
//! # async fn replay() -> Result<(), bindu_testkit::wire::Error> {
//! let mut options = Options::default();
//! options.map.insert("echo".to_owned(), "http://127.0.0.1:3773".to_owned());
//! let paths = ["fixtures/wire/reference".into()];
//! let report = Runner::new(options).run(&paths, &mut std::io::stdout()).await?;
//! assert_eq!(report.failed, 0);
//! # Ok(())
//! # }
//! ```
//!
//! Left out: `https` addresses, and look-around in `$regex`.

mod diff;
mod http;
mod json;
mod pattern;
mod py_regex;
mod receiver;
mod request;
mod runner;
mod signature;
mod sse;
mod template;
mod transcript;

pub use runner::{Error, Options, Report, Runner};
