//! The queue on Redis, beside bare commands.

use std::process::Command;
use std::time::Duration;

use super::StorageOptions;
use super::report::{StorageReport, Throughput};
use super::turns::{Sample, in_turns};
use crate::services::{Keep, Machine, Server};

pub(super) fn measure(options: &StorageOptions, report: &mut StorageReport) -> anyhow::Result<()> {
    let server = Server::redis(&Machine::this(), Keep::Nothing)?;
    let run = |how: &str, turn: Duration| {
        let mut command = Command::new(options.programs.join("redis-queue"));
        command.args([server.url(), how, &turn.as_secs_f64().to_string()]);
        let (sample, _) = Sample::printed(&mut command)?;
        // The bare loop's stream grows, as it has to: nobody shortens it.
        server.flush()?;
        anyhow::Ok(sample)
    };
    for (how, note, is_limit) in [
        ("connections", "XADD, XREADGROUP, XACK on 32 connections", true),
        ("pipeline", "the same commands, all on one connection", false),
    ] {
        let [theirs, ours] =
            in_turns(options.time, |turn| run(how, turn), |turn| run("queue", turn))?;
        let row = Throughput::new("Redis, push, pull and ack", &theirs, &ours).with_note(note);
        report.throughputs.push(if is_limit { row } else { row.told() });
    }
    report.settings.push("Redis keeps nothing on disk".to_owned());
    Ok(())
}
