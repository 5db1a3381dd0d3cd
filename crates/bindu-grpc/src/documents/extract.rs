//! The child process, from inside.

use std::io::{BufRead, BufReader, Read, Write};

use super::{child::NOTE_ROOM, docx, pdf};

/// How large a compressed piece of a document may become, in bytes.
pub const MAX_INFLATED: usize = 32 * 1024 * 1024;

/// How much memory the process may take, in bytes of addresses.
pub const MAX_MEMORY: u64 = 768 * 1024 * 1024;

/// The longest head line.
const MAX_HEAD: u64 = 256;

/// Why [`extract`] wrote no text. Only for whoever debugs it: the other side looks at how the
/// process ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The first line is not `pdf` or `docx`, the most bytes of text, and the seconds.
    #[error("the input does not begin with a kind, a limit and a time")]
    BadHead,
    /// The process could not limit itself, and does not dare to parse then.
    #[error("the limits of the process cannot be set")]
    Limits(#[source] std::io::Error),
    /// Reading the input, or writing the text.
    #[error("talking to the other process failed")]
    Io(#[from] std::io::Error),
    /// The document is broken, or too large inside.
    #[error("the document cannot be parsed: {0}")]
    Unreadable(String),
}

/// What a process that [`Documents`](super::Documents) starts has to do: limits itself for the rest
/// of its life, reads a document from `input` and writes its text to `output`.
///
/// The limits are [`MAX_MEMORY`], the processor time that the input names, and no core files; on
/// systems other than Unix there are none. Call it on the first thread, before others are started,
/// and end the process afterwards: badly, if this is an error.
///
/// # Errors
///
/// See [`ExtractError`]. A document may also end the process at once.
pub fn extract(input: impl Read, mut output: impl Write) -> Result<(), ExtractError> {
    let mut input = BufReader::new(input);
    let mut head = String::new();
    input.by_ref().take(MAX_HEAD).read_line(&mut head)?;
    let mut words = head.split_whitespace();
    let (kind, max_text, seconds) = (words.next(), number(words.next()), number(words.next()));
    let (Some(kind), Some(max_text), Some(seconds)) = (kind, max_text, seconds) else {
        return Err(ExtractError::BadHead);
    };
    confine(seconds)?;
    let mut document = Vec::new();
    input.read_to_end(&mut document)?;
    let mut text = Text::new(usize::try_from(max_text).unwrap_or(usize::MAX));
    match kind {
        "pdf" => pdf::read(&document, &mut text)?,
        "docx" => docx::read(&document, &mut text)?,
        _ => return Err(ExtractError::BadHead),
    }
    output.write_all(text.finish().as_bytes())?;
    output.flush()?;
    Ok(())
}

fn number(word: Option<&str>) -> Option<u64> {
    word?.parse().ok()
}

#[cfg(unix)]
fn confine(seconds: u64) -> Result<(), ExtractError> {
    use rlimit::Resource;

    for (resource, limit) in
        [(Resource::AS, MAX_MEMORY), (Resource::CPU, seconds), (Resource::CORE, 0)]
    {
        // A stricter limit that is there already stays.
        let set = resource.get().and_then(|(_, hard)| {
            let limit = limit.min(hard);
            resource.set(limit, limit)
        });
        set.map_err(ExtractError::Limits)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn confine(_seconds: u64) -> Result<(), ExtractError> {
    Ok(())
}

/// Text that stops growing at a limit.
#[derive(Debug)]
pub(super) struct Text {
    so_far: String,
    limit: usize,
    is_cut: bool,
}

impl Text {
    pub(super) const fn new(limit: usize) -> Self {
        Self { so_far: String::new(), limit, is_cut: false }
    }

    pub(super) fn push(&mut self, more: &str) {
        if self.is_cut {
            return;
        }
        let room = self.limit - self.so_far.len();
        self.is_cut = more.len() > room;
        self.so_far.push_str(&more[..more.floor_char_boundary(room)]);
    }

    /// Begins a new line, unless one has just begun.
    pub(super) fn new_line(&mut self) {
        if !self.so_far.is_empty() && !self.so_far.ends_with('\n') {
            self.push("\n");
        }
    }

    /// Puts a blank after a word.
    pub(super) fn blank(&mut self) {
        if !self.so_far.is_empty() && !self.so_far.ends_with(char::is_whitespace) {
            self.push(" ");
        }
    }

    /// Takes away the line ends at the end, back to a length.
    pub(super) fn trim_lines(&mut self, start: usize) {
        if !self.is_cut {
            let kept = self.so_far[start..].trim_end_matches(['\n', ' ']).len();
            self.so_far.truncate(start + kept);
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.so_far.len()
    }

    /// Whether more would be in vain.
    pub(super) const fn is_full(&self) -> bool {
        self.is_cut
    }

    pub(super) fn finish(self) -> String {
        let Self { so_far: mut text, limit, is_cut } = self;
        if is_cut {
            let note =
                format!("\n[The document goes on; this is the first {limit} bytes of its text]");
            debug_assert!(note.len() <= NOTE_ROOM);
            text.push_str(&note);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        let mut text = Text::new(5);
        text.push("ab");
        text.push("c\u{e9}");
        assert!(!text.is_full());
        text.push("d");
        assert!(text.is_full());
        text.push("e");
        let text = text.finish();
        assert_eq!(
            text,
            "abc\u{e9}\n[The document goes on; this is the first 5 bytes of its text]"
        );
        let mut text = Text::new(2);
        text.push("a\u{e9}");
        assert!(text.finish().starts_with("a\n["));
    }

    #[test]
    fn the_note_has_room() {
        let mut text = Text::new(usize::MAX);
        text.is_cut = true;
        assert!(text.finish().len() <= NOTE_ROOM);
    }

    #[test]
    fn a_head_that_says_nothing_is_refused_before_anything_is_limited() {
        for head in ["", "pdf\n", "pdf 1\n", "pdf x 1\n", "pdf 1 -1\n", &"x".repeat(10_000)] {
            let mut output = Vec::new();
            let error = extract(head.as_bytes(), &mut output).unwrap_err();
            assert!(matches!(error, ExtractError::BadHead), "{head:?}: {error:?}");
            assert!(output.is_empty());
        }
    }
}
