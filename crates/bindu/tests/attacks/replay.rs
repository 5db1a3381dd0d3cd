//! What was overheard comes again: the same, elsewhere, or dressed up.

use bindu_did::target;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

use super::site::{Letter, Locked, Site, Somebody, call, now, send, token};
use crate::caller::Result;

const REFUSED: (u16, &str) = (403, "invalid_signature");

#[tokio::test]
async fn a_message_is_taken_once_however_it_is_dressed_up() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let letter = ann.letter(&send());
    assert_eq!(site.locked.post(&letter).await?.status, 200);

    let time = format!("00{}", letter.headers[3].1);
    let mut shouted = letter.clone();
    for header in &mut shouted.headers {
        header.0.make_ascii_uppercase();
    }
    let mut reordered = letter.clone();
    reordered.headers.reverse();
    let blanks = format!("{} \t", letter.headers[2].1);
    site.hydra.put_token("second", token(&json!({ "client_id": ann.did, "sub": ann.did })));
    let repeats = [
        ("as it was", letter.bytes("POST", "/")),
        ("in chunks", letter.chunked()),
        ("in capitals", shouted.bytes("POST", "/")),
        ("in another order", reordered.bytes("POST", "/")),
        ("with a query", letter.bytes("POST", "/?again")),
        (
            "with zeros before the time",
            letter.clone().changed("X-DID-Timestamp", &time).bytes("POST", "/"),
        ),
        ("with blanks", letter.clone().changed("X-DID-Signature", &blanks).bytes("POST", "/")),
        (
            "with another token",
            letter.clone().changed("Authorization", "Bearer second").bytes("POST", "/"),
        ),
    ];
    for (what, bytes) in repeats {
        let (status, why) = site.locked.raw(&bytes).await?.why();
        assert_eq!((status, why.as_str()), (REFUSED.0, Some(REFUSED.1)), "{what}");
    }
    assert_eq!(site.locked.runs(), 1);
    Ok(())
}

