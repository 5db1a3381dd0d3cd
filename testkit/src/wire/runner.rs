//! Runs transcripts and reports.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use regex::Regex;
use tokio::{task::JoinHandle, time};

use super::{
    diff::{Diff, short},
    http::{Answer, Base, Call},
    json::{Json, Style},
    pattern::Matcher,
    py_regex,
    receiver::{Receiver, Wanted},
    request,
    signature::{self, AgentKeys},
    template::{Env, expand, new_value},
    transcript::{self, Transcript},
};

/// Which transcripts to run, against whom and how strictly.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address of every agent by its name, and of what else transcripts need
    /// (`hydra`, `facilitator`): `http://host:port`.
    pub map: BTreeMap<String, String>,
    /// Takes a key in camelCase for the same key in `snake_case`.
    pub keys_either: bool,
    /// Runs only transcripts whose `area/name` this regular expression finds.
    pub only: Option<String>,
    /// Leaves out transcripts that carry one of these tags.
    pub skip_tags: Vec<String>,
    /// The longest wait for a connection, an answer or the next piece of one.
    pub timeout: Duration,
    /// The loopback port for webhooks; 0 is any. Agents that were started with a
    /// webhook of their own expect 9797, the default.
    pub webhook_port: u16,
    /// Writes the keys that a transcript does not know.
    pub warnings: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            keys_either: false,
            only: None,
            skip_tags: Vec::new(),
            timeout: Duration::from_secs(20),
            webhook_port: 9797,
            warnings: true,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Transcripts whose every answer fitted.
    pub passed: usize,
    /// Transcripts with an answer that did not fit, or with none.
    pub failed: usize,
    /// Transcripts left out: their tag was not wanted, or something they need has
    /// no address.
    pub skipped: usize,
    /// Every line that was written.
    pub lines: Vec<String>,
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path names nothing.
    #[error("no such file or folder: {}", .0.display())]
    NotFound(PathBuf),
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not JSON: {problem}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and at which byte.
        problem: String,
    },
    /// [`Options::only`] is no regular expression.
    #[error("{0}")]
    Only(String),
    /// The port for webhooks is taken.
    #[error("cannot receive webhooks on port {port}")]
    Receiver {
        /// The port asked for.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The report cannot be written.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
}

/// Replays transcripts one after the other.
#[derive(Debug)]
pub struct Runner {
    options: Options,
}

impl Runner {
    /// A runner with these options.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        for address in options.map.values_mut() {
            address.truncate(address.trim_end_matches('/').len());
        }
        Self { options }
    }

    /// Runs the transcripts in `paths`, files or folders, and writes a line for
    /// each to `out` as it ends, with what differs below it. The last line is
    /// `N passed, M failed`, with `, K skipped` if any were.
    ///
    /// Must be called within a tokio runtime that has its I/O and time enabled.
    ///
    /// # Errors
    ///
    /// [`Error`] if nothing can be run or the report cannot be written. A
    /// transcript that fails is no error: see [`Report::failed`].
    pub async fn run(
        &self,
        paths: &[PathBuf],
        out: &mut (dyn io::Write + Send),
    ) -> Result<Report, Error> {
        let only = self.options.only.as_deref().map(py_regex::search).transpose();
        let only = only.map_err(Error::Only)?;
        let transcripts = transcript::load(paths)?;
        let hooked = |one: &Transcript| one.json.to_text(Style::SEARCHED).contains("webhook");
        let receiver = if transcripts.iter().any(hooked) {
            let port = self.options.webhook_port;
            let started = Receiver::start(port).await;
            Some(started.map_err(|source| Error::Receiver { port, source })?)
        } else {
            None
        };
        let mut run = Run {
            options: &self.options,
            receiver: receiver.as_ref(),
            keys: AgentKeys::default(),
            out,
            report: Report::default(),
        };
        let result = run.all(&transcripts, only.as_ref()).await;
        let report = run.report;
        if let Some(receiver) = receiver {
            receiver.stop().await;
        }
        result.map(|()| report).map_err(Error::Write)
    }
}

struct Run<'a> {
    options: &'a Options,
    receiver: Option<&'a Receiver>,
    keys: AgentKeys,
    out: &'a mut (dyn io::Write + Send),
    report: Report,
}

/// What a step brought.
enum Got {
    /// A request was started and runs on.
    Nothing,
    /// An answer, and why `until` gave up on it.
    Answer(Answer, Option<String>),
    Webhooks(Json),
}

type Pending = HashMap<String, JoinHandle<Result<Answer, String>>>;

