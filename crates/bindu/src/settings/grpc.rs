//! The gRPC server for SDKs, and how they are called.

use std::{path::PathBuf, time::Duration};

use super::{Secret, section::section, value::Value};

/// When an agent none of whose SDKs answers is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// After six looks at whether an SDK is alive.
    SixLooks,
    /// After so long.
    After(Duration),
    /// Never.
    Never,
}

impl Value for Eviction {
    const ALLOWED: &'static str = "a time: seconds (`30`) or with a unit (`5m`); `0` for never";

    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => Some(Self::SixLooks),
            text => Duration::parse(text).map(|time| match time {
                Duration::ZERO => Self::Never,
                time => Self::After(time),
            }),
        }
    }
}

section! {
    /// The gRPC server for SDKs, and how their handlers are called.
    pub struct GrpcSettings {
        /// Whether an agent's process serves SDKs too; `bindu serve --grpc` always does.
        pub enabled: bool = ["GRPC__ENABLED"] default "false";
        /// The host or address to listen on. `0.0.0.0` and `::` are both families.
        pub host: String = ["GRPC__HOST"] default "0.0.0.0" nonzero;
        /// The port to listen on.
        pub port: u16 = ["GRPC__PORT"] default "3774";
        /// Registrations that are worked on at once; more wait.
        pub max_workers: usize = ["GRPC__MAX_WORKERS"] default "10" nonzero;
        /// The largest message that is taken or sent, in bytes, by either side.
        pub max_message_length: usize = ["GRPC__MAX_MESSAGE_LENGTH"] default "4194304" nonzero;
        /// How long a handler may take; of a stream, how long until its next piece.
        pub handler_timeout: Duration = ["GRPC__HANDLER_TIMEOUT"] default "30.0" nonzero;
        /// The time between two looks at whether an SDK is alive.
        pub health_check_interval: Duration =
            ["GRPC__HEALTH_CHECK_INTERVAL"] default "30" nonzero;
        /// An agent none of whose SDKs answers is given up after so long; 0 for never. Six of the
        /// intervals if it is not set.
        pub evict_after: Eviction = ["GRPC__EVICT_AFTER"] default "";
        /// How long a call that was never sent is tried again; 0 for not at all.
        pub reconnect_window: Duration = ["GRPC__RECONNECT_WINDOW"] default "10";
        /// Connections to one SDK process, at most.
        pub channels: usize = ["GRPC__CHANNELS"] default "4" nonzero;
        /// What SDKs must show to register, as `authorization: Bearer …`.
        pub auth_token: Option<Secret> = ["GRPC__AUTH_TOKEN"] default "";
        /// The certificate chain to serve SDKs with, a PEM file. With it goes `GRPC__TLS_KEY`.
        pub tls_cert: Option<PathBuf> = ["GRPC__TLS_CERT"] default "";
        /// The key of the certificate, a PEM file.
        pub tls_key: Option<PathBuf> = ["GRPC__TLS_KEY"] default "";
        /// Roots that vouch for SDKs, a PEM file. With it, SDKs must show a certificate, unless
        /// `MTLS__REQUIRE_CLIENT_CERT` is false.
        pub tls_ca: Option<PathBuf> = ["GRPC__TLS_CA"] default "";
        /// A core that had agents and has none any more, and whose parent is gone, ends after so
        /// long; 0 for never.
        pub orphan_exit: Duration = ["GRPC__ORPHAN_EXIT"] default "60";
    }
}

impl GrpcSettings {
    /// How long an agent none of whose SDKs answers is kept; `None` for ever.
    #[must_use]
    pub fn eviction(&self) -> Option<Duration> {
        match self.evict_after {
            Eviction::SixLooks => Some(self.health_check_interval * 6),
            Eviction::After(time) => Some(time),
            Eviction::Never => None,
        }
    }
}
