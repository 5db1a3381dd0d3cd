//! Ory Hydra for agents: tokens of others checked, tokens of one's own, registration, public
//! keys.
//!
//! [Hydra](https://www.ory.sh/hydra) is the OAuth2 server that agents trust. An agent is one
//! of its clients, under its DID, with its public key in the client's metadata.
//!
//! ```no_run
//! use std::time::SystemTime;
//!
//! use bindu_did::{Did, SigningKey};
//! use bindu_hydra::{
//!     Config, CredentialsFile, Hydra, Introspector, IntrospectorConfig, Registration, Tokens,
//!     register,
//! };
//!
//! # async fn run(caller_token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new("http://hydra:4445".parse()?, "http://hydra:4444".parse()?);
//! let hydra = Hydra::new(&config, bindu_http::client::Client::default())?;
//!
//! // At start: become a client of Hydra, or find that we are one.
//! let key = SigningKey::generate()?;
//! let did = Did::for_agent("ann@example.com", "echo", key.public_key().id())?;
//! let what = Registration::new(did, key.public_key().id(), "echo", key.public_key());
//! let file = CredentialsFile::at(".bindu/oauth_credentials.json");
//! let registered = register(&hydra, &what, &file, SystemTime::now()).await?;
//!
//! // To call others: a token of our own.
//! let tokens = Tokens::new(hydra.clone(), registered.credentials);
//! let token = tokens.token(&["agent:read", "agent:write"], None).await?;
//!
//! // When others call us: what their token says.
//! let introspector = Introspector::new(hydra, IntrospectorConfig::default());
//! let found = introspector.introspect(caller_token).await?;
//! assert!(found.is_access_token());
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! - [`Hydra`]: single calls to its admin and public API.
//! - [`Introspector`], [`Keys`] and [`Tokens`] remember what they were told, within bounds,
//!   and ask once however many wait.
//! - [`register`] makes the client what a [`Registration`] says, and mends it when that
//!   changes; [`CredentialsFile`] keeps the secret.
//! - [`HydraError`]: above all the difference between "no" and "no answer".
//!
//! # A Hydra that is away
//!
//! What cannot be found out is [`HydraError::Unavailable`], never a refusal, and says when to
//! try again. After a few failures in a row one request a second goes out to see whether
//! Hydra is back; all others fail at once. What is remembered is used meanwhile.
//!
//! TLS, with a private certificate authority or not, is the business of the HTTP client that
//! [`Hydra::new`] is given.
//!
//! # What it leaves out
//!
//! Logins of humans, ID tokens and JSON Web Keys: tokens are opaque here, also those that are
//! JWTs. Who may do what is decided by whoever asks.

mod config;
mod error;
mod secret;

mod breaker;
mod call;
mod hydra;
mod oauth_client;

mod store;

mod introspection;
mod introspector;
mod keys;

mod credentials;
mod registration;
mod tokens;

pub use self::config::Config;
pub use self::credentials::{Credentials, CredentialsFile, CredentialsLock};
pub use self::error::{ErrorSource, HydraError};
pub use self::hydra::{Creation, Hydra, Token};
pub use self::introspection::Introspection;
pub use self::introspector::{Introspector, IntrospectorConfig};
pub use self::keys::{Keys, KeysConfig};
pub use self::oauth_client::OAuthClient;
pub use self::registration::{Outcome, Registered, Registration, register};
pub use self::secret::Secret;
pub use self::store::{CacheStats, Clock};
pub use self::tokens::Tokens;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
