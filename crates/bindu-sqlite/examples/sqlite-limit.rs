//! What SQLite itself does in a second: a bare loop of inserts and updates that stores the lives of
//! tasks for 32 clients, who wait for each step and then want the next.
//!
//! ```sh
//! cargo run --release -p bindu-sqlite --example sqlite-limit -- full steps 5
//! ```
//!
//! The level is `full` or `normal`. A task takes three steps, each a transaction of its own:
//!
//! - `steps`: as many inserts and updates as the store makes, eight in all;
//! - `rows`: one insert and two updates, and nothing else;
//! - `grouped`: as `steps`, with one transaction for the steps of all clients.
//!
//! One thread does everything, so nothing is lost to waiting. It prints one line of JSON: how many
//! tasks, in how many seconds, and how many microseconds each client waited for each.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use bindu_protocol::TaskId;
use rusqlite::{Connection, Statement};
use serde_json::json;

const CLIENTS: usize = 32;

/// About what the store writes for an echo task: its body, and each of its four events.
const BODY: usize = 900;
const EVENTS: [usize; 4] = [400, 100, 350, 350];

const TABLES: &str = "
    CREATE TABLE contexts (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
    CREATE TABLE tasks (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, context INTEGER NOT NULL,
        state TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE events (task INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (task, seq)) WITHOUT ROWID";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [level, how, seconds] = arguments.as_slice() else {
        return Err("it takes `full` or `normal`, `steps`, `rows` or `grouped`, and seconds".into());
    };
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;
    let (whole, grouped) = match how.as_str() {
        "steps" => (true, false),
        "grouped" => (true, true),
        "rows" => (false, false),
        _ => return Err("it does `steps`, `rows` or `grouped`".into()),
    };
    let directory = tempfile::tempdir()?;
    let file = Connection::open(directory.path().join("bare.db"))?;
    // As the store has them.
    file.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {level};
         PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -32768; {TABLES}"
    ))?;
    let level: i64 = file.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    let mut loops = Loop { file: &file, whole, grouped, writes: Writes::prepare(&file)? };
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|_| Client { task: 0, since: Instant::now() }).collect();
    let mut micros = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        loops.lives(&mut clients, &mut micros)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let out = json!({ "done": micros.len(), "seconds": seconds, "micros": micros, "level": level });
    println!("{out}");
    Ok(())
}

/// Who waits, for which task, and since when.
struct Client {
    task: i64,
    since: Instant,
}

struct Writes<'a> {
    context: Statement<'a>,
    task: Statement<'a>,
    event: Statement<'a>,
    state: Statement<'a>,
    begin: Statement<'a>,
    commit: Statement<'a>,
}

impl<'a> Writes<'a> {
    fn prepare(file: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            context: file.prepare("INSERT INTO contexts (id) VALUES (?1)")?,
            task: file.prepare(
                "INSERT INTO tasks (id, context, state, body) VALUES (?1, ?2, 'submitted', ?3)",
            )?,
            event: file.prepare("INSERT INTO events VALUES (?1, ?2, ?3)")?,
            state: file.prepare("UPDATE tasks SET state = ?2, body = ?3 WHERE n = ?1")?,
            begin: file.prepare("BEGIN IMMEDIATE")?,
            commit: file.prepare("COMMIT")?,
        })
    }
}

struct Loop<'a> {
    file: &'a Connection,
    /// Whether contexts and events are written too.
    whole: bool,
    /// Whether the clients share transactions.
    grouped: bool,
    writes: Writes<'a>,
}

impl Loop<'_> {
    /// One task of each client, step by step.
    fn lives(
        &mut self,
        clients: &mut [Client],
        micros: &mut Vec<u64>,
    ) -> Result<(), Box<dyn Error>> {
        for step in 0..3 {
            self.between(self.grouped, |bare| {
                for client in &mut *clients {
                    bare.between(bare.whole && !bare.grouped, |bare| bare.step(step, client))?;
                    if step == 2 && !bare.grouped {
                        micros.push(u64::try_from(client.since.elapsed().as_micros())?);
                        client.since = Instant::now();
                    }
                }
                Ok(())
            })?;
        }
        for client in clients.iter_mut().filter(|_| self.grouped) {
            micros.push(u64::try_from(client.since.elapsed().as_micros())?);
            client.since = Instant::now();
        }
        Ok(())
    }

    /// Does something in a transaction, or without one.
    fn between(
        &mut self,
        transaction: bool,
        work: impl FnOnce(&mut Self) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        if transaction {
            self.writes.begin.execute([])?;
        }
        work(self)?;
        if transaction {
            self.writes.commit.execute([])?;
        }
        Ok(())
    }

    fn step(&mut self, step: usize, client: &mut Client) -> Result<(), Box<dyn Error>> {
        let body = "x".repeat(BODY);
        let events: &[usize] = match step {
            0 => {
                let mut context = 0;
                if self.whole {
                    self.writes.context.execute([TaskId::random().to_string()])?;
                    context = self.file.last_insert_rowid();
                }
                self.writes.task.execute((TaskId::random().to_string(), context, &body))?;
                client.task = self.file.last_insert_rowid();
                &[0]
            }
            1 => {
                self.writes.state.execute((client.task, "working", &body))?;
                &[1]
            }
            _ => {
                self.writes.state.execute((client.task, "completed", &body))?;
                &[2, 3]
            }
        };
        for &event in events.iter().filter(|_| self.whole) {
            let body = &body[..EVENTS[event]];
            self.writes.event.execute((client.task, i64::try_from(event)?, body))?;
        }
        Ok(())
    }
}
