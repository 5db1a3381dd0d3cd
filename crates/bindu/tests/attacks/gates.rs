//! Each gate alone: missing, wrong, over.

use bindu_protocol::method;
use bindu_testkit::fake_hydra::FakeHydra;
use serde_json::{Value, json};

use super::site::{Letter, Locked, Site, Somebody, call, now, send, token};
use crate::caller::Result;

#[tokio::test]
async fn who_shows_all_is_let_in() -> Result {
    let site = Site::start().await?;
    let answer = site.locked.post(&site.somebody("ann")?.letter(&send())).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["result"]["status"]["state"], "completed");
    assert_eq!(site.locked.runs(), 1);
    Ok(())
}

#[tokio::test]
async fn without_a_good_token_nothing_runs() -> Result {
    let site = Site::start().await?;
    site.hydra.put_token("a-refresh-token", token(&json!({ "token_use": "refresh_token" })));
    site.hydra.put_token("an-id-token", token(&json!({ "token_use": "id_token" })));
    let body = send();
    let plain = Letter::plain(&body);
    for header in ["", "Basic YTpi", "Bearer", "Bearer a b", "Bearer tok-service, Bearer x", "tok"]
    {
        let letter = plain.clone().and("Authorization", header);
        assert_eq!(site.locked.post(&letter).await?.why(), (401, json!(-32009)), "{header:?}");
    }
    assert_eq!(site.locked.post(&plain).await?.why(), (401, json!(-32009)));
    for (token, code) in [
        ("made-up", -32010),
        ("tok-nosub", -32010),
        ("tok-noexp", -32010),
        ("a-refresh-token", -32010),
        ("an-id-token", -32010),
        ("tok-expired", -32011),
    ] {
        let answer = site.locked.post(&Letter::bearing(token, &body)).await?;
        assert_eq!(answer.why(), (401, json!(code)), "{token}");
        let text = answer.text.to_lowercase();
        assert!(text.contains("www-authenticate: bearer error=\"invalid_token\""), "{text}");
        assert!(!text.contains("127.0.0.1") && !text.contains(token), "{text}");
    }
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn a_token_in_the_address_is_none() -> Result {
    let site = Site::start().await?;
    for method in ["GET", "POST"] {
        let letter = Letter::plain(&send());
        let answer = site.locked.raw(&letter.bytes(method, "/?token=tok-service")).await?;
        assert_eq!(answer.why(), (401, json!(-32009)), "{method}");
    }
    // Where it is allowed, it still calls no method.
    let site = Site::with(&[("AUTH__ALLOW_QUERY_TOKEN", "true")]).await?;
    let letter = Letter::plain(&send());
    let answer = site.locked.raw(&letter.bytes("POST", "/?token=tok-service")).await?;
    assert_eq!(answer.why(), (401, json!(-32009)));
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_nearly_right_is_answered_as_one_that_is_far_off() -> Result {
    let site = Site::start().await?;
    let mut answers = Vec::new();
    for token in ["tok-servicf", "sok-service", "tok-servic", "tok-service-", "x"] {
        let answer = site.locked.post(&Letter::bearing(token, &send())).await?;
        assert_eq!(answer.status, 401, "{token}");
        answers.push(answer.json());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn a_did_that_does_not_sign_as_it_should_is_refused() -> Result {
    let site = Site::start().await?;
    let (ann, bob) = (site.somebody("ann")?, site.somebody("bob")?);
    let body = send();
    let letter = ann.letter(&body);
    let names = ["X-DID", "X-DID-Signature", "X-DID-Timestamp"];
    let missing = || json!("missing_signature_headers");
    for name in names {
        for letter in [letter.clone().without(name), letter.clone().changed(name, "")] {
            assert_eq!(site.locked.post(&letter).await?.why(), (403, missing()), "{name}");
        }
    }
    for time in ["+5", "1_000", "1.0", "0x10", "nan", "99999999999999999999"] {
        let letter = letter.clone().changed("X-DID-Timestamp", time);
        assert_eq!(site.locked.post(&letter).await?.why(), (403, missing()), "{time}");
    }
    let mut forged = bob.sign(&body, now());
    forged.did = ann.did.to_string();
    let forged = letter.clone().changed("X-DID-Signature", &forged.signature);
    let later = (now() + 1).to_string();
    let cut: String = letter.headers[2].1.chars().skip(1).collect();
    for (what, letter) in [
        ("too old", ann.letter_at(&body, now() - 302)),
        ("too early", ann.letter_at(&body, now() + 310)),
        ("another time", letter.clone().changed("X-DID-Timestamp", &later)),
        ("another key", forged),
        ("cut", letter.clone().changed("X-DID-Signature", &cut)),
        ("no base58", letter.clone().changed("X-DID-Signature", "0OIl")),
        ("long", letter.clone().changed("X-DID-Signature", &"z".repeat(5000))),
        ("another body", Letter { body: body.replace("hello", "hellp"), ..letter.clone() }),
        ("one blank more", Letter { body: format!("{body} "), ..letter.clone() }),
    ] {
        let answer = site.locked.post(&letter).await?;
        assert_eq!(answer.why(), (403, json!("invalid_signature")), "{what}");
    }
    let swapped = letter.clone().changed("X-DID", bob.did.as_str());
    assert_eq!(site.locked.post(&swapped).await?.why(), (403, json!("did_mismatch")));
    let shouted = letter.clone().changed("X-DID", &ann.did.as_str().to_uppercase());
    assert_eq!(site.locked.post(&shouted).await?.why(), (403, json!("did_mismatch")));
    assert_eq!(site.locked.runs(), 0);
    // What was refused before is good as it is.
    assert_eq!(site.locked.post(&letter).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_did_whose_key_nobody_knows_is_refused() -> Result {
    let site = Site::start().await?;
    let mut ann = site.somebody("ann")?;
    for (name, token) in
        [("nokey", "tok-nokey"), ("badkey", "tok-badkey"), ("unregistered", "tok-unregistered")]
    {
        let digit = match name {
            "nokey" => "3",
            "badkey" => "4",
            _ => "5",
        };
        let suffix = "DDDDDDDD-DDDD-4DDD-8DDD-DDDDDDDDDDDD".replace('D', digit);
        ann.did = format!("did:bindu:caller_at_example_com:{name}:{suffix}").parse()?;
        token.clone_into(&mut ann.token);
        let answer = site.locked.post(&ann.letter(&send())).await?;
        assert_eq!(answer.why(), (403, json!("public_key_unavailable")), "{name}");
    }
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn who_is_not_admitted_is_refused() -> Result {
    let hydra = FakeHydra::start().await?;
    let ann = Somebody::known(&hydra, "ann")?;
    let bob = Somebody::known(&hydra, "bob")?;
    let list = |did: &str| json!([did]).to_string();
    // A list of whole names: the beginning of one does not count.
    let (whole, part) = (list(ann.did.as_str()), list(&format!("{}0", ann.did)));
    for (name, setting, value, is_ann_in, is_bob_in) in [
        ("one", "AUTH__ALLOWED_DIDS", &whole, true, false),
        ("two", "AUTH__ALLOWED_DIDS", &part, false, false),
        ("three", "AUTH__DENIED_DIDS", &whole, false, true),
    ] {
        let locked = Locked::start(&hydra, name, &[(setting, value.as_str())]).await?;
        for (who, is_in) in [(&ann, is_ann_in), (&bob, is_bob_in)] {
            let answer = locked.post(&who.letter(&send())).await?;
            if is_in {
                assert_eq!(answer.status, 200, "{setting}={value}: {}", answer.text);
            } else {
                assert_eq!(answer.why(), (403, json!("DID not admitted")), "{setting}={value}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_method_but_the_extended_card_needs_its_scope() -> Result {
    let site = Site::start().await?;
    for &name in method::ALL {
        let body = call(name, &json!({}));
        let answer = site.locked.post(&Letter::bearing("tok-noscope", &body)).await?;
        let is_refused = answer.json()["error"]["code"] == json!(-32013);
        assert_eq!(is_refused, name != method::EXTENDED_CARD, "{name}: {}", answer.text);
        if is_refused {
            assert_eq!((answer.status, &answer.json()["id"]), (403, &json!(1)), "{name}");
        }
        let writes = !only_reads(name);
        let answer = site.locked.post(&Letter::bearing("tok-readonly", &body)).await?;
        let is_refused = answer.json()["error"]["code"] == json!(-32013);
        assert_eq!(is_refused, writes, "{name}: {}", answer.text);
    }
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

/// The methods that change nothing, as `docs/security.md` lists them.
fn only_reads(name: &str) -> bool {
    [
        "tasks/get",
        "tasks/list",
        "tasks/resubscribe",
        "contexts/list",
        "tasks/pushNotificationConfig/get",
        "tasks/pushNotificationConfig/list",
        "agent/getAuthenticatedExtendedCard",
    ]
    .contains(&name)
}

#[tokio::test]
async fn nothing_but_the_open_paths_answers_a_stranger() -> Result {
    let site = Site::start().await?;
    for path in ["/", "/openapi.json", "/agent/private.json", "/nowhere", "/health/", "/HEALTH"] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = site.locked.raw(&Letter::plain("{}").bytes(method, path)).await?;
            assert_eq!(answer.why(), (401, json!(-32009)), "{method} {path}");
        }
    }
    for path in ["/health", "/.well-known/agent.json", "/agent/skills", "/did/resolve?did=x"] {
        let answer = site.locked.raw(&Letter::plain("").bytes("GET", path)).await?;
        assert_ne!(answer.status, 401, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_task_of_one_caller_is_not_there_for_another() -> Result {
    let site = Site::start().await?;
    let (ann, bob) = (site.somebody("ann")?, site.somebody("bob")?);
    let task = site.locked.post(&ann.letter(&send())).await?.json()["result"].take();
    let id = json!({ "id": task["id"], "taskId": task["id"] });
    for name in
        ["tasks/get", "tasks/cancel", "tasks/resubscribe", "tasks/pushNotificationConfig/get"]
    {
        let answer = site.locked.post(&bob.letter(&call(name, &id))).await?;
        assert!(answer.json()["result"] == Value::Null, "{name}: {}", answer.text);
    }
    let listed = site.locked.post(&bob.letter(&call("tasks/list", &json!({})))).await?;
    assert!(!listed.text.contains(task["id"].as_str().ok_or("an id")?), "{}", listed.text);
    Ok(())
}
