//! What it costs that a handler is another process.
//!
//! The process is the same for all: it echoes, on one thread. Agent, core and floor share this
//! process with the load generator.

mod echo;
mod latency;
mod remote;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use bindu::sidecar::{RunningSidecar, Sidecar};
use bindu::{Running, Settings};
use ring::signature::Ed25519KeyPair;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

pub use self::echo::serve_echo;
pub(super) use self::remote::Remote;

use self::echo::Echo;
use self::latency::Latencies;
use super::agents::{self, on};
use super::cases::{Halves, Rows, send_to};
use super::floor::Floor;
use super::load::Load;
use super::machine::Machine;
use super::report::{Report, Row};
use super::typed::Answer;
use crate::sdk::Core;

/// The names of what is measured.
pub const GRPC_PARTS: [&str; 2] = ["latency", "throughput"];

/// The least share of the floor's rate that is aimed at.
const LEAST: f64 = 0.6;

/// The most milliseconds that a handler elsewhere may add: to the median, and to the time within
/// which 99 of 100 are answered.
const MEDIAN: f64 = 0.3;
const NEARLY_ALL: f64 = 1.0;

/// What to measure.
#[derive(Clone, Debug)]
pub struct GrpcOptions {
    /// How long each side of a comparison is measured.
    pub time: Duration,
    /// Only the part of this name; one of [`GRPC_PARTS`].
    pub only: Option<String>,
}

/// Measures an agent whose handler is another process, and tells `progress` what is being measured.
///
/// Starts the present program again, with `sdk` as its argument: it has to call [`serve_echo`]
/// then. Makes runtimes of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all, or the name of a part is none.
pub fn run_grpc(options: &GrpcOptions, mut progress: impl FnMut(&str)) -> anyhow::Result<Report> {
    if let Some(only) = &options.only {
        anyhow::ensure!(
            GRPC_PARTS.contains(&only.as_str()),
            "there is no part `{only}`; it is one of: {}",
            GRPC_PARTS.join(", ")
        );
    }
    let machine = Machine::read();
    let sides = Sides::new()?;
    let mut rows = Vec::new();
    let wanted = |name: &&str| options.only.as_deref().is_none_or(|only| only == *name);
    for name in GRPC_PARTS.into_iter().filter(wanted) {
        progress(name);
        let measured = match name {
            "latency" => sides.latency(options.time),
            _ => sides.throughput(options.time),
        };
        rows.extend(measured.with_context(|| format!("measuring {name}"))?);
    }
    Ok(Report { machine, rows })
}

/// Everything that is compared, while it runs.
struct Sides {
    halves: Halves,
    /// A bare server that signs, and calls nobody.
    bare: Load,
    /// The same, and it calls the process.
    floor: Load,
    /// An agent that echoes by itself.
    local: Load,
    /// An agent whose handler is the process.
    remote: Load,
    _agent: Running,
    _core: RunningSidecar,
    _echo: Echo,
    _directory: TempDir,
}

impl Sides {
    fn new() -> anyhow::Result<Self> {
        let halves = Halves::new()?;
        let directory = tempfile::tempdir()?;
        let echo = Echo::start()?;
        let (address, agent) = halves.agent(agents::echo(), &[])?;
        let local = send_to(address);
        let started = core(directory.path().to_owned(), echo.address());
        let (core, address) = on(&halves.servers, started)??;
        let remote = send_to(address);

        let answer = Answer::recorded(&halves.once(&remote)?)?;
        let key = || Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok().context("making a key");
        let bare = Floor::Send { answer: answer.clone(), key: Some(key()?) };
        let bare = send_to(halves.floor(bare)?);
        let handler = on(&halves.servers, Remote::connect(echo.address()))??;
        let floor = send_to(halves.floor(Floor::Remote { answer, key: key()?, handler })?);
        let (ours, theirs) = (halves.once(&remote)?.len(), halves.once(&floor)?.len());
        anyhow::ensure!(ours == theirs, "{ours} bytes in an answer, and {theirs} in the floor's");
        Ok(Self {
            halves,
            bare,
            floor,
            local,
            remote,
            _agent: agent,
            _core: core,
            _echo: echo,
            _directory: directory,
        })
    }

    /// One request at a time.
    fn latency(&self, time: Duration) -> Rows {
        let loads = [&self.local, &self.remote, &self.bare, &self.floor].map(Clone::clone);
        let [local, remote, bare, floor] =
            on(&self.halves.client, async move { latency::in_turns(time, loads).await })??;
        let told = |name, side: &Latencies, percent| Row::told(name, side.millis_at(percent), "ms");
        let note = |side: &Latencies| format!("of {} requests, one at a time", side.count());
        let added = |name, percent, most| {
            let ours = remote.millis_at(percent) - local.millis_at(percent);
            let least = floor.millis_at(percent) - bare.millis_at(percent);
            Row { floor: Some(least), ..Row::at_most(name, ours, "ms", most) }
                .with_note("floor: what one gRPC call adds to a bare server")
        };
        Ok(vec![
            told("handler in process, median", &local, 50).with_note(note(&local)),
            told("handler in process, 99 of 100 within", &local, 99),
            told("sidecar, median", &remote, 50).with_note(note(&remote)),
            told("sidecar, 99 of 100 within", &remote, 99),
            added("the sidecar adds, median", 50, MEDIAN),
            added("the sidecar adds, 99 of 100 within", 99, NEARLY_ALL),
        ])
    }

    /// Many connections.
    fn throughput(&self, time: Duration) -> Rows {
        let loads = [&self.floor, &self.remote, &self.local].map(Clone::clone);
        let [floor, remote, local] = self.halves.rates(time, loads)?;
        let note = "without the CPU of the handler's process";
        Ok(vec![
            Row::of_floor("sidecar, 32 connections", remote, floor, LEAST).with_note(note),
            Row::told("handler in process, 32 connections", local.rate(), "/s")
                .with_note(format!("CPU {:.1} µs", local.cpu_micros())),
        ])
    }
}

/// A core, and the address of an agent whose handler is at `callback`.
async fn core(
    directory: std::path::PathBuf,
    callback: SocketAddr,
) -> anyhow::Result<(RunningSidecar, SocketAddr)> {
    let settings = Settings::from_vars([("GRPC__HOST", "127.0.0.1")])?;
    let core = Sidecar::new().settings(settings).directory(directory).port(0).spawn().await?;
    // Free now, and nobody else asks for ports here.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = json!({
        "author": "bench@example.com",
        "name": "bench",
        "deployment": { "url": format!("http://127.0.0.1:{port}") },
        "telemetry": false,
        "enable_system_message": false,
    });
    let sdk = Core::at(core.local_addr()).await.map_err(anyhow::Error::from_boxed)?;
    let answer = sdk.register(&config, &callback.to_string()).await?;
    anyhow::ensure!(answer.success, "the registration was refused: {}", answer.error);
    let url: Url = answer.agent_url.parse()?;
    let port = url.port().context("the agent's address has no port")?;
    Ok((core, SocketAddr::from(([127, 0, 0, 1], port))))
}
