//! What came out, for people and for programs.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::load::Count;
use super::machine::Machine;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub rows: Vec<Row>,
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// The number of our agent, in `unit`.
    pub measured: f64,
    /// What `measured` and `floor` count.
    pub unit: &'static str,
    /// The number of the floor, where there is one.
    pub floor: Option<f64>,
    /// What is aimed at.
    pub target: String,
    /// Whether that was reached; nothing where nothing was aimed at.
    pub verdict: Option<Verdict>,
    /// What else is to be known.
    pub note: String,
}

/// Whether a target was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was.
    Reached,
    /// It was not.
    Short,
}

impl From<bool> for Verdict {
    fn from(reached: bool) -> Self {
        if reached { Self::Reached } else { Self::Short }
    }
}

impl Row {
    /// A number that is nothing but told.
    pub(super) fn told(name: &'static str, measured: f64, unit: &'static str) -> Self {
        let (target, note) = (String::new(), String::new());
        Self { name, measured, unit, floor: None, target, verdict: None, note }
    }

    /// A rate that should be at least so much of the floor's.
    pub(super) fn of_floor(name: &'static str, agent: Count, floor: Count, least: f64) -> Self {
        let (measured, floor_rate) = (agent.rate(), floor.rate());
        let (cpu, floor_cpu) = (agent.cpu_micros(), floor.cpu_micros());
        Self {
            floor: Some(floor_rate),
            target: format!("≥ {least:.2} of the floor"),
            verdict: Some((measured >= least * floor_rate).into()),
            note: format!("CPU {cpu:.1} µs, floor {floor_cpu:.1}: {:.2}", floor_cpu / cpu),
            ..Self::told(name, measured, "/s")
        }
    }

    /// A number that should be at most so much.
    pub(super) fn at_most(
        name: &'static str,
        measured: f64,
        unit: &'static str,
        most: f64,
    ) -> Self {
        Self {
            target: format!("≤ {most} {unit}"),
            verdict: Some((measured <= most).into()),
            ..Self::told(name, measured, unit)
        }
    }

    pub(super) fn with_note(mut self, note: impl AsRef<str>) -> Self {
        if !self.note.is_empty() {
            self.note += "; ";
        }
        self.note += note.as_ref();
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, processor, kernel, load } = &self.machine;
        writeln!(f, "{processor}, {cores} cores, Linux {kernel}, load before {load}")?;
        if self.machine.is_busy() {
            writeln!(
                f,
                "The machine was busy with something else: ratios hold better than numbers."
            )?;
        }
        writeln!(f)?;
        let head = ["", "measured", "floor", "ratio", "target", "", ""].map(str::to_owned);
        let mut lines: Vec<[String; 7]> = vec![head];
        lines.extend(self.rows.iter().map(line));
        let widths: [usize; 7] = std::array::from_fn(|column| {
            let lengths = lines.iter().map(|line| line[column].chars().count());
            lengths.max().unwrap_or(0)
        });
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                // Numbers end where the others end.
                match column {
                    1..=3 => write!(text, "{cell:>width$}  ")?,
                    _ => write!(text, "{cell:<width$}  ")?,
                }
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

fn line(row: &Row) -> [String; 7] {
    let verdict = match row.verdict {
        Some(Verdict::Reached) => "reached",
        Some(Verdict::Short) => "short",
        None => "",
    };
    [
        row.name.to_owned(),
        format!("{} {}", shown(row.measured), row.unit),
        row.floor.map(shown).unwrap_or_default(),
        row.floor.map(|floor| format!("{:.2}", row.measured / floor)).unwrap_or_default(),
        row.target.clone(),
        verdict.to_owned(),
        row.note.clone(),
    ]
}

fn shown(number: f64) -> String {
    if number.abs() >= 1000.0 {
        let digits = format!("{number:.0}");
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn count(done: u64, cpu: u64) -> Count {
        Count { done, took: Duration::from_secs(1), cpu: Duration::from_millis(cpu) }
    }

    #[test]
    fn a_report_says_what_was_reached() {
        let machine = Machine {
            cores: 2,
            processor: "a processor".into(),
            kernel: "6.1".into(),
            load: "0.10 0.20 0.30".into(),
        };
        let rows = vec![
            Row::of_floor("send", count(12_345, 1900), count(20_000, 1000), 0.6).with_note("so"),
            Row::of_floor("get", count(10_000, 2000), count(20_000, 2000), 0.7),
            Row::at_most("idle", 7.25, "MB", 10.0),
            Row::told("other", 1_234_567.0, "/s"),
        ];
        let expected = "\
a processor, 2 cores, Linux 6.1, load before 0.10 0.20 0.30

           measured   floor  ratio  target
send      12,345 /s  20,000   0.62  ≥ 0.60 of the floor  reached  CPU 153.9 µs, floor 50.0: 0.32; so
get       10,000 /s  20,000   0.50  ≥ 0.70 of the floor  short    CPU 200.0 µs, floor 100.0: 0.50
idle        7.25 MB                 ≤ 10 MB              reached
other  1,234,567 /s
";
        assert_eq!(Report { machine, rows }.to_string(), expected);
    }
}
