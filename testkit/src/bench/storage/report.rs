//! What came out, for people and for programs.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::super::{Machine, Verdict};
use super::turns::Sample;

/// How much of the limit's rate is aimed at, how many times its p99, and how much longer a step may
/// take in a full store.
const LEAST_RATE: f64 = 0.5;
const MOST_P99: f64 = 4.0;
const MOST_GROWTH: f64 = 1.2;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct StorageReport {
    /// Where.
    pub machine: Machine,
    /// How the servers were set: the same for both sides of every comparison.
    pub settings: Vec<String>,
    /// How much was done.
    pub throughputs: Vec<Throughput>,
    /// What a full store costs.
    pub growths: Vec<Growth>,
}

/// One comparison of rates.
#[derive(Clone, Debug, Serialize)]
pub struct Throughput {
    /// What was measured.
    pub name: String,
    /// What the limit did in a second.
    pub limit: f64,
    /// What we did in a second.
    pub ours: f64,
    /// How many milliseconds 99 of 100 took at most, at the limit.
    pub limit_p99: f64,
    /// The same of ours.
    pub ours_p99: f64,
    /// Whether rate and p99 are as aimed at; nothing where nothing was aimed at.
    pub verdict: Option<Verdict>,
    /// What else is to be known.
    pub note: String,
}

/// How long one step takes with few and with many tasks stored.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// What was measured.
    pub name: String,
    /// The median with few, in microseconds.
    pub few: f64,
    /// The median with many, in microseconds.
    pub many: f64,
    /// Whether it is as aimed at; nothing where nothing was aimed at.
    pub verdict: Option<Verdict>,
}

impl StorageReport {
    pub(super) fn of(machine: Machine) -> Self {
        Self { machine, settings: Vec::new(), throughputs: Vec::new(), growths: Vec::new() }
    }
}

impl Throughput {
    pub(super) fn new(name: impl Into<String>, limit: &Sample, ours: &Sample) -> Self {
        let (limit_rate, ours_rate) = (limit.rate(), ours.rate());
        let (limit_p99, ours_p99) = (limit.p99(), ours.p99());
        let reached = ours_rate >= LEAST_RATE * limit_rate && ours_p99 <= MOST_P99 * limit_p99;
        Self {
            name: name.into(),
            limit: limit_rate,
            ours: ours_rate,
            limit_p99,
            ours_p99,
            verdict: Some(reached.into()),
            note: String::new(),
        }
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The same, with nothing aimed at.
    pub(super) fn told(mut self) -> Self {
        self.verdict = None;
        self
    }
}

impl Growth {
    pub(super) fn new(name: String, few: f64, many: f64) -> Self {
        Self { name, few, many, verdict: Some((many <= MOST_GROWTH * few).into()) }
    }

    /// The same, with nothing aimed at.
    pub(super) fn told(mut self) -> Self {
        self.verdict = None;
        self
    }
}

impl fmt::Display for StorageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, processor, kernel, load } = &self.machine;
        writeln!(f, "{processor}, {cores} cores, Linux {kernel}, load before {load}")?;
        if self.machine.is_busy() {
            writeln!(
                f,
                "The machine was busy with something else: ratios hold better than rates."
            )?;
        }
        for setting in &self.settings {
            writeln!(f, "{setting}")?;
        }
        if !self.throughputs.is_empty() {
            writeln!(
                f,
                "\nTarget: at least {LEAST_RATE} of the limit's rate, and p99 at most {MOST_P99} times its."
            )?;
            let head = ["", "limit /s", "ours /s", "ratio", "p99 limit", "p99 ours", "ratio"];
            let lines = self.throughputs.iter().map(|row| {
                let cells = [
                    row.name.clone(),
                    format!("{:.0}", row.limit),
                    format!("{:.0}", row.ours),
                    format!("{:.2}", row.ours / row.limit),
                    format!("{:.2} ms", row.limit_p99),
                    format!("{:.2} ms", row.ours_p99),
                    format!("{:.2}", row.ours_p99 / row.limit_p99),
                ];
                (cells, row.verdict, row.note.as_str())
            });
            table(f, head, lines)?;
        }
        if !self.growths.is_empty() {
            writeln!(
                f,
                "\nTarget: at most {MOST_GROWTH} times as long with many tasks as with few."
            )?;
            let lines = self.growths.iter().map(|row| {
                let cells = [
                    row.name.clone(),
                    format!("{:.1} µs", row.few),
                    format!("{:.1} µs", row.many),
                    format!("{:.2}", row.many / row.few),
                ];
                (cells, row.verdict, "")
            });
            table(f, ["", "few", "many", "ratio"], lines)?;
        }
        Ok(())
    }
}

/// Writes lines whose cells stand below each other; all but the first end where the others end.
fn table<'a, const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [&str; N],
    lines: impl Iterator<Item = ([String; N], Option<Verdict>, &'a str)>,
) -> fmt::Result {
    let mut all = vec![(head.map(str::to_owned), None, "")];
    all.extend(lines);
    let widths: [usize; N] = std::array::from_fn(|column| {
        all.iter().map(|(cells, ..)| cells[column].chars().count()).max().unwrap_or(0)
    });
    for (cells, verdict, note) in &all {
        let mut text = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            match column {
                0 => write!(text, "{cell:<width$}")?,
                _ => write!(text, "  {cell:>width$}")?,
            }
        }
        let verdict = match verdict {
            Some(Verdict::Reached) => "ok",
            Some(Verdict::Short) => "short",
            None => "",
        };
        write!(text, "  {verdict:<5}  {note}")?;
        writeln!(f, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_reached() {
        let machine = Machine {
            cores: 2,
            processor: "a processor".into(),
            kernel: "6.1".into(),
            load: "0.10 0.20 0.30".into(),
        };
        let sample = |done, micros| Sample { done, seconds: 2.0, micros: vec![micros; 100] };
        let mut report = StorageReport::of(machine);
        report.settings.push("synchronous_commit = on".into());
        report.throughputs = vec![
            Throughput::new("even", &sample(2000, 1000), &sample(1000, 4000)).with_note("so"),
            Throughput::new("few", &sample(2000, 1000), &sample(998, 1000)),
            Throughput::new("slow", &sample(2000, 1000), &sample(2000, 4010)),
            Throughput::new("told", &sample(20, 1000), &sample(1, 4010)).told(),
        ];
        report.growths = vec![
            Growth::new("load".into(), 10.0, 12.0),
            Growth::new("claim".into(), 10.0, 12.1),
            Growth::new("told".into(), 10.0, 20.0).told(),
        ];
        let expected = "\
a processor, 2 cores, Linux 6.1, load before 0.10 0.20 0.30
synchronous_commit = on

Target: at least 0.5 of the limit's rate, and p99 at most 4 times its.
      limit /s  ours /s  ratio  p99 limit  p99 ours  ratio
even      1000      500   0.50    1.00 ms   4.00 ms   4.00  ok     so
few       1000      499   0.50    1.00 ms   1.00 ms   1.00  short
slow      1000     1000   1.00    1.00 ms   4.01 ms   4.01  short
told        10        0   0.05    1.00 ms   4.01 ms   4.01

Target: at most 1.2 times as long with many tasks as with few.
           few     many  ratio
load   10.0 µs  12.0 µs   1.20  ok
claim  10.0 µs  12.1 µs   1.21  short
told   10.0 µs  20.0 µs   2.00
";
        assert_eq!(report.to_string(), expected);
    }
}
