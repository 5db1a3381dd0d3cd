//! Counters of the agent's certificate, and of who was refused.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{GaugeVec, IntCounterVec};

use super::family::Families;

pub(super) struct Door {
    not_after: GaugeVec,
    renewals: GaugeVec,
    denied: IntCounterVec,
}

impl Door {
    pub(super) fn new(new: &Families<'_>) -> Self {
        Self {
            not_after: new.gauges(
                "bindu_tls_cert_not_after_seconds",
                "When the agent's certificate ends, in seconds since 1970",
                &["agent_id"],
            ),
            renewals: new.gauges(
                "bindu_tls_cert_renewals",
                "Attempts to renew the agent's certificate since its start",
                &["agent_id", "result"],
            ),
            denied: new.counters(
                "bindu_auth_denied_total",
                "Requests refused because of who sent them",
                &["agent_id", "reason"],
            ),
        }
    }

    pub(super) fn certificate(
        &self,
        agent: &str,
        not_after: SystemTime,
        renewals: u64,
        failures: u64,
    ) {
        #[expect(clippy::cast_precision_loss, reason = "nobody renews 2^53 times")]
        let float = |count: u64| count as f64;
        let ends = not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.not_after.with_label_values(&[agent]).set(ends.as_secs_f64());
        for (result, count) in [("ok", renewals), ("failed", failures)] {
            self.renewals.with_label_values(&[agent, result]).set(float(count));
        }
    }

    pub(super) fn denied(&self, agent: &str, reason: &'static str) {
        self.denied.with_label_values(&[agent, reason]).inc();
    }
}
