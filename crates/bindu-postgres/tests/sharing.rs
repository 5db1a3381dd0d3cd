//! Several processes, several agents, and servers that go away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bindu_postgres::PostgresStore;
use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_scheduler::{Job, Scheduler};
use bindu_storage::{
    Birth, Change, Changed, Committed, EventBody, Hold, OutboxBody, OutboxKind, OutboxQuery,
    Storage, StorageError, TaskQuery, Version,
};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::server::{config, open, psql, schema, url};

/// Long enough for anything here; a test that needs it has failed.
const LONG: Duration = Duration::from_secs(20);

fn birth(text: &str) -> Change {
    let now = Timestamp::now();
    let task = Arc::new(Task {
        id: TaskId::random(),
        context_id: ContextId::random(),
        status: TaskStatus::new(TaskState::Submitted, now),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text(text)]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at: now,
        outbox: vec![OutboxBody::Run { version: Version(1) }],
        once: None,
    }
}

fn cancel(made: &Committed) -> Change {
    let now = Timestamp::now();
    let event = EventBody::Status(TaskStatus::new(TaskState::Canceled, now));
    let mut task = Task::clone(&made.record.task);
    event.apply(&mut task);
    Change {
        task: Arc::new(task),
        expected: Some(made.record.version),
        birth: None,
        hold: Hold::Outside,
        events: vec![event],
        at: now,
        outbox: Vec::new(),
        once: None,
    }
}

async fn commit(store: &PostgresStore, change: Change) -> Committed {
    store.commit(change).await.expect("a change is made")
}

#[tokio::test]
async fn a_store_hears_what_others_change_and_not_what_it_changes() {
    let config = config(&schema());
    let (ours, theirs) = (open(&config).await, open(&config).await);
    let (mut here, mut there) = (ours.changes(), theirs.changes());
    let first = commit(&ours, birth("hello")).await;
    let id = first.record.task.id.clone();
    let heard = timeout(LONG, there.next()).await.expect("a change is heard");
    assert_eq!(heard, Some(Changed::Task(id.clone())));
    commit(&theirs, cancel(&first)).await;
    let heard = timeout(LONG, here.next()).await.expect("a change is heard");
    assert_eq!(heard, Some(Changed::Task(id.clone())), "the first that is heard is another's");
    let seen = ours.load(&id).await.expect("a load").expect("the task");
    assert_eq!(seen.task.status.state, TaskState::Canceled);
}

