//! The text of a DOCX: its paragraphs, those in tables and boxes too, in the order of the file.

use std::io::{BufReader, Cursor, Read};

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, XmlVersion};
use zip::ZipArchive;

use super::extract::{ExtractError, MAX_INFLATED, Text};

/// The namespaces of text, as most programs write it and as the strict standard (ISO/IEC 29500)
/// has it.
const WORDS: [&str; 2] = [
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
];

/// Where what is in a box is repeated for old programs.
const COMPATIBILITY: &str = "http://schemas.openxmlformats.org/markup-compatibility/2006";

/// Where the file says which of its parts is the document.
const RELATIONS: &str = "_rels/.rels";

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn read(bytes: &[u8], text: &mut Text) -> Result<(), ExtractError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    let document = document_of(&mut archive)?;
    paragraphs(part(&mut archive, &document)?, text)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: impl ToString) -> ExtractError {
    ExtractError::Unreadable(error.to_string())
}

type Xml<R> = NsReader<BufReader<R>>;

/// Part of the file as XML, of which no more is unpacked than [`MAX_INFLATED`].
fn part<'a>(archive: &'a mut Archive<'_>, name: &str) -> Result<Xml<impl Read + 'a>, ExtractError> {
    let file = archive.by_name(name).map_err(unreadable)?;
    let mut xml = NsReader::from_reader(BufReader::new(file.take(MAX_INFLATED as u64)));
    xml.config_mut().check_end_names = true;
    Ok(xml)
}

/// The name of the part that holds the text.
fn document_of(archive: &mut Archive<'_>) -> Result<String, ExtractError> {
    let mut xml = part(archive, RELATIONS)?;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match xml.read_event_into(&mut buffer).map_err(unreadable)? {
            Event::Start(element) | Event::Empty(element) => {
                let kind = attribute(&element, "Type").unwrap_or_default();
                if kind.ends_with("/officeDocument")
                    && let Some(target) = attribute(&element, "Target")
                {
                    return Ok(target.trim_start_matches('/').to_owned());
                }
            }
            Event::Eof => return Err(ExtractError::Unreadable("there is no document".to_owned())),
            _ => {}
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    Some(attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

/// The innermost element around what comes now.
#[derive(Default, PartialEq)]
enum Within {
    #[default]
    Other,
    Run,
    Text,
}

/// Where in the document the reader is.
#[derive(Default)]
struct Place {
    /// Whether a paragraph has begun.
    has_paragraph: bool,
    /// Whether a paragraph within the current one has just ended.
    is_after_inner: bool,
    within: Within,
    /// How many elements are open.
    depth: usize,
    /// How many elements deep in what is there for old programs.
    fallback: usize,
}

fn paragraphs<R: Read>(mut xml: Xml<R>, text: &mut Text) -> Result<(), ExtractError> {
    let mut place = Place::default();
    let mut buffer = Vec::new();
    loop {
        if text.is_full() {
            return Ok(());
        }
        buffer.clear();
        let (namespace, event) = xml.read_resolved_event_into(&mut buffer).map_err(unreadable)?;
        let is = |wanted: &[&str]| matches!(namespace, ResolveResult::Bound(Namespace(found)) if wanted.contains(&found));
        match &event {
            Event::Start(_) => place.depth += 1,
            Event::End(_) => place.depth = place.depth.saturating_sub(1),
            _ => {}
        }
        match event {
            Event::Start(_) if place.fallback > 0 => place.fallback += 1,
            Event::End(_) if place.fallback > 0 => place.fallback -= 1,
            Event::Start(element) if is(&[COMPATIBILITY]) => {
                place.fallback = usize::from(element.local_name().as_ref() == "Fallback");
            }
            Event::Start(element) if is(&WORDS) => {
                place.start(element.local_name().as_ref(), text);
            }
            Event::Empty(element) if is(&WORDS) && place.fallback == 0 => {
                place.start(element.local_name().as_ref(), text);
                place.end(element.local_name().as_ref());
            }
            Event::End(element) if is(&WORDS) => place.end(element.local_name().as_ref()),
            Event::Text(piece) if place.is_shown() => {
                place.write(&piece.xml10_content(), text);
            }
            Event::CData(piece) if place.is_shown() => {
                place.write(&piece.xml10_content(), text);
            }
            Event::GeneralRef(name) if place.is_shown() => {
                let named = name.resolve_char_ref().map_err(unreadable)?;
                let named = named.or_else(|| predefined(&name.xml10_content()));
                let character = named.ok_or_else(|| unreadable("an entity is not known"))?;
                place.write(character.encode_utf8(&mut [0; 4]), text);
            }
            Event::Eof => {
                let is_whole = place.has_paragraph && place.depth == 0;
                return is_whole.then_some(()).ok_or_else(|| unreadable("the document is cut off"));
            }
            _ => {}
        }
    }
}

/// The entities that XML itself has; others must be declared, which no DOCX does.
fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

impl Place {
    /// Whether text that comes now is text of the document.
    fn is_shown(&self) -> bool {
        self.within == Within::Text && self.fallback == 0
    }

    fn start(&mut self, element: &str, text: &mut Text) {
        match element {
            "p" => {
                if self.has_paragraph {
                    text.push("\n");
                }
                self.has_paragraph = true;
                self.is_after_inner = false;
            }
            "r" => self.within = Within::Run,
            "t" => self.within = Within::Text,
            // Outside of runs, these are the places where tabulators stop.
            "tab" | "ptab" if self.within == Within::Run => self.write("\t", text),
            "br" | "cr" if self.within == Within::Run => self.write("\n", text),
            "noBreakHyphen" if self.within == Within::Run => self.write("-", text),
            _ => {}
        }
    }

    fn end(&mut self, element: &str) {
        match element {
            "p" => self.is_after_inner = true,
            "r" => self.within = Within::Other,
            "t" => self.within = Within::Run,
            _ => {}
        }
    }

    fn write(&mut self, piece: &str, text: &mut Text) {
        // What follows a box in a paragraph is on a line of its own.
        if std::mem::take(&mut self.is_after_inner) && self.has_paragraph {
            text.push("\n");
        }
        text.push(piece);
    }
}
