//! Databases that the Python reference wrote.

use std::sync::Arc;

use bindu_postgres::{PostgresConfig, PostgresError, PostgresStore, check, migrate};
use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{
    Change, ContextQuery, EventBody, Hold, Lease, Record, RunId, Storage, StorageError, TaskQuery,
    Version,
};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::server::{config, open, psql, schema, url};

const DUMPED: &str = "did_bindu_alice_agent1_abc123";
const ANSWERED: &str = "adae0000-0000-4000-8000-000000000001";
const ASKING: &str = "adae0000-0000-4000-8000-000000000002";

/// Loads a dump under a name of its own.
async fn restored(dump: &str) -> PostgresConfig {
    let name = schema();
    psql().await.batch_execute(&dump.replace(DUMPED, &name)).await.expect("the dump loads");
    config(&name)
}

/// Loads a dump of `public` into a database of its own.
async fn restored_public(dump: &str) -> PostgresConfig {
    let name = schema();
    let admin = psql().await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database can be made");
    let mut parsed = url::Url::parse(&url()).expect("the address is a URL");
    parsed.set_path(&name);
    let mut config = PostgresConfig::new(parsed.to_string());
    config.pool_max = 4;
    beside(&config).await.batch_execute(dump).await.expect("the dump loads");
    config
}

/// A connection to the same database as the store's.
async fn beside(config: &PostgresConfig) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&config.url, NoTls).await.expect("the server takes a connection");
    tokio::spawn(connection);
    client
}

fn id(text: &str) -> TaskId {
    text.parse().expect("an id")
}

fn owner(name: &str) -> Owner {
    Owner::from(Some(name.to_owned()))
}

async fn load(store: &PostgresStore, task: &str) -> Arc<Record> {
    store.load(&id(task)).await.expect("a task can be loaded").expect("the task is there")
}

fn next(record: &Record, at: Timestamp, hold: Hold, events: Vec<EventBody>) -> Change {
    let mut task = Task::clone(&record.task);
    for event in &events {
        event.apply(&mut task);
    }
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold,
        events,
        at,
        outbox: Vec::new(),
        once: None,
    }
}

fn says(record: &Record, role: Role, text: &str) -> Arc<Message> {
    let mut message = Message::new(role, vec![Part::text(text)]);
    message.task_id = Some(record.task.id.clone());
    message.context_id = Some(record.task.context_id.clone());
    Arc::new(message)
}

/// Answers the question of the task that asks, and completes it.
async fn continued(store: &PostgresStore) -> Arc<Record> {
    let asking = load(store, ASKING).await;
    assert_eq!(asking.task.status.state, TaskState::InputRequired);
    let now = Timestamp::now();
    let answer = EventBody::Message(says(&asking, Role::User, "four"));
    let submitted = EventBody::Status(TaskStatus::new(TaskState::Submitted, now));
    let change = next(&asking, now, Hold::Outside, vec![answer, submitted]);
    let waiting = store.commit(change).await.expect("a task can be continued").record;
    let lease = Lease {
        run: RunId::random(),
        until: Timestamp::from_unix_micros(now.as_unix_micros() + 60_000_000),
    };
    let working = EventBody::Status(TaskStatus::new(TaskState::Working, now));
    let change = next(&waiting, now, Hold::Claim(lease), vec![working]);
    let running = store.commit(change).await.expect("a task can be claimed").record;
    store.renew(&running.task.id, lease.run, lease.until).await.expect("a lease can be renewed");
    let said = EventBody::Message(says(&running, Role::Agent, "booked for four"));
    let artifact = bindu_protocol::Artifact::new("result", vec![Part::text("booked for four")]);
    let made = EventBody::Artifact { artifact: Arc::new(artifact), streamed: false };
    let done = EventBody::Status(TaskStatus::new(TaskState::Completed, now));
    let change = next(&running, now, Hold::Release(lease.run), vec![said, made, done]);
    store.commit(change).await.expect("a task can be completed").record
}

/// The row as the reference reads it.
async fn row(client: &Client, schema: &str, task: &str) -> Value {
    let sql = format!(
        "SELECT jsonb_build_object('state', state, 'kind', kind, 'history', history, \
         'artifacts', artifacts, 'metadata', metadata)::text FROM {schema}.tasks WHERE id = '{task}'"
    );
    let row = client.query_one(&sql, &[]).await.expect("the row is there");
    serde_json::from_str(row.get(0)).expect("JSON")
}

