//! Where results and remarks go.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use anyhow::Result;
use serde::Serialize;

use crate::sanitize;

/// Nobody reads our output any more.
#[derive(Debug, thiserror::Error)]
#[error("the output was closed")]
pub(crate) struct Closed;

/// Results on stdout, remarks on stderr.
///
/// In human mode everything is made harmless for a terminal on its way out.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    out: BufWriter<Stdout>,
    is_terminal: bool,
    /// Whether the last line has no end yet.
    mid_line: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self { json, out: BufWriter::new(out), is_terminal, mid_line: false }
    }

    /// Whether JSON was asked for.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// A value as JSON: over several lines for a person, on one for a program.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = if self.is_terminal {
            serde_json::to_string_pretty(value)?
        } else {
            serde_json::to_string(value)?
        };
        self.write(&sanitize::json(&text))?;
        self.write("\n")
    }

    /// A value as JSON on one line, sent off at once.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        let text = sanitize::json(&serde_json::to_string(value)?);
        self.write(&text)?;
        self.write("\n")?;
        self.flush()
    }

    /// Text of one or more lines, and a line break if it has none.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.end_line()?;
        self.write(&sanitize::text(text))?;
        if text.ends_with('\n') { Ok(()) } else { self.write("\n") }
    }

    /// A piece of text, sent off at once; the line goes on.
    pub(crate) fn piece(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.write(&sanitize::text(text))?;
        self.mid_line = !text.ends_with('\n');
        self.flush()
    }

    /// Ends a line that [`piece`](Self::piece) left open.
    pub(crate) fn end_line(&mut self) -> Result<()> {
        if std::mem::take(&mut self.mid_line) { self.write("\n") } else { Ok(()) }
    }

    /// A remark, on stderr. That nobody can read it is no reason to stop.
    pub(crate) fn note(&mut self, text: &str) {
        let text = sanitize::text(text);
        self.raw_note(&text);
    }

    /// As [`note`](Self::note), for text that is harmless already.
    pub(crate) fn raw_note(&mut self, text: &str) {
        if self.is_terminal && self.end_line().is_err() {
            return;
        }
        let _ = self.out.flush();
        let _ = writeln!(io::stderr(), "{text}");
    }

    pub(crate) fn finish(&mut self) -> Result<()> {
        self.end_line()?;
        self.flush()
    }

    fn write(&mut self, text: &str) -> Result<()> {
        told(self.out.write_all(text.as_bytes()))
    }

    fn flush(&mut self) -> Result<()> {
        told(self.out.flush())
    }
}

fn told(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        written => Ok(written?),
    }
}
