//! `bindu card` and `bindu send`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::agent::{Agent, Seen, answer, chunk, status, task};
use crate::run::{Result, bindu, command, finish};

fn lines(text: &str) -> Result<Vec<Value>> {
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn a_card_is_shown_without_its_tricks() -> Result {
    let agent = Agent::start(|_, _| answer(404, &json!({}))).await?;
    let ran = bindu(&["card", &agent.url]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "echo\n\
         Says it \\u{1b}[31magain.\n\
         url       http://elsewhere/\n\
         version   1.2.3\n\
         protocol  0.3.0\n\
         did       did:bindu:a:b:c\n\
         takes     text/plain\n\
         gives     text/plain\n\
         can       stream\n\
         skill     echo-v1: Repeats.\n"
    );
    let ran = bindu(&["card", &agent.url, "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout)?["name"], "echo");
    Ok(())
}

#[tokio::test]
async fn an_answer_is_waited_for_and_printed() -> Result {
    let agent = Agent::start(|seen, before| match before {
        0 => seen.result(&task("submitted", None)),
        1 => seen.result(&task("working", None)),
        _ => seen.result(&task("completed", Some("HELLO\u{1b}[2J"))),
    })
    .await?;
    let ran = bindu(&["send", &agent.url, "hello"]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "HELLO\\u{1b}[2J\n");
    assert_eq!(ran.stderr, "task t-1 is completed\n");
    let seen = agent.seen();
    assert_eq!(seen[0].message()["parts"], json!([{ "kind": "text", "text": "hello" }]));
    assert_eq!(seen[0].body["params"]["configuration"]["blocking"], false);
    Ok(())
}

#[tokio::test]
async fn the_state_is_the_exit_status() -> Result {
    for (state, expected) in [
        ("completed", 0),
        ("failed", 3),
        ("rejected", 4),
        ("canceled", 5),
        ("input-required", 6),
        ("auth-required", 6),
    ] {
        let agent =
            Agent::start(move |seen, _| seen.result(&task(state, Some("so it is")))).await?;
        let ran = bindu(&["send", &agent.url, "hello"]).await?;
        assert_eq!(ran.status, Some(expected), "{state}: {ran:?}");
        assert_eq!(ran.stdout, "so it is\n", "{state}");
        let asks =
            ran.stderr.contains(&format!("answer with: bindu send {} TEXT --task t-1", agent.url));
        assert_eq!(asks, expected == 6, "{state}: {ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn patience_ends_with_7_and_says_how_to_go_on() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&task("working", None))).await?;
    let ran = bindu(&["send", &agent.url, "hello", "--wait", "0.1"]).await?;
    assert_eq!(ran.status, Some(7), "{ran:?}");
    assert!(ran.stderr.contains("bindu task watch"), "{ran:?}");
    let ran = bindu(&["send", &agent.url, "hello", "--no-wait", "--json"]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(lines(&ran.stdout)?[0]["status"]["state"], "working");
    Ok(())
}

#[tokio::test]
async fn json_is_one_document() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&task("completed", Some("a\u{9b}b")))).await?;
    let ran = bindu(&["--json", "send", &agent.url, "hello"]).await?;
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert!(!ran.stdout.contains('\u{9b}'), "{ran:?}");
    let documents = lines(&ran.stdout)?;
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["artifacts"][0]["parts"][0]["text"], "a\u{9b}b");
    assert_eq!(documents[0]["contextId"], "c-1");
    Ok(())
}

#[tokio::test]
async fn a_stream_is_printed_as_it_comes() -> Result {
    let agent = Agent::start(|seen, _| {
        seen.stream(&[
            task("submitted", None),
            status("working", false),
            chunk("one ", false, false),
            chunk("two ", true, false),
            chunk("three", true, true),
            status("completed", true),
        ])
    })
    .await?;
    let ran = bindu(&["send", &agent.url, "count", "--stream"]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "one two three\n");
    assert_eq!(ran.stderr, "submitted\nworking\ncompleted\n");

    let ran = bindu(&["send", &agent.url, "count", "--stream", "--json"]).await?;
    let kinds: Vec<_> = lines(&ran.stdout)?.into_iter().map(|line| line["kind"].clone()).collect();
    assert_eq!(
        kinds,
        [
            "task",
            "status-update",
            "artifact-update",
            "artifact-update",
            "artifact-update",
            "status-update"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_that_ends_in_a_question_shows_it() -> Result {
    let agent = Agent::start(|seen, _| match seen.rpc() {
        "message/stream" => {
            seen.stream(&[status("working", false), status("input-required", true)])
        }
        _ => seen.result(&task("input-required", Some("Which colour?"))),
    })
    .await?;
    let ran = bindu(&["send", &agent.url, "paint", "--stream"]).await?;
    assert_eq!(ran.status, Some(6), "{ran:?}");
    assert_eq!(ran.stdout, "Which colour?\n");
    assert!(ran.stderr.contains("TEXT --task t-1"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn files_and_ids_go_along() -> Result {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("data.csv");
    std::fs::write(&file, "a,b\n")?;
    let agent = Agent::start(|seen, _| seen.result(&task("completed", None))).await?;
    let file = file.to_str().ok_or("no text")?;
    let args = [
        "send",
        &agent.url,
        "-",
        "--file",
        file,
        "--task",
        "t-0",
        "--context",
        "c-0",
        "--reference",
        "t-9",
    ];
    let mut command = command(&args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all("from stdin".as_bytes()).await?;
    assert_eq!(child.wait_with_output().await?.status.code(), Some(0));
    let message = agent.seen()[0].message().clone();
    assert_eq!(
        message["parts"],
        json!([
            { "kind": "text", "text": "from stdin" },
            { "kind": "file",
              "file": { "bytes": "YSxiCg==", "mimeType": "text/csv", "name": "data.csv" } },
        ])
    );
    assert_eq!((&message["taskId"], &message["contextId"]), (&json!("t-0"), &json!("c-0")));
    assert_eq!(message["referenceTaskIds"], json!(["t-9"]));
    Ok(())
}

#[tokio::test]
async fn files_from_the_agent_are_saved_where_they_may_be() -> Result {
    let reply = |seen: &Seen, _| {
        let mut task = task("completed", None);
        task["artifacts"] = json!([{ "artifactId": "a", "parts": [
            { "kind": "file", "file": { "bytes": "aGk=", "name": "../../up.txt", "mimeType": "text/plain" } },
            { "kind": "file", "file": { "uri": "http://h/x", "mimeType": "image/png" } },
            { "kind": "data", "data": { "n": 1 } },
        ]}]);
        seen.result(&task)
    };
    let agent = Agent::start(reply).await?;
    let dir = tempfile::tempdir()?;
    let save = dir.path().join("deep/er");
    let ran = bindu(&["send", &agent.url, "x", "--save", save.to_str().ok_or("no text")?]).await?;
    assert_eq!(
        ran.stdout,
        "[file ../../up.txt, text/plain, 2 bytes]\n\
         [file unnamed, image/png, http://h/x]\n\
         {\n  \"n\": 1\n}\n"
    );
    assert!(ran.stderr.contains("saved "), "{ran:?}");
    assert_eq!(std::fs::read(save.join("up.txt"))?, b"hi");
    let ran =
        bindu(&["send", &agent.url, "x", "--json", "--save", save.to_str().ok_or("no text")?])
            .await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(std::fs::read(save.join("up-2.txt"))?, b"hi");
    Ok(())
}

#[tokio::test]
async fn refusals_end_with_1_and_a_hint() -> Result {
    let agent = Agent::start(|seen, _| seen.error(-32001, "Task\u{7} not found")).await?;
    let ran = bindu(&["send", &agent.url, "x", "--task", "gone"]).await?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "error: the agent refused: Task\\u{7} not found (-32001)\n\
         hint: check the task's id; an agent shows tasks only to whom they belong\n"
    );
    let ran = bindu(&["send", &agent.url, "x", "--json"]).await?;
    assert_eq!(lines(&ran.stderr)?[0]["code"], -32001);
    Ok(())
}

#[tokio::test]
async fn the_dialect_can_be_forced() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&task("completed", None))).await?;
    bindu(&["send", &agent.url, "x", "--dialect", "reference"]).await?;
    assert!(agent.seen()[0].message()["task_id"].is_string());
    Ok(())
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_error() -> Result {
    let agent = Agent::start(|seen, _| {
        // More than a pipe and our buffer hold.
        seen.result(&task("completed", Some(&"long line\n".repeat(100_000))))
    })
    .await?;
    let mut command = command(&["send", &agent.url, "x"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().ok_or("no stdout")?;
    let mut head = [0; 10];
    stdout.read_exact(&mut head).await?;
    drop(stdout);
    let output = child.wait_with_output().await?;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr)?, "");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_gone_is_told_from_one_that_refuses() -> Result {
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let url = format!("http://{gone}");
    let ran = finish(command(&["task", "get", &url, "t", "--dialect", "0.3"])).await?;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains(&format!("connecting to {gone}")), "{ran:?}");
    assert!(ran.stderr.contains("hint: check that the agent runs"), "{ran:?}");
    Ok(())
}
