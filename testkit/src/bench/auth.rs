//! What it costs to let in only those who may.

mod caller;
mod handshakes;
mod pki;
mod sides;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bindu::Running;
use bindu_did::key_dir::Identity;
use bindu_http::server::PlainTcp;
use ring::signature::Ed25519KeyPair;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::caller::{Caller, TOKEN};
use self::pki::Pki;
use self::sides::{Side, in_turns, once};
use super::agents::{self, on, runtime};
use super::floor::{self, Floor};
use super::machine::{Machine, cores};
use super::report::{Report, Row};
use super::typed::Answer;
use crate::fake_hydra::FakeHydra;

/// The names of what is measured.
pub const AUTH_PARTS: [&str; 3] = ["clear", "tls", "handshakes"];

/// The least share of the limit's rate that is aimed at.
const LEAST: f64 = 0.6;

/// What to measure.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// How long each rate is measured.
    pub time: Duration,
    /// Only the part of this name; one of [`AUTH_PARTS`].
    pub only: Option<String>,
}

/// Measures agents that ask who calls, and tells `progress` what is being measured.
///
/// Makes runtimes of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all, or the name of a part is none.
pub fn run_auth(options: &AuthOptions, mut progress: impl FnMut(&str)) -> anyhow::Result<Report> {
    if let Some(only) = &options.only {
        anyhow::ensure!(
            AUTH_PARTS.contains(&only.as_str()),
            "there is no part `{only}`; it is one of: {}",
            AUTH_PARTS.join(", ")
        );
    }
    let machine = Machine::read();
    let mut rows = Vec::new();
    let wanted = |name: &&str| options.only.as_deref().is_none_or(|only| only == *name);
    for name in AUTH_PARTS.into_iter().filter(wanted) {
        progress(name);
        let measured = match name {
            "clear" => clear(options.time),
            "tls" => tls(options.time),
            _ => handshakes(options.time),
        };
        rows.extend(measured.with_context(|| format!("measuring {name}"))?);
    }
    Ok(Report { machine, rows })
}

/// Token and signature.
fn clear(time: Duration) -> anyhow::Result<Vec<Row>> {
    let bench = Bench::new()?;
    let agent = bench.agent(&[])?;
    let limit = bench.limit(agent.side(), PlainTcp)?;
    let row = bench.compare(
        "send to completion, by token and signature",
        time,
        [Side::new(limit, None), agent.side()],
    )?;
    Ok(vec![row])
}

/// Token, signature and certificate, on connections that are kept.
fn tls(time: Duration) -> anyhow::Result<Vec<Row>> {
    let bench = Bench::new()?;
    let pki = bench.pki()?;
    let variables = pki.variables();
    let agent = bench.agent(&variables)?;
    let client = pki.client(true)?;
    let ours = Side::new(agent.address, Some(Arc::clone(&client)));
    let limit = bench.limit(ours.clone(), pki.bare()?)?;
    let row = bench.compare(
        "the same, and over TLS by certificate",
        time,
        [Side::new(limit, Some(client)), ours],
    )?;
    Ok(vec![row])
}

/// How fast connections with certificates begin.
fn handshakes(time: Duration) -> anyhow::Result<Vec<Row>> {
    let bench = Bench::new()?;
    let pki = bench.pki()?;
    let ours = on(&bench.servers, {
        let acceptor = pki.acceptor();
        async move { handshakes::serve(acceptor.await?).await }
    })??;
    let bare = on(&bench.servers, handshakes::serve(pki.bare()?))??;
    let mut rows = Vec::new();
    for (name, resumed) in [("full handshakes", false), ("resumed handshakes", true)] {
        let clients = [handshakes::clients(&pki, resumed)?, handshakes::clients(&pki, resumed)?];
        let measured = on(&bench.client, handshakes::rates(time, [bare, ours], clients, resumed));
        let [bare, ours] = measured??;
        let row =
            Row { target: String::new(), verdict: None, ..Row::of_floor(name, ours, bare, 0.0) };
        rows.push(row.with_note("TLS 1.3 with client certificates; both ends share the cores"));
    }
    Ok(rows)
}

