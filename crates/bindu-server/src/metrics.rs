//! Counters, in the Prometheus text format.
//!
//! Nothing is global: each agent of a process counts for itself.

mod door;
mod family;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bindu_protocol::TaskState;
use bindu_tasks::{Observer, Tasks};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry,
    TextEncoder,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::door::Door;
use self::family::{Families, Size};
use crate::Workers;
use crate::routes::{ROUTES, UNMATCHED};

/// How long the counts of a database may be shown before they are read again, and how long reading
/// them may take.
const READ_AGAIN: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Calls on the store that every task makes.
const OPERATIONS: [&str; 3] = ["load", "commit", "events"];

/// An agent's counters. Also what the engine below is told to report to.
pub struct Metrics {
    registry: Registry,
    agent: String,
    backend: &'static str,
    requests: IntCounterVec,
    /// The series of `POST` answered with 200, by route: the busiest, found without a search.
    posts: Vec<Option<IntCounter>>,
    latency: Histogram,
    request_size: Size,
    response_size: Size,
    in_flight: IntGauge,
    active: GaugeVec,
    tasks: GaugeVec,
    completed: IntCounterVec,
    succeeded: IntCounter,
    duration: HistogramVec,
    succeeded_duration: Histogram,
    errors: IntCounterVec,
    busy: GaugeVec,
    capacity: GaugeVec,
    utilization: GaugeVec,
    /// When the gauges of the store and the queue were read last.
    read: Mutex<Option<Instant>>,
    recovered: IntCounterVec,
    given_up: IntCounterVec,
    depth: GaugeVec,
    oldest: GaugeVec,
    storage: HistogramVec,
    /// The series of [`OPERATIONS`] that went well, likewise.
    stored: [Histogram; 3],
    deliveries: IntCounterVec,
    pending: GaugeVec,
    door: Door,
    /// Counters of others, shown on the same page.
    others: std::sync::Mutex<Vec<Others>>,
}

