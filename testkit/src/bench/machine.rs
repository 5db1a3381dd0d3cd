//! What machine this is, and what a process takes of it.

use std::fs;
use std::time::Duration;

use serde::Serialize;

/// What a number of a benchmark means little without.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// What the processor calls itself.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// The load averages over 1, 5 and 15 minutes before anything was measured.
    pub load: String,
}

impl Machine {
    pub(super) fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = model.and_then(|rest| rest.split_once(':')).map_or("unknown", |it| it.1);
        let load = read("/proc/loadavg");
        Self {
            cores: cores(),
            processor: processor.trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }

    /// Whether something else kept the machine busy when this began.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let minute = self.load.split(' ').next().and_then(|minute| minute.parse::<f64>().ok());
        minute.is_some_and(|minute| minute > 0.5)
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The CPU time that this process has taken so far; zero where the system does not tell.
pub(super) fn cpu_time() -> Duration {
    /// Linux counts in hundredths of a second here, whatever its clock.
    const TICK: Duration = Duration::from_millis(10);
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may have anything in it, come the fields from the third on.
    let fields = text.rsplit_once(") ").map_or("", |it| it.1);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    TICK * ticks.sum::<u32>()
}

/// The memory of a process that is in RAM, in bytes; 0 where the system does not tell.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    // The counters in `statm` and `status` lag by some pages for each thread; this one is exact.
    let exact = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let text = exact.or_else(|_| fs::read_to_string(format!("/proc/{process}/status")));
    let text = text.unwrap_or_default();
    let line = |name| text.lines().find_map(|line: &str| line.strip_prefix(name));
    let kilobytes = line("Rss:").or_else(|| line("VmRSS:")).unwrap_or_default();
    kilobytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_time() {
        assert!(resident_bytes(std::process::id()) > 100_000);
        let before = cpu_time();
        let mut rounds = 0_u64;
        while cpu_time() == before {
            rounds = std::hint::black_box(rounds + 1);
        }
        assert!(cpu_time() > before);
    }
}
