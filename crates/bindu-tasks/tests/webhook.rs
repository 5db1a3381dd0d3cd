//! Webhooks: in order, again until they are taken, and never where they must not go.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bindu_did::key_dir::Identity;
use bindu_did::request::RequestSignature;
use bindu_did::{Did, SigningKey, agent_id};
use bindu_protocol::{Dialect, PushConfig, TaskId, TaskState};
use bindu_scheduler::MemoryScheduler;
use bindu_storage::{MemoryStore, OutboxEntry, OutboxKind, OutboxQuery, Storage, StorageError};
use bindu_tasks::{Config, PushSettings, Pushes, TaskError, Tasks};

use crate::receiver::Receiver;
use crate::support::{
    LONG, Tested, ann, begun, bob, outcome, pushing, queued, run_to, said, said_to, within,
};

fn impatient() -> PushSettings {
    PushSettings {
        min_wait: Duration::from_millis(1),
        max_wait: Duration::from_millis(20),
        ..PushSettings::default()
    }
}

fn agent(settings: PushSettings) -> Tasks {
    pushing(Config::default(), Pushes::new(settings, None))
}

fn hook(id: &str, url: String) -> PushConfig {
    PushConfig { id: id.parse().ok(), url, token: Some("secret".into()), authentication: None }
}

/// A queued task of ann's that tells this webhook.
async fn told(tasks: &Tasks, hook: PushConfig, dialect: Dialect) -> Result<TaskId, TaskError> {
    let mut submission = said("hello");
    submission.push = Some(hook);
    submission.dialect = dialect;
    Ok(tasks.submit(&ann(), submission).await?.record.task.id.clone())
}

/// What is still to be told.
async fn left(store: &dyn Storage) -> Result<Vec<OutboxEntry>, StorageError> {
    let kind = OutboxKind::Deliver;
    store.outbox(OutboxQuery { kind, task: None, due: None, limit: usize::MAX }).await
}

