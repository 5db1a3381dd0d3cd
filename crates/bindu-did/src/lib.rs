//! Who an agent is: its DID, its Ed25519 key, and what it signs.
//!
//! An agent is named by a [`Did`] such as
//! `did:bindu:ann_at_example_com:echo:139e3940-e64b-5491-7220-88d9a0d74162`.
//! The last segment of a new identity is a fingerprint of its public key, so
//! whoever has the [`DidDocument`] can check it without asking anyone.
//! A [`SigningKey`] signs what the agent says; a [`PublicKey`] checks what
//! others said.
//!
//! ```
//! use bindu_did::{Did, DidDocument, SigningKey};
//!
//! let key = SigningKey::generate()?;
//! let did = Did::for_agent("ann@example.com", "echo", key.public_key().id())?;
//! let document = DidDocument::new(&did, &key.public_key(), std::time::SystemTime::now());
//!
//! let signature = key.sign_text("42");
//!
//! // On the other side:
//! let public = document.public_key()?;
//! assert!(did.is_self_certified(&public));
//! public.verify_text("42", &signature)?;
//! # Ok::<(), bindu_did::DidError>(())
//! ```
//!
//! Nearly everything here is bytes in, bytes out. The exceptions are
//! [`key_dir`], which keeps an agent's identity in a directory, and where to start
//! if you run an agent; and [`pins`], which may keep what it knows in a file.
//!
//! # The parts
//!
//! - [`Did`], [`agent_id`]: the names, and the rules by which they are made.
//! - [`SigningKey`], [`PublicKey`], [`Signature`]: Ed25519 by [ring], with
//!   small-order points refused.
//! - [`PartPayload`]: which bytes of a text, data or file part are signed.
//! - [`artifact`]: checking the signatures in an answer as it came.
//! - [`request`]: the three headers that sign an HTTP request.
//! - [`webhook`]: checking a post that claims to come from an agent.
//! - [`pins`]: which key belongs to which peer, by trust on first use.
//! - [`target`]: a second signature that says which agent a request is for.
//! - [`DidDocument`], [`document`]: making, reading and checking documents.
//! - [`json`]: RFC 8785 canonical JSON, and JSON as Python prints it.
//!
//! # Features
//!
//! - `encryption`: private keys under a password (PKCS#8 with PBES2). Brings in
//!   the `pkcs8` crate; everything else needs only ring.
//! - `vectors`: the module `vectors`, which runs recorded test vectors.
//!
//! # What it leaves out
//!
//! Finding a peer's document (that needs a network, and is in `bindu-client`),
//! tokens and TLS.
//!
//! [ring]: https://docs.rs/ring

pub mod artifact;
mod base58;
mod der;
pub mod did;
pub mod document;
#[cfg(feature = "encryption")]
mod encrypted;
mod error;
pub mod json;
mod key;
pub mod key_dir;
mod part;
mod pem;
pub mod pins;
pub mod request;
mod secret;
mod signature;
pub mod target;
mod timestamp;
#[cfg(feature = "vectors")]
pub mod vectors;
pub mod webhook;

pub use did::{Did, InvalidDid, agent_id};
pub use document::DidDocument;
pub use error::DidError;
pub use key::{PublicKey, SigningKey};
pub use part::{PartPayload, SIGNATURE_METADATA_KEY};
pub use secret::same_secret;
pub use signature::Signature;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
