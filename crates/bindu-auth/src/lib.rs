//! Certificate, token and signature to a caller.
//!
//! A [`Policy`] decides who may call an agent, in three steps, so that a stranger costs little:
//! [`identify`](Policy::identify) looks at the head of a request, [`Claim::verify`] at its body,
//! [`Grant::permit`] at the method it turns out to call. Each step takes what the one before it
//! gave, so none can be left out. The crate knows HTTP's header fields and no HTTP framework.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::SystemTime;
//!
//! use bindu_auth::{Certificate, Config, Head, Policy, Proof};
//! use bindu_hydra::{Hydra, Introspector, Keys};
//! use bindu_storage::MemoryReplayGuard;
//! use http::HeaderMap;
//!
//! # async fn example(hydra: Hydra, headers: HeaderMap, body: &[u8]) -> Result<(), bindu_protocol::Denied> {
//! let proof = Proof::Token {
//!     introspector: Introspector::new(hydra.clone(), Default::default()),
//!     keys: Keys::new(hydra, Default::default()),
//! };
//! let policy = Policy::new(Config::default(), proof, Arc::new(MemoryReplayGuard::default()));
//!
//! let head = Head {
//!     is_get: false,
//!     path: "/",
//!     query: None,
//!     headers: &headers,
//!     certificate: Certificate::Absent,
//!     remote: None,
//! };
//! let now = SystemTime::now();
//! if let Some(claim) = policy.identify(&head, now).await? {
//!     let grant = claim.verify(body, now).await?;
//!     grant.permit("message/send", now).await?;
//!     println!("{:?} may send", grant.caller().name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is asked
//!
//! 1. A client certificate that was shown must name one DID; that it is good, TLS has checked.
//! 2. A bearer token must be active, of the kind for requests, not over, and name a subject.
//! 3. If the token is that of a DID, the request must be signed by that DID within five minutes,
//!    with the key that Hydra has for it; and a certificate must name that DID too.
//! 4. The caller must be admitted, if there is a list.
//! 5. The token must allow the method, by the complete table of [`permissions`].
//! 6. The signature of a request that changes something is accepted once. Polls may repeat their
//!    bytes: they change nothing, and a signature has a resolution of one second.
//!
//! The signature covers neither the path nor the agent that is called: that is how peers sign
//! everywhere. A second one by [`bindu_did::target`] covers the agent; it is checked where it comes,
//! and asked for where [`Config::require_target`] says so.
//!
//! # What it leaves out
//!
//! What a refusal looks like on the wire (`bindu-server`), TLS (`bindu-mtls`), and asking Hydra
//! (`bindu-hydra`). There are no features.

mod config;
mod doubt;
mod path;
mod policy;
mod token;

pub use config::{Config, PUBLIC_PATHS, READ, WRITE, is_read, permissions};
pub use policy::{Certificate, Claim, Grant, Head, Policy, Proof};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