/// Counts something of its own, and shows it as it stands.
type Others = Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Counters of the agent of this DID or name, whose store has this name.
    #[must_use]
    pub fn new(agent: impl Into<String>, backend: &'static str) -> Arc<Self> {
        let agent = agent.into();
        let registry = Registry::new();
        let new = Families(&registry);
        let requests = new.counters(
            "http_requests_total",
            "Requests answered",
            &["method", "endpoint", "status"],
        );
        // Also so that the name is there before the first request has been answered.
        let post = |entry: &crate::routes::Entry| {
            let is_posted = entry.methods.contains(&http::Method::POST);
            is_posted.then(|| requests.with_label_values(&["POST", entry.path, "200"]))
        };
        let completed = new.counters(
            "agent_tasks_completed_total",
            "Tasks that ended",
            &["agent_id", "status"],
        );
        let duration = new.histograms(
            "task_duration_seconds",
            "From submission to the end",
            &[1.0, 5.0, 10.0, 30.0, 60.0],
            &["agent_id", "status"],
        );
        let storage = new.histograms(
            "bindu_storage_operation_duration_seconds",
            "Time that calls on the store took",
            &[0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0],
            &["backend", "operation", "result"],
        );
        let queue = &["agent_id", "backend"];
        let own = &["agent_id"];
        let metrics = Self {
            posts: ROUTES.iter().map(post).collect(),
            latency: new.histogram(
                "http_request_duration_seconds",
                "Time until the head of the answer",
                &[0.001, 0.01, 0.1, 0.5, 1.0],
            ),
            request_size: new.size("http_request_size_bytes", "Bodies of requests"),
            response_size: new.size("http_response_size_bytes", "Bodies of answers"),
            in_flight: new.gauge("http_requests_in_flight", "Requests being answered"),
            active: new.gauges(
                "agent_tasks_active",
                "Tasks submitted, working or waiting for input",
                own,
            ),
            tasks: new.gauges("agent_tasks", "Tasks in each state", &["agent_id", "state"]),
            succeeded: completed.with_label_values(&[agent.as_str(), "success"]),
            succeeded_duration: duration.with_label_values(&[agent.as_str(), "success"]),
            errors: new.counters(
                "agent_errors_total",
                "Failures by kind",
                &["agent_id", "error_type"],
            ),
            busy: new.gauges("bindu_worker_busy", "Tasks being run", own),
            capacity: new.gauges("bindu_worker_capacity", "Tasks that fit at once", own),
            utilization: new.gauges("bindu_worker_utilization", "Busy over capacity", own),
            read: Mutex::default(),
            depth: new.gauges("bindu_queue_depth", "Jobs that wait", queue),
            oldest: new.gauges(
                "bindu_queue_oldest_seconds",
                "How long the oldest job has waited",
                queue,
            ),
            stored: OPERATIONS
                .map(|operation| storage.with_label_values(&[backend, operation, "ok"])),
            deliveries: new.counters(
                "bindu_webhook_deliveries_total",
                "Attempts to tell a webhook",
                &["result"],
            ),
            recovered: new.counters(
                "bindu_tasks_recovered_total",
                "Tasks that were run again after their run was lost",
                own,
            ),
            given_up: new.counters(
                "bindu_tasks_dead_lettered_total",
                "Tasks that were failed because nobody will run them",
                own,
            ),
            pending: new.gauges(
                "bindu_webhook_outbox_depth",
                "Webhooks of tasks that are still to be told",
                own,
            ),
            door: Door::new(&new),
            others: std::sync::Mutex::default(),
            requests,
            completed,
            duration,
            storage,
            backend,
            agent,
            registry,
        };
        // Shown from the start: a counter that appears with its first event hides that event.
        metrics.recovered.with_label_values(&[&metrics.agent]);
        metrics.given_up.with_label_values(&[&metrics.agent]);
        Arc::new(metrics)
    }

    /// Shows somebody else's counters on the same page, such as those of a part of the program that
    /// the server knows nothing of. Their names must differ from ours and from each other's.
    pub fn also_show(&self, others: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(others));
    }

    /// Tells of the agent's certificate: when it ends, and how often it was renewed, or was not, since
    /// the start. An agent without one is never told of it.
    pub fn certificate(&self, not_after: SystemTime, renewals: u64, failures: u64) {
        self.door.certificate(&self.agent, not_after, renewals, failures);
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        self.door.denied(&self.agent, reason);
    }

    pub(crate) fn request_began(&self, size: Option<u64>) {
        self.in_flight.inc();
        self.request_size.observe(size);
    }

    pub(crate) fn request_ended(
        &self,
        method: &'static str,
        route: Option<usize>,
        status: u16,
        took: Duration,
        size: Option<u64>,
    ) {
        let busiest = match (method, route, status) {
            ("POST", Some(index), 200) => self.posts[index].as_ref(),
            _ => None,
        };
        if let Some(series) = busiest {
            series.inc();
        } else {
            let endpoint = route.map_or(UNMATCHED, |index| ROUTES[index].path);
            let status = status.to_string();
            self.requests.with_label_values(&[method, endpoint, &status]).inc();
        }
        self.latency.observe(took.as_secs_f64());
        self.response_size.observe(size);
    }

    pub(crate) fn request_gone(&self) {
        self.in_flight.dec();
    }

    /// Everything, in the text format of version 0.0.4; what is read elsewhere is read first.
    pub(crate) async fn render(&self, tasks: &Tasks, workers: &dyn Workers) -> Vec<u8> {
        self.read_tasks(tasks).await;
        let own = [self.agent.as_str()];
        #[expect(clippy::cast_precision_loss, reason = "nobody runs 2^53 tasks at once")]
        let float = |count: usize| count as f64;
        let (busy, capacity) = (float(workers.busy()), float(workers.capacity()));
        self.busy.with_label_values(&own).set(busy);
        self.capacity.with_label_values(&own).set(capacity);
        let utilization = if capacity > 0.0 { busy / capacity } else { 0.0 };
        self.utilization.with_label_values(&own).set(utilization);
        self.pending.with_label_values(&own).set(float(tasks.pending_webhooks()));
        let mut text = Vec::new();
        let mut families = self.registry.gather();
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        families.extend(others.iter().flat_map(|others| others()));
        drop(others);
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!(%error, "the counters cannot be written");
        }
        text
    }

    /// Reads the gauges of the store and the queue; what cannot be read stays as it was.
    async fn read_tasks(&self, tasks: &Tasks) {
        #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may be rounded")]
        let float = |count: u64| count as f64;
        let (counts, depth) = {
            let mut last = self.read.lock().await;
            // A database is not asked at every look; memory costs nothing.
            if !tasks.is_volatile() && last.is_some_and(|last| last.elapsed() < READ_AGAIN) {
                return;
            }
            let read = tokio::join!(
                timeout(READ_TIMEOUT, tasks.storage().count()),
                timeout(READ_TIMEOUT, tasks.scheduler().depth()),
            );
            *last = Some(Instant::now());
            read
        };
        if let Ok(Ok(counts)) = counts {
            self.tasks.reset();
            let mut active = 0;
            for (state, count) in counts {
                let labels = [self.agent.as_str(), state.as_str()];
                self.tasks.with_label_values(&labels).set(float(count));
                if matches!(
                    state,
                    TaskState::Submitted | TaskState::Working | TaskState::InputRequired
                ) {
                    active += count;
                }
            }
            self.active.with_label_values(&[&self.agent]).set(float(active));
        }
        if let Ok(Ok(depth)) = depth {
            let labels = [self.agent.as_str(), tasks.scheduler().name()];
            self.depth.with_label_values(&labels).set(float(depth.waiting));
            let oldest = depth.oldest.unwrap_or_default().as_secs_f64();
            self.oldest.with_label_values(&labels).set(oldest);
        }
    }
}

impl Observer for Metrics {
    fn task_ended(&self, state: TaskState, after: Duration) {
        let status = match state {
            TaskState::Completed => {
                self.succeeded.inc();
                self.succeeded_duration.observe(after.as_secs_f64());
                return;
            }
            TaskState::Canceled => "canceled",
            _ => "failed",
        };
        let labels = [self.agent.as_str(), status];
        self.completed.with_label_values(&labels).inc();
        self.duration.with_label_values(&labels).observe(after.as_secs_f64());
        if status == "failed" {
            self.errors.with_label_values(&[self.agent.as_str(), state.as_str()]).inc();
        }
    }

    fn stored(&self, operation: &'static str, took: Duration, ok: bool) {
        let took = took.as_secs_f64();
        match OPERATIONS.iter().position(|known| *known == operation) {
            Some(index) if ok => self.stored[index].observe(took),
            _ => {
                let labels = [self.backend, operation, if ok { "ok" } else { "refused" }];
                self.storage.with_label_values(&labels).observe(took);
            }
        }
    }

    fn recovered(&self) {
        self.recovered.with_label_values(&[&self.agent]).inc();
    }

    fn given_up(&self) {
        self.given_up.with_label_values(&[&self.agent]).inc();
    }

    fn delivered(&self, result: &'static str) {
        self.deliveries.with_label_values(&[result]).inc();
    }
}
