//! What is reported about the agent, and switches of what this build lacks.

use std::{collections::BTreeMap, time::Duration};

use super::{Secret, section::section};

section! {
    /// Where traces go, unless the configuration says so. The names are spelled `OLTP_`, as
    /// the Python reference has them; `OTLP_` is read too.
    pub struct TelemetrySettings {
        /// Whether traces are reported at all.
        pub enabled: bool = ["TELEMETRY_ENABLED"] default "true";
        /// The collector; `env:NAME` takes it from another variable.
        pub endpoint: Option<String> = ["OLTP_ENDPOINT", "OTLP_ENDPOINT"] default "";
        /// The name that the agent reports under; its own if it is not set.
        pub service_name: Option<String> = ["OLTP_SERVICE_NAME", "OTLP_SERVICE_NAME"] default "";
        /// Headers to send along, a JSON object.
        pub headers: BTreeMap<String, Secret> = ["OLTP_HEADERS", "OTLP_HEADERS"] default "{}";
        /// Whether reporting is itself logged.
        pub verbose_logging: bool =
            ["OLTP_VERBOSE_LOGGING", "OTLP_VERBOSE_LOGGING"] default "false";
        /// The version to report.
        pub service_version: String =
            ["OLTP_SERVICE_VERSION", "OTLP_SERVICE_VERSION"] default "1.0.0";
        /// The environment to report.
        pub deployment_environment: String =
            ["OLTP_DEPLOYMENT_ENVIRONMENT", "OTLP_DEPLOYMENT_ENVIRONMENT"] default "production";
        /// Spans that may wait to be sent.
        pub batch_max_queue_size: usize =
            ["OLTP_BATCH_MAX_QUEUE_SIZE", "OTLP_BATCH_MAX_QUEUE_SIZE"] default "2048" nonzero;
        /// Milliseconds between two sendings.
        pub batch_schedule_delay_millis: u64 =
            ["OLTP_BATCH_SCHEDULE_DELAY_MILLIS", "OTLP_BATCH_SCHEDULE_DELAY_MILLIS"]
            default "5000" nonzero;
        /// Spans sent at once.
        pub batch_max_export_batch_size: usize =
            ["OLTP_BATCH_MAX_EXPORT_BATCH_SIZE", "OTLP_BATCH_MAX_EXPORT_BATCH_SIZE"]
            default "512" nonzero;
        /// Milliseconds that one sending may take.
        pub batch_export_timeout_millis: u64 =
            ["OLTP_BATCH_EXPORT_TIMEOUT_MILLIS", "OTLP_BATCH_EXPORT_TIMEOUT_MILLIS"]
            default "30000" nonzero;
    }
}

impl TelemetrySettings {
    /// The time between two sendings.
    #[must_use]
    pub fn batch_schedule_delay(&self) -> Duration {
        Duration::from_millis(self.batch_schedule_delay_millis)
    }

    /// How long one sending may take.
    #[must_use]
    pub fn batch_export_timeout(&self) -> Duration {
        Duration::from_millis(self.batch_export_timeout_millis)
    }
}

section! {
    /// Switches of capabilities that this build does not have. Where leaving one out would
    /// make the agent less safe than its operator believes, switching it on is an error.
    pub struct SwitchSettings {
        /// Keys kept in Vault.
        pub vault: bool = ["VAULT__ENABLED"] default "false";
        /// Errors reported to Sentry.
        pub sentry: bool = ["SENTRY__ENABLED", "SENTRY_ENABLED"] default "false";
    }
}
