//! An agent on SQLite, beside a bare loop of inserts and updates.

use std::process::Command;

use anyhow::Context as _;

use super::StorageOptions;
use super::report::{StorageReport, Throughput};
use super::turns::{Rig, Sample, in_turns};

/// The levels, as we name them and as `PRAGMA synchronous` answers.
const LEVELS: [(&str, i64); 2] = [("full", 2), ("normal", 1)];

/// The loops: what they are called, and what a task is in them. The first is the limit.
const LOOPS: [(&str, &str); 3] = [
    ("steps", "the loop: 8 inserts and updates in 3 transactions a task"),
    ("rows", "the loop: 3 inserts and updates in 3 transactions a task"),
    ("grouped", "the loop: 8 inserts and updates a task, 3 transactions for 32 tasks"),
];

pub(super) fn measure(options: &StorageOptions, report: &mut StorageReport) -> anyhow::Result<()> {
    for (level, number) in LEVELS {
        let directory = tempfile::tempdir()?;
        let url = format!("sqlite:{}", directory.path().join("tasks.db").display());
        let rig = Rig::start(&[
            ("STORAGE_TYPE", "sqlite"),
            ("DATABASE_URL", &url),
            ("STORAGE__SQLITE_SYNCHRONOUS", level),
        ])?;
        for (how, note) in LOOPS {
            let [theirs, ours] = in_turns(
                options.time,
                |turn| {
                    let mut command = Command::new(options.programs.join("sqlite-limit"));
                    command.args([level, how, &turn.as_secs_f64().to_string()]);
                    let (sample, printed) = Sample::printed(&mut command)?;
                    let found = printed["level"].as_i64().context("the loop tells no level")?;
                    anyhow::ensure!(found == number, "the loop's level is {found}, not {number}");
                    Ok(sample)
                },
                |turn| rig.send(turn),
            )?;
            let name = format!("sqlite, synchronous={level}");
            let row = Throughput::new(name, &theirs, &ours).with_note(note);
            report.throughputs.push(if how == LOOPS[0].0 { row } else { row.told() });
        }
        rig.stop()?;
        report.settings.push(format!("sqlite synchronous = {level} ({number}), on both sides"));
    }
    Ok(())
}