/// Waits until nothing is left to be told.
async fn settled(tasks: &Tasks) -> Tested {
    let begun = Instant::now();
    while !left(&**tasks.storage()).await?.is_empty() {
        assert!(begun.elapsed() < LONG, "something is still to be told");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_in_order_and_counted() -> Tested {
    let receiver = Receiver::start(&[]).await?;
    let tasks = agent(impatient());
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::Reference).await?;
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    tasks.submit(&ann(), said_to(&id, "go on")).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    let seen = receiver.wait(5).await;
    let kinds: Vec<_> = seen.iter().map(|one| one.state().unwrap_or("artifact")).collect();
    assert_eq!(kinds, ["working", "input-required", "working", "artifact", "completed"]);
    let numbers: Vec<_> = seen.iter().map(|one| one.body["sequence"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3), Some(4), Some(5)]);
    let last: Vec<_> = seen.iter().map(|one| one.body["final"].as_bool()).collect();
    assert_eq!(last, [Some(false), Some(false), Some(false), None, Some(true)]);
    assert!(seen.iter().all(|one| one.header("authorization") == Some("Bearer secret")));
    settled(&tasks).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_receiver_is_told_the_task_itself() -> Tested {
    let receiver = Receiver::start(&[]).await?;
    let tasks = agent(impatient());
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    let seen = receiver.wait(2).await;
    assert_eq!(seen.len(), 2);
    for (one, state) in seen.iter().zip(["working", "completed"]) {
        assert_eq!(one.body["kind"], "task");
        assert_eq!(one.state(), Some(state));
        assert_eq!(one.header("x-a2a-notification-token"), Some("secret"));
        assert_eq!(one.header("authorization"), None);
    }
    assert_eq!(seen[1].body["artifacts"][0]["parts"][0]["text"], "done");
    settled(&tasks).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_tried_again_and_holds_back_what_follows() -> Tested {
    let receiver = Receiver::start(&["503 No", "429 Later", "500 Oh", "408 Slow"]).await?;
    let tasks = agent(impatient());
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::Reference).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    let seen = receiver.wait(7).await;
    let numbers: Vec<_> = seen.iter().filter_map(|one| one.body["sequence"].as_u64()).collect();
    assert_eq!(numbers, [1, 1, 1, 1, 1, 2, 3]);
    // The same event each time, so that a receiver can tell.
    assert!(seen[..5].iter().all(|one| one.body["event_id"] == seen[0].body["event_id"]));
    settled(&tasks).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_for_good_is_not_asked_again() -> Tested {
    // Neither is a redirect followed.
    let receiver =
        Receiver::start(&["400 No", "302 Found\r\nLocation: /elsewhere", "404 Gone"]).await?;
    let tasks = agent(impatient());
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::Reference).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    settled(&tasks).await?;
    let seen = receiver.seen();
    let numbers: Vec<_> = seen.iter().filter_map(|one| one.body["sequence"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(seen.iter().all(|one| one.path == "/h"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_never_arrives_is_given_up() -> Tested {
    let receiver = Receiver::start(&["500 No"; 3]).await?;
    let tasks = agent(PushSettings { max_attempts: 3, ..impatient() });
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    settled(&tasks).await?;
    // Three attempts at the first, then the next.
    let states: Vec<_> =
        receiver.seen().iter().map(|one| one.state().unwrap_or_default().to_owned()).collect();
    assert_eq!(states, ["working", "working", "working", "completed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_and_the_task_ends_all_the_same() -> Tested {
    let gone = Receiver::start(&[]).await?.url("/h");
    let tasks = agent(PushSettings { max_attempts: 2, ..impatient() });
    let id = told(&tasks, hook("h", gone), Dialect::V0_3).await?;
    let record = run_to(&tasks, &id, TaskState::Completed).await?;
    assert_eq!(record.task.status.state, TaskState::Completed);
    settled(&tasks).await
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_waited_for() -> Tested {
    let receiver = Receiver::start(&["429 Later\r\nRetry-After: 1"]).await?;
    let tasks = agent(PushSettings { max_wait: Duration::from_secs(30), ..impatient() });
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    let seen = receiver.wait(3).await;
    let waited = seen[1].at - seen[0].at;
    assert!(waited >= Duration::from_millis(990), "only {waited:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_holds_up_no_other() -> Tested {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let receiver = Receiver::start(&[]).await?;
    let tasks = agent(PushSettings { timeout: LONG, ..impatient() });
    let id = queued(&tasks, &ann()).await?;
    let hanging = format!("http://{}/", silent.local_addr()?);
    tasks.set_webhook(&ann(), &id, hook("silent", hanging), Dialect::V0_3).await?;
    tasks.set_webhook(&ann(), &id, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    within(run_to(&tasks, &id, TaskState::Completed)).await?;
    assert_eq!(receiver.wait(2).await.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_removed_hears_nothing_more() -> Tested {
    let receiver = Receiver::start(&[]).await?;
    let tasks = agent(impatient());
    let id = queued(&tasks, &ann()).await?;
    let gone = hook("gone", receiver.url("/gone"));
    tasks.set_webhook(&ann(), &id, gone, Dialect::V0_3).await?;
    tasks.set_webhook(&ann(), &id, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    let run = begun(&tasks, &id).await?;
    receiver.wait(2).await;
    let config = "gone".parse()?;
    tasks.remove_webhook(&ann(), &id, &config).await?;
    run.finish(outcome(TaskState::Completed, "done")).await?;
    receiver.wait(3).await;
    settled(&tasks).await?;
    let paths: Vec<_> = receiver.seen().iter().map(|one| one.path.clone()).collect();
    assert_eq!(paths.iter().filter(|path| *path == "/gone").count(), 1);
    assert_eq!(paths.iter().filter(|path| *path == "/h").count(), 2);
    let again = tasks.remove_webhook(&ann(), &id, &config).await;
    assert!(matches!(again, Err(TaskError::WebhookNotFound)), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_comes_while_the_handler_runs_hears_the_end() -> Tested {
    let receiver = Receiver::start(&[]).await?;
    let tasks = agent(impatient());
    let id = queued(&tasks, &ann()).await?;
    let run = begun(&tasks, &id).await?;
    tasks.set_webhook(&ann(), &id, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    run.finish(outcome(TaskState::Completed, "done")).await?;
    let seen = receiver.wait(1).await;
    assert_eq!(seen[0].state(), Some("completed"));
    settled(&tasks).await
}

#[tokio::test]
async fn addresses_inside_are_refused() -> Tested {
    let tasks = agent(impatient());
    let id = queued(&tasks, &ann()).await?;
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "not a url",
        "http://",
        "http://no-such-host.invalid/",
    ] {
        let refused = tasks.set_webhook(&ann(), &id, hook("h", url.into()), Dialect::V0_3).await;
        assert!(matches!(refused, Err(TaskError::InvalidWebhook(_))), "{url}: {refused:?}");
        let refused = told(&tasks, hook("h", url.into()), Dialect::V0_3).await;
        assert!(matches!(refused, Err(TaskError::InvalidWebhook(_))), "{url}: {refused:?}");
    }
    // Nothing was stored of any of it.
    assert!(tasks.webhooks(&ann(), &id).await?.is_empty());
    let all = tasks.list(&ann(), &bindu_protocol::ListParams::default()).await?;
    assert_eq!(all.items.len(), 1);
    Ok(())
}

#[tokio::test]
async fn private_addresses_can_be_closed_off() -> Tested {
    let mut settings = impatient();
    settings.rules.allow_private = false;
    let tasks = agent(settings);
    let id = queued(&tasks, &ann()).await?;
    for url in ["http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/", "http://10.1.2.3/"]
    {
        let refused = tasks.set_webhook(&ann(), &id, hook("h", url.into()), Dialect::V0_3).await;
        assert!(matches!(refused, Err(TaskError::InvalidWebhook(_))), "{url}: {refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn webhooks_are_the_callers_and_so_many_only() -> Tested {
    let settings = Config { max_webhooks: 2, ..Config::default() };
    let tasks = pushing(settings, Pushes::new(impatient(), None));
    let id = queued(&tasks, &ann()).await?;
    let url = || "http://127.0.0.1:1/".to_owned();
    let set = async |caller, name: &str| {
        tasks.set_webhook(&caller, &id, hook(name, url()), Dialect::V0_3).await
    };
    set(ann(), "one").await?;
    set(ann(), "two").await?;
    assert!(matches!(set(ann(), "three").await, Err(TaskError::Invalid(_))));
    set(ann(), "one").await?;
    assert_eq!(tasks.webhooks(&ann(), &id).await?.len(), 2);
    assert!(matches!(set(bob(), "mine").await, Err(TaskError::NotFound)));
    assert!(matches!(tasks.webhooks(&bob(), &id).await, Err(TaskError::WebhookNotFound)));
    let one = "one".parse()?;
    let foreign = tasks.webhook(&bob(), &id, Some(&one)).await;
    assert!(matches!(foreign, Err(TaskError::WebhookNotFound)));
    let foreign = tasks.remove_webhook(&bob(), &id, &one).await;
    assert!(matches!(foreign, Err(TaskError::WebhookNotFound)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_carries_the_agents_signature() -> Tested {
    let receiver = Receiver::start(&[]).await?;
    let key = SigningKey::from_seed(&[7; 32]);
    let id = agent_id("ann@example.com", "hooks");
    let did = Did::for_known_agent("ann@example.com", "hooks", id)?;
    let public = key.public_key();
    let identity = Arc::new(Identity::new(key, &did, id, SystemTime::now()));
    let tasks = pushing(Config::default(), Pushes::new(impatient(), Some(identity)));
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    begun(&tasks, &id).await?;
    let seen = receiver.wait(1).await;
    assert_eq!(seen[0].header("x-did"), Some(did.to_string().as_str()));
    let headers = seen[0].headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signature = RequestSignature::from_headers(headers)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    signature.verify(&public, &seen[0].raw, i64::try_from(now)?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_without_a_webhook_are_told_through_the_agents_own() -> Tested {
    let receiver = Receiver::start(&[]).await?;
    let global = PushConfig { id: None, ..hook("x", receiver.url("/global")) };
    let config = Config { global_webhook: Some(global), ..Config::default() };
    let tasks = pushing(config, Pushes::new(impatient(), None));
    let id = queued(&tasks, &ann()).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    receiver.wait(3).await;
    let own = told(&tasks, hook("h", receiver.url("/own")), Dialect::V0_3).await?;
    run_to(&tasks, &own, TaskState::Completed).await?;
    receiver.wait(5).await;
    settled(&tasks).await?;
    let paths: Vec<_> = receiver.seen().iter().map(|one| one.path.clone()).collect();
    assert_eq!(paths, ["/global", "/global", "/global", "/own", "/own"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_in_the_outbox_is_told_by_the_next_engine() -> Tested {
    let receiver = Receiver::start(&[""]).await?;
    let store: Arc<dyn Storage> = Arc::new(MemoryStore::default());
    let engine = |pushes| {
        let queue = Arc::new(MemoryScheduler::default());
        Tasks::builder(Arc::clone(&store), queue).pushes(pushes).build()
    };
    let pushes = Pushes::new(PushSettings { timeout: LONG, ..impatient() }, None);
    let tasks = engine(pushes.clone());
    let id = told(&tasks, hook("h", receiver.url("/h")), Dialect::V0_3).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    receiver.wait(1).await;
    within(pushes.close(Duration::ZERO)).await;
    assert_eq!(left(&*store).await?.len(), 2);

    let tasks = engine(Pushes::new(impatient(), None));
    tasks.sweep(Duration::ZERO).await?;
    settled(&tasks).await?;
    let states: Vec<_> =
        receiver.seen().iter().map(|one| one.state().unwrap_or_default().to_owned()).collect();
    assert_eq!(states, ["working", "working", "completed"]);
    Ok(())
}
