//! What is measured, case by case.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bindu::Running;
use bytes::Bytes;
use ring::signature::Ed25519KeyPair;
use serde_json::json;
use tokio::runtime::Runtime;

use super::agents::{self, on, runtime};
use super::compare::side_by_side;
use super::connection::{get as get_request, post};
use super::floor::{self, Floor};
use super::load::{Count, Load};
use super::machine::cores;
use super::process::Process;
use super::report::Row;
use super::stream as streams;
use super::typed::Answer;

pub(super) type Rows = anyhow::Result<Vec<Row>>;

const UNSIGNED: &[(&str, &str)] = &[("DID__SIGN_ARTIFACTS", "false")];

/// What is sent to be echoed.
const TEXT: &str = "What does it cost to say this sentence back to whoever said it?";

/// Streams read at once, and chunks in each.
const STREAMS: usize = 4;
const CHUNKS: u64 = 1000;

/// What a latency step of delayed acknowledgements would look like.
const STEP: std::ops::Range<Duration> = Duration::from_millis(35)..Duration::from_millis(50);

/// The two halves of the bench: who answers and who asks. Both have as many threads as there are
/// cores, and share them.
pub(super) struct Halves {
    pub(super) servers: Runtime,
    pub(super) client: Runtime,
}

impl Halves {
    pub(super) fn new() -> anyhow::Result<Self> {
        Self::with_server_threads(cores())
    }

    fn with_server_threads(threads: usize) -> anyhow::Result<Self> {
        Ok(Self { servers: runtime("server", threads)?, client: runtime("client", cores())? })
    }

    pub(super) fn floor(&self, floor: Floor) -> anyhow::Result<SocketAddr> {
        Ok(on(&self.servers, floor::start(floor))??)
    }

    pub(super) fn agent(
        &self,
        handler: impl bindu::Handler,
        variables: &'static [(&'static str, &'static str)],
    ) -> anyhow::Result<(SocketAddr, Running)> {
        on(&self.servers, agents::start(handler, variables))?
    }

    /// What loads that take turns achieve.
    pub(super) fn rates<const N: usize>(
        &self,
        time: Duration,
        loads: [Load; N],
    ) -> anyhow::Result<[Count; N]> {
        let measured = on(&self.client, async move {
            side_by_side(time, |contender, turn| {
                let load = loads[contender].clone();
                async move { load.run(turn).await }
            })
            .await
        });
        Ok(measured??)
    }

    pub(super) fn once(&self, load: &Load) -> anyhow::Result<Vec<u8>> {
        let load = load.clone();
        Ok(on(&self.client, async move { load.once().await })??)
    }
}

/// A message as an A2A 0.3 client sends it.
fn message(method: &str, text: &str) -> Vec<u8> {
    let request = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {
            "message": {
                "role": "user",
                "parts": [{ "kind": "text", "text": text }],
                "messageId": "6f1b2f0e-6d52-4b9e-8c7b-2a5a0c6f4d11",
                "kind": "message",
            },
            "configuration": { "blocking": true },
        },
    });
    post(&request.to_string())
}

