//! Calling as somebody.

use std::path::Path;
use std::time::SystemTime;

use bindu_did::key_dir::{self, Config};
use bindu_did::request::RequestSignature;
use bindu_did::{Did, DidDocument, SigningKey};
use serde_json::{Value, json};

use crate::agent::{Agent, Seen, answer, task};
use crate::run::{Ran, Result, bindu, command, finish};

/// What the card of the agents here names.
const AGENT: &str = "did:bindu:a:b:c";

/// An agent that holds this key, and answers `42`.
async fn agent(seed: u8) -> Result<Agent> {
    Agent::start(move |seen, _| match seen.path.as_str() {
        "/did/resolve" => answer(200, &document(seed)),
        _ if seen.rpc() == "tasks/get" => seen.result(&task("working", None)),
        _ => seen.result(&task("completed", Some("42"))),
    })
    .await
}

fn document(seed: u8) -> Value {
    let did: Did = AGENT.parse().expect("a DID");
    let key = SigningKey::from_seed(&[seed; 32]).public_key();
    json!(DidDocument::new(&did, &key, SystemTime::UNIX_EPOCH))
}

async fn new_identity(dir: &Path, name: &str) -> Result {
    let ran = bindu(&["did", "new", "--author", "ann", "--name", name, "--dir", text(dir)]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    Ok(())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

async fn send(agent: &Agent, dir: &Path) -> Result<Ran> {
    bindu(&["send", &agent.url, "hello", "--identity", text(dir)]).await
}

fn signed(seen: &Seen) -> Result<RequestSignature> {
    let pairs = seen.headers.iter();
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    Ok(RequestSignature::from_headers(pairs)?)
}

#[tokio::test]
async fn an_identity_signs_what_is_sent() -> Result {
    let dir = tempfile::tempdir()?;
    new_identity(dir.path(), "caller").await?;
    let agent = agent(1).await?;
    let ran = send(&agent, dir.path()).await?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "42\n"), "{ran:?}");

    let config = Config { dir: dir.path().to_owned(), ..Config::default() };
    let identity = key_dir::read(&config)?;
    let seen = agent.seen();
    let sent = seen.iter().find(|seen| seen.rpc() == "message/send").ok_or("nothing was sent")?;
    let signature = signed(sent)?;
    assert_eq!(signature.did, identity.did().as_str());
    signature.verify(&identity.key().public_key(), &sent.bytes, signature.timestamp)?;
    Ok(())
}

#[tokio::test]
async fn an_agent_with_another_key_than_last_time_is_told_nothing() -> Result {
    let dir = tempfile::tempdir()?;
    new_identity(dir.path(), "caller").await?;
    let first = agent(1).await?;
    assert_eq!(send(&first, dir.path()).await?.status, Some(0));
    let ran = bindu(&["card", &first.url, "--identity", text(dir.path())]).await?;
    assert!(ran.stdout.contains("the same as before"), "{ran:?}");

    let other = agent(2).await?;
    let ran = send(&other, dir.path()).await?;
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("not trusted") && ran.stderr.contains("hint: ask"), "{ran:?}");
    assert!(other.seen().iter().all(|seen| seen.rpc().is_empty()));
    Ok(())
}

#[tokio::test]
async fn another_agent_than_the_expected_one_is_told_nothing() -> Result {
    let agent = agent(1).await?;
    let ran = bindu(&["send", &agent.url, "hello", "--expect", "did:bindu:a:b:d"]).await?;
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("it is did:bindu:a:b:c, not did:bindu:a:b:d"), "{ran:?}");
    let ran = bindu(&["send", &agent.url, "hello", "--expect", AGENT]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn a_directory_without_an_identity_says_how_to_make_one() -> Result {
    let dir = tempfile::tempdir()?;
    let agent = agent(1).await?;
    let ran = send(&agent, &dir.path().join("none")).await?;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("holds no identity; make one with: bindu did new"), "{ran:?}");
    assert!(agent.seen().is_empty() && !dir.path().join("none").exists());
    Ok(())
}

#[tokio::test]
async fn of_several_identities_one_is_named() -> Result {
    let dir = tempfile::tempdir()?;
    new_identity(dir.path(), "one").await?;
    new_identity(dir.path(), "two").await?;
    let agent = agent(1).await?;
    let ran = send(&agent, dir.path()).await?;
    assert!(ran.status == Some(1) && ran.stderr.contains("--as DID"), "{ran:?}");

    let config = Config {
        dir: dir.path().to_owned(),
        author: "ann".to_owned(),
        name: "two".to_owned(),
        ..Config::default()
    };
    let did = key_dir::read(&config)?.did().to_string();
    let args = ["task", "get", &agent.url, "t-1", "--identity", text(dir.path()), "--as", &did];
    let ran = bindu(&args).await?;
    assert_eq!(ran.status, Some(7), "{ran:?}");
    let seen = agent.seen();
    let sent = seen.iter().find(|seen| seen.rpc() == "tasks/get").ok_or("nothing was sent")?;
    assert_eq!(signed(sent)?.did, did);
    Ok(())
}

#[tokio::test]
async fn credentials_bring_a_token() -> Result {
    let dir = tempfile::tempdir()?;
    new_identity(dir.path(), "caller").await?;
    let config = Config { dir: dir.path().to_owned(), ..Config::default() };
    let did = key_dir::read(&config)?.did().to_string();
    let credentials = json!({ &did: { "agent_id": "139e3940-e64b-5491-7220-88d9a0d74162",
        "client_id": &did, "client_secret": "secret", "scopes": ["agent:read"],
        "created_at": "2026-11-21T04:09:09.144808+00:00" } });
    let file = dir.path().join("oauth_credentials.json");
    std::fs::write(&file, credentials.to_string())?;
    let hydra = Agent::start(|seen, _| match seen.path.as_str() {
        "/oauth2/token" => answer(
            200,
            &json!({ "access_token": "the-token", "token_type": "bearer", "expires_in": 60 }),
        ),
        _ => answer(404, &json!({})),
    })
    .await?;
    let agent = agent(1).await?;
    let mut send = command(&["send", &agent.url, "hello", "--identity", text(dir.path())]);
    send.env("HYDRA__PUBLIC_URL", &hydra.url);
    let ran = finish(send).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    for seen in agent.seen() {
        let expected = (!seen.rpc().is_empty()).then_some("Bearer the-token");
        assert_eq!(seen.header("authorization"), expected, "{}", seen.path);
    }
    Ok(())
}
