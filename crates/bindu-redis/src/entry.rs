//! How a job is written.

use std::io;

use bindu_protocol::{ContextId, Owner, TaskId};
use bindu_scheduler::Job;
use serde::{Deserialize, Serialize};
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// A job as text: the members that the reference writes, and then ours.
#[derive(Serialize)]
struct Written<'a> {
    operation: &'static str,
    params: WrittenParams<'a>,
    trace_id: Option<&'a str>,
    span_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    ours: Option<Ours<'a>>,
}

#[derive(Serialize)]
struct WrittenParams<'a> {
    task_id: &'a TaskId,
    context_id: &'a ContextId,
}

#[derive(Serialize)]
struct Ours<'a> {
    v: u8,
    version: u64,
    owner: &'a Owner,
    traceparent: Option<&'a str>,
}

/// A job for our own stream.
pub(crate) fn encode(job: &Job) -> String {
    let ours =
        Ours { v: 1, version: job.version, owner: &job.owner, traceparent: job.trace.as_deref() };
    write(job, Some(ours))
}

/// A job for the list that is shared with the reference: its members and no others.
pub(crate) fn encode_shared(job: &Job) -> String {
    write(job, None)
}

fn write(job: &Job, ours: Option<Ours<'_>>) -> String {
    let ids = job.trace.as_deref().and_then(trace_ids);
    let written = Written {
        operation: "run",
        params: WrittenParams { task_id: &job.task, context_id: &job.context },
        trace_id: ids.map(|(trace, _)| trace),
        span_id: ids.map(|(_, span)| span),
        ours,
    };
    let mut text = Vec::with_capacity(384);
    written
        .serialize(&mut Serializer::with_formatter(&mut text, Spaced))
        .expect("texts and numbers can be written");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// The two ids in a W3C `traceparent` (Trace Context level 1, section 3.2).
fn trace_ids(parent: &str) -> Option<(&str, &str)> {
    let mut parts = parent.split('-');
    let (_version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            && text.bytes().any(|byte| byte != b'0')
    };
    (hex(trace, 32) && hex(span, 16)).then_some((trace, span))
}

/// A space after commas and colons, as Python's `json` writes.
struct Spaced;

impl Formatter for Spaced {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// What an entry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Run(Job),
    /// The task was canceled; whoever runs it should look.
    Cancel(TaskId),
}

/// Only what is read is named; whatever else an entry holds, above all the message, is passed over
/// unread.
#[derive(Deserialize)]
struct Read {
    operation: Box<str>,
    params: ReadParams,
    #[serde(default)]
    trace_id: Option<Box<str>>,
    #[serde(default)]
    span_id: Option<Box<str>>,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    traceparent: Option<Box<str>>,
}

#[derive(Deserialize)]
struct ReadParams {
    task_id: TaskId,
    #[serde(default)]
    context_id: Option<ContextId>,
}

/// Reads an entry; the error says what is wrong with it.
pub(crate) fn decode(text: &[u8]) -> Result<Operation, String> {
    let read: Read =
        serde_json::from_slice(text).map_err(|error| format!("unreadable: {error}"))?;
    match &*read.operation {
        "run" => {}
        "cancel" => return Ok(Operation::Cancel(read.params.task_id)),
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(format!("unsupported operation {shown:?}"));
        }
    }
    let task = read.params.task_id;
    let context = match read.params.context_id {
        Some(context) => context,
        None => task.with_str(str::parse).map_err(|error| format!("unreadable: {error}"))?,
    };
    let trace = read.traceparent.or_else(|| {
        let parent = format!("00-{}-{}-01", read.trace_id?, read.span_id?);
        trace_ids(&parent).is_some().then(|| parent.into())
    });
    let owner = Owner::from(read.owner);
    Ok(Operation::Run(Job { task, version: read.version, context, owner, trace }))
}