pub(super) fn send_to(address: SocketAddr) -> Load {
    Load::new(address, message("message/send", TEXT), r#""completed""#)
}

/// From a message to the finished task, signed and not.
pub(super) fn send(time: Duration) -> Rows {
    let halves = Halves::new()?;
    let (unsigned, _plain) = halves.agent(agents::echo(), UNSIGNED)?;
    let (signed, _signing) = halves.agent(agents::echo(), &[])?;
    let (unsigned, signed) = (send_to(unsigned), send_to(signed));
    let answer = Answer::recorded(&halves.once(&unsigned)?)?;
    let floor_a = send_to(halves.floor(Floor::Send { answer, key: None })?);
    let answer = Answer::recorded(&halves.once(&signed)?)?;
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok().context("making a key")?;
    let floor_b = send_to(halves.floor(Floor::Send { answer, key: Some(key) })?);
    for (floor, agent) in [(&floor_a, &unsigned), (&floor_b, &signed)] {
        let (ours, theirs) = (halves.once(agent)?.len(), halves.once(floor)?.len());
        anyhow::ensure!(ours == theirs, "{ours} bytes in an answer, and {theirs} in the floor's");
    }
    let [a, plain, b, signing] = halves.rates(time, [floor_a, unsigned, floor_b, signed])?;
    Ok(vec![
        Row::of_floor("send to completion, signed", signing, b, 0.6)
            .with_note("floor B: typed serde over bare hyper and one Ed25519 signature"),
        Row::of_floor("send to completion, unsigned", plain, a, 0.4)
            .with_note("floor A: typed serde over bare hyper"),
    ])
}

/// Reading a finished task.
pub(super) fn get(time: Duration) -> Rows {
    let halves = Halves::new()?;
    let (address, _agent) = halves.agent(agents::echo(), &[])?;
    let sent = Answer::recorded(&halves.once(&send_to(address))?)?;
    let request = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": { "id": sent.result.id },
    });
    let agent = Load::new(address, post(&request.to_string()), r#""completed""#);
    let answer = Answer::recorded(&halves.once(&agent)?)?;
    let floor = Load { address: halves.floor(Floor::Get { answer })?, ..agent.clone() };
    let [floor, agent] = halves.rates(time, [floor, agent])?;
    Ok(vec![Row::of_floor("tasks/get", agent, floor, 0.7)])
}

/// Reading the card.
pub(super) fn card(time: Duration) -> Rows {
    let halves = Halves::new()?;
    let (address, _agent) = halves.agent(agents::echo(), &[])?;
    let path = bindu::protocol::CARD_PATH;
    let agent = Load::new(address, get_request(path), r#""protocolVersion""#);
    let card = halves.once(&agent)?;
    let typed = Box::new(serde_json::from_slice(&card)?);
    let floor = Load { address: halves.floor(Floor::Card(typed))?, ..agent.clone() };
    anyhow::ensure!(halves.once(&floor)?.len() == card.len(), "the floor's card has another size");
    let [floor, agent] = halves.rates(time, [floor, agent])?;
    Ok(vec![Row::of_floor("card", agent, floor, 0.7)])
}

/// Events out of long streams.
pub(super) fn stream(time: Duration) -> Rows {
    let halves = Halves::new()?;
    let (ready, _ready) = halves.agent(agents::chunks(false), &[])?;
    let (slow, _slow) = halves.agent(agents::chunks(true), &[])?;
    let request: Arc<[u8]> = message("message/stream", &CHUNKS.to_string()).into();
    let sample = on(&halves.client, {
        let request = Arc::clone(&request);
        async move { streams::record(ready, &request).await }
    })??;
    let sample = String::from_utf8(sample)?;
    let events: Vec<&str> = sample.split_inclusive("\n\n").collect();
    let middle = events.get(events.len() / 2).context("the stream has no events")?;
    let event = Bytes::copy_from_slice(middle.as_bytes());
    let bytes = event.len();
    let floor = halves.floor(Floor::Stream { event, events: events.len() })?;
    let addresses = [floor, ready, slow];
    let [floor, ready, slow] = on(&halves.client, async move {
        side_by_side::<3, _>(time, |contender, turn| {
            let request = Arc::clone(&request);
            streams::read(addresses[contender], request, STREAMS, CHUNKS, turn)
        })
        .await
    })??;
    let note = format!("{STREAMS} streams of {CHUNKS} chunks, {bytes} bytes an event");
    Ok(vec![
        Row {
            target: "≥ 300,000 /s or 0.20 of the floor".to_owned(),
            verdict: Some((ready.rate() >= 300_000.0 || ready.rate() >= 0.2 * floor.rate()).into()),
            ..Row::of_floor("SSE events", ready, floor, 0.2)
        }
        .with_note(note),
        Row {
            target: String::new(),
            verdict: None,
            ..Row::of_floor("SSE events, each stored alone", slow, floor, 0.0)
        }
        .with_note("the handler yields before every chunk"),
    ])
}

/// How long short streams take.
pub(super) fn latency(time: Duration) -> Rows {
    const SHORT: u64 = 3;
    let halves = Halves::new()?;
    let (address, _agent) = halves.agent(agents::chunks(false), &[])?;
    let request = message("message/stream", &SHORT.to_string());
    let took =
        on(
            &halves.client,
            async move { streams::latencies(address, &request, SHORT, time).await },
        )??;
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let place = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(place).copied().unwrap_or_default()
    };
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
    let in_step = took.iter().filter(|took| STEP.contains(*took)).count();
    let above = |limit| took.iter().filter(|took| **took >= Duration::from_millis(limit)).count();
    let note = format!(
        "of {} streams, one at a time: {} ≥ 1 ms, {} ≥ 10 ms, {in_step} in {} to {} ms; longest {:.2} ms",
        took.len(),
        above(1),
        above(10),
        STEP.start.as_millis(),
        STEP.end.as_millis(),
        millis(most),
    );
    Ok(vec![
        Row::told("stream of 3 chunks, median", millis(p50), "ms"),
        Row {
            target: "no step at 40 ms".to_owned(),
            // A step takes a share of the streams; a scheduler that is busy elsewhere, a few.
            verdict: Some((p99 < STEP.start && in_step * 1000 <= took.len()).into()),
            ..Row::told("stream of 3 chunks, 99 of 100 within", millis(p99), "ms")
        }
        .with_note(note),
    ])
}

