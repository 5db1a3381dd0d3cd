//! Where an agent listens, what it advertises, and what it lets in.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use super::section::section;

section! {
    /// Where an agent listens and what it calls itself, whatever its configuration says.
    pub struct DeploymentSettings {
        /// The URL that the agent card advertises, in place of `deployment.url`.
        pub public_url: Option<String> = ["BINDU_DEPLOYMENT_URL", "BINDU_PUBLIC_URL"] default "";
        /// The host or address to listen on.
        pub host: Option<String> = ["BINDU_HOST", "HOST"] default "";
        /// The port to listen on; 0 takes any free one.
        pub port: Option<u16> = ["BINDU_PORT", "PORT"] default "";
        /// Writes the agent's name and directory to this file and starts nothing; for `bindu deploy`.
        pub capture: Option<PathBuf> = ["BINDU_DEPLOY_CAPTURE"] default "";
    }
}

section! {
    /// What holds where neither the configuration nor `BINDU_HOST` and `BINDU_PORT` say.
    pub struct NetworkSettings {
        /// The host to listen on.
        pub default_host: String = ["NETWORK__DEFAULT_HOST"] default "localhost" nonzero;
        /// The port to listen on.
        pub default_port: u16 = ["NETWORK__DEFAULT_PORT"] default "3773";
    }
}

section! {
    /// How much a caller may ask of this process.
    pub struct LimitSettings {
        /// The largest body of a request, in bytes; a larger one is refused while it is read.
        pub max_body_bytes: usize = ["LIMITS__MAX_BODY_BYTES"] default "10485760" nonzero;
        /// The largest head of a request, in bytes.
        pub max_header_bytes: usize = ["LIMITS__MAX_HEADER_BYTES"] default "65536" nonzero;
        /// Connections served at one time.
        pub max_connections: usize = ["LIMITS__MAX_CONNECTIONS"] default "10000" nonzero;
        /// How long the head of a request may take to arrive.
        pub header_timeout: Duration = ["LIMITS__HEADER_TIMEOUT"] default "10s" nonzero;
        /// How long a connection may stay open without a request.
        pub idle_timeout: Duration = ["LIMITS__IDLE_TIMEOUT"] default "75s" nonzero;
        /// Events that a slow reader of a stream may lag behind before it is cut off and
        /// told to resume.
        pub stream_backlog: usize = ["LIMITS__STREAM_BACKLOG"] default "1024" nonzero;
        /// The most entries that one answer to a list request holds.
        pub max_page: usize = ["LIMITS__MAX_PAGE"] default "1000" nonzero;
        /// Requests per second that one caller may make; 0 sets no limit.
        pub per_caller_rps: Option<NonZeroU32> = ["LIMITS__PER_CALLER_RPS"] default "0";
        /// Tasks that one caller may have unfinished at one time; 0 sets no limit.
        pub per_caller_inflight: Option<NonZeroU32> = ["LIMITS__PER_CALLER_INFLIGHT"] default "0";
    }
}
