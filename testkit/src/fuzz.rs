//! What is asked of every reader of foreign bytes: it never panics, and what it took it takes
//! again and means the same.
//!
//! Each function is one fuzz target of `fuzz/`. The inputs in `fixtures/fuzz/<target>` are run
//! through it by an ordinary test too; an input that once found a bug stays there.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a target says what it found")]

use std::str;

use bindu::AgentConfig;
use bindu_agent::skills::Skill;
use bindu_did::{Did, DidDocument, did::validate_format, document::validate_document};
use bindu_http::sse::{self, Event, Parser};
use bindu_protocol::{
    AgentCard, Answer, ContextParams, Dialect, DialectPolicy, FeedbackParams, Json, ListParams,
    Marks, Message, Part, PushParams, PushSetParams, Request, SendParams, StreamEvent, Task,
    TaskParams, Timestamp, method,
};
use bindu_x402::{
    Amount, Networks, PaymentOption, PaymentPayload, PaymentRequired, Price, SettleResponse,
    SupportedKinds, VerifyResponse, check, header, offers, v1,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 8] = [
    ("rpc_body", rpc_body),
    ("parts", parts),
    ("did", did),
    ("last_event_id", last_event_id),
    ("sse", sse_stream),
    ("skill", skill),
    ("config", config),
    ("payment", payment),
];

const DIALECTS: [Dialect; 2] = [Dialect::Reference, Dialect::V0_3];

/// Reads a type; if that goes well, writes it in each dialect, and reads and writes it again.
macro_rules! settles {
    ($type:ty, $text:expr) => {
        if let Ok(value) = serde_json::from_str::<$type>($text) {
            for dialect in DIALECTS {
                let text =
                    serde_json::to_string(&dialect.view(&value)).expect("what was read is JSON");
                let again: $type = serde_json::from_str(&text).unwrap_or_else(|error| {
                    panic!("{error} in what was written in {dialect}: {text}")
                });
                let second = serde_json::to_string(&dialect.view(&again)).expect("and again");
                assert_eq!(second, text, "{dialect}");
            }
        }
    };
}

/// A body posted to the agent: the envelope, the dialect, and the parameters of every method.
pub fn rpc_body(data: &[u8]) {
    let params = match Request::parse(data) {
        Ok(request) => {
            let _ = Marks::of(DialectPolicy::Auto, &request.method, request.params);
            request.params
        }
        // As the parameters alone.
        Err(_) => match str::from_utf8(data) {
            Ok(text) => text,
            Err(_) => return,
        },
    };
    for name in method::ALL {
        let _ = Marks::of(DialectPolicy::Auto, name, params);
    }
    settles!(SendParams, params);
    settles!(TaskParams, params);
    settles!(ListParams, params);
    settles!(FeedbackParams, params);
    settles!(ContextParams, params);
    settles!(PushSetParams, params);
    settles!(PushParams, params);
}

/// Parts, and the objects that hold them: what a peer answers.
pub fn parts(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    settles!(Vec<Part>, text);
    settles!(Message, text);
    settles!(Task, text);
    settles!(StreamEvent, text);
    let _: Result<Answer, _> = serde_json::from_str(text);
    if let Ok(card) = serde_json::from_str::<AgentCard>(text) {
        let text = serde_json::to_string(&card).expect("a card is JSON");
        let again: AgentCard = serde_json::from_str(&text).expect("a card that was written");
        assert_eq!(serde_json::to_string(&again).expect("a card is JSON"), text);
    }
}

/// A DID, or a DID document.
pub fn did(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(did) = text.parse::<Did>() {
        assert_eq!(did.as_str(), text, "a DID is kept as it is");
        let parts = (did.method(), did.author(), did.name(), did.suffix());
        let again: Did = did.to_string().parse().expect("a DID that was printed");
        assert_eq!((again.method(), again.author(), again.name(), again.suffix()), parts);
    }
    let _ = validate_format(text);
    if let Ok(document) = serde_json::from_str::<DidDocument>(text) {
        let _ = document.public_key();
        let _ = document.is_self_certified();
        let _ = document.resolve(text);
        let text = serde_json::to_string(&document).expect("a document is JSON");
        serde_json::from_str::<DidDocument>(&text).expect("a document that was written");
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let _ = validate_document(&value, "https://example.com");
    }
}

/// The header in which a reader says where it goes on.
pub fn last_event_id(data: &[u8]) {
    let mut headers = HeaderMap::new();
    // A line break begins a second header.
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(sse::LAST_EVENT_ID, value);
    }
    if let Ok(Some(id)) = sse::parse_last_event_id(&headers) {
        let value = HeaderValue::from(id);
        headers.clear();
        headers.insert(sse::LAST_EVENT_ID, value);
        assert_eq!(sse::parse_last_event_id(&headers), Ok(Some(id)));
    }
}

