//! What the test runners of other languages say.

use std::sync::LazyLock;

use regex::Regex;

/// The counts in the last line of pytest, such as `== 1 failed, 2 passed in 3.14s ==`.
static PYTEST: LazyLock<Regex> = LazyLock::new(|| regex(r"(\d+) (passed|failed|errors?)\b"));

/// How long pytest took; it says the minutes too where there are any.
static LASTED: LazyLock<Regex> = LazyLock::new(|| regex(r" in [\d.]+s(?: \([\d:]+\))? =+$"));

/// A test in a report of Maven's, with what is wrong with it if anything is.
static CASE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?s)<testcase([^>]*?)(?:/>|>(.*?)</testcase>)"));

static NAME: LazyLock<Regex> = LazyLock::new(|| regex(r#"\bname="([^"]*)""#));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant, and tested")
}

/// How the tests of one SDK went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// The names of those that failed.
    pub(crate) failures: Vec<String>,
    /// Whether the runner itself was content.
    pub(crate) ended_well: bool,
}

impl Report {
    /// Reads a line of the Test Anything Protocol, as Node.js writes it.
    pub(crate) fn read_tap(&mut self, line: &str) {
        if let Some(failure) = line.trim_start().strip_prefix("not ok ") {
            let name = failure.split_once(" - ").map_or(failure, |(_, name)| name);
            self.failures.push(name.to_owned());
        }
        let count = |what: &str| line.strip_prefix(what)?.parse::<usize>().ok();
        self.passed += count("# pass ").unwrap_or(0);
        self.failed += count("# fail ").or_else(|| count("# cancelled ")).unwrap_or(0);
    }

    /// Reads a line of pytest's.
    pub(crate) fn read_pytest(&mut self, line: &str) {
        for mark in ["FAILED ", "ERROR "] {
            if let Some(failure) = line.strip_prefix(mark) {
                self.failures.push(failure.to_owned());
            }
        }
        if line.starts_with('=') && LASTED.is_match(line) {
            for count in PYTEST.captures_iter(line) {
                let number: usize = count[1].parse().unwrap_or(0);
                if &count[2] == "passed" {
                    self.passed += number;
                } else {
                    self.failed += number;
                }
            }
        }
    }

    /// Reads a file that Maven's Surefire has written.
    pub(crate) fn read_surefire(&mut self, file: &str) {
        for case in CASE.captures_iter(file) {
            let body = case.get(2).map_or("", |body| body.as_str());
            if body.contains("<failure") || body.contains("<error") {
                self.failed += 1;
                let name = NAME.captures(&case[1]).map_or("?", |name| name.extract::<1>().1[0]);
                self.failures.push(name.to_owned());
            } else if !body.contains("<skipped") {
                self.passed += 1;
            }
        }
    }

    /// A runner that found nothing to run, or failed without a failed test, is a failure too.
    pub(crate) fn judged(mut self) -> Self {
        if self.failed == 0 && (self.passed == 0 || !self.ended_well) {
            self.failed = 1;
            self.failures.push("its tests did not run, or not to their end".to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    fn lines(text: &str, read: impl Fn(&mut Report, &str)) -> (usize, usize, Vec<String>) {
        let mut report = Report::default();
        text.lines().for_each(|line| read(&mut report, line));
        (report.passed, report.failed, report.failures)
    }

    #[test]
    fn node_is_understood() {
        let output = "TAP version 13\nok 1 - good\nnot ok 2 - bad thing\n  ---\n# tests 3\n# pass 1\n# fail 1\n# cancelled 1\n# skipped 0";
        assert_eq!(lines(output, Report::read_tap), (1, 2, vec!["bad thing".to_owned()]));
    }

    #[test]
    fn pytest_is_understood() {
        let output = "tests/a.py::one PASSED  [ 50%]\n=== 3 passed of old ===\nFAILED tests/a.py::two - assert 1\nERROR tests/b.py\n===== 1 failed, 26 passed, 1 error in 61.82s (0:01:01) =====";
        let failures = ["tests/a.py::two - assert 1", "tests/b.py"].map(str::to_owned).to_vec();
        assert_eq!(lines(output, Report::read_pytest), (26, 2, failures));
        let output = "======= 2 passed in 0.82s =======";
        assert_eq!(lines(output, Report::read_pytest), (2, 0, Vec::new()));
    }

    #[test]
    fn surefire_is_understood() {
        let mut report = Report::default();
        report.read_surefire(
            r#"<testsuite tests="4"><testcase name="a" time="1"/>
            <testcase classname="C" name="b c"><failure message="x">at…</failure></testcase>
            <testcase name="d"><system-out>said</system-out></testcase>
            <testcase name="e"><skipped/></testcase></testsuite>"#,
        );
        assert_eq!((report.passed, report.failed), (2, 1));
        assert_eq!(report.failures, ["b c"]);
    }

    #[test]
    fn nothing_run_is_a_failure() {
        assert_eq!(Report { ended_well: true, ..Report::default() }.judged().failed, 1);
        assert_eq!(Report { passed: 1, ..Report::default() }.judged().failed, 1);
        let good = Report { passed: 1, ended_well: true, ..Report::default() };
        assert_eq!(good.judged().failed, 0);
    }
}