/// Opens, lists and continues what a dump holds; the columns have the reference's forms after it.
async fn serves(config: PostgresConfig, alice: Owner) {
    let schema = config.schema_name();
    let before = check(&config).await.expect("a database can be looked at");
    assert!(before.exists && !before.is_current(), "{before:?}");
    assert_eq!((before.version, before.tasks), (None, 3));
    let client = beside(&config).await;
    let untouched = row(&client, &schema, ANSWERED).await;
    let store = open(&config).await;
    let after = migrate(&config).await.expect("a migration can be repeated");
    assert!(after.is_current(), "{after:?}");

    let answered = load(&store, ANSWERED).await;
    assert_eq!(answered.owner, alice);
    assert_eq!(answered.dialect, Dialect::Reference);
    assert_eq!(answered.version, Version(1), "what has no log gets a snapshot");
    assert_eq!(answered.task.history.len(), 2);
    assert_eq!(answered.task.artifacts[0].parts[0].as_text(), Some("echo: hello"));
    assert_eq!(answered.task.metadata, None);
    let log = store.events(&answered.task.id, 0, 10).await.expect("a log can be read");
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].body, EventBody::Snapshot(Arc::clone(&answered.task)));
    assert_eq!(row(&client, &schema, ANSWERED).await, untouched, "reading changes nothing");
    let opinions = store.feedback(&answered.task.id).await.expect("feedback can be read");
    assert_eq!((opinions[0].text.as_str(), opinions[0].rating), ("good", Some(5)));

    let query = TaskQuery { owner: Some(alice.clone()), limit: 10, ..TaskQuery::default() };
    let listed = store.tasks(query).await.expect("tasks can be listed").items;
    let ids: Vec<_> = listed.iter().map(|record| record.task.id.to_string()).collect();
    assert!(ids.ends_with(&[ASKING.to_owned(), ANSWERED.to_owned()]), "{ids:?}");
    let query = ContextQuery { owner: Some(alice), after: None, limit: 10 };
    let contexts = store.contexts(query).await.expect("contexts can be listed").items;
    assert_eq!(contexts.last().expect("one at least").task_count, 2);

    let asking = load(&store, ASKING).await;
    assert_eq!(asking.webhooks[0].config.url, "https://example.com/hook");
    assert_eq!(asking.task.history[0].reference_task_ids, [id(ANSWERED)]);
    let over = continued(&store).await;
    assert_eq!(*load(&store, ASKING).await, *over, "what was committed is what is loaded");
    assert_eq!(over.version, Version(7), "one snapshot and six events: no other was seen");
    let stored = row(&client, &schema, ASKING).await;
    assert_eq!(stored["state"], "completed");
    assert_eq!(stored["kind"], "task");
    assert_eq!(stored["metadata"], json!({}));
    assert_eq!(stored["history"].as_array().map(Vec::len), Some(4));
    let keys: Vec<&str> =
        stored["history"][3].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["context_id", "kind", "message_id", "parts", "role", "task_id"]);
    assert_eq!(stored["artifacts"][0]["name"], "result");
    assert_eq!(
        stored["artifacts"][0]["parts"],
        json!([{"kind": "text", "text": "booked for four"}])
    );
}

#[tokio::test]
async fn a_database_of_the_reference_is_served() {
    let config = restored(include_str!("../../../fixtures/postgres/reference.sql")).await;
    serves(config, owner("did:bindu:alice:caller:1")).await;
}

#[tokio::test]
async fn a_database_from_before_owners_is_served() {
    let config = restored(include_str!("../../../fixtures/postgres/before-owner.sql")).await;
    serves(config, Owner::nobody()).await;
}

#[tokio::test]
async fn a_public_schema_with_triggers_is_served() {
    let config =
        restored_public(include_str!("../../../fixtures/postgres/public-alembic.sql")).await;
    serves(config, owner("did:bindu:alice:caller:1")).await;
}

