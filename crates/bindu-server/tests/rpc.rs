//! Calls: sizes, statuses and ids.

use bindu_protocol::TaskState;
use bindu_server::Config;
use serde_json::{Value, json};

use crate::served::{Result, Served, completed, request};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_while_it_is_read() -> Result {
    let config = Config { max_body_bytes: 1000, max_rest_body_bytes: 100, ..Config::default() };
    let served = Served::with(config, bindu_tasks::Config::default(), "agent").await?;
    let large = vec![b' '; 1001];
    assert_eq!(served.post("POST /", &large).await?.status, 413);
    assert_eq!(served.post("POST /did/resolve", &large[..101]).await?.status, 413);
    assert_eq!(served.post("POST /did/resolve", &large[..100]).await?.status, 400);
    let mut fits = request("tasks/get", &json!({ "id": "none" }));
    fits.resize(1000, b' ');
    assert_eq!(served.post("POST /", &fits).await?.json()["error"]["code"], -32001);
    Ok(())
}

#[tokio::test]
async fn ids_come_back_as_they_were_written() -> Result {
    let served = Served::start().await?;
    for id in [
        "1",
        "-1",
        "1.5",
        "1e3",
        "-0",
        "0.10",
        "12345678901234567890123",
        "null",
        "\"\"",
        "\"a\\u00e9\\n\"",
        "\"\\ud83d\\ude00\"",
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tasks/get","params":{{"id":"none"}}}}"#
        );
        let answer = served.post("POST /", body.as_bytes()).await?;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(&format!(r#""id":{id},"#)), "{}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn the_names_x_y_and_z_are_ids_like_others() -> Result {
    let served = Served::start().await?;
    let probe = json!({ "message": {
        "role": "user", "messageId": "x", "contextId": "y", "taskId": "z",
        "parts": [{ "kind": "text", "text": "hi" }],
    } });
    let begun = served.rpc("message/send", probe).await?;
    let task = &begun["result"];
    assert_eq!(
        (&task["id"], &task["context_id"], &task["status"]["state"]),
        (&Value::from("z"), &Value::from("y"), &Value::from("submitted")),
    );
    served.begun(&"z".parse()?).await?.finish(completed("hi")).await?;
    let done = served.rpc("tasks/get", json!({ "id": "z" })).await?;
    assert_eq!(done["result"]["status"]["state"], TaskState::Completed.as_str());
    Ok(())
}

#[tokio::test]
async fn a_closing_agent_refuses_messages_and_says_when_to_come_again() -> Result {
    let served = Served::start().await?;
    let id = served.queued().await?;
    served.tasks.close();
    let message = json!({ "message": {
        "role": "user", "messageId": "m", "parts": [{ "kind": "text", "text": "hi" }],
    } });
    for method in ["message/send", "message/stream"] {
        let answer = served.post("POST /", &request(method, &message)).await?;
        assert_eq!(answer.status, 503, "{method}");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.json()["error"]["code"], -32603);
    }
    let read = served.rpc("tasks/get", json!({ "id": id.to_string() })).await?;
    assert_eq!(read["result"]["status"]["state"], "submitted");
    Ok(())
}

#[tokio::test]
async fn one_connection_serves_many_calls_even_after_an_error() -> Result {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = Served::start().await?;
    let mut socket = tokio::net::TcpStream::connect(served.address).await?;
    for body in ["{", "[]", r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"n"}}"#]
    {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"}}") {
            let mut piece = [0; 1024];
            let read = crate::served::within(socket.read(&mut piece)).await?;
            assert!(read > 0, "the connection was closed");
            answer.extend_from_slice(&piece[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 "));
    }
    Ok(())
}