/// Whether work spreads over threads.
pub(super) fn burn(time: Duration) -> Rows {
    let rounds = agents::rounds_of_burn();
    let one = Halves::with_server_threads(1)?;
    let two = Halves::with_server_threads(2)?;
    let (address_of_one, _first) = one.agent(agents::burning(rounds), UNSIGNED)?;
    let (address_of_two, _second) = two.agent(agents::burning(rounds), UNSIGNED)?;
    let [one, two] = two.rates(time, [send_to(address_of_one), send_to(address_of_two)])?;
    Ok(vec![
        Row {
            target: "≥ 1.50 × one thread".to_owned(),
            ..Row::of_floor("200 µs of CPU a task, two threads", two, one, 1.5)
        }
        .with_note("floor: the same agent with one worker thread"),
    ])
}

/// What a finished task keeps.
pub(super) fn memory() -> Rows {
    const TASKS: u32 = 100_000;
    let directory = tempfile::tempdir()?;
    let (process, _) = Process::start(directory.path())?;
    let client = runtime("client", cores())?;
    let load = send_to(process.address());
    // Connections, threads and their arenas are there before anything is counted.
    on(&client, {
        let load = load.clone();
        async move { load.send(1000).await }
    })??;
    let before = process.resident_bytes();
    on(&client, async move { load.send(u64::from(TASKS)).await })??;
    let after = process.resident_bytes();
    let bytes = f64::from(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX));
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let note = format!("{} MB before, {} MB after {TASKS}", megabytes(before), megabytes(after));
    Ok(vec![
        Row::at_most("a finished echo task", bytes / f64::from(TASKS), "bytes", 2048.0)
            .with_note(note),
    ])
}

/// What an agent takes that does nothing.
pub(super) fn idle() -> Rows {
    let directory = tempfile::tempdir()?;
    let (process, _) = Process::start(directory.path())?;
    std::thread::sleep(Duration::from_secs(1));
    let bytes = f64::from(u32::try_from(process.resident_bytes()).unwrap_or(u32::MAX));
    Ok(vec![
        Row::at_most("an idle agent", bytes / 1_000_000.0, "MB", 10.0)
            .with_note("a process of its own, one request answered"),
    ])
}

/// How long an agent takes to start.
pub(super) fn start() -> Rows {
    const STARTS: usize = 20;
    let directory = tempfile::tempdir()?;
    // The first one makes the keys.
    Process::start(directory.path())?;
    let mut took = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        took.push(Process::start(directory.path())?.1);
    }
    took.sort_unstable();
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let note = format!(
        "median of {STARTS} starts with keys; from {:.1} to {:.1} ms",
        millis(took[0]),
        millis(took[STARTS - 1])
    );
    Ok(vec![
        Row::at_most("from start to the first 200", millis(took[STARTS / 2]), "ms", 10.0)
            .with_note(note),
    ])
}
