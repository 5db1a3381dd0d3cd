//! A signature is accepted once.

use std::sync::Arc;
use std::time::Duration;

use bindu_auth::Config;
use bindu_protocol::{Denied, Timestamp};
use bindu_storage::{BoxFuture, MemoryReplayGuard, ReplayGuard, StorageError};

use crate::door::{BODY, Door, NOW, Somebody, now};

#[tokio::test]
async fn the_second_request_under_a_signature_is_refused_if_it_changes_something() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    let signature = ann.sign_at(BODY, NOW);
    let grant = || door.send("good", &signature, BODY);
    assert_eq!(grant().await.unwrap().permit("tasks/get", now()).await, Ok(()));
    assert_eq!(grant().await.unwrap().permit("tasks/get", now()).await, Ok(()), "a poll");
    assert_eq!(grant().await.unwrap().permit("message/send", now()).await, Ok(()));
    let again = grant().await.unwrap().permit("message/send", now()).await;
    assert!(matches!(again, Err(Denied::SignatureInvalid { .. })), "{again:?}");
    // Until its time is over by itself.
    let later = now() + Duration::from_mins(5);
    let again = grant().await.unwrap().permit("message/send", later).await;
    assert!(matches!(again, Err(Denied::SignatureInvalid { .. })), "{again:?}");
}

#[tokio::test]
async fn blanks_behind_a_signature_do_not_make_it_another() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    let mut signature = ann.sign_at(BODY, NOW);
    let grant = door.send("good", &signature, BODY).await.unwrap();
    assert_eq!(grant.permit("message/send", now()).await, Ok(()));
    signature.signature.push_str(" \t");
    let grant = door.send("good", &signature, BODY).await.unwrap();
    let again = grant.permit("message/send", now()).await;
    assert!(matches!(again, Err(Denied::SignatureInvalid { .. })), "{again:?}");
}

#[tokio::test]
async fn replicas_that_share_a_guard_accept_it_once_between_them() {
    let guard: Arc<dyn ReplayGuard> = Arc::new(MemoryReplayGuard::default());
    let one = Door::guarded(Config::default(), Arc::clone(&guard)).await;
    let other = Door::guarded(Config::default(), guard).await;
    let ann = Somebody::new("ann");
    let signature = ann.sign_at(BODY, NOW);
    let mut accepted = 0;
    for door in [&one, &other] {
        door.know(&ann, "good");
        let grant = door.send("good", &signature, BODY).await.unwrap();
        accepted += usize::from(grant.permit("message/send", now()).await.is_ok());
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn of_many_at_once_one_is_accepted() {
    let (door, ann) = (Arc::new(Door::open().await), Somebody::new("ann"));
    door.know(&ann, "good");
    let signature = Arc::new(ann.sign_at(BODY, NOW));
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (door, signature) = (Arc::clone(&door), Arc::clone(&signature));
        tries.spawn(async move {
            let grant = door.send("good", &signature, BODY).await?;
            grant.permit("message/send", now()).await
        });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 1);
}

/// A guard that cannot be asked.
#[derive(Debug)]
struct Away;

impl ReplayGuard for Away {
    fn first<'a>(
        &'a self,
        _: &'a str,
        _: Timestamp,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        let failed = StorageError::Backend { doing: "asking", source: "away".into() };
        Box::pin(async move { Err(failed) })
    }

    fn forget<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        let failed = StorageError::Backend { doing: "forgetting", source: "away".into() };
        Box::pin(async move { Err(failed) })
    }
}

#[tokio::test]
async fn nothing_is_changed_while_nobody_knows_what_was_seen() {
    let (door, ann) = (Door::guarded(Config::default(), Arc::new(Away)).await, Somebody::new("a"));
    door.know(&ann, "good");
    let grant = door.send("good", &ann.sign_at(BODY, NOW), BODY).await.unwrap();
    assert_eq!(grant.permit("message/send", now()).await, Err(Denied::Unavailable));
    assert_eq!(grant.permit("tasks/get", now()).await, Ok(()));
}
