//! Where an agent goes itself: to Hydra for keys, to webhooks; and what it reads at its start.

use std::sync::Arc;
use std::time::Duration;

use bindu::config::Capabilities;
use bindu::{Agent, Reply, Settings, Turn};
use bindu_testkit::fake_hydra::Fault;
use http::StatusCode;
use serde_json::json;

use super::site::{Letter, Site, send};
use crate::caller::{Caller, Result, config, message};

#[tokio::test]
async fn the_name_of_a_caller_leads_to_no_other_page_of_hydra() -> Result {
    let site = Site::start().await?;
    let mut eve = site.somebody("eve")?;
    for id in [
        "did:bindu:eve:x/../../oauth2/revoke",
        "did:bindu:eve:x/../../../health/ready",
        "did:bindu:eve:x?admin=1#y",
        "did:bindu:eve:x%2F..%2F..",
        "did:bindu:eve:x/",
        "did:bindu:eve:\\..\\x",
    ] {
        let Ok(did) = id.parse() else { panic!("{id} is a DID, if an odd one") };
        eve.did = did;
        // Its key is found: the name went as one segment, and came as it was.
        eve.enter(&site.hydra, id);
        eve.token = format!("{}-", eve.token);
        eve.enter(&site.hydra, id);
        let answer = site.locked.post(&eve.letter(&send())).await?;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text);
    }
    for id in ["did:bindu:eve:gone/../../../health/ready", "did:bindu:eve:gone/.."] {
        eve.did = id.parse()?;
        eve.enter(&site.hydra, id);
        eve.token = format!("{}-", eve.token);
        eve.enter(&site.hydra, id);
        site.hydra.remove_client(id);
        let answer = site.locked.post(&eve.letter(&send())).await?;
        assert_eq!(answer.why(), (403, json!("public_key_unavailable")), "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hydra_that_fails_lets_nobody_in_and_tells_nobody_where_it_is() -> Result {
    for fault in [
        Fault::Down,
        Fault::NotJson,
        Fault::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Status(StatusCode::UNAUTHORIZED),
        Fault::Status(StatusCode::FOUND),
    ] {
        let site = Site::start().await?;
        let ann = site.somebody("ann")?;
        site.hydra.fail(Some(fault));
        for letter in [Letter::bearing("tok-service", &send()), ann.letter(&send())] {
            let answer = site.locked.post(&letter).await?;
            assert_eq!(answer.why(), (503, json!(-32603)), "{fault:?}");
            assert!(answer.text.to_lowercase().contains("retry-after: 1\r\n"), "{}", answer.text);
            assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
        }
        assert_eq!(site.locked.runs(), 0, "{fault:?}");
    }
    Ok(())
}

/// An address may be good when a webhook is set, and lead inside when it is called: it is looked
/// at again for each delivery, and what was looked at is what is connected to.
#[tokio::test]
async fn an_address_that_leads_inside_by_now_is_not_called() -> Result {
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://localhost:{}/", receiver.local_addr()?.port());
    let storage = Arc::new(bindu_storage::MemoryStore::default());
    let start = |may_be_private: &'static str| {
        let storage = Arc::clone(&storage);
        async move {
            let mut config = config("hooked");
            config.capabilities =
                Capabilities { push_notifications: true, ..Capabilities::default() };
            let answer = async |turn: Turn| {
                Ok(match &*turn.text() {
                    "begin" => Reply::input_required("and then?"),
                    text => Reply::text(text.to_owned()),
                })
            };
            let vars = [("WEBHOOK__ALLOW_PRIVATE", may_be_private), ("WEBHOOK__MAX_ATTEMPTS", "1")];
            let identity = identity()?;
            Ok::<_, crate::caller::Error>(
                Agent::builder(config, answer)
                    .settings(Settings::from_vars(vars)?)
                    .storage(storage)
                    .identity(identity)
                    .spawn()
                    .await?,
            )
        }
    };
    let first = start("true").await?;
    let caller = Caller::of(&first);
    let task = caller.send("begin").await?;
    let hook = json!({ "id": task["id"], "pushNotificationConfig": { "url": url } });
    caller.result("tasks/pushNotificationConfig/set", hook).await?;
    first.stop(Duration::ZERO).await;

    let second = start("false").await?;
    let caller = Caller::of(&second);
    let mut answer = message("go on");
    answer["message"]["taskId"] = task["id"].clone();
    answer["message"]["contextId"] = task["contextId"].clone();
    let done = caller.result("message/send", answer).await?;
    assert_eq!(done["status"]["state"], "completed", "{done}");
    second.stop(Duration::from_secs(5)).await;
    // Whoever had connected would wait here.
    let nobody = tokio::time::timeout(Duration::ZERO, receiver.accept()).await;
    assert!(nobody.is_err(), "it was called");
    Ok(())
}

fn identity() -> Result<Arc<bindu_did::key_dir::Identity>> {
    use bindu_did::{Did, SigningKey, agent_id};
    let id = agent_id("ann@example.com", "hooked");
    let did = Did::for_known_agent("ann@example.com", "hooked", id)?;
    let key = SigningKey::from_seed(&[7; 32]);
    let now = std::time::SystemTime::now();
    Ok(Arc::new(bindu_did::key_dir::Identity::new(key, &did, id, now)))
}

#[tokio::test]
async fn a_webhook_into_the_metadata_service_is_refused() -> Result {
    let mut hooked = config("hooked");
    hooked.capabilities = Capabilities { push_notifications: true, ..Capabilities::default() };
    let agent = Agent::builder(hooked, async |_: Turn| Ok(Reply::input_required("and?")))
        .settings(Settings::default())
        .identity(identity()?)
        .spawn()
        .await?;
    let caller = Caller::of(&agent);
    let task = caller.send("hello").await?;
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://2852039166/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://0251.0376.0251.0376/",
        "http://[fd00:ec2::254]/",
        "http://169.254.169.254.:80/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ] {
        let hook = json!({ "id": task["id"], "pushNotificationConfig": { "url": url } });
        let (_, answer) = caller.call("tasks/pushNotificationConfig/set", hook).await?;
        assert_eq!(answer["error"]["code"], json!(-32602), "{url}: {answer}");
    }
    agent.stop(Duration::ZERO).await;
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() -> Result {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir()?;
    let start = || {
        Agent::builder(config("careless"), async |_: Turn| Ok(Reply::text("done")))
            .settings(Settings::default())
            .directory(directory.path())
            .spawn()
    };
    start().await?.stop(Duration::ZERO).await;
    let key = directory.path().join(".bindu/private.pem");
    for mode in [0o644, 0o640, 0o604, 0o660] {
        set_permissions(&key, Permissions::from_mode(mode))?;
        let refused = start().await.err().ok_or("it serves with a key that others can read")?;
        let mut told = refused.to_string();
        let mut source = std::error::Error::source(&refused);
        while let Some(error) = source {
            told = format!("{told}: {error}");
            source = error.source();
        }
        assert!(told.contains("chmod 600"), "{mode:o}: {told}");
    }
    set_permissions(&key, Permissions::from_mode(0o600))?;
    start().await?.stop(Duration::ZERO).await;
    Ok(())
}
