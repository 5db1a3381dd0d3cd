//! The life of an echo task as a script for pgbench: the statements of the store, with what an
//! agent puts into them.

use bindu_postgres::Statements;
use regex::{Captures, Regex};

/// New ids for each run of the script, made of one random number.
const TASK: &str = "md5(:n::text)::uuid";
const CONTEXT: &str = "md5('context' || :n::text)::uuid";
const RUN: &str = "md5('run' || :n::text)";
/// The name of a write.
const WRITE: &str = "md5(random()::text)::uuid";

const NOW: &str = "now()";
const NULL: &str = "NULL";
const NONE: &str = "'{}'";

// A colon before a letter or a digit would be a variable of pgbench.
const ARTIFACT: &str = r#"{"artifact_id": "2a900000-0000-4000-8000-000000000001", "name": "result", "parts": [{"kind": "text", "text": "hello", "metadata": {"did.message.signature": "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"}}]}"#;

/// The script: create, claim, finish.
pub(super) fn script(statements: &Statements) -> String {
    let (user, agent) = (message("user"), message("agent"));
    let create = fill(&statements.create, |number| match number {
        1 => TASK.into(),
        3 => CONTEXT.into(),
        6 => quoted("submitted"),
        7 | 12 => NOW.into(),
        8 => format!("{}::jsonb", quoted(&format!("[{user}]"))),
        9 => "'[]'::jsonb".into(),
        10 => "'{}'::jsonb".into(),
        13 => "1::bigint".into(),
        14 => quoted("0.3"),
        17 => "0".into(),
        18 => "0::bigint".into(),
        19 => WRITE.into(),
        20 => array(&[snapshot(&user)]),
        24 => quoted("-"),
        21..=23 | 27..=29 => NONE.into(),
        _ => NULL.into(),
    });
    let claim = advance(
        statements,
        &Advance {
            from: 1,
            state: "working",
            said: None,
            artifact: None,
            held: NULL,
            claimed: RUN,
            events: &[status("working", None)],
        },
    );
    let finish = advance(
        statements,
        &Advance {
            from: 2,
            state: "completed",
            said: Some(&agent),
            artifact: Some(ARTIFACT),
            held: RUN,
            claimed: NULL,
            events: &[
                format!(r#"{{"kind": "artifact", "artifact": {ARTIFACT}, "flag": false}}"#),
                status("completed", Some(&agent)),
            ],
        },
    );
    format!("\\set n random(1, 9223372036854775806)\n{create};\n{claim};\n{finish};\n")
}

/// A change of a task that is there.
struct Advance<'a> {
    from: u64,
    state: &'a str,
    said: Option<&'a str>,
    artifact: Option<&'a str>,
    held: &'a str,
    claimed: &'a str,
    events: &'a [String],
}

fn advance(statements: &Statements, change: &Advance<'_>) -> String {
    let list = |item: Option<&str>| item.map_or(NULL.into(), |item| quoted(&format!("[{item}]")));
    fill(&statements.advance, |number| match number {
        1 => TASK.into(),
        3 => change.from.to_string(),
        4 => quoted(change.state),
        5 | 11 => NOW.into(),
        6 => list(change.said),
        7 | 16 => "false".into(),
        8 => list(change.artifact),
        10 => change.said.map_or(NULL.into(), quoted),
        12 => change.events.len().to_string(),
        13 => change.held.into(),
        14 => change.claimed.into(),
        15 => "now() + interval '1 minute'".into(),
        17 => "0".into(),
        18 => WRITE.into(),
        19 => array(change.events),
        20..=22 => NONE.into(),
        23 => CONTEXT.into(),
        _ => NULL.into(),
    })
}

fn message(role: &str) -> String {
    format!(
        r#"{{"message_id": "2aca0000-0000-4000-8000-000000000001", "context_id": "7cf30000-0000-4000-8000-000000000001", "task_id": "adae0000-0000-4000-8000-000000000001", "kind": "message", "parts": [{{"kind": "text", "text": "hello"}}], "role": "{role}"}}"#
    )
}

fn snapshot(user: &str) -> String {
    let status = r#"{"state": "submitted", "timestamp": "2026-01-01T04.09.09.144808+00.00"}"#;
    format!(
        r#"{{"kind": "snapshot", "task": {{"id": "adae0000-0000-4000-8000-000000000001", "context_id": "7cf30000-0000-4000-8000-000000000001", "kind": "task", "status": {status}, "history": [{user}]}}}}"#
    )
}

fn status(state: &str, said: Option<&str>) -> String {
    let said = said.map(|said| format!(r#", "said": {said}"#)).unwrap_or_default();
    format!(
        r#"{{"kind": "status", "state": "{state}", "timestamp": "2026-01-01T04.09.09.144808+00.00"{said}}}"#
    )
}

/// Writes what stands for each parameter into a statement.
fn fill(statement: &str, value: impl Fn(u32) -> String) -> String {
    let Ok(parameter) = Regex::new(r"\$(\d+)") else { return statement.to_owned() };
    let filled = parameter.replace_all(statement, |found: &Captures<'_>| {
        let number = found[1].parse().unwrap_or(0);
        format!("({})", value(number))
    });
    filled.replace('\n', " ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn array(events: &[String]) -> String {
    let events: Vec<_> = events.iter().map(|event| quoted(event)).collect();
    format!("ARRAY[{}]::jsonb[]", events.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_a_value_and_pgbench_finds_one_variable() {
        let script = script(&Statements::of("agent"));
        let lines: Vec<_> = script.lines().collect();
        assert_eq!(lines.len(), 4, "{script}");
        assert!(!script.contains('$'));
        let variable = Regex::new(r"[^:]:([A-Za-z0-9_]+)").expect("a pattern");
        for found in variable.captures_iter(&script) {
            assert_eq!(&found[1], "n", "{script}");
        }
    }
}