impl Run<'_> {
    async fn all(&mut self, transcripts: &[Transcript], only: Option<&Regex>) -> io::Result<()> {
        for one in transcripts {
            let title = one.title();
            if only.is_some_and(|only| !only.is_match(&title)) {
                continue;
            }
            let tags = one.tags();
            if self.options.skip_tags.iter().any(|tag| tags.contains(&tag.as_str())) {
                self.report.skipped += 1;
                continue;
            }
            let mut missing = one.needs();
            missing.retain(|name| !self.options.map.contains_key(*name));
            if !missing.is_empty() {
                self.report.skipped += 1;
                self.line(format!("SKIP {title} (no URL for {})", missing.join(", ")))?;
                continue;
            }
            let diff = self.transcript(one).await;
            if diff.errors.is_empty() {
                self.report.passed += 1;
                self.line(format!("PASS {title}"))?;
            } else {
                self.report.failed += 1;
                self.line(format!("FAIL {title} [{}]", one.file.display()))?;
                for error in diff.errors {
                    self.line(format!("     {error}"))?;
                }
            }
            if self.options.warnings {
                for warning in diff.warnings {
                    self.line(format!("     warning: {warning}"))?;
                }
            }
            self.out.flush()?;
        }
        let Report { passed, failed, skipped, .. } = self.report;
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        self.line(format!("{passed} passed, {failed} failed{skipped}"))?;
        self.out.flush()
    }

    fn line(&mut self, line: String) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.report.lines.push(line);
        Ok(())
    }

    /// Runs the steps up to the first that fails.
    async fn transcript(&mut self, one: &Transcript) -> Diff {
        let mut diff = Diff::default();
        let mut pending = Pending::new();
        match self.environment(one) {
            Ok(mut env) => {
                for (number, step) in (1..).zip(one.steps()) {
                    let mut label = format!("step {number}");
                    if let Some(name) = step.get_truthy("name") {
                        label = format!("{label} ({})", name.to_str());
                    }
                    let found = self.step(one.agent(), step, &mut env, &mut pending).await;
                    let found = found
                        .unwrap_or_else(|error| Diff { errors: vec![error], warnings: Vec::new() });
                    let over = !found.errors.is_empty();
                    diff.take(&label, &found);
                    if over {
                        break;
                    }
                }
            }
            Err(error) => diff.errors.push(error),
        }
        // A request that nobody joined still ends before the next transcript.
        for (_, started) in pending {
            let stop = started.abort_handle();
            if time::timeout(self.patience(), started).await.is_err() {
                stop.abort();
            }
        }
        diff
    }

    fn environment(&self, one: &Transcript) -> Result<Env, String> {
        let address = &self.options.map[one.agent()];
        let base = Base::parse(address)?;
        let webhook_url = self.receiver.map_or("", |receiver| &receiver.url);
        let port = base.port.map_or_else(|| "None".to_owned(), |port| port.to_string());
        let mut env = Env::from([
            ("base_url".to_owned(), Json::string(address)),
            ("webhook_url".to_owned(), Json::string(webhook_url)),
            ("host".to_owned(), Json::String(base.host)),
            ("port".to_owned(), Json::String(port)),
        ]);
        let declared = one.json.get_truthy("vars").and_then(Json::as_object).unwrap_or_default();
        for (name, value) in declared {
            let value = expand(&new_value(value)?, &env)?;
            env.insert(name.clone(), value);
        }
        Ok(env)
    }

    async fn step(
        &mut self,
        agent: &str,
        step: &Json,
        env: &mut Env,
        pending: &mut Pending,
    ) -> Result<Diff, String> {
        let got = self.perform(agent, step, env, pending).await?;
        let pattern = match &got {
            Got::Nothing => return Ok(Diff::default()),
            Got::Answer(..) => step.get("response").unwrap_or(&Json::Null),
            Got::Webhooks(_) => step.get("requests").unwrap_or(&Json::Null),
        };
        let pattern = expand(pattern, env)?;
        let agent_key = if signature::is_wanted(&pattern) {
            self.keys.of(&self.options.map[agent]).await
        } else {
            Err("the key was not asked for".to_owned())
        };
        let matcher = Matcher { keys_either: self.options.keys_either, agent_key: &agent_key };
        let mut diff = Diff::default();
        match got {
            Got::Nothing => {}
            Got::Webhooks(came) => {
                let pattern = if pattern == Json::Null { Json::Array(Vec::new()) } else { pattern };
                matcher.compare(&pattern, Some(&came), "webhooks", &mut diff);
            }
            Got::Answer(answer, given_up) => {
                diff.errors.extend(given_up);
                compare_answer(matcher, &pattern, &answer, &mut diff);
                capture(step, &answer, env, &mut diff);
            }
        }
        Ok(diff)
    }

    async fn perform(
        &self,
        agent: &str,
        step: &Json,
        env: &Env,
        pending: &mut Pending,
    ) -> Result<Got, String> {
        if let Some(wait) = step.get_truthy("wait_before") {
            time::sleep(seconds(Some(wait), 0.0)?).await;
        }
        if let Some(name) = step.get("join") {
            let name = name.to_str();
            let started = pending.remove(&name);
            let started = started.ok_or_else(|| format!("no request {name} was started"))?;
            let joined = time::timeout(self.patience(), started).await;
            let joined = joined.map_err(|_| format!("timed out joining {name}"))?;
            return Ok(Got::Answer(joined.map_err(|error| error.to_string())??, None));
        }
        if let Some(wanted) = step.get("webhooks") {
            return self.webhooks(&expand(wanted, env)?).await.map(Got::Webhooks);
        }
        let target = step.get("target").map_or_else(|| agent.to_owned(), Json::to_str);
        let base = self.options.map.get(&target);
        let base = base.ok_or_else(|| format!("no URL for {target}"))?;
        let call = request::build(step, base, env, SystemTime::now())?;
        let timeout = self.options.timeout;
        if let Some(name) = step.get_truthy("background") {
            pending.insert(name.to_str(), tokio::spawn(call.send(timeout)));
            return Ok(Got::Nothing);
        }
        match step.get_truthy("until") {
            None => Ok(Got::Answer(call.send(timeout).await?, None)),
            Some(until) => repeat(&call, until, timeout).await,
        }
    }

    async fn webhooks(&self, wanted: &Json) -> Result<Json, String> {
        let receiver = self.receiver.ok_or("no webhooks are received")?;
        let text = |key| wanted.get(key).and_then(Json::as_str);
        let wanted = Wanted {
            prefix: text("path").ok_or("webhooks names no path")?,
            count: wanted.get("count").and_then(Json::as_f64).ok_or("webhooks has no count")?,
            timeout: seconds(wanted.get("timeout"), 8.0)?,
            settle: seconds(wanted.get("settle"), 0.3)?,
            body_has: text("body_has"),
        };
        Ok(Json::Array(receiver.wait(&wanted).await))
    }

    /// How long a request in the background may take once it is waited for.
    fn patience(&self) -> Duration {
        self.options.timeout + Duration::from_secs(5)
    }
}

