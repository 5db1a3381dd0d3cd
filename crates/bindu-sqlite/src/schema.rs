//! The tables, and how a file comes to have them.
//!
//! Times are microseconds since 1970. What is looked for has columns; everything else is JSON (see
//! `json`). A task's log is `events`. Beside it a task has a *body*, its whole self as of the event
//! number `body_at`, so that reading it need not go through the log:
//!
//! * While the log is small, every change writes the body, in the task's own row. Reading such a
//!   task is one look-up.
//! * Once the log is large, the body is written each time the log has doubled, into `bodies`, and
//!   reading applies what came after it. So a long task costs, over all its changes, about three
//!   times its log, and not the square of it.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::failure::Failure;

/// `Bndu`: tells our files from those of others.
pub(crate) const APPLICATION_ID: i64 = 0x426e_6475;

/// The migrations: each brings a file from its place in the list to the next.
const MIGRATIONS: [&str; LAYOUTS] = [FIRST, PAYMENTS];

/// The layout of the files that this version writes: as many as there are migrations.
pub const LAYOUT_VERSION: u32 = 2;
pub(crate) const LAYOUT: i64 = LAYOUT_VERSION as i64;
const LAYOUTS: usize = LAYOUT_VERSION as usize;

const FIRST: &str = "
CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- How many tasks are in each state, and the last version of agent state.
CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;

CREATE TABLE contexts (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX contexts_by_age ON contexts (created, id);
CREATE INDEX contexts_by_owner ON contexts (owner, created, id);

CREATE TABLE tasks (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    context INTEGER NOT NULL REFERENCES contexts (n),
    -- What the context says too, so that reading a task looks nowhere else.
    context_id TEXT NOT NULL,
    owner TEXT,
    state TEXT NOT NULL,
    created INTEGER NOT NULL,
    version INTEGER NOT NULL,
    dialect TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    lease_run BLOB,
    lease_until INTEGER,
    -- What the task waits for: 0 a run, 1 a run that begins although it is said to work, 2 the end
    -- of its lease; and since or until when.
    open INTEGER,
    since INTEGER,
    webhooks TEXT,
    -- The bytes of the log, and how many they were when the body was written.
    log_bytes INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL,
    body_at INTEGER NOT NULL,
    body TEXT
) STRICT;
CREATE INDEX tasks_by_age ON tasks (created, id);
CREATE INDEX tasks_by_owner ON tasks (owner, created, id);
CREATE INDEX tasks_by_context ON tasks (context, created, id);
CREATE INDEX tasks_open ON tasks (open, since, id) WHERE open IS NOT NULL;

CREATE TABLE bodies (
    task INTEGER PRIMARY KEY REFERENCES tasks (n) ON DELETE CASCADE,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    task INTEGER NOT NULL REFERENCES tasks (n) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (task, seq)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the id of an entry that is done is never given again.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL REFERENCES tasks (n) ON DELETE CASCADE,
    kind INTEGER NOT NULL,
    next INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    version INTEGER,
    hook_id TEXT,
    hook TEXT,
    event BLOB,
    sequence INTEGER,
    payload BLOB
) STRICT;
CREATE INDEX outbox_by_time ON outbox (kind, next);
CREATE INDEX outbox_by_task ON outbox (task);

CREATE TABLE once (
    message TEXT NOT NULL,
    owner TEXT NOT NULL,
    task INTEGER NOT NULL REFERENCES tasks (n) ON DELETE CASCADE,
    until INTEGER NOT NULL,
    PRIMARY KEY (message, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX once_by_end ON once (until);
CREATE INDEX once_by_task ON once (task);

CREATE TABLE feedback (
    n INTEGER PRIMARY KEY,
    task INTEGER NOT NULL REFERENCES tasks (n) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_by_task ON feedback (task);

-- The scope is the number of a context, or 0 for the agent.
CREATE TABLE state (
    scope INTEGER NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE state_room (scope INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;

CREATE TABLE replay (key TEXT NOT NULL PRIMARY KEY, until INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE INDEX replay_by_end ON replay (until);
";

/// A payment outlives its task, and may be there before it: no reference to it.
const PAYMENTS: &str = "
CREATE TABLE payments (
    n INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    task TEXT NOT NULL,
    owner TEXT,
    payload TEXT NOT NULL,
    requirements TEXT NOT NULL,
    receipt TEXT,
    error TEXT,
    attempts INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    due INTEGER,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE INDEX payments_by_age ON payments (created, key);
CREATE INDEX payments_by_state ON payments (state, created, key);
CREATE INDEX payments_by_task ON payments (task, created, key);
CREATE INDEX payments_due ON payments (due, key) WHERE due IS NOT NULL;
";

/// What a file turned out to be.
pub(crate) enum Found {
    /// Ours, at the layout of this version, and of this agent.
    Ready,
    /// Ours, but of this other agent.
    OtherAgent(String),
    /// Ours, with this layout that is not known here.
    TooNew(i64),
    /// A database, but not ours.
    Foreign,
}

/// Looks what the file is, and brings it up to date if it is ours or empty. All or nothing.
pub(crate) fn prepare(connection: &mut Connection, agent: &str) -> Result<Found, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let application: i64 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let mut layout: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != 0 || layout != 0 || tables != 0 {
            return Ok(Found::Foreign);
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if layout > LAYOUT {
        return Ok(Found::TooNew(layout));
    }
    let known: Option<String> = if layout > 0 {
        transaction
            .query_row("SELECT value FROM meta WHERE key = 'agent'", [], |row| row.get(0))
            .optional()?
    } else {
        None
    };
    if let Some(known) = known.as_ref().filter(|known| *known != agent) {
        return Ok(Found::OtherAgent(known.clone()));
    }
    let steps = usize::try_from(layout).map_err(Failure::stored)?;
    for migration in MIGRATIONS.iter().skip(steps) {
        transaction.execute_batch(migration)?;
        layout += 1;
    }
    transaction.pragma_update(None, "user_version", layout)?;
    if known.is_none() {
        transaction.execute("INSERT INTO meta (key, value) VALUES ('agent', ?1)", [agent])?;
    }
    transaction.commit()?;
    Ok(Found::Ready)
}
