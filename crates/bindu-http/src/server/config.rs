use std::time::Duration;

/// The limits of a [`Server`](super::Server).
///
/// ```
/// # use bindu_http::server::Config;
/// let config = Config { max_connections: 100, ..Config::default() };
/// assert_eq!(config.max_headers, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections served at one time. Beyond it none is accepted until one ends:
    /// callers wait in the kernel's queue (see [`backlog`](Self::backlog)) rather than
    /// get an error they would only answer with another attempt. Default 10,000.
    pub max_connections: usize,
    /// Connections the kernel keeps waiting for us to accept. Default 1024.
    pub backlog: u32,
    /// How long a request's head may take from its first byte, and how long a new
    /// connection may take to its first request, TLS included. Default 10 s.
    pub header_read_timeout: Duration,
    /// How long a connection may stay open without a request in flight. Default 75 s.
    pub idle_timeout: Duration,
    /// How long a peer may take none of the bytes we have for it. A stream that has
    /// nothing to send is not stalled. Default 30 s.
    pub write_stall_timeout: Duration,
    /// The largest request head in bytes; a larger one is answered with 431.
    /// Default 64 KiB.
    pub max_header_bytes: usize,
    /// The most header fields of a request; more are answered with 431 (HTTP/1.1
    /// only: in HTTP/2 the bytes are the limit). Default 100, which is also the
    /// fastest: hyper then keeps them on its stack.
    pub max_headers: usize,
    /// HTTP/2: requests in flight on one connection. Default 128.
    pub h2_max_concurrent_streams: u32,
    /// HTTP/2: streams that were reset by the peer before we saw them; more end the
    /// connection. Guards against reset floods. Default 20.
    pub h2_max_pending_reset_streams: usize,
    /// HTTP/2: streams that we reset because of the peer's mistakes; more end the
    /// connection. Default 128.
    pub h2_max_local_error_reset_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            backlog: 1024,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_stall_timeout: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            h2_max_concurrent_streams: 128,
            h2_max_pending_reset_streams: 20,
            h2_max_local_error_reset_streams: 128,
        }
    }
}
