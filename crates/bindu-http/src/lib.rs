//! HTTP both ways over hyper: a server with limits and drain, a client with deadlines
//! and retries, and server-sent events.
//!
//! The crate knows nothing of agents: it moves requests, responses and events, and makes
//! sure that a slow, hostile or vanished peer costs little. What it costs over bare hyper
//! is a few atomic marks per request; no timer is armed and nothing is boxed for one that
//! simply comes and goes.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use bindu_http::client::Client;
//! use bindu_http::server::{Config, Server, Shutdown};
//! use bindu_http::{Body, read_body};
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use hyper::body::Incoming;
//!
//! let echo = tower::service_fn(async |request: Request<Incoming>| {
//!     Ok::<_, Infallible>(match read_body(request.into_body(), 1024).await {
//!         Ok(bytes) => Response::new(Body::from(bytes)),
//!         Err(_) => {
//!             let mut refused = Response::new(Body::from("at most 1024 bytes"));
//!             *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
//!             refused
//!         }
//!     })
//! });
//! let server = Server::bind(Config::default(), "127.0.0.1:0").await?;
//! let url = format!("http://{}/", server.local_addr());
//! let shutdown = Shutdown::new();
//! let serving = tokio::spawn(server.serve(echo, shutdown.clone()));
//!
//! let request = Request::post(&url).body(Bytes::from("hello"))?;
//! let response = Client::default().send(request).await?;
//! assert_eq!(response.body(), "hello");
//!
//! shutdown.drain(Duration::from_secs(5));
//! serving.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is where
//!
//! - [`server::Server`] serves a [`tower::Service`] until its [`server::Shutdown`] is
//!   drained. [`server::Config`] holds every limit.
//! - [`Body`] is what a service answers with, [`read_body`] how it reads what it was sent.
//! - [`client::Client`] sends requests, and [`client::RetryPolicy`] says when again.
//! - [`sse`] writes and reads event streams.
//! - [`ssrf::AddressRules`] keeps a client away from addresses that a stranger's URL must
//!   not reach.
//!
//! For TLS, [`server::Acceptor`] and [`client::Connector`] turn a TCP connection into one
//! that speaks HTTP, and may say what they learned about the peer.
//!
//! # Features
//!
//! - `tls`: `client::Tls`, a connector for `https` over rustls with ring. A TLS server is
//!   an [`server::Acceptor`] from elsewhere, for example `bindu-mtls`.
//!
//! # What it leaves out
//!
//! Routing, compression, cookies, redirects, proxies and HTTP/3. The server speaks
//! HTTP/1.1 and HTTP/2, the client HTTP/1.1.

mod body;
pub mod client;
mod clock;
mod error;
pub mod server;
pub mod sse;
pub mod ssrf;

pub use self::body::{Body, BodyLimits, ReadBodyError, read_body, read_body_within};
pub use self::error::{HttpError, Phase};

/// Any error, where its kind is not this crate's to know.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