/// HTTP/2 does not take the blanks off a value, and base58 is read without those at its end: it is
/// one signature all the same.
#[tokio::test]
async fn a_message_is_taken_once_over_http_2_too() -> Result {
    let site = Site::start().await?;
    let letter = site.somebody("ann")?.letter(&send());
    assert_eq!(site.locked.post(&letter).await?.status, 200);
    for blanks in ["", " ", "  ", "\t", " \t "] {
        let signature = format!("{}{blanks}", letter.headers[2].1);
        let letter = letter.clone().changed("X-DID-Signature", &signature);
        let io = TokioIo::new(TcpStream::connect(site.locked.address()).await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::post(format!("http://{}/", site.locked.address()));
        for (name, value) in &letter.headers {
            request = request.header(name, value);
        }
        let answer =
            sender.send_request(request.body(Full::new(Bytes::from(letter.body)))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        assert_eq!(status, 403, "{blanks:?}: {}", String::from_utf8_lossy(&body));
        drop(sender);
        connection.await??;
    }
    assert_eq!(site.locked.runs(), 1);
    Ok(())
}

#[tokio::test]
async fn of_many_repeats_at_once_one_is_taken() -> Result {
    let site = Site::start().await?;
    let letter = site.somebody("ann")?.letter(&send());
    let posts = (0..20).map(|_| site.locked.post(&letter));
    let answers = futures_util::future::try_join_all(posts).await?;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(site.locked.runs(), 1);
    Ok(())
}

/// What is kept in a file is remembered with it.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn after_a_restart_it_is_still_refused() -> Result {
    use bindu::{Agent, Reply, Settings, Turn};

    let hydra = bindu_testkit::fake_hydra::FakeHydra::start().await?;
    let (ann, directory) = (Somebody::known(&hydra, "ann")?, tempfile::tempdir()?);
    let file = format!("sqlite:{}", directory.path().join("tasks.db").display());
    let letter = ann.letter(&send()).bytes("POST", "/");
    for status in [200, 403, 403] {
        let vars = [
            ("AUTH__ENABLED", "true"),
            ("HYDRA__ADMIN_URL", hydra.admin_url()),
            ("HYDRA__PUBLIC_URL", hydra.public_url()),
            ("STORAGE_TYPE", "sqlite"),
            ("DATABASE_URL", &file),
        ];
        let agent =
            Agent::builder(crate::caller::config("kept"), async |_: Turn| Ok(Reply::text("done")));
        let agent = agent.settings(Settings::from_vars(vars)?).directory(directory.path());
        let agent = agent.spawn().await?;
        let answer = super::site::raw(agent.local_addr(), &letter).await?;
        assert_eq!(answer.status, status, "{}", answer.text);
        agent.stop(std::time::Duration::ZERO).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_changes_nothing_may_come_again() -> Result {
    let site = Site::start().await?;
    let letter = site.somebody("ann")?.letter(&call("tasks/list", &json!({})));
    for _ in 0..3 {
        assert_eq!(site.locked.post(&letter).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn on_another_path_it_does_nothing() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let letter = ann.letter(&send());
    for (path, status) in [
        ("/openapi.json", 405),
        ("/agent/private.json", 405),
        ("/message/send", 404),
        ("/health", 405),
        ("/did/resolve", 400),
    ] {
        let answer = site.locked.raw(&letter.bytes("POST", path)).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
    }
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        site.locked.raw(&letter.bytes(method, "/")).await?;
    }
    assert_eq!(site.locked.runs(), 0);
    // What was signed for a page is no message.
    let page = ann.letter("");
    assert_eq!(site.locked.raw(&page.bytes("GET", "/openapi.json")).await?.status, 200);
    assert_eq!(site.locked.post(&page).await?.status, 400);
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

/// The letter with the second signature, which says whom it is for.
fn addressed(who: &Somebody, to: &Locked) -> Result<Letter> {
    let body = send();
    let signature = who.sign(&body, now());
    let second = target::sign(&who.key, &signature, body.as_bytes(), to.did())?;
    let mut letter = Letter::bearing(&who.token, &body);
    letter.headers.extend(signature.headers().map(|(name, value)| (name.to_owned(), value)));
    Ok(letter.and(target::TARGET_HEADER, to.did().as_str()).and(target::SIGNATURE_HEADER, &second))
}

#[tokio::test]
async fn what_is_signed_for_one_agent_is_refused_by_another() -> Result {
    let site = Site::start().await?;
    let strict = [("AUTH__REQUIRE_TARGET", "true")];
    let other = Locked::start(&site.hydra, "other", &[]).await?;
    let strict = Locked::start(&site.hydra, "strict", &strict).await?;
    let ann = site.somebody("ann")?;
    let letter = addressed(&ann, &site.locked)?;
    // The receiver sends it on, as it is and with another name on it.
    for receiver in [&other, &strict] {
        let renamed = letter.clone().changed(target::TARGET_HEADER, receiver.did().as_str());
        let halves = [target::TARGET_HEADER, target::SIGNATURE_HEADER];
        let halves = halves.map(|name| letter.clone().without(name));
        let twice = letter.clone().and(target::TARGET_HEADER, receiver.did().as_str());
        for letter in [letter.clone(), renamed, twice].into_iter().chain(halves) {
            let (status, why) = receiver.post(&letter).await?.why();
            assert_eq!((status, why.as_str()), (REFUSED.0, Some(REFUSED.1)));
        }
    }
    // Without a word of whom it is for.
    let bare = letter.clone().without(target::TARGET_HEADER).without(target::SIGNATURE_HEADER);
    assert_eq!(strict.post(&bare).await?.status, 403);
    assert_eq!((other.runs(), strict.runs()), (0, 0));
    // Who does not ask for it cannot tell: that is what the setting is for.
    assert_eq!(other.post(&bare).await?.status, 200);
    assert_eq!(site.locked.post(&letter).await?.status, 200);
    assert_eq!(strict.post(&addressed(&ann, &strict)?).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_token_for_one_agent_is_refused_by_another_that_asks_for_it() -> Result {
    let site = Site::start().await?;
    let strict = [("AUTH__REQUIRE_AUDIENCE", "true")];
    let strict = Locked::start(&site.hydra, "strict", &strict).await?;
    for (name, audience, is_in) in [
        ("any", json!([]), false),
        ("first", json!([site.locked.did()]), false),
        ("near", json!([format!("{}0", strict.did())]), false),
        ("right", json!([site.locked.did(), strict.did()]), true),
    ] {
        let ann = Somebody::known(&site.hydra, name)?;
        let its = json!({ "client_id": ann.did, "sub": ann.did, "aud": audience });
        site.hydra.put_token(&ann.token, token(&its));
        let answer = strict.post(&ann.letter(&send())).await?;
        if is_in {
            assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        } else {
            assert_eq!(answer.why(), (401, json!(-32010)), "{name}");
            assert_eq!(answer.json()["error"]["data"], "Token is not meant for this agent");
        }
    }
    assert_eq!(strict.runs(), 1);
    Ok(())
}

#[tokio::test]
async fn a_signature_under_the_token_of_another_is_refused() -> Result {
    let site = Site::start().await?;
    let (ann, bob) = (site.somebody("ann")?, site.somebody("bob")?);
    let stolen = ann.letter(&send()).changed("Authorization", &format!("Bearer {}", bob.token));
    assert_eq!(site.locked.post(&stolen).await?.why(), (403, json!("did_mismatch")));
    // A token of a service asks for no signature, and gives nobody's name but the service's.
    let service = ann.letter(&send()).changed("Authorization", "Bearer tok-service");
    let task = site.locked.post(&service).await?.json()["result"]["id"].take();
    let asked = ann.letter(&call("tasks/get", &json!({ "id": task })));
    assert!(site.locked.post(&asked).await?.json()["error"].is_object());
    Ok(())
}
