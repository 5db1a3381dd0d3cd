//! An agent on Postgres, beside pgbench with the statements of the same tasks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use bindu_postgres::{PostgresConfig, Statements};
use tempfile::TempDir;

use super::super::agents::{on, runtime};
use super::super::load::CONNECTIONS;
use super::super::machine::cores;
use super::StorageOptions;
use super::report::{StorageReport, Throughput};
use super::script::script;
use super::turns::{Rig, Sample, in_turns, output};
use crate::services::{Keep, Machine, Server};

/// Transactions of each client that do not count: a server plans a statement anew five times.
const UNCOUNTED: u64 = 8;

pub(super) fn measure(options: &StorageOptions, report: &mut StorageReport) -> anyhow::Result<()> {
    let machine = Machine::this();
    let server = Server::postgres(&machine)?;
    let redis = Server::redis(&machine, Keep::Nothing)?;
    let programs = Programs::find(&machine)?;
    for name in ["server_version", "fsync", "synchronous_commit", "shared_buffers"] {
        let value = programs.ask(server.url(), &format!("SHOW {name}"))?;
        report.settings.push(format!("Postgres {name} = {value}"));
    }
    let limit = Limit::make(server.url())?;
    for (name, scheduler) in [
        ("Postgres, SCHEDULER_TYPE=memory", "memory"),
        ("Postgres, SCHEDULER_TYPE=redis", "redis"),
        ("Postgres, SCHEDULER_TYPE=postgres", "postgres"),
    ] {
        let rig = Rig::start(&[
            ("STORAGE_TYPE", "postgres"),
            ("DATABASE_URL", server.url()),
            ("SCHEDULER_TYPE", scheduler),
            ("REDIS_URL", redis.url()),
        ])?;
        let [theirs, ours] = in_turns(
            options.time,
            |turn| limit.run(&programs, server.url(), turn),
            |turn| rig.send(turn),
        )?;
        rig.stop()?;
        let note = "three statements of a task, each by itself, in pgbench's script".to_owned();
        report.throughputs.push(Throughput::new(name, &theirs, &ours).with_note(note));
    }
    Ok(())
}

/// pgbench, with a schema of its own.
struct Limit {
    directory: TempDir,
    script: PathBuf,
}

impl Limit {
    fn make(url: &str) -> anyhow::Result<Self> {
        const SCHEMA: &str = "the_limit";
        let config = PostgresConfig { schema: Some(SCHEMA.to_owned()), ..PostgresConfig::new(url) };
        let runtime = runtime("migrate", 1)?;
        on(&runtime, async move { bindu_postgres::migrate(&config).await })??;
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("task.sql");
        fs::write(&path, script(&Statements::of(SCHEMA)))?;
        Ok(Self { directory, script: path })
    }

    /// Runs the script on as many connections as the agent's callers have.
    fn run(&self, programs: &Programs, url: &str, time: Duration) -> anyhow::Result<Sample> {
        let log = tempfile::tempdir_in(self.directory.path())?;
        let seconds = time.as_secs().max(1).to_string();
        let mut command = Command::new(programs.0.join("pgbench"));
        command
            .args(["--protocol=prepared", "--no-vacuum", "--log"])
            .arg(format!("--client={CONNECTIONS}"))
            .arg(format!("--jobs={}", cores()))
            .arg(format!("--time={seconds}"))
            .arg(format!("--file={}", self.script.display()))
            .arg(format!("--log-prefix={}", log.path().join("log").display()))
            .arg(url);
        output(&mut command)?;
        logged(log.path())
    }
}

/// What pgbench wrote of each transaction: client, number of the transaction, microseconds it took,
/// script, and when it ended in seconds and microseconds.
fn logged(directory: &Path) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for entry in fs::read_dir(directory)? {
        let text = fs::read_to_string(entry?.path())?;
        for line in text.lines() {
            let fields: Vec<f64> = line
                .split(' ')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .context("a log's line")?;
            let [_, number, micros, _, seconds, fraction, ..] = fields.as_slice() else {
                anyhow::bail!("a log's line has other fields: {line}");
            };
            let ended = seconds + fraction / 1e6;
            #[expect(clippy::cast_precision_loss, reason = "it is eight")]
            if *number <= UNCOUNTED as f64 {
                continue;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole microseconds of some seconds"
            )]
            sample.micros.push(*micros as u64);
            first = first.min(ended - micros / 1e6);
            last = last.max(ended);
        }
    }
    sample.done = sample.micros.len() as u64;
    anyhow::ensure!(sample.done > 0, "pgbench made no transaction");
    sample.seconds = last - first;
    Ok(sample)
}

/// Where the programs of Postgres are.
#[derive(Debug)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// Those beside the newest server.
    pub(super) fn find(machine: &Machine) -> anyhow::Result<Self> {
        let versions = fs::read_dir(&machine.postgres_versions).into_iter().flatten();
        let mut folders: Vec<_> =
            versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        folders.sort_by_key(|folder| {
            let version = folder.parent().and_then(Path::file_name);
            std::cmp::Reverse(version.and_then(|it| it.to_string_lossy().parse::<u32>().ok()))
        });
        folders.extend(std::env::split_paths(&machine.path));
        let all_of_it =
            |folder: &PathBuf| ["pgbench", "psql"].iter().all(|it| folder.join(it).is_file());
        folders.into_iter().find(all_of_it).map(Self).context(
            "pgbench and psql are not there; they come with the packages postgresql and \
             postgresql-contrib",
        )
    }

    /// Runs some statements, and returns what the last of them answers.
    pub(super) fn ask(&self, url: &str, sql: &str) -> anyhow::Result<String> {
        let mut command = Command::new(self.0.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        command.args(["--set=ON_ERROR_STOP=1", "--command", sql, url]);
        Ok(output(&mut command)?.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_transactions_of_a_client_do_not_count() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("log.7"), "0 8 900 0 100 500000\n0 9 1000 0 101 0\n")?;
        fs::write(directory.path().join("log.7.1"), "1 10 2000 0 102 1000\n")?;
        let mut sample = logged(directory.path())?;
        sample.micros.sort_unstable();
        assert_eq!((sample.done, sample.micros), (2, vec![1000, 2000]));
        assert!((sample.seconds - 1.002).abs() < 1e-6, "{}", sample.seconds);
        fs::write(directory.path().join("log.8"), "tps = 5\n")?;
        assert!(logged(directory.path()).is_err());
        Ok(())
    }
}