/// Who answers, who asks, and who vouches.
struct Bench {
    servers: Runtime,
    client: Runtime,
    hydra: FakeHydra,
    caller: Caller,
    identity: Arc<Identity>,
    directory: TempDir,
}

/// An agent while it runs.
struct Locked {
    address: SocketAddr,
    _running: Running,
}

impl Locked {
    fn side(&self) -> Side {
        Side::new(self.address, None)
    }
}

impl Bench {
    fn new() -> anyhow::Result<Self> {
        let (servers, client) = (runtime("server", cores())?, runtime("client", cores())?);
        let hydra = on(&servers, FakeHydra::start())??;
        let caller = Caller::known_to(&hydra)?;
        let identity = agents::identity()?;
        let directory = tempfile::tempdir()?;
        Ok(Self { servers, client, hydra, caller, identity, directory })
    }

    fn pki(&self) -> anyhow::Result<Pki> {
        let folder = self.directory.path();
        Pki::new(folder, self.hydra.public_url(), self.identity.did(), self.caller.did())
    }

    /// An echo agent with default settings, but that it asks who calls.
    fn agent(&self, more: &[(&str, String)]) -> anyhow::Result<Locked> {
        let keys = self.directory.path().join("agent").to_string_lossy().into_owned();
        let mut variables = vec![
            ("AUTH__ENABLED", "true".to_owned()),
            ("HYDRA__ADMIN_URL", self.hydra.admin_url().to_owned()),
            ("HYDRA__PUBLIC_URL", self.hydra.public_url().to_owned()),
            ("DID__PKI_DIR", keys),
        ];
        variables.extend_from_slice(more);
        let variables: Vec<_> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let identity = Arc::clone(&self.identity);
        let (address, running) = on(&self.servers, async move {
            let variables: Vec<_> =
                variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            agents::start_as(identity, agents::echo(), &variables, None).await
        })??;
        Ok(Locked { address, _running: running })
    }

    /// A floor that verifies one signature and makes one, and answers as this side does.
    fn limit(
        &self,
        like: Side,
        acceptor: impl bindu_http::server::Acceptor,
    ) -> anyhow::Result<SocketAddr> {
        let sample = self.caller.requests(2)?;
        let (first, second) = (sample[0].clone(), sample[1].clone());
        let (answer, again) = on(&self.client, {
            let like = like.clone();
            async move {
                Ok::<_, anyhow::Error>((once(&like, &first).await?, once(&like, &second).await?))
            }
        })??;
        anyhow::ensure!(again.len() == answer.len(), "the agent's answers differ in size");
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok().context("making a key")?;
        let signed = self.caller.sample();
        let floor = Floor::Locked { answer: Answer::recorded(&answer)?, key, signed };
        let limit = on(&self.servers, floor::start_behind(floor, acceptor))??;
        let request = sample[1].clone();
        let told = on(&self.client, {
            let limit = Side { address: limit, ..like };
            async move { once(&limit, &request).await }
        })??;
        let (ours, theirs) = (answer.len(), told.len());
        anyhow::ensure!(ours == theirs, "{ours} bytes in an answer, and {theirs} in the limit's");
        Ok(limit)
    }

    /// Lets limit and agent take turns.
    fn compare(&self, name: &'static str, time: Duration, sides: [Side; 2]) -> anyhow::Result<Row> {
        let caller = self.caller.clone();
        let [limit, ours] = on(&self.client, in_turns(time, caller, sides))??;
        let note = format!(
            "p50 {:.2} ms, p99 {:.2}; limit's {:.2} and {:.2}; Hydra was asked about the token {} times",
            ours.millis_at(50),
            ours.millis_at(99),
            limit.millis_at(50),
            limit.millis_at(99),
            self.hydra.introspections(TOKEN),
        );
        Ok(Row::of_floor(name, ours.count, limit.count, LEAST).with_note(note))
    }
}
