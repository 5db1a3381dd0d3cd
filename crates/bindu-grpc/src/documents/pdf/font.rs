//! What the bytes of a font say, and how wide it is.

use std::collections::HashMap;

use lopdf::{Dictionary, Document, Encoding, Object};

use crate::documents::extract::MAX_INFLATED;

/// How wide a character is if nobody says, in ems: the average of most fonts.
const WIDTH: f32 = 0.5;

/// The most widths that one font may name; it has no more characters.
const MAX_WIDTHS: usize = 65_536;

/// A font, as far as text needs it.
#[derive(Debug)]
pub(super) struct Font<'a> {
    encoding: Encoding<'a>,
    widths: Widths,
}

/// Widths by character code, in thousandths of an em.
#[derive(Debug)]
enum Widths {
    /// Codes of one byte, from the first that has a width.
    Simple { first: usize, widths: Vec<f32> },
    /// Codes of two bytes.
    Composite { default: f32, widths: HashMap<u16, f32> },
    /// The fonts that every reader has need not say.
    Unknown,
}

impl<'a> Font<'a> {
    pub(super) fn new(document: &'a Document, font: &'a Dictionary) -> Option<Self> {
        let encoding = font.get_font_encoding_with_limit(document, MAX_INFLATED).ok()?;
        let widths = composite(document, font).or_else(|| simple(document, font));
        Some(Self { encoding, widths: widths.unwrap_or(Widths::Unknown) })
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Option<String> {
        Document::decode_text(&self.encoding, bytes).ok()
    }

    /// How wide it is in ems, and whether that is only a guess.
    pub(super) fn measure(&self, bytes: &[u8]) -> (f32, bool) {
        let sum: f32 = match &self.widths {
            Widths::Simple { first, widths } => {
                let width = |byte: &u8| widths.get(usize::from(*byte).checked_sub(*first)?);
                bytes.iter().map(|byte| width(byte).unwrap_or(&0.0)).sum()
            }
            Widths::Composite { default, widths } => {
                let (codes, _) = bytes.as_chunks();
                let width = |code: &[u8; 2]| widths.get(&u16::from_be_bytes(*code));
                codes.iter().map(|code| width(code).unwrap_or(default)).sum()
            }
            Widths::Unknown => return (bytes.iter().map(|_| WIDTH).sum(), true),
        };
        (sum / 1000.0, false)
    }
}

/// ISO 32000-1, 9.6.2.
fn simple(document: &Document, font: &Dictionary) -> Option<Widths> {
    let widths = font.get_deref(b"Widths", document).ok()?.as_array().ok()?;
    let first = font.get_deref(b"FirstChar", document).ok()?.as_i64().ok()?;
    let widths = widths.iter().take(256).map(|width| number(document, width).unwrap_or(0.0));
    Some(Widths::Simple { first: usize::try_from(first).ok()?, widths: widths.collect() })
}

/// ISO 32000-1, 9.7.4.3: `code [widths]` or `first last width`, in any order.
fn composite(document: &Document, font: &Dictionary) -> Option<Widths> {
    let below = font.get_deref(b"DescendantFonts", document).ok()?.as_array().ok()?;
    let (_, below) = document.dereference(below.first()?).ok()?;
    let below = below.as_dict().ok()?;
    let default = below.get(b"DW").ok().and_then(|width| number(document, width));
    let mut widths = HashMap::new();
    let listed = below.get_deref(b"W", document).and_then(Object::as_array);
    let mut listed = listed.map_or(&[][..], Vec::as_slice);
    let mut named = 0;
    while let [first, second, rest @ ..] = listed {
        let Some(first) = code(document, first) else { break };
        let (_, second) = document.dereference(second).ok()?;
        if let Ok(each) = second.as_array() {
            for (code, width) in (first..=u16::MAX).zip(each) {
                widths.insert(code, number(document, width).unwrap_or(0.0));
            }
            named += each.len();
            listed = rest;
        } else {
            let [width, rest @ ..] = rest else { break };
            let Some(last) = code(document, second) else { break };
            let width = number(document, width).unwrap_or(0.0);
            widths.extend((first..=last).map(|code| (code, width)));
            named += usize::from(last.saturating_sub(first)) + 1;
            listed = rest;
        }
        if named > MAX_WIDTHS {
            break;
        }
    }
    Some(Widths::Composite { default: default.unwrap_or(1000.0), widths })
}

fn number(document: &Document, object: &Object) -> Option<f32> {
    document.dereference(object).ok()?.1.as_float().ok()
}

fn code(document: &Document, object: &Object) -> Option<u16> {
    u16::try_from(document.dereference(object).ok()?.1.as_i64().ok()?).ok()
}