#[tokio::test]
async fn a_store_hears_of_many_changes() {
    let config = config(&schema());
    let (ours, theirs) = (open(&config).await, open(&config).await);
    let mut there = theirs.changes();
    let mut made = HashSet::new();
    for _ in 0..300 {
        made.insert(commit(&ours, birth("hello")).await.record.task.id.clone());
    }
    while !made.is_empty() {
        match timeout(LONG, there.next()).await.expect("changes are heard") {
            Some(Changed::Task(id)) => assert!(made.remove(&id), "a task is told of once"),
            other => panic!("changes were missed: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_nudge_reaches_the_other_process() {
    let config = config(&schema());
    let (ours, theirs) = (open(&config).await, open(&config).await);
    let (near, far) = (ours.scheduler().expect("a queue"), theirs.scheduler().expect("a queue"));
    let mut nudges = far.nudges();
    let id: TaskId = "no uuid".parse().expect("an id");
    near.nudge(&id).await;
    assert_eq!(timeout(LONG, nudges.next()).await.expect("a nudge is heard"), Some(id));
}

#[tokio::test]
async fn a_job_comes_with_its_task_to_whoever_waits() {
    let config = config(&schema());
    let (ours, theirs) = (open(&config).await, open(&config).await);
    let far = theirs.scheduler().expect("a queue");
    let near = ours.scheduler().expect("a queue");
    assert!(near.reads_outbox());
    for (queue, text) in [(&far, "there"), (&near, "here")] {
        let (pulled, made) =
            futures_util::join!(timeout(LONG, queue.pull()), commit(&ours, birth(text)));
        let pulled = pulled.expect("a job comes").expect("a job comes");
        assert_eq!(pulled.job.task, made.record.task.id);
        assert_eq!(pulled.job.context, made.record.task.context_id);
        assert_eq!(pulled.job.version, 1);
        // The sweeper may push what is under way.
        queue.push(pulled.job.clone()).await.expect("a push");
        queue.ack(&pulled).await.expect("an acknowledgement");
        let query = OutboxQuery { kind: OutboxKind::Run, task: None, due: None, limit: 10 };
        assert_eq!(ours.outbox(query).await.expect("the outbox").len(), 0);
    }
}

#[tokio::test]
async fn a_job_of_a_silent_worker_goes_to_another() {
    let mut config = config(&schema());
    config.visibility = Duration::from_millis(200);
    let store = open(&config).await;
    let queue = store.scheduler().expect("a queue");
    let made = commit(&store, birth("hello")).await;
    let silent = queue.pull().await.expect("a job comes");
    let again = timeout(LONG, queue.pull()).await.expect("it comes again").expect("it comes again");
    assert_eq!(again.job.task, made.record.task.id);
    assert_eq!((silent.attempt, again.attempt), (1, 2));
    queue.ack(&silent).await.expect("an acknowledgement that is void");
    assert_eq!(
        queue.depth().await.expect("a depth").running
            + queue.depth().await.expect("a depth").waiting,
        1
    );
    queue.bury(&again, "tried too often").await.expect("a burial");
    let depth = queue.depth().await.expect("a depth");
    assert_eq!((depth.waiting, depth.running), (0, 0));
    let sql = format!(
        "SELECT payload->>'dead' FROM {}.bindu_outbox WHERE done_at IS NOT NULL",
        config.schema_name()
    );
    let why: String = psql().await.query_one(&sql, &[]).await.expect("a dead letter").get(0);
    assert_eq!(why, "tried too often");
}

#[tokio::test]
async fn two_agents_share_a_server_and_nothing_else() {
    let (first, second) = (config(&schema()), config(&schema()));
    let (one, other) = (open(&first).await, open(&second).await);
    let (near, far) = (one.scheduler().expect("a queue"), other.scheduler().expect("a queue"));
    let mut heard = other.changes();
    // The same ids on both sides.
    let change = birth("mine");
    commit(&one, change.clone()).await;
    let id = change.task.id.clone();
    assert!(other.load(&id).await.expect("a load").is_none());
    let theirs = commit(&other, birth("theirs")).await;
    commit(&other, change).await;
    let listed =
        one.tasks(TaskQuery { limit: 10, ..TaskQuery::default() }).await.expect("a list").items;
    assert_eq!(listed.len(), 1);
    let job = near.pull().await.expect("a job");
    assert_eq!(job.job.task, id);
    near.ack(&job).await.expect("an acknowledgement");
    assert_eq!(near.depth().await.expect("a depth").waiting, 0);
    assert_eq!(far.depth().await.expect("a depth").waiting, 2);
    // What a third store of the second agent says comes; nothing came before it.
    let third = open(&second).await;
    commit(&third, cancel(&theirs)).await;
    let first_heard = timeout(LONG, heard.next()).await.expect("a change is heard");
    assert_eq!(first_heard, Some(Changed::Task(theirs.record.task.id.clone())));
}

/// Ends all connections of a database user's programs to one schema, by their listening channel or
/// their last statement.
async fn terminate_all_but_mine() -> usize {
    let client = psql().await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE pid <> pg_backend_pid() AND application_name = 'bindu-heal'";
    client.query(sql, &[]).await.expect("connections can be ended").len()
}

#[tokio::test]
async fn lost_connections_heal() {
    let mut config = config(&schema());
    let mark = if url().contains('?') { '&' } else { '?' };
    config.url = format!("{}{mark}application_name=bindu-heal", url());
    let store = open(&config).await;
    let other = open(&config).await;
    let queue = store.scheduler().expect("a queue");
    let mut heard = store.changes();
    let made = commit(&store, birth("before")).await;
    assert!(terminate_all_but_mine().await >= 3);
    let seen = store.load(&made.record.task.id).await.expect("a read is tried again");
    assert!(seen.is_some());
    terminate_all_but_mine().await;
    let late = commit(&store, birth("after")).await;
    terminate_all_but_mine().await;
    commit(&store, cancel(&late)).await;
    for _ in 0..2 {
        let job = timeout(LONG, async {
            loop {
                // While the server is away a pull says so.
                if let Ok(job) = queue.pull().await {
                    break job;
                }
            }
        });
        let job = job.await.expect("jobs come again");
        queue.ack(&job).await.expect("an acknowledgement");
    }
    let missed = timeout(LONG, heard.next()).await.expect("the listener is back");
    assert_eq!(missed, Some(Changed::Missed));
    // From here on changes are heard again.
    let after = commit(&other, birth("heard")).await;
    let wanted = Changed::Task(after.record.task.id.clone());
    timeout(LONG, async { while heard.next().await != Some(wanted.clone()) {} })
        .await
        .expect("changes are heard again");
}

/// Between the store and the server: lets the nth answer vanish together with its connection.
pub(crate) struct Thief {
    pub(crate) url: String,
    pub(crate) steal: Arc<std::sync::Mutex<Option<Vec<u8>>>>,
}

/// A port that passes everything on, until `steal` is armed with a piece of a statement's
/// parameters: then what the server answers to it is thrown away, and the connection with it.
pub(crate) async fn thief() -> Thief {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut there = url::Url::parse(&url()).expect("the address is a URL");
    let server = format!("{}:{}", there.host_str().expect("a host"), there.port().unwrap_or(5432));
    there.set_host(Some("127.0.0.1")).expect("a host");
    there.set_port(Some(port)).expect("a port");
    let steal: Arc<std::sync::Mutex<Option<Vec<u8>>>> = Arc::default();
    let armed = Arc::clone(&steal);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.expect("the server takes a connection");
            tokio::spawn(pass(near, far, Arc::clone(&armed)));
        }
    });
    Thief { url: there.to_string(), steal }
}

