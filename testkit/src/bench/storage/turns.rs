//! What takes turns, and how long each thing took.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bindu::Running;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::super::agents::{self, on, runtime};
use super::super::connection::{Connection, post};
use super::super::load::{CONNECTIONS, Load};
use super::super::machine::cores;

/// How many turns each side has.
const ROUNDS: u32 = 4;

/// How long an agent runs before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// What was done, in how much time, and how long each took.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Sample {
    pub(super) done: u64,
    pub(super) seconds: f64,
    pub(super) micros: Vec<u64>,
}

impl Sample {
    pub(super) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.seconds += other.seconds;
        self.micros.extend(other.micros);
    }

    /// How many in a second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// How long the 99th of 100 took, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "hours of microseconds stay below 2^53")]
    pub(super) fn p99(&self) -> f64 {
        let mut micros = self.micros.clone();
        micros.sort_unstable();
        let place = (micros.len() * 99).div_ceil(100).saturating_sub(1);
        micros.get(place).copied().unwrap_or_default() as f64 / 1000.0
    }

    /// What a program printed.
    pub(super) fn printed(command: &mut Command) -> anyhow::Result<(Self, serde_json::Value)> {
        let text = output(command)?;
        let value: serde_json::Value = serde_json::from_str(&text).context("reading its JSON")?;
        Ok((Self::deserialize(&value)?, value))
    }
}

/// Runs a program to its end, for what it prints.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| format!("starting {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program} failed: {}", errors.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Lets both sides have their turns; every other round goes backwards.
pub(super) fn in_turns(
    time: Duration,
    mut limit: impl FnMut(Duration) -> anyhow::Result<Sample>,
    mut ours: impl FnMut(Duration) -> anyhow::Result<Sample>,
) -> anyhow::Result<[Sample; 2]> {
    let mut samples = [Sample::default(), Sample::default()];
    for round in 0..ROUNDS {
        for place in 0..2 {
            let side = if round % 2 == 0 { place } else { 1 - place };
            let turn = time / ROUNDS;
            let sample = if side == 0 { limit(turn)? } else { ours(turn)? };
            samples[side].add(sample);
        }
    }
    Ok(samples)
}

/// An echo agent, and who sends to it.
pub(super) struct Rig {
    servers: Runtime,
    client: Runtime,
    load: Load,
    running: Running,
}

impl Rig {
    /// Starts an agent with these variables, and sends to it for a moment.
    pub(super) fn start(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (servers, client) = (runtime("server", cores())?, runtime("client", cores())?);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (address, running) = on(&servers, async move {
            let variables: Vec<_> =
                variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            agents::start(agents::echo(), &variables).await
        })??;
        let rig = Self { servers, client, load: send_to(address), running };
        rig.send(WARM_UP)?;
        Ok(rig)
    }

    /// Sends for some time, on all connections.
    pub(super) fn send(&self, time: Duration) -> anyhow::Result<Sample> {
        let load = self.load.clone();
        Ok(on(&self.client, async move { send(&load, time).await })??)
    }

    /// Ends the agent.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        let Self { servers, running, .. } = self;
        on(&servers, async move { running.stop(Duration::from_secs(2)).await })
    }
}

fn send_to(address: std::net::SocketAddr) -> Load {
    let request = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "message/send",
        "params": {
            "message": {
                "role": "user",
                "parts": [{ "kind": "text", "text": "hello" }],
                "messageId": "6f1b2f0e-6d52-4b9e-8c7b-2a5a0c6f4d11",
                "kind": "message",
            },
            "configuration": { "blocking": true },
        },
    });
    Load::new(address, post(&request.to_string()), r#""completed""#)
}

async fn send(load: &Load, time: Duration) -> io::Result<Sample> {
    let mut sending = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CONNECTIONS {
        let load = load.clone();
        sending.spawn(async move {
            let mut connection = Connection::open(load.address).await?;
            let mut micros = Vec::new();
            while begun.elapsed() < time {
                let start = Instant::now();
                load.exchange(&mut connection).await?;
                micros.push(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            io::Result::Ok(micros)
        });
    }
    let mut micros = Vec::new();
    while let Some(sent) = sending.join_next().await {
        micros.extend(sent.map_err(io::Error::other)??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Sample { done: micros.len() as u64, seconds, micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_the_ninety_ninth_counts() {
        let sample = Sample { done: 100, seconds: 4.0, micros: (1..=100).rev().collect() };
        assert!((sample.p99() - 0.099).abs() < 1e-9, "{}", sample.p99());
        assert!((sample.rate() - 25.0).abs() < 1e-9);
    }

    #[test]
    fn both_sides_have_the_same_time_and_take_turns() -> anyhow::Result<()> {
        let order = std::cell::RefCell::new(String::new());
        let side = |name| {
            let order = &order;
            move |turn: Duration| {
                order.borrow_mut().push(name);
                Ok(Sample { done: 1, seconds: turn.as_secs_f64(), micros: vec![1] })
            }
        };
        let [limit, ours] = in_turns(Duration::from_secs(8), side('l'), side('o'))?;
        assert_eq!(order.into_inner(), "loollool");
        assert_eq!((limit.done, ours.done), (4, 4));
        assert!((limit.seconds - 8.0).abs() < 1e-9 && (ours.seconds - 8.0).abs() < 1e-9);
        Ok(())
    }
}
