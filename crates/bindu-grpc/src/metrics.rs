//! Counters of the sidecar, for Prometheus.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use tonic::Code;

use crate::calls::code_name;

/// The methods of `AgentHandler`, as labels.
pub(crate) const METHODS: [&str; 4] =
    ["HandleMessages", "HandleMessagesStream", "HealthCheck", "GetCapabilities"];
/// Seconds; a handler's limit is 30 unless it is set.
const BUCKETS: [f64; 9] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];

/// The counters of one sidecar: of all its agents, whose series carry the label `agent`.
///
/// | name | labels | counts |
/// |---|---|---|
/// | `bindu_grpc_server_requests_total` | method, code | calls that SDKs made |
/// | `bindu_grpc_handler_requests_total` | agent, method, code | calls to handlers that ended |
/// | `bindu_grpc_handler_duration_seconds` | agent, method | how long turns took |
/// | `bindu_grpc_handler_inflight` | agent | turns that run |
/// | `bindu_grpc_agents` | | agents that are registered |
/// | `bindu_grpc_instances` | agent, healthy | processes, `healthy` being `true` or `false` |
/// | `bindu_grpc_reconnects_total` | agent | connections made in the place of lost ones |
/// | `bindu_grpc_evictions_total` | | agents that were dropped because all processes are gone |
///
/// ```
/// use bindu_grpc::metrics::Metrics;
///
/// let metrics = Metrics::new();
/// metrics.set_agents(1);
/// let families = metrics.collect();
/// let agents = families.iter().find(|family| family.name() == "bindu_grpc_agents");
/// assert_eq!(agents.map(|family| family.get_metric()[0].get_gauge().get_value()), Some(1.0));
/// ```
pub struct Metrics {
    registry: Registry,
    served: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGaugeVec,
    agents: IntGauge,
    instances: IntGaugeVec,
    reconnects: IntCounterVec,
    evictions: IntCounter,
    /// How many hold the series of an agent. The last one takes them away.
    holders: Mutex<HashMap<Box<str>, usize>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Counters that stand at nothing.
    ///
    /// # Panics
    ///
    /// Never: names and labels are fixed, valid, and all different.
    #[must_use]
    pub fn new() -> Arc<Self> {
        fn add<C: Collector + Clone + 'static>(to: &Registry, family: prometheus::Result<C>) -> C {
            let family = family.expect("the name and the labels are valid");
            to.register(Box::new(family.clone())).expect("the names differ");
            family
        }
        let registry = Registry::new();
        let to = &registry;
        let durations =
            HistogramOpts::new("bindu_grpc_handler_duration_seconds", "How long turns took")
                .buckets(BUCKETS.to_vec());
        let opts = |name: &str, help: &str| Opts::new(format!("bindu_grpc_{name}"), help);
        let counters =
            |name, help, labels: &[&str]| add(to, IntCounterVec::new(opts(name, help), labels));
        let gauges =
            |name, help, labels: &[&str]| add(to, IntGaugeVec::new(opts(name, help), labels));
        Arc::new(Self {
            served: counters("server_requests_total", "Calls that SDKs made", &["method", "code"]),
            requests: counters(
                "handler_requests_total",
                "Calls to handlers that ended",
                &["agent", "method", "code"],
            ),
            durations: add(to, HistogramVec::new(durations, &["agent", "method"])),
            in_flight: gauges("handler_inflight", "Turns that run", &["agent"]),
            agents: add(to, IntGauge::with_opts(opts("agents", "Agents that are registered"))),
            instances: gauges("instances", "Processes of agents", &["agent", "healthy"]),
            reconnects: counters(
                "reconnects_total",
                "Connections made in the place of lost ones",
                &["agent"],
            ),
            evictions: add(
                to,
                IntCounter::with_opts(opts("evictions_total", "Agents dropped as dead")),
            ),
            holders: Mutex::default(),
            registry,
        })
    }

    /// Counts a call of an SDK. The method is one of a fixed set, not what a stranger wrote.
    pub fn served(&self, method: &'static str, code: Code) {
        self.served.with_label_values(&[method, code_name(code)]).inc();
    }

    /// Says how many agents are registered.
    pub fn set_agents(&self, count: usize) {
        self.agents.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts an agent that was dropped because all its processes are gone.
    pub fn evicted(&self) {
        self.evictions.inc();
    }

    /// Everything as it stands, to be encoded with other families into one page.
    #[must_use]
    pub fn collect(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// What concerns one agent, as it stands: its own series, and those that have no agent.
    #[must_use]
    pub fn collect_of(&self, agent: &str) -> Vec<MetricFamily> {
        let mut families = self.collect();
        for family in &mut families {
            family.mut_metric().retain(|metric| {
                let labels = metric.get_label();
                labels.iter().all(|label| label.name() != "agent" || label.value() == agent)
            });
        }
        families.retain(|family| !family.get_metric().is_empty());
        families
    }

    fn with_holders<T>(&self, act: impl FnOnce(&mut HashMap<Box<str>, usize>) -> T) -> T {
        act(&mut self.holders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn forget(&self, agent: &str) {
        self.with_holders(|holders| {
            match holders.get_mut(agent) {
                Some(count) if *count > 1 => {
                    *count -= 1;
                    return;
                }
                _ => holders.remove(agent),
            };
            // A series that was never made cannot be taken away, which is as well.
            for method in METHODS {
                _ = self.durations.remove_label_values(&[agent, method]);
                for code in (0..=16).map(Code::from_i32) {
                    _ = self.requests.remove_label_values(&[agent, method, code_name(code)]);
                }
            }
            for healthy in ["true", "false"] {
                _ = self.instances.remove_label_values(&[agent, healthy]);
            }
            _ = self.in_flight.remove_label_values(&[agent]);
            _ = self.reconnects.remove_label_values(&[agent]);
        });
    }
}

/// The series of one agent; they go when this is dropped.
pub(crate) struct AgentMetrics {
    metrics: Arc<Metrics>,
    agent: Box<str>,
    /// The series of every turn, found without a search.
    answered: [IntCounter; 2],
    took: [Histogram; 2],
    in_flight: IntGauge,
    reconnects: IntCounter,
    /// Healthy ones, and others.
    instances: [IntGauge; 2],
}

impl fmt::Debug for AgentMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentMetrics").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl AgentMetrics {
    pub(crate) fn new(metrics: &Arc<Metrics>, agent: &str) -> Self {
        metrics.with_holders(|holders| {
            *holders.entry(agent.into()).or_default() += 1;
            let turns = [METHODS[0], METHODS[1]];
            let ok = code_name(Code::Ok);
            let with = |healthy| metrics.instances.with_label_values(&[agent, healthy]);
            Self {
                answered: turns
                    .map(|method| metrics.requests.with_label_values(&[agent, method, ok])),
                took: turns.map(|method| metrics.durations.with_label_values(&[agent, method])),
                in_flight: metrics.in_flight.with_label_values(&[agent]),
                reconnects: metrics.reconnects.with_label_values(&[agent]),
                instances: [with("true"), with("false")],
                metrics: Arc::clone(metrics),
                agent: agent.into(),
            }
        })
    }

    pub(crate) fn reconnected(&self) {
        self.reconnects.inc();
    }

    pub(crate) fn set_instances(&self, healthy: usize, others: usize) {
        for (gauge, count) in self.instances.iter().zip([healthy, others]) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts a call that ended.
    pub(crate) fn ended(&self, method: &'static str, code: Code) {
        let turn = METHODS[..2].iter().position(|turn| *turn == method);
        match turn {
            Some(index) if code == Code::Ok => self.answered[index].inc(),
            _ => {
                let labels = [&*self.agent, method, code_name(code)];
                self.metrics.requests.with_label_values(&labels).inc();
            }
        }
    }
}

impl Drop for AgentMetrics {
    fn drop(&mut self) {
        self.metrics.forget(&self.agent);
    }
}

/// A turn that runs. What became of it is counted when this is dropped; a turn that is dropped
/// before was cancelled.
#[derive(Debug)]
pub(crate) struct Observed {
    of: Option<(Arc<AgentMetrics>, Instant)>,
    is_stream: bool,
    code: Code,
}

impl Observed {
    pub(crate) fn begin(metrics: Option<&Arc<AgentMetrics>>) -> Self {
        let begin = |metrics: &Arc<AgentMetrics>| {
            metrics.in_flight.inc();
            (Arc::clone(metrics), Instant::now())
        };
        Self { of: metrics.map(begin), is_stream: false, code: Code::Cancelled }
    }

    pub(crate) const fn is_stream(&mut self, is_stream: bool) {
        self.is_stream = is_stream;
    }

    pub(crate) const fn ended(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Some((metrics, began)) = &self.of {
            metrics.in_flight.dec();
            let turn = usize::from(self.is_stream);
            metrics.took[turn].observe(began.elapsed().as_secs_f64());
            metrics.ended(METHODS[turn], self.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_with(metrics: &Metrics, agent: &str) -> Vec<String> {
        let of_agent = |family: &MetricFamily| {
            family
                .get_metric()
                .iter()
                .any(|metric| metric.get_label().iter().any(|label| label.value() == agent))
        };
        let families = metrics.collect();
        families.iter().filter(|family| of_agent(family)).map(|f| f.name().into()).collect()
    }

    #[test]
    fn the_series_of_an_agent_go_with_its_last_holder() {
        let metrics = Metrics::new();
        let first = Arc::new(AgentMetrics::new(&metrics, "a"));
        let second = Arc::new(AgentMetrics::new(&metrics, "a"));
        let mut turn = Observed::begin(Some(&first));
        turn.ended(Code::Aborted);
        drop(turn);
        first.ended("HealthCheck", Code::Unavailable);
        assert_eq!(names_with(&metrics, "a").len(), 5);
        drop(first);
        assert_eq!(names_with(&metrics, "a").len(), 5);
        drop(second);
        assert_eq!(names_with(&metrics, "a"), Vec::<String>::new());
    }

    #[test]
    fn a_turn_that_is_dropped_was_cancelled() {
        let metrics = Metrics::new();
        let agent = Arc::new(AgentMetrics::new(&metrics, "a"));
        drop(Observed::begin(Some(&agent)));
        let labels = ["a", "HandleMessages", "CANCELLED"];
        assert_eq!(metrics.requests.with_label_values(&labels).get(), 1);
        assert_eq!(agent.in_flight.get(), 0);
    }
}
