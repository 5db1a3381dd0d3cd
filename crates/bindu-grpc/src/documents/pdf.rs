//! The text of a PDF, page by page.
//!
//! A page is a program that draws; what makes a line or a word is where it draws. Lines are told
//! apart by their height, words by the room between them.

mod font;
mod place;

use std::collections::BTreeMap;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId};

use self::font::Font;
use self::place::{Cursor, Gap};
use super::extract::{ExtractError, MAX_INFLATED, Text};

/// How deep drawings may stand in drawings.
const MAX_FORMS: usize = 8;

/// Writes the pages into `text`, each on lines of its own. A page that cannot be read is empty, if
/// there are others.
pub(super) fn read(bytes: &[u8], text: &mut Text) -> Result<(), ExtractError> {
    let limit = Some(MAX_INFLATED);
    let options = LoadOptions { max_decompressed_size: limit, ..LoadOptions::default() };
    let document = Document::load_mem_with_options(bytes, options).map_err(unreadable)?;
    let mut problem = Some(ExtractError::Unreadable("there are no pages".to_owned()));
    let mut is_readable = false;
    for (index, page) in document.page_iter().enumerate() {
        if text.is_full() {
            break;
        }
        if index > 0 {
            text.push("\n");
        }
        let start = text.len();
        match read_page(&document, page, text) {
            Ok(()) => is_readable = true,
            Err(error) => problem = Some(unreadable(error)),
        }
        text.trim_lines(start);
    }
    match problem {
        Some(problem) if !is_readable => Err(problem),
        _ => Ok(()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: lopdf::Error) -> ExtractError {
    ExtractError::Unreadable(error.to_string())
}

fn read_page(document: &Document, page: ObjectId, text: &mut Text) -> lopdf::Result<()> {
    let content = document.get_page_content_with_limit(page, MAX_INFLATED)?;
    let (own, shared) = document.get_page_resources(page)?;
    let shared = shared.iter().filter_map(|id| document.get_dictionary(*id).ok());
    let resources: Vec<_> = own.into_iter().chain(shared).collect();
    let mut reader = Reader { document, text, cursor: Cursor::default() };
    reader.content(&content, &resources, document.get_page_fonts(page)?, 0);
    Ok(())
}

/// Follows the drawing.
struct Reader<'a, 't> {
    document: &'a Document,
    text: &'t mut Text,
    cursor: Cursor,
}

/// Fonts by the names that a drawing gives them.
type Fonts<'a> = BTreeMap<Vec<u8>, &'a Dictionary>;

impl<'a> Reader<'a, '_> {
    /// Follows one stream of operations; what comes after a broken one is lost.
    fn content(
        &mut self,
        content: &[u8],
        resources: &[&'a Dictionary],
        fonts: Fonts<'a>,
        depth: usize,
    ) {
        // A font that makes no sense has no text.
        let read = |(name, font)| Some((name, Font::new(self.document, font)?));
        let fonts: BTreeMap<_, _> = fonts.into_iter().filter_map(read).collect();
        let mut font = None;
        for operation in Content::decode_iter(content) {
            let Ok(Operation { operator, operands }) = operation else { break };
            if self.text.is_full() {
                break;
            }
            match operator.as_str() {
                "Tf" => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    font = name.and_then(|name| fonts.get(name));
                    self.cursor.set_size(numbers(&operands[1.min(operands.len())..])[0]);
                }
                "Tj" | "TJ" => self.show(font, &operands),
                "'" | "\"" => {
                    self.cursor.next_line();
                    self.show(font, operands.last().map_or(&[], std::slice::from_ref));
                }
                "Do" => self.form(&operands, resources, depth),
                other => self.cursor.apply(other, numbers(&operands)),
            }
        }
    }

    /// Text, which may be cut into pieces with shifts between them.
    fn show(&mut self, font: Option<&Font<'_>>, operands: &[Object]) {
        for operand in operands {
            match operand {
                Object::String(bytes, _) => self.write(font, bytes),
                Object::Array(pieces) => {
                    for piece in pieces {
                        match piece {
                            Object::String(bytes, _) => self.write(font, bytes),
                            shift => self.cursor.shift(shift.as_float().unwrap_or(0.0)),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn write(&mut self, font: Option<&Font<'_>>, bytes: &[u8]) {
        let Some(font) = font else { return };
        let Some(shown) = font.decode(bytes).filter(|shown| !shown.is_empty()) else { return };
        let (ems, is_guessed) = font.measure(bytes);
        match self.cursor.show(ems, is_guessed) {
            Gap::None => {}
            Gap::Word if shown.starts_with(char::is_whitespace) => {}
            Gap::Word => self.text.blank(),
            Gap::Line => self.text.new_line(),
        }
        self.text.push(&shown);
    }

    /// A drawing within the drawing.
    fn form(&mut self, operands: &[Object], resources: &[&'a Dictionary], depth: usize) {
        if depth >= MAX_FORMS {
            return;
        }
        let document = self.document;
        let named = |name| {
            let mut forms = resources.iter().filter_map(|resources| {
                resources.get_deref(b"XObject", document).ok()?.as_dict().ok()
            });
            forms.find_map(|forms| forms.get_deref(name, document).ok()?.as_stream().ok())
        };
        let name = operands.first().and_then(|name| name.as_name().ok());
        let Some(form) = name.and_then(named) else { return };
        let is_form = form.dict.get(b"Subtype").and_then(Object::as_name).ok() == Some(b"Form");
        if !is_form {
            return;
        }
        let content = if form.dict.has(b"Filter") {
            form.decompressed_content_with_limit(MAX_INFLATED)
        } else {
            Ok(form.content.clone())
        };
        let Ok(content) = content else { return };
        let own = form.dict.get_deref(b"Resources", document).and_then(Object::as_dict).ok();
        let fonts = own.map_or_else(Fonts::new, |own| fonts(document, own));
        let cursor = self.cursor.clone();
        if let Ok(matrix) = form.dict.get_deref(b"Matrix", document).and_then(Object::as_array) {
            self.cursor.apply("cm", numbers(matrix));
        }
        self.content(&content, own.as_slice(), fonts, depth + 1);
        self.cursor.return_to(cursor);
    }
}

fn fonts<'a>(document: &'a Document, resources: &'a Dictionary) -> Fonts<'a> {
    let fonts = resources.get_deref(b"Font", document).and_then(Object::as_dict);
    let fonts = fonts.into_iter().flat_map(Dictionary::iter);
    fonts
        .filter_map(|(name, font)| {
            let (_, font) = document.dereference(font).ok()?;
            Some((name.clone(), font.as_dict().ok()?))
        })
        .collect()
}

/// Up to six numbers; what is missing or none is 0.
fn numbers(operands: &[Object]) -> [f32; 6] {
    let mut numbers = [0.0; 6];
    for (number, operand) in numbers.iter_mut().zip(operands) {
        *number = operand.as_float().unwrap_or(0.0);
    }
    numbers
}
