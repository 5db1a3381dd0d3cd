//! Families of series, registered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily, MetricType, Summary};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
};

/// Makes families and registers them. The names below are fixed, valid and all different, so that
/// nothing here can fail.
pub(super) struct Families<'a>(pub(super) &'a Registry);

impl Families<'_> {
    fn add<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("the name and the labels are valid");
        self.0.register(Box::new(family.clone())).expect("the names differ");
        family
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }

    pub(super) fn size(&self, name: &str, help: &str) -> Size {
        let desc = Desc::new(name.into(), help.into(), Vec::new(), HashMap::new());
        self.add(desc.map(|desc| Size {
            desc: Arc::new(desc),
            count: Arc::default(),
            sum: Arc::default(),
        }))
    }
}

/// A count and a sum, shown as a summary without quantiles.
#[derive(Clone)]
pub(super) struct Size {
    desc: Arc<Desc>,
    count: Arc<AtomicU64>,
    sum: Arc<AtomicU64>,
}

impl Size {
    pub(super) fn observe(&self, bytes: Option<u64>) {
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
