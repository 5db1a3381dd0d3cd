//! How fast an agent is, beside what the machine could do.
//!
//! One process holds the load generator, the floors and the agents, so that all of them share the
//! same cores, and what is compared takes turns second by second, so that a machine that slows
//! down slows down both. It measures and says what it saw; it never judges.

mod agents;
mod auth;
mod cases;
mod compare;
mod connection;
mod floor;
mod grpc;
mod load;
mod machine;
mod process;
mod report;
mod storage;
mod stream;
mod typed;

use std::time::Duration;

use anyhow::Context as _;

pub use self::auth::{AUTH_PARTS, AuthOptions, run_auth};
pub(crate) use self::connection::{Connection, get, post};
pub use self::grpc::{GRPC_PARTS, GrpcOptions, run_grpc, serve_echo};
pub use self::machine::Machine;
pub(crate) use self::machine::resident_bytes;
pub use self::process::{Child, child};
pub use self::report::{Report, Row, Verdict};
pub use self::storage::{
    Growth, STORAGE_PARTS, StorageOptions, StorageReport, Throughput, run_storage,
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each throughput is measured.
    pub time: Duration,
    /// Only the case of this name; one of [`CASES`].
    pub only: Option<String>,
}

/// The names of what is measured.
pub const CASES: [&str; 9] =
    ["send", "get", "card", "stream", "latency", "burn", "memory", "idle", "start"];

/// Measures, and tells `progress` what is being measured.
///
/// Makes runtimes of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all, or the name of a case is none.
pub fn run(options: &Options, mut progress: impl FnMut(&str)) -> anyhow::Result<Report> {
    if let Some(only) = &options.only {
        anyhow::ensure!(
            CASES.contains(&only.as_str()),
            "there is no case `{only}`; it is one of: {}",
            CASES.join(", ")
        );
    }
    let machine = Machine::read();
    let mut rows = Vec::new();
    let wanted = |name: &&str| options.only.as_deref().is_none_or(|only| only == *name);
    for name in CASES.into_iter().filter(wanted) {
        progress(name);
        let measured = match name {
            "send" => cases::send(options.time),
            "get" => cases::get(options.time),
            "card" => cases::card(options.time),
            "stream" => cases::stream(options.time),
            "latency" => cases::latency(options.time),
            "burn" => cases::burn(options.time),
            "memory" => cases::memory(),
            "idle" => cases::idle(),
            _ => cases::start(),
        };
        rows.extend(measured.with_context(|| format!("measuring {name}"))?);
    }
    Ok(Report { machine, rows })
}
