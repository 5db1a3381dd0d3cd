//! Logs: for people on a terminal, a JSON object a line otherwise.
//!
//! Libraries of this workspace only emit [`tracing`] events; [`init`] is what makes them
//! visible. A program that has a subscriber of its own does not need this module.
//!
//! A JSON line has `ts` (UTC, RFC 3339), `level`, `target` and `msg`, then the fields of the
//! spans it is in and its own, such as `task` and `context`. A field that has one of those
//! four names gets an underscore in front.

#[cfg(feature = "grpc")]
mod detached;
mod file;
mod json;
mod redact;

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use tracing::{Subscriber, level_filters::LevelFilter, warn};
use tracing_subscriber::{
    Layer, Registry,
    fmt::{
        FormatFields, MakeWriter,
        format::{DefaultFields, JsonFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
};

pub use redact::redact_url;

#[cfg(feature = "grpc")]
pub(crate) use detached::Detached;
use file::LogFile;
use json::JsonLine;

use crate::settings::{LogFormat, LogLevel, LoggingSettings};

/// Begins to log to standard error and, if the settings say so, to a file.
///
/// If the process already has a subscriber, that one stays and this does nothing: whoever
/// set it knows better. A log file that cannot be opened is reported in the log.
pub fn init(settings: &LoggingSettings) {
    begin(settings, io::stderr);
}

/// As [`init`], but nothing ever waits for whoever reads the standard error: lines that do not fit
/// are lost, and counted. What is returned waits for the last ones.
#[cfg(feature = "grpc")]
pub(crate) fn init_detached(settings: &LoggingSettings) -> Detached {
    let console = Detached::begin(io::stderr());
    begin(settings, console.clone());
    console
}

fn begin<W>(settings: &LoggingSettings, console: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let file = settings.file.then(|| LogFile::open(settings));
    let (file, trouble) = match file {
        Some(Ok(file)) => (Some(file), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let subscriber = subscriber(settings, console, io::stderr().is_terminal(), file);
    if tracing::subscriber::set_global_default(subscriber).is_ok()
        && let Some(error) = trouble
    {
        let path = settings.log_dir.join(&settings.log_filename);
        warn!(path = %path.display(), %error, "there is no log file");
    }
}

fn subscriber<W>(
    settings: &LoggingSettings,
    console: W,
    is_terminal: bool,
    file: Option<LogFile>,
) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let console = if is_json(settings.format, is_terminal) {
        json_layer(console).boxed()
    } else {
        let colour = is_terminal && settings.no_color.is_none();
        // Whoever reads the console may go. What cannot be written is lost, and nothing else is.
        tracing_subscriber::fmt::layer()
            .log_internal_errors(false)
            .with_ansi(colour)
            .with_writer(console)
            .boxed()
    };
    let file = file.map(|file| {
        let file = Mutex::new(file);
        if is_json(settings.format, false) {
            json_layer(file).boxed()
        } else {
            tracing_subscriber::fmt::layer()
                .log_internal_errors(false)
                .fmt_fields(FileFields::default())
                .with_ansi(false)
                .with_writer(file)
                .boxed()
        }
    });
    Registry::default().with(level(settings.default_level)).with(console).with(file)
}

fn json_layer<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .fmt_fields(JsonFields::new())
        .event_format(JsonLine)
        .with_writer(writer)
}

fn is_json(format: LogFormat, is_terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    }
}

/// The usual fields, as a type of their own. Layers keep what they formatted of a span by
/// this type; with the terminal's, its colours would turn up in the file.
#[derive(Debug, Default)]
struct FileFields(DefaultFields);

impl<'writer> FormatFields<'writer> for FileFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        writer: Writer<'writer>,
        fields: R,
    ) -> std::fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use tracing::{debug, info, info_span, subscriber::with_default};

    use super::*;
    use crate::settings::{LogRotation, Settings};

    #[derive(Clone, Default)]
    struct Console(Arc<Mutex<Vec<u8>>>);

    impl Console {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("UTF-8")
        }
    }

    impl io::Write for Console {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(variables: &[(&str, &str)], is_terminal: bool, emit: impl FnOnce()) -> String {
        let settings = Settings::from_vars(variables.iter().copied()).expect("valid settings");
        let console = Console::default();
        let make = {
            let console = console.clone();
            move || console.clone()
        };
        with_default(subscriber(&settings.logging, make, is_terminal, None), emit);
        console.text()
    }

    #[test]
    fn away_from_a_terminal_a_line_is_an_object() -> Result<(), serde_json::Error> {
        let text = logged(&[], false, || {
            let _span = info_span!("run", task = "t1", level = "high").entered();
            let _inner = info_span!("step", task = "t2", n = 1).entered();
            info!(n = 2, ok = true, error = %"a \"b\"", "done\nnow");
        });
        let (line, rest) = text.split_once('\n').expect("one line");
        assert_eq!(rest, "", "one line: {text}");
        assert!(line.starts_with(r#"{"ts":"2"#), "{line}");
        let mut object: serde_json::Value = serde_json::from_str(line)?;
        let ts = object["ts"].take();
        assert!(ts.as_str().is_some_and(|ts| ts.ends_with('Z')), "{ts}");
        assert_eq!(
            object,
            serde_json::json!({
                "ts": null, "level": "INFO", "target": module_path!(), "msg": "done\nnow",
                "task": "t2", "n": 2, "ok": true, "error": "a \"b\"", "_level": "high",
            })
        );
        Ok(())
    }

    #[test]
    fn the_form_follows_the_terminal_unless_it_is_set() {
        let emit = || info!("hello");
        for (variables, is_terminal, is_json, has_colour) in [
            (&[][..], true, false, true),
            (&[], false, true, false),
            (&[("NO_COLOR", "1")], true, false, false),
            (&[("LOG_FORMAT", "json")], true, true, false),
            (&[("LOG_FORMAT", "text")], false, false, false),
        ] {
            let text = logged(variables, is_terminal, emit);
            assert_eq!(text.starts_with('{'), is_json, "{variables:?}: {text}");
            assert_eq!(text.contains('\u{1b}'), has_colour, "{variables:?}: {text}");
            assert!(text.contains("hello"));
        }
    }

    #[test]
    fn the_level_is_the_setting() {
        let emit = || debug!("details");
        assert_eq!(logged(&[], true, emit), "");
        assert!(logged(&[("LOGGING__DEFAULT_LEVEL", "DEBUG")], true, emit).contains("details"));
        let all = || tracing::error!("trouble");
        assert_eq!(logged(&[("LOGGING__DEFAULT_LEVEL", "off")], true, all), "");
    }

    #[test]
    fn a_file_gets_the_lines_too_and_no_colours() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let mut settings = Settings::default().logging;
        settings.log_dir = dir.path().join("logs");
        settings.format = LogFormat::Text;
        settings.log_rotation = LogRotation::Never;
        let file = LogFile::open(&settings)?;
        let console = Console::default();
        let make = {
            let console = console.clone();
            move || console.clone()
        };
        with_default(subscriber(&settings, make, true, Some(file)), || {
            let _span = info_span!("run", task = "t1").entered();
            info!("hello");
        });
        let text = fs::read_to_string(settings.log_dir.join("bindu_server.log"))?;
        assert!(text.contains("hello") && text.contains("task"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(console.text().contains('\u{1b}'));
        Ok(())
    }

    #[test]
    fn a_second_start_and_a_hopeless_file_are_no_errors() -> Result<(), io::Error> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("taken"), "")?;
        let mut settings = Settings::default().logging;
        settings.file = true;
        settings.default_level = LogLevel::Off;
        settings.log_dir = dir.path().join("taken");
        assert!(LogFile::open(&settings).is_err(), "the directory is a file");
        init(&settings);
        init(&settings);
        Ok(())
    }
}
