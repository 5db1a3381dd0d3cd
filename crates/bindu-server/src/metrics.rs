//! Counters, in the Prometheus text format.
//!
//! Nothing is global: each agent of a process counts for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bindu_protocol::TaskState;
use bindu_tasks::{Observer, Tasks};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily, MetricType, Summary};
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use crate::Workers;
use crate::routes::{ROUTES, UNMATCHED};

/// An agent's counters. Also what the engine below is told to report to.
pub struct Metrics {
    registry: Registry,
    agent: String,
    requests: IntCounterVec,
    latency: Histogram,
    request_size: Size,
    response_size: Size,
    in_flight: IntGauge,
    active: GaugeVec,
    tasks: GaugeVec,
    completed: IntCounterVec,
    duration: HistogramVec,
    errors: IntCounterVec,
    busy: Gauge,
    capacity: Gauge,
    utilization: Gauge,
    depth: GaugeVec,
    oldest: GaugeVec,
    storage: HistogramVec,
    deliveries: IntCounterVec,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// A count and a sum, shown as a summary without quantiles.
#[derive(Clone)]
struct Size {
    desc: Arc<Desc>,
    count: Arc<AtomicU64>,
    sum: Arc<AtomicU64>,
}

impl Size {
    fn observe(&self, bytes: Option<u64>) {
        if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Collector for Size {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let count = self.count.load(Ordering::Relaxed);
        if count == 0 {
            return Vec::new();
        }
        let mut summary = Summary::default();
        summary.set_sample_count(count);
        #[expect(clippy::cast_precision_loss, reason = "a sum beyond 2^53 bytes may be rounded")]
        summary.set_sample_sum(self.sum.load(Ordering::Relaxed) as f64);
        let mut metric = Metric::default();
        metric.set_summary(summary);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// Registers what the function makes; names are fixed and differ, so it cannot fail.
macro_rules! registered {
    ($registry:expr, $metric:expr) => {{
        let metric = $metric.expect("the name and the labels are valid");
        $registry.register(Box::new(metric.clone())).expect("the names differ");
        metric
    }};
}

impl Metrics {
    /// Counters of the agent of this DID or name.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "only if two names below were the same")]
    pub fn new(agent: impl Into<String>) -> Arc<Self> {
        let r = Registry::new();
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let size = |name: &str, help: &str| {
            let desc =
                Desc::new(name.into(), help.into(), Vec::new(), std::collections::HashMap::new());
            desc.map(|desc| Size {
                desc: Arc::new(desc),
                count: Arc::default(),
                sum: Arc::default(),
            })
        };
        let agent_label = &["agent_id"];
        let metrics = Self {
            requests: registered!(
                r,
                IntCounterVec::new(
                    opts("http_requests_total", "Requests answered"),
                    &["method", "endpoint", "status"],
                )
            ),
            latency: registered!(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "http_request_duration_seconds",
                        "Time until the head of the answer",
                    )
                    .buckets(vec![0.001, 0.01, 0.1, 0.5, 1.0]),
                )
            ),
            request_size: registered!(r, size("http_request_size_bytes", "Bodies of requests")),
            response_size: registered!(r, size("http_response_size_bytes", "Bodies of answers")),
            in_flight: registered!(
                r,
                IntGauge::new("http_requests_in_flight", "Requests being answered")
            ),
            active: registered!(
                r,
                GaugeVec::new(
                    opts("agent_tasks_active", "Tasks submitted, working or waiting for input"),
                    agent_label,
                )
            ),
            tasks: registered!(
                r,
                GaugeVec::new(opts("agent_tasks", "Tasks in each state"), &["agent_id", "state"])
            ),
            completed: registered!(
                r,
                IntCounterVec::new(
                    opts("agent_tasks_completed_total", "Tasks that ended"),
                    &["agent_id", "status"],
                )
            ),
            duration: registered!(
                r,
                HistogramVec::new(
                    HistogramOpts::new("task_duration_seconds", "From submission to the end")
                        .buckets(vec![1.0, 5.0, 10.0, 30.0, 60.0]),
                    &["agent_id", "status"],
                )
            ),
            errors: registered!(
                r,
                IntCounterVec::new(
                    opts("agent_errors_total", "Failures by kind"),
                    &["agent_id", "error_type"],
                )
            ),
            busy: registered!(r, Gauge::new("bindu_worker_busy", "Tasks being run")),
            capacity: registered!(r, Gauge::new("bindu_worker_capacity", "Tasks that fit at once")),
            utilization: registered!(
                r,
                Gauge::new("bindu_worker_utilization", "Busy over capacity, 0 to 1")
            ),
            depth: registered!(
                r,
                GaugeVec::new(
                    opts("bindu_queue_depth", "Jobs that wait"),
                    &["agent_id", "backend"]
                )
            ),
            oldest: registered!(
                r,
                GaugeVec::new(
                    opts("bindu_queue_oldest_seconds", "How long the oldest job has waited"),
                    &["agent_id", "backend"],
                )
            ),
            storage: registered!(
                r,
                HistogramVec::new(
                    HistogramOpts::new(
                        "bindu_storage_operation_duration_seconds",
                        "Time that calls on the store took",
                    )
                    .buckets(vec![0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0]),
                    &["operation", "result"],
                )
            ),
            deliveries: registered!(
                r,
                IntCounterVec::new(
                    opts("bindu_webhook_deliveries_total", "Attempts to tell a webhook"),
                    &["result"],
                )
            ),
            agent: agent.into(),
            registry: r,
        };
        // So that the name is there before the first request has been answered.
        metrics.requests.with_label_values(&["GET", "/health", "200"]);
        Arc::new(metrics)
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
        let endpoint = route.map_or(UNMATCHED, |index| ROUTES[index].path);
        let mut digits = [0; 3];
        for (digit, place) in digits.iter_mut().zip([100, 10, 1]) {
            *digit = b'0' + u8::try_from(status / place % 10).unwrap_or(0);
        }
        let status = std::str::from_utf8(&digits).unwrap_or_default();
        self.requests.with_label_values(&[method, endpoint, status]).inc();
        self.latency.observe(took.as_secs_f64());
        self.response_size.observe(size);
    }

    pub(crate) fn request_gone(&self, answered: bool) {
        self.in_flight.dec();
        if !answered {
            tracing::trace!("a caller left before the answer");
        }
    }

    /// Everything, in the text format of version 0.0.4; what is read elsewhere is read first.
    pub(crate) async fn render(&self, tasks: &Tasks, workers: &dyn Workers) -> Vec<u8> {
        self.read_tasks(tasks).await;
        #[expect(clippy::cast_precision_loss, reason = "nobody runs 2^53 tasks at once")]
        let (busy, capacity) = (workers.busy() as f64, workers.capacity() as f64);
        self.busy.set(busy);
        self.capacity.set(capacity);
        self.utilization.set(if capacity > 0.0 { busy / capacity } else { 0.0 });
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the counters cannot be written");
        }
        text
    }

    /// Reads the gauges of the store and the queue; what cannot be read stays as it was.
    async fn read_tasks(&self, tasks: &Tasks) {
        #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may be rounded")]
        let float = |count: u64| count as f64;
        if let Ok(counts) = tasks.storage().count().await {
            self.tasks.reset();
            let mut active = 0;
            for (state, count) in counts {
                self.tasks
                    .with_label_values(&[self.agent.as_str(), state.as_str()])
                    .set(float(count));
                if matches!(
                    state,
                    TaskState::Submitted | TaskState::Working | TaskState::InputRequired
                ) {
                    active += count;
                }
            }
            self.active.with_label_values(&[&self.agent]).set(float(active));
        }
        if let Ok(depth) = tasks.scheduler().depth().await {
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
            TaskState::Completed => "success",
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
        let result = if ok { "ok" } else { "refused" };
        self.storage.with_label_values(&[operation, result]).observe(took.as_secs_f64());
    }

    fn delivered(&self, result: &'static str) {
        self.deliveries.with_label_values(&[result]).inc();
    }
}
