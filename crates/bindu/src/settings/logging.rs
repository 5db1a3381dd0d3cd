//! What is logged, in which form, and where.

use std::{path::PathBuf, time::Duration};

use super::{
    section::{section, words},
    value::Value,
};

words! {
    /// How much is logged: this level and those above.
    pub enum LogLevel, "one of: TRACE, DEBUG, INFO, WARNING, ERROR, OFF" {
        /// Everything.
        Trace = "trace",
        /// What helps to find a mistake.
        Debug = "debug",
        /// What an operator wants to know.
        Info = "info" | "success",
        /// What an operator should look at.
        Warning = "warning" | "warn",
        /// What went wrong.
        Error = "error" | "critical",
        /// Nothing.
        Off = "off",
    }
}

words! {
    /// The form of a log line.
    pub enum LogFormat, "one of: auto, text, json" {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// A JSON object a line.
        Json = "json",
    }
}

/// When a log file is put aside and a new one begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRotation {
    /// When it would become larger than this many bytes.
    Bytes(u64),
    /// When it is older than this.
    Age(Duration),
    /// Never.
    Never,
}

impl Value for LogRotation {
    const ALLOWED: &'static str = "a size (`10 MB`), a time (`1 day`) or `never`";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("never") {
            return Some(Self::Never);
        }
        let rotation = match parse_bytes(text) {
            Some(bytes) => Self::Bytes(bytes),
            None => Self::Age(humantime::parse_duration(text).ok()?),
        };
        (!matches!(rotation, Self::Bytes(0) | Self::Age(Duration::ZERO))).then_some(rotation)
    }
}

/// How long log files that were put aside are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRetention {
    /// As long as they are younger than this.
    Age(Duration),
    /// The newest so many.
    Files(usize),
    /// For ever.
    Forever,
}

impl Value for LogRetention {
    const ALLOWED: &'static str = "a time (`1 week`), a number of files (`5`) or `forever`";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("forever") {
            return Some(Self::Forever);
        }
        match text.parse() {
            Ok(files) => Some(Self::Files(files)),
            Err(_) => humantime::parse_duration(text).ok().map(Self::Age),
        }
    }
}

section! {
    /// What is logged, in which form, and where.
    pub struct LoggingSettings {
        /// The least important level that is logged.
        pub default_level: LogLevel = ["LOGGING__DEFAULT_LEVEL"] default "INFO";
        /// The form of the lines: for people on a terminal and JSON otherwise (`auto`), or
        /// always one of them.
        pub format: LogFormat = ["LOGGING__FORMAT", "LOG_FORMAT"] default "auto";
        /// Anything here leaves the colours out; see <https://no-color.org>.
        pub no_color: Option<String> = ["NO_COLOR"] default "";
        /// Whether to log to a file as well. Trouble with the file never stops the agent.
        pub file: bool = ["LOGGING__FILE"] default "false";
        /// The directory of the file.
        pub log_dir: PathBuf = ["LOGGING__LOG_DIR"] default "logs" nonzero;
        /// The name of the file.
        pub log_filename: String = ["LOGGING__LOG_FILENAME"] default "bindu_server.log" nonzero;
        /// When the file is put aside and a new one begun.
        pub log_rotation: LogRotation = ["LOGGING__LOG_ROTATION"] default "10 MB";
        /// How long files that were put aside are kept.
        pub log_retention: LogRetention = ["LOGGING__LOG_RETENTION"] default "1 week";
    }
}

/// `10 MB`, `512KiB`, `1000 B`.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_a_size_or_a_time() {
        for (text, rotation) in [
            ("10 MB", Some(LogRotation::Bytes(10_000_000))),
            ("512KiB", Some(LogRotation::Bytes(524_288))),
            ("1 day", Some(LogRotation::Age(Duration::from_hours(24)))),
            ("Never", Some(LogRotation::Never)),
            ("0 B", None),
            ("10", None),
            ("99999999999999999999 GB", None),
        ] {
            assert_eq!(LogRotation::parse(text), rotation, "{text}");
        }
    }

    #[test]
    fn retention_is_a_time_or_a_number() {
        for (text, retention) in [
            ("1 week", Some(LogRetention::Age(Duration::from_hours(7 * 24)))),
            ("5", Some(LogRetention::Files(5))),
            ("forever", Some(LogRetention::Forever)),
            ("a while", None),
        ] {
            assert_eq!(LogRetention::parse(text), retention, "{text}");
        }
    }
}