/// The reference knows nothing of the log: it writes rows, and its writes are noticed.
async fn notices(config: PostgresConfig) {
    let schema = config.schema_name();
    let store = open(&config).await;
    let client = beside(&config).await;
    let seen = load(&store, ASKING).await;
    let sql = format!(
        "UPDATE {schema}.tasks SET state = 'canceled', state_timestamp = now(), updated_at = now(), \
         history = history || '[{{\"kind\":\"message\",\"role\":\"user\",\"parts\":[],\"message_id\":\"m\"}}]' \
         WHERE id = '{ASKING}'"
    );
    client.batch_execute(&sql).await.expect("another program writes");

    let now = Timestamp::now();
    let late = EventBody::Status(TaskStatus::new(TaskState::Submitted, now));
    let refused = store.commit(next(&seen, now, Hold::Outside, vec![late])).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");
    let query = TaskQuery { limit: 10, ..TaskQuery::default() };
    let listed = store.tasks(query).await.expect("tasks can be listed").items;
    let now_seen = load(&store, ASKING).await;
    assert!(listed.contains(&now_seen), "a list shows what a load shows");
    assert_eq!(now_seen.task.status.state, TaskState::Canceled);
    assert_eq!(now_seen.version, Version(seen.version.0 + 1));
    assert_eq!(now_seen.task.history.len(), 3);
    let log = store.events(&id(ASKING), seen.version.0, 10).await.expect("a log can be read");
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].body, EventBody::Snapshot(Arc::clone(&now_seen.task)));

    // A follower that only reads the log learns of it too.
    let again = format!(
        "UPDATE {schema}.tasks SET metadata = '{{\"a\": 1}}', updated_at = clock_timestamp() WHERE id = '{ANSWERED}'"
    );
    load(&store, ANSWERED).await;
    client.batch_execute(&again).await.expect("another program writes");
    let log = store.events(&id(ANSWERED), 0, 10).await.expect("a log can be read");
    assert_eq!(log.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn what_another_program_writes_is_noticed() {
    notices(restored(include_str!("../../../fixtures/postgres/reference.sql")).await).await;
}

#[tokio::test]
async fn what_another_program_writes_is_noticed_behind_triggers() {
    notices(restored_public(include_str!("../../../fixtures/postgres/public-alembic.sql")).await)
        .await;
}

#[tokio::test]
async fn a_schema_is_of_one_agent() {
    let (first, second) = ("did:a:b-c", "did:a:b_c");
    let name = schema();
    let of = |did: &str| {
        let mut config = config(&name);
        config.did = Some(did.to_owned());
        config
    };
    open(&of(first)).await;
    let refused = PostgresStore::open(of(second)).await;
    assert!(
        matches!(&refused, Err(PostgresError::OtherAgent { found, .. }) if found == first),
        "{refused:?}"
    );
    open(&of(first)).await;
}

#[tokio::test]
async fn ten_processes_may_start_at_once() {
    let config = config(&schema());
    let opened =
        futures_util::future::join_all((0..10).map(|_| PostgresStore::open(config.clone()))).await;
    for store in opened {
        store.expect("a process that starts with others starts");
    }
}

#[tokio::test]
async fn tables_of_another_kind_are_refused() {
    let name = schema();
    let sql = format!(
        "CREATE SCHEMA {name}; CREATE TABLE {name}.tasks (id integer PRIMARY KEY, context_id integer)"
    );
    psql().await.batch_execute(&sql).await.expect("another program writes");
    let refused = PostgresStore::open(config(&name)).await;
    assert!(refused.is_err(), "{refused:?}");
    let report = check(&config(&name)).await.expect("a database can be looked at");
    assert!(
        report.problems.iter().any(|problem| problem.contains("tasks.id is integer")),
        "{report:?}"
    );
}

#[tokio::test]
async fn who_deletes_a_row_deletes_all_of_it() {
    let config = restored(include_str!("../../../fixtures/postgres/reference.sql")).await;
    let schema = config.schema_name();
    let store = open(&config).await;
    continued(&store).await;
    let context: ContextId = load(&store, ASKING).await.task.context_id.clone();
    let client = beside(&config).await;
    let sql = format!("DELETE FROM {schema}.contexts WHERE id = '{context}'");
    client.batch_execute(&sql).await.expect("another program deletes");
    assert!(store.load(&id(ASKING)).await.expect("a load").is_none());
    let sql = format!("SELECT count(*) FROM {schema}.bindu_events WHERE task_id = '{ASKING}'");
    let left: i64 = client.query_one(&sql, &[]).await.expect("a count").get(0);
    assert_eq!(left, 0);
}
