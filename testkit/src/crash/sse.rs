//! Takes a stream of events apart while it comes (WHATWG HTML 9.2), as far as an agent writes one.

use serde_json::Value;

use super::history::Event;

/// The part of a stream that was not whole yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    rest: Vec<u8>,
    id: Option<u64>,
    data: Vec<u8>,
}

impl Parser {
    /// Takes a piece; gives the events that it made whole. One without an id is a snapshot that is
    /// in no log, and left out.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = line.trim_ascii_end();
            if line.is_empty() {
                let data = std::mem::take(&mut self.data);
                if let (Some(id), Ok(body)) =
                    (self.id.take(), serde_json::from_slice::<Value>(&data))
                {
                    events.push(Event { id, body });
                }
            } else if let Some(id) = line.strip_prefix(b"id:") {
                self.id = std::str::from_utf8(id.trim_ascii()).ok().and_then(|id| id.parse().ok());
            } else if let Some(data) = line.strip_prefix(b"data:") {
                self.data.extend_from_slice(data);
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Event, Parser};

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text =
            b"id: 1\ndata: {\"a\":1}\n\n: silence\n\ndata: {\"no\":\"id\"}\n\nid: 7\ndata: 2\n\n";
        let events = [Event { id: 1, body: json!({"a": 1}) }, Event { id: 7, body: json!(2) }];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let read: Vec<_> = text.chunks(size).flat_map(|piece| parser.push(piece)).collect();
            assert_eq!(read, events);
        }
    }
}