/// Sends the same request until a value in the answer is one of those wanted.
async fn repeat(call: &Call, until: &Json, timeout: Duration) -> Result<Got, String> {
    let path = until.get("path").ok_or("until names no path")?;
    let wanted = until.get("in").ok_or("until has no values")?;
    let interval = seconds(until.get("interval"), 0.1)?;
    let end = Instant::now() + seconds(until.get("timeout"), 15.0)?;
    loop {
        let answer = call.clone().send(timeout).await?;
        let value = answer.body.as_ref().and_then(|body| body.lookup(path));
        if value.is_some_and(|value| contains(wanted, value)) {
            return Ok(Got::Answer(answer, None));
        }
        if Instant::now() > end {
            let (path, wanted) = (path.to_str(), wanted.to_repr());
            let last = short(value);
            let given_up = format!("{path} never became one of {wanted}; last value {last}");
            return Ok(Got::Answer(answer, Some(given_up)));
        }
        time::sleep(interval).await;
    }
}

fn contains(wanted: &Json, value: &Json) -> bool {
    match (wanted, value) {
        (Json::Array(wanted), _) => wanted.iter().any(|wanted| wanted.equals(value)),
        (Json::String(wanted), Json::String(value)) => wanted.contains(value.as_str()),
        _ => false,
    }
}

fn seconds(value: Option<&Json>, default: f64) -> Result<Duration, String> {
    let seconds = match value {
        None => default,
        Some(value) => {
            value.as_f64().ok_or_else(|| format!("{} is no time", short(Some(value))))?
        }
    };
    Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|error| error.to_string())
}

fn compare_answer(matcher: Matcher<'_>, wanted: &Json, answer: &Answer, diff: &mut Diff) {
    if let Some(status) = wanted.get("status") {
        let got = Json::Int(answer.status.into());
        matcher.compare(status, Some(&got), "status", diff);
    }
    for (name, value) in wanted.get_truthy("headers").and_then(Json::as_object).unwrap_or_default()
    {
        let got = answer.header(name).map(Json::string);
        matcher.compare(value, got.as_ref(), &format!("header {name}"), diff);
    }
    let text = Json::string(answer.text.as_str());
    if let Some(body) = wanted.get("body") {
        match &answer.body {
            Some(got) => matcher.compare(body, Some(got), "body", diff),
            None => diff.errors.push(format!("body: expected JSON, got {}", short(Some(&text)))),
        }
    }
    if let Some(wanted) = wanted.get("text") {
        matcher.compare(wanted, Some(&text), "text", diff);
    }
    if let Some(sse) = wanted.get("sse") {
        if let Some(got) = &answer.sse {
            matcher.compare(sse, Some(got), "sse", diff);
        } else {
            let kind = answer.header("content-type").unwrap_or("None");
            let text = short(Some(&text));
            diff.errors.push(format!("sse: expected an event stream, got {kind} {text}"));
        }
    }
}

/// Keeps values of the answer as variables for the steps that follow.
fn capture(step: &Json, answer: &Answer, env: &mut Env, diff: &mut Diff) {
    for (name, path) in step.get_truthy("capture").and_then(Json::as_object).unwrap_or_default() {
        match answer.body.as_ref().and_then(|body| body.lookup(path)) {
            Some(value) => {
                env.insert(name.clone(), value.clone());
            }
            None => {
                diff.errors.push(format!("capture {name}: nothing at {}", path.to_str()));
            }
        }
    }
}