/// The text of an entry of the shared list with one hop more, unless it has had all of them. All
/// else in it stays as it is, byte for byte.
pub(crate) fn hop(text: &[u8], most: u32) -> Option<String> {
    #[derive(Deserialize)]
    struct Hops {
        #[serde(default)]
        hops: u32,
    }
    let text = str::from_utf8(text).ok()?.trim_end();
    let Hops { hops } = serde_json::from_str(text).ok()?;
    if hops >= most {
        return None;
    }
    let tail = if hops == 0 { "}".to_owned() } else { format!(", \"hops\": {hops}}}") };
    let head = text.strip_suffix(&tail)?;
    Some(format!("{head}, \"hops\": {}}}", hops + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "d304dd42-9eca-45b7-bd24-4e1beb0ff647";
    const CONTEXT: &str = "2b66cd56-b66a-479f-b252-dd6f6e3a38ae";

    fn job(trace: Option<&str>) -> Job {
        Job {
            task: TASK.parse().unwrap(),
            version: 7,
            context: CONTEXT.parse().unwrap(),
            owner: Owner::from(Some("did:bindu:alice".to_owned())),
            trace: trace.map(Into::into),
        }
    }

    #[test]
    fn a_shared_entry_is_written_as_the_reference_writes_it() {
        assert_eq!(
            encode_shared(&job(None)),
            format!(
                r#"{{"operation": "run", "params": {{"task_id": "{TASK}", "context_id": "{CONTEXT}"}}, "trace_id": null, "span_id": null}}"#
            )
        );
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let traced = encode_shared(&job(Some(trace)));
        let ids =
            r#""trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}"#;
        assert!(traced.ends_with(ids), "{traced}");
        assert_eq!(
            decode(traced.as_bytes()),
            Ok(Operation::Run(Job { version: 0, owner: Owner::nobody(), ..job(Some(trace)) }))
        );
    }

    #[test]
    fn what_was_written_is_read() {
        for trace in [None, Some("anything at all")] {
            assert_eq!(decode(encode(&job(trace)).as_bytes()), Ok(Operation::Run(job(trace))));
        }
    }

    #[test]
    fn an_entry_of_the_reference_is_read() {
        let text = format!(
            r#"{{"operation": "run", "params": {{"task_id": "{TASK}", "context_id": "{CONTEXT}", "message": {{"parts": [{{"kind": "text", "text": "{TASK}"}}]}}, "history_length": 3}}, "trace_id": null, "span_id": null}}"#
        );
        let expected = Job { version: 0, owner: Owner::nobody(), ..job(None) };
        assert_eq!(decode(text.as_bytes()), Ok(Operation::Run(expected)));
        let cancel = format!(r#"{{"operation": "cancel", "params": {{"task_id": "{TASK}"}}}}"#);
        assert_eq!(decode(cancel.as_bytes()), Ok(Operation::Cancel(TASK.parse().unwrap())));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for text in [
            "nonsense",
            "[]",
            "7",
            r#"{"operation": "run"}"#,
            r#"{"operation": "run", "params": {}}"#,
            r#"{"operation": "run", "params": {"task_id": ""}}"#,
            r#"{"operation": "pause", "params": {"task_id": "t"}}"#,
            "\u{feff}{}",
        ] {
            let why = decode(text.as_bytes()).unwrap_err();
            assert!(why.starts_with("un"), "{text}: {why}");
        }
        assert!(decode(b"\xff").is_err());
    }

    #[test]
    fn hops_are_counted_and_bounded_and_nothing_else_changes() {
        let text = r#"{"operation": "run", "params": {"task_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}}"#;
        let once = hop(text.as_bytes(), 2).unwrap();
        assert_eq!(once, format!(r#"{}, "hops": 1}}"#, &text[..text.len() - 1]));
        let twice = hop(once.as_bytes(), 2).unwrap();
        assert_eq!(twice, format!(r#"{}, "hops": 2}}"#, &text[..text.len() - 1]));
        assert_eq!(hop(twice.as_bytes(), 2), None);
    }
}
