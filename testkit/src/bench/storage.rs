//! How fast an agent stores and queues, beside what the database or the queue does by itself.
//!
//! Servers are private, and ended with this process. What is compared runs in turns.

mod growth;
mod postgres;
mod redis;
mod report;
mod script;
mod sqlite;
mod turns;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

pub use self::report::{Growth, StorageReport, Throughput};
use super::Machine;

/// What to measure.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// How long each side of a comparison is measured.
    pub time: Duration,
    /// Only this part; one of [`STORAGE_PARTS`].
    pub only: Option<String>,
    /// How many tasks the full store has, of which [`FEW`](Self::FEW) must not feel anything.
    pub many: usize,
    /// Where the programs `sqlite-limit` and `redis-queue` are: examples of the crates that own
    /// the drivers.
    pub programs: PathBuf,
}

impl StorageOptions {
    /// How many tasks the small store has.
    pub const FEW: usize = 1000;
}

/// The names of what is measured.
pub const STORAGE_PARTS: [&str; 4] = ["postgres", "sqlite", "redis", "growth"];

/// Measures, and tells `progress` what is being measured.
///
/// Makes runtimes of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all, or the name of a part is none.
pub fn run_storage(
    options: &StorageOptions,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<StorageReport> {
    if let Some(only) = &options.only {
        anyhow::ensure!(
            STORAGE_PARTS.contains(&only.as_str()),
            "there is no part `{only}`; it is one of: {}",
            STORAGE_PARTS.join(", ")
        );
    }
    let mut report = StorageReport::of(Machine::read());
    let wanted = |name: &&str| options.only.as_deref().is_none_or(|only| only == *name);
    for name in STORAGE_PARTS.into_iter().filter(wanted) {
        progress(name);
        let measured = match name {
            "postgres" => postgres::measure(options, &mut report),
            "sqlite" => sqlite::measure(options, &mut report),
            "redis" => redis::measure(options, &mut report),
            _ => growth::measure(options, &mut report),
        };
        measured.with_context(|| format!("measuring {name}"))?;
    }
    Ok(report)
}
