//! Reads the log of runs while it grows.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::history::{Over, Run};

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) pid: u32,
    pub(super) what: What,
    pub(super) at: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Start,
    End,
    Stop,
}

/// Reads a line; `None` if it is none.
fn line(text: &str) -> Option<Line> {
    let mut words = text.rsplitn(4, ' ');
    let at = words.next()?.parse().ok()?;
    let what = match words.next()? {
        "start" => What::Start,
        "end" => What::End,
        "stop" => What::Stop,
        _ => return None,
    };
    let pid = words.next()?.parse().ok()?;
    Some(Line { text: words.next()?.to_owned(), pid, what, at })
}

/// Reads what is new in the log.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    rest: Vec<u8>,
}

impl Tail {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, rest: Vec::new() })
    }

    /// The lines that came since.
    pub(super) fn read(&mut self) -> io::Result<Vec<Line>> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.rest.split_off(whole);
        let whole = std::mem::replace(&mut self.rest, rest);
        String::from_utf8_lossy(&whole)
            .lines()
            .map(|text| line(text).ok_or_else(|| io::Error::other(format!("no line: {text:?}"))))
            .collect()
    }
}

/// The runs of a whole log, by text. `deaths` says when processes were killed.
pub(super) fn runs(lines: &[Line], deaths: &HashMap<u32, f64>) -> BTreeMap<String, Vec<Run>> {
    let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for Line { text, pid, what, at } in lines {
        let of_text = runs.entry(text.clone()).or_default();
        let how = match what {
            What::Start => {
                of_text.push(Run { text: text.clone(), pid: *pid, start: *at, over: None });
                continue;
            }
            What::End => Over::End,
            What::Stop => Over::Stop,
        };
        let open = of_text.iter_mut().rev().find(|run| run.pid == *pid && run.over.is_none());
        if let Some(run) = open {
            run.over = Some((*at, how));
        }
    }
    for run in runs.values_mut().flatten() {
        if run.over.is_none() {
            run.over = deaths.get(&run.pid).map(|&at| (at, Over::Death));
        }
    }
    for of_text in runs.values_mut() {
        of_text.sort_by(|a, b| a.start.total_cmp(&b.start));
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn runs_are_read_from_a_log_that_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        let mut tail = Tail::open(&path).unwrap();
        write!(file, "sleep:1:a b 7 start 1.5\nsleep:1:a b 7 e").unwrap();
        let mut lines = tail.read().unwrap();
        assert_eq!(lines.len(), 1);
        write!(file, "nd 2.5\nsleep:9:c 7 start 3\nsleep:9:c 8 start 6\n").unwrap();
        lines.extend(tail.read().unwrap());
        let runs = runs(&lines, &HashMap::from([(7, 4.0)]));
        let run = |text: &str, pid, start, over| Run { text: text.into(), pid, start, over };
        assert_eq!(runs["sleep:1:a b"], [run("sleep:1:a b", 7, 1.5, Some((2.5, Over::End)))]);
        assert_eq!(
            runs["sleep:9:c"],
            [run("sleep:9:c", 7, 3.0, Some((4.0, Over::Death))), run("sleep:9:c", 8, 6.0, None)]
        );
        writeln!(file, "nonsense").unwrap();
        assert!(tail.read().is_err());
    }
}
