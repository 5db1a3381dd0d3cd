use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::world::GOOD;
use super::{FakeHydra, Fault};
use bindu_http::client::Client;

/// Asks; gives the status, and the body if it is JSON.
async fn ask(client: &Client, method: &str, url: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Bytes::from(body.to_owned())).unwrap();
    let answer = client.send(request).await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
}

async fn introspect(hydra: &FakeHydra, token: &str) -> (u16, Value) {
    let url = format!("{}/admin/oauth2/introspect", hydra.admin_url());
    ask(&Client::default(), "POST", &url, &format!("token={token}&scope=")).await
}

#[tokio::test]
async fn tokens_are_what_they_are_called() {
    let hydra = FakeHydra::start().await.unwrap();
    let (status, good) = introspect(&hydra, "tok-good.1").await;
    assert_eq!((status, &good["active"], &good["sub"]), (200, &json!(true), &json!(GOOD)));
    assert_eq!(good["iss"], hydra.public_url());
    let of = async |token| introspect(&hydra, token).await.1;
    assert_eq!(of("tok-readonly").await["scope"], "agent:read");
    assert_eq!(of("tok-noscope").await["scope"], "");
    assert_eq!(of("tok-human").await["ext"]["username"], "ann");
    assert!(of("tok-expired").await["exp"].as_i64() < good["iat"].as_i64());
    assert_eq!(of("tok-nosub").await.get("sub"), None);
    assert_eq!(of("tok-noexp").await.get("exp"), None);
    assert_eq!(of("anything").await, json!({ "active": false }));
    assert_eq!(introspect(&hydra, "tok-hydra-500.x").await.0, 500);
    assert_eq!(hydra.introspections("tok-good.1"), 1);
    assert_eq!(hydra.introspections("tok-good"), 0);

    hydra.put_token("mine", json!({ "active": true, "client_id": "me" }));
    assert_eq!(introspect(&hydra, "mine.2").await.1["client_id"], "me");
}

#[tokio::test]
async fn clients_come_and_go_and_keep_their_secrets() {
    let hydra = FakeHydra::start().await.unwrap();
    let http = Client::default();
    let all = format!("{}/admin/clients", hydra.admin_url());
    let known = format!("{all}/{}", GOOD.replace(':', "%3A"));
    let (status, client) = ask(&http, "GET", &known, "").await;
    assert_eq!(status, 200);
    // The fixture key, as its own DID document has it.
    assert_eq!(client["metadata"]["public_key"].as_str().map(str::len), Some(44));

    let new = r#"{"client_id":"did:x:y","client_secret":"hidden","scope":"openid"}"#;
    let one = format!("{all}/did%3Ax%3Ay");
    assert_eq!(ask(&http, "GET", &one, "").await.0, 404);
    assert_eq!(ask(&http, "POST", &all, new).await.0, 201);
    assert_eq!(ask(&http, "POST", &all, new).await.0, 409);
    assert_eq!(ask(&http, "POST", &all, "{}").await.0, 400);
    let shown = json!({ "client_id": "did:x:y", "scope": "openid" });
    assert_eq!(ask(&http, "GET", &one, "").await, (200, shown));
    assert_eq!(hydra.client("did:x:y").unwrap()["client_secret"], "hidden");
    assert_eq!(ask(&http, "PUT", &one, r#"{"client_id":"did:x:y"}"#).await.0, 200);
    assert_eq!(hydra.client("did:x:y").unwrap(), json!({ "client_id": "did:x:y" }));
    assert_eq!(ask(&http, "GET", &all, "").await.1.as_array().map(Vec::len), Some(6));
    assert_eq!(ask(&http, "DELETE", &one, "").await.0, 204);
    assert_eq!(ask(&http, "DELETE", &one, "").await.0, 404);
    hydra.put_client(json!({ "client_id": "did:x:y" }));
    assert_eq!(ask(&http, "GET", &one, "").await.0, 200);
    hydra.remove_client("did:x:y");
    assert_eq!(ask(&http, "GET", &one, "").await.0, 404);
}

#[tokio::test]
async fn what_was_asked_can_be_asked_for() {
    let hydra = FakeHydra::start().await.unwrap();
    let http = Client::default();
    let token = format!("{}/oauth2/token", hydra.public_url());
    let (status, answer) = ask(&http, "POST", &token, "scope=a+b&client_id=did%3Ax").await;
    assert_eq!(
        (status, &answer["scope"], &answer["expires_in"]),
        (200, &json!("a b"), &json!(3599))
    );
    introspect(&hydra, "tok-good.7").await;
    ask(&http, "GET", &format!("{}/admin/clients/did%3Ax?a=b", hydra.admin_url()), "").await;

    let log = format!("{}/__log", hydra.admin_url());
    let count = async |query: &str| {
        ask(&http, "GET", &format!("{log}{query}"), "").await.1["count"].as_u64().unwrap()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("?method=POST").await, 2);
    assert_eq!(count("?method=POST&path=/oauth2/token").await, 1);
    assert_eq!(count("?path=/admin/clients/did:x?a=b").await, 1);
    assert_eq!(count("?token=tok-good.7").await, 1);
    assert_eq!(count("?client_id=did:x").await, 1);
    assert_eq!(count("?colour=red").await, 0);
    let seen = json!({
        "method": "POST",
        "path": "/oauth2/token",
        "headers": {},
        "body": { "scope": "a b", "client_id": "did:x" },
    });
    assert_eq!(hydra.requests()[0], seen);
    assert_eq!(hydra.count("POST", "/oauth2/token"), 1);
    assert_eq!(ask(&http, "DELETE", &log, "").await.0, 204);
    assert!(hydra.requests().is_empty());
}

#[tokio::test]
async fn it_fails_as_it_is_told_and_recovers() {
    let hydra = FakeHydra::start().await.unwrap();
    let http = Client::default();
    let url = format!("{}/health/ready", hydra.public_url());
    let get = || http.send(Request::get(&url).body(Bytes::new()).unwrap());

    hydra.fail(Some(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)));
    assert_eq!(get().await.unwrap().status(), 503);
    hydra.fail(Some(Fault::NotJson));
    let page = get().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html".parse().unwrap())
    );
    hydra.fail(Some(Fault::Down));
    get().await.unwrap_err();
    hydra.fail(Some(Fault::Slow(Duration::from_hours(1))));
    let slow = tokio::time::timeout(Duration::from_millis(50), get()).await;
    assert!(slow.is_err(), "nothing came yet");
    hydra.fail(None);
    assert_eq!(get().await.unwrap().status(), 200);
    assert_eq!(hydra.count("GET", "/health/ready"), 5, "failed ones count too");

    // Gone, and back at the same place.
    let port = |url: &str| url.rsplit_once(':').unwrap().1.parse().unwrap();
    let ports = (port(hydra.admin_url()), port(hydra.public_url()));
    drop(hydra);
    let hydra = loop {
        // Its listeners go with its task, at the next turn of the runtime.
        if let Ok(hydra) = FakeHydra::start_at(ports.0, ports.1).await {
            break hydra;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(get().await.unwrap().status(), 200);
    assert_eq!(hydra.count("GET", "/health/ready"), 1);
}