/// An event stream. In however many pieces it comes, the events are the same.
pub fn sse_stream(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let whole = events([rest]);
    let size = usize::from(*first).max(1);
    assert_eq!(events(rest.chunks(size)), whole, "in pieces of {size}");
    assert_eq!(events(rest.chunks(1)), whole, "byte by byte");
}

/// The events, the id to go on from, and whether all of it was read.
fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, String, bool) {
    let mut parser = Parser::with_max_event_bytes(256);
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return (events, parser.last_event_id().to_owned(), false),
            }
        }
    }
    (events, parser.last_event_id().to_owned(), true)
}

/// A skill file, in both formats.
pub fn skill(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    for skill in [Skill::parse_yaml(text), Skill::parse_markdown(text)].into_iter().flatten() {
        let card = skill.card("https://example.com");
        assert!(!card.id.is_empty() && !card.name.is_empty(), "{card:?}");
    }
}

/// An agent's configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match AgentConfig::from_json(text) {
        Ok(config) => assert!(!config.name.trim().is_empty(), "an agent has a name"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A payment, as a header has it, or pasted, or inside a task; or what a facilitator answers.
pub fn payment(data: &[u8]) {
    let networks = Networks::default();
    if let Ok(mut payload) = header::decode_or_json(data) {
        // What is no whole number may become its neighbour.
        payload.accepted.extra.retain(|_, value| !value.to_string().contains(['.', 'e', 'E']));
        for value in [header::encode(&payload), payload.token()] {
            // Longer than it came, it may be too long.
            if value.len() <= header::MAX_BYTES {
                assert_eq!(header::decode(value.as_bytes()).as_ref(), Ok(&payload), "{value}");
            }
        }
        checked(&payload);
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        let option = PaymentOption {
            amount: "0.01".to_owned(),
            network: "base-sepolia".to_owned(),
            pay_to: Some("0xa11ce0000000000000000000000000000000a11c".to_owned()),
            ..PaymentOption::default()
        };
        let offers = offers(&[option], &networks).expect("an option that can be offered");
        if let Ok(payload) = v1::decode(&json, &offers, &networks) {
            checked(&payload);
        }
    }
    if let Ok(required) = serde_json::from_str::<PaymentRequired>(text) {
        let _: PaymentRequired = serde_json::from_str(&required.body()).expect("what was written");
        let _: PaymentRequired = required.in_task().parse().expect("and inside a task");
    }
    if let Ok(receipt) = serde_json::from_str::<SettleResponse>(text) {
        let _ = receipt.says_already_used();
        let text = serde_json::to_string(&receipt).expect("a receipt is JSON");
        let again: SettleResponse = serde_json::from_str(&text).expect("what was written");
        assert_eq!(serde_json::to_string(&again).expect("and again"), text);
    }
    let _ = serde_json::from_str::<VerifyResponse>(text);
    let _ = serde_json::from_str::<SupportedKinds>(text);
    if let Ok(price) = text.parse::<Price>() {
        assert_eq!(price.to_string().parse(), Ok(price.clone()));
        let _ = price.atomic(36);
    }
    if let Ok(amount) = text.parse::<Amount>() {
        assert_eq!(amount.to_decimal(6).parse::<Price>().expect("a price").atomic(6), Ok(amount));
    }
}

/// What was found good is found good again, and is the same payment.
fn checked(payload: &PaymentPayload) {
    let offers = [payload.accepted.clone()];
    let now = Timestamp::from_unix_micros(1_000_000_000_000);
    if let Ok(once) = check(payload, &offers, now) {
        let twice = check(once.payload(), &offers, now).expect("it was good");
        assert_eq!((twice.key(), twice.payload()), (once.key(), once.payload()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::TARGETS;

    #[test]
    fn every_input_of_the_corpus_is_survived() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/fuzz");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in folder.join(name).read_dir().expect("a folder for each target") {
                let path = entry.expect("an input").path();
                println!("{}", path.display());
                target(&std::fs::read(&path).expect("an input"));
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has no inputs");
        }
    }

    /// A target that nobody runs would only seem to be fuzzed.
    #[test]
    fn every_target_has_a_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        let mut programs: Vec<String> = folder
            .read_dir()
            .expect("the programs")
            .map(|entry| entry.expect("a program").path())
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        programs.sort();
        let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        assert_eq!(programs, names);
    }
}
