//! Payment sessions.

use std::time::Duration;

use bindu_x402::{SessionConfig, SessionError, Sessions, header};
use serde_json::{Value, json};

use crate::support::{at, checked};

const LIFE: i64 = 15 * 60;

fn sessions() -> Sessions {
    Sessions::new(SessionConfig::default())
}

#[test]
fn a_session_goes_from_pending_to_completed() {
    let sessions = sessions();
    let session = sessions.start(at(0)).unwrap();
    assert_eq!(session.id().len(), 43);
    assert!(session.id().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    let started: Value = serde_json::from_str(&session.started_body("http://a.example/")).unwrap();
    let id = session.id();
    assert_eq!(
        started,
        json!({
            "session_id": id,
            "browser_url": format!("http://a.example/payment-capture?session_id={id}"),
            "expires_at": "1970-01-01T00:15:00+00:00",
            "status": "pending",
        })
    );
    assert_eq!(session.status_body(), format!(r#"{{"session_id":"{id}","status":"pending"}}"#));

    let first = sessions.capture(id, &checked("0x01"), at(1)).unwrap();
    let again = sessions.capture(id, &checked("0x02"), at(2)).unwrap();
    assert_eq!(again, first, "the first payment stays");
    let found = sessions.find(id, at(3)).unwrap();
    assert_eq!(found, first);
    assert_eq!(sessions.find(id, at(4)), Some(first), "reading does not use it up");
    let body: Value = serde_json::from_str(&found.status_body()).unwrap();
    assert_eq!(body["status"], "completed");
    let token = body["payment_token"].as_str().unwrap();
    assert_eq!(&header::decode(token.as_bytes()).unwrap(), checked("0x01").payload());
}

#[test]
fn a_session_ends_and_makes_room() {
    let sessions = Sessions::new(SessionConfig { limit: 2, ..SessionConfig::default() });
    let first = sessions.start(at(0)).unwrap();
    let second = sessions.start(at(1)).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(sessions.start(at(2)), Err(SessionError::TooMany));
    assert!(sessions.find(first.id(), at(LIFE - 1)).is_some());
    assert_eq!(sessions.find(first.id(), at(LIFE)), None);
    let late = sessions.capture(first.id(), &checked("0x01"), at(LIFE));
    assert_eq!(late, Err(SessionError::Unknown));
    assert!(sessions.start(at(LIFE)).is_ok());
    assert_eq!(sessions.start(at(LIFE)), Err(SessionError::TooMany));
    assert_eq!(sessions.find("nope", at(0)), None);
}

#[test]
fn secrets_are_not_shown() {
    let sessions = sessions();
    let session = sessions.start(at(0)).unwrap();
    let session = sessions.capture(session.id(), &checked("0x01"), at(0)).unwrap();
    let shown = format!("{sessions:?} {session:?}");
    assert!(!shown.contains(session.id()) && !shown.contains("0x01"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_at_once() {
    let sessions = sessions();
    let session = sessions.start(at(0)).unwrap();
    let wait = |seconds| {
        let (sessions, id) = (sessions.clone(), session.id().to_owned());
        tokio::spawn(async move { sessions.wait(&id, at(0), Duration::from_secs(seconds)).await })
    };
    let many: Vec<_> = (0..5).map(|_| wait(300)).collect();
    let impatient = wait(1).await.unwrap();
    assert_eq!(impatient, None, "its time is up");
    let paid = sessions.capture(session.id(), &checked("0x01"), at(1)).unwrap();
    for waiting in many {
        assert_eq!(waiting.await.unwrap(), Some(paid.clone()));
    }
    assert_eq!(wait(0).await.unwrap(), Some(paid), "it is there already");
    assert_eq!(sessions.wait("nope", at(0), Duration::from_secs(1)).await, None);
    assert_eq!(sessions.wait(session.id(), at(LIFE), Duration::from_secs(1)).await, None);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_session() {
    let sessions = sessions();
    let session = sessions.start(at(0)).unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(sessions.wait(session.id(), at(LIFE - 5), Duration::from_mins(5)).await, None);
    assert_eq!(begun.elapsed().as_secs(), 5);
}