/// Whether this is what is to be stolen; that is done once.
fn takes(steal: &std::sync::Mutex<Option<Vec<u8>>>, sent: &[u8]) -> bool {
    let mut wanted = steal.lock().expect("no panic");
    let found = wanted
        .as_ref()
        .is_some_and(|piece| sent.windows(piece.len()).any(|window| window == piece));
    if found {
        *wanted = None;
    }
    found
}

async fn pass(near: TcpStream, far: TcpStream, steal: Arc<std::sync::Mutex<Option<Vec<u8>>>>) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut stolen = false;
    loop {
        tokio::select! {
            read = from_near.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                stolen |= takes(&steal, &up[..length]);
                if to_far.write_all(&up[..length]).await.is_err() { return }
            }
            read = from_far.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                // The server has answered: it has done what it was asked to.
                if stolen { return }
                if to_near.write_all(&down[..length]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_made_once() {
    let thief = thief().await;
    let mut config = config(&schema());
    config.url.clone_from(&thief.url);
    let store = open(&config).await;
    // So that the statements are prepared, and only their parameters go.
    let known = commit(&store, birth("warm")).await;
    commit(&store, cancel(&known)).await;

    *thief.steal.lock().expect("no panic") = Some(b"stolen birth".to_vec());
    let made = commit(&store, birth("stolen birth")).await;
    assert!(thief.steal.lock().expect("no panic").is_none(), "the answer was stolen");
    assert_eq!(made.record.version, Version(1));
    let query = OutboxQuery {
        kind: OutboxKind::Run,
        task: Some(made.record.task.id.clone()),
        due: None,
        limit: 10,
    };
    let queued = store.outbox(query).await.expect("the outbox");
    assert_eq!(queued.iter().map(|entry| entry.id).collect::<Vec<_>>(), made.outbox);
    assert_eq!(queued.len(), 1, "the job is queued once");

    let mut change = cancel(&made);
    let said = Arc::new(Message::new(Role::User, vec![Part::text("stolen advance")]));
    let event = EventBody::Message(said);
    event.apply(Arc::make_mut(&mut change.task));
    change.events.push(event);
    *thief.steal.lock().expect("no panic") = Some(b"stolen advance".to_vec());
    let over = commit(&store, change).await;
    assert!(thief.steal.lock().expect("no panic").is_none(), "the answer was stolen");
    assert_eq!(
        *over.record,
        *store.load(&made.record.task.id).await.expect("a load").expect("the task")
    );
    assert_eq!(over.record.task.history.len(), 2, "the message is there once");
    let log = store.events(&made.record.task.id, 0, 10).await.expect("a log");
    assert_eq!(log[1..], over.events[..]);

    let refused = store.commit(cancel(&made)).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_said_to_be() {
    let thief = thief().await;
    let mut config = config(&schema());
    config.url.clone_from(&thief.url);
    let store = open(&config).await;
    let mut gone = config.clone();
    let mut nowhere = url::Url::parse(&thief.url).expect("a URL");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    nowhere.set_port(Some(port)).expect("a port");
    gone.url = nowhere.to_string();
    store.ping().await.expect("a server that is there answers");
    let before = std::time::Instant::now();
    let refused = PostgresStore::open(gone).await;
    assert!(refused.is_err());
    assert!(before.elapsed() < LONG);
}

#[tokio::test]
async fn jobs_pushed_again_keep_their_ids() {
    let store = open(&config(&schema())).await;
    let queue = store.scheduler().expect("a queue");
    let job = Job {
        task: "order/17".parse().expect("an id"),
        context: "größe".parse().expect("an id"),
        owner: Owner::nobody(),
        version: 3,
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    queue.push(job.clone()).await.expect("a push");
    queue.push(job.clone()).await.expect("a push");
    let pulled = queue.pull().await.expect("a job");
    assert_eq!(pulled.job, job);
    assert_eq!(queue.depth().await.expect("a depth").waiting, 0);
}
