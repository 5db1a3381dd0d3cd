//! The list that is shared with the reference.

use bindu_protocol::{Owner, TaskId};
use bindu_redis::{Known, RedisConfig, RedisScheduler};
use bindu_scheduler::{Job, Scheduler};
use futures_util::StreamExt as _;

use crate::support::{Raw, config, connect, field, job};

const TASK: &str = "d304dd42-9eca-45b7-bd24-4e1beb0ff647";
const CONTEXT: &str = "2b66cd56-b66a-479f-b252-dd6f6e3a38ae";

/// A list that no other test uses.
fn sharing() -> (RedisConfig, String) {
    let config = config();
    let list = format!("bindu:tasks:{}", config.agent);
    (RedisConfig { compat: Some(list.clone()), ..config }, list)
}

fn uuid_job() -> Job {
    Job {
        task: TASK.parse().expect("an id"),
        context: CONTEXT.parse().expect("an id"),
        ..job("alice", "c", 0)
    }
}

#[tokio::test]
async fn jobs_go_to_the_list_byte_for_byte_as_the_reference_writes_them() {
    let (config, list) = sharing();
    let queue = connect(&config).await;
    queue.push(uuid_job()).await.unwrap();
    queue.push(uuid_job()).await.unwrap();
    let raw = Raw::connect(&config).await;
    let texts: Vec<String> = raw.run("LRANGE", &[&list, "0", "-1"]).await;
    let expected = format!(
        r#"{{"operation": "run", "params": {{"task_id": "{TASK}", "context_id": "{CONTEXT}"}}, "trace_id": null, "span_id": null}}"#
    );
    assert_eq!(texts, [expected]);
    assert_eq!(queue.depth().await.unwrap().waiting, 1);
    // And ours take them from there.
    let delivered = queue.pull().await.unwrap();
    assert_eq!(delivered.job, Job { version: 0, owner: Owner::nobody(), ..uuid_job() });
    queue.ack(&delivered).await.unwrap();
    let length: i64 = raw.run("LLEN", &[&list]).await;
    assert_eq!(length, 0);
}

#[tokio::test]
async fn a_task_that_the_reference_cannot_name_stays_with_us() {
    let (config, list) = sharing();
    let queue = connect(&config).await;
    queue.push(job("alice", "c", 0)).await.unwrap();
    let raw = Raw::connect(&config).await;
    let length: i64 = raw.run("LLEN", &[&list]).await;
    assert_eq!(length, 0);
    assert_eq!(queue.pull().await.unwrap().job, job("alice", "c", 0));
}

#[tokio::test]
async fn what_the_reference_pushes_is_run() {
    let (config, list) = sharing();
    let queue = connect(&config).await;
    let mut nudges = queue.nudges();
    let raw = Raw::connect(&config).await;
    let cancel = format!(
        r#"{{"operation": "cancel", "params": {{"task_id": "{CONTEXT}"}}, "trace_id": null, "span_id": null}}"#
    );
    let run = format!(
        r#"{{"operation": "run", "params": {{"task_id": "{TASK}", "context_id": "{CONTEXT}", "message": {{"kind": "message", "role": "user", "parts": [{{"kind": "text", "text": "{CONTEXT}"}}]}}}}, "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}}"#
    );
    for text in ["rubbish", &cancel, &run] {
        let _: i64 = raw.run("RPUSH", &[&list, text]).await;
    }
    let delivered = queue.pull().await.unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let expected =
        Job { version: 0, owner: Owner::nobody(), trace: Some(trace.into()), ..uuid_job() };
    assert_eq!(delivered.job, expected);
    assert_eq!(nudges.next().await, Some(CONTEXT.parse::<TaskId>().unwrap()));
    let letters = raw.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "job"), "rubbish");
}

#[tokio::test]
async fn what_is_not_ours_goes_back_untouched_but_for_a_count() {
    let (config, list) = sharing();
    let known = Known::by(async |task: TaskId| task.to_string() == TASK);
    let queue = RedisScheduler::connect_knowing(config.clone(), known).await.unwrap();
    let raw = Raw::connect(&config).await;
    // The text looks like a UUID, which is nobody's business.
    let foreign = r#"{"operation": "run", "params": {"task_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "text": "7C9E6679742540DE944BE07FC1F90AE7"}, "trace_id": null, "span_id": null"#;
    let _: i64 = raw.run("RPUSH", &[&list, &format!("{foreign}}}")]).await;
    let _: i64 = raw.run("RPUSH", &[&list, &format!("{foreign}, \"hops\": 60}}")]).await;
    queue.push(uuid_job()).await.unwrap();
    let delivered = queue.pull().await.unwrap();
    assert_eq!(delivered.job.task, uuid_job().task);
    let texts: Vec<String> = raw.run("LRANGE", &[&list, "0", "-1"]).await;
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with(foreign), "{texts:?}");
    let letters = raw.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "reason"), "nobody knows the task");
}
