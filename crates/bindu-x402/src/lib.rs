//! x402 payments for agents: what is offered, what was signed, and whether the money moved.
//!
//! An agent that costs something answers a request without a payment with its offers. A caller
//! signs an authorization for one of them and asks again; a facilitator checks the authorization
//! and moves the money; then the agent works. This crate is the agent's side, of x402 version 2
//! with the scheme `exact` on chains of the EVM family (EIP-3009), and knows nothing of chains
//! itself.
//!
//! ```
//! use bindu_protocol::Timestamp;
//! use bindu_x402::{Networks, PaymentOption, PaymentRequired, check, header, offers};
//!
//! let option = PaymentOption {
//!     amount: "$0.01".into(),
//!     network: "base-sepolia".into(),
//!     pay_to: Some("0xa11ce0000000000000000000000000000000a11c".into()),
//!     ..PaymentOption::default()
//! };
//! let offers = offers(&[option], &Networks::default())?;
//!
//! // A request without a payment.
//! let refusal = header::decode(b"").unwrap_err();
//! let required = PaymentRequired::new(refusal.to_string(), offers.clone());
//! assert!(required.body().starts_with(r#"{"x402Version":2,"error":"X-PAYMENT header required""#));
//!
//! // And with one.
//! let nonce = "01".repeat(32);
//! let signature = "00".repeat(65);
//! let paid = header::encode(&serde_json::json!({
//!     "x402Version": 2,
//!     "accepted": offers[0],
//!     "payload": {
//!         "signature": format!("0x{signature}"),
//!         "authorization": {
//!             "from": "0x000000000000000000000000000000000000beef",
//!             "to": offers[0].pay_to,
//!             "value": offers[0].amount,
//!             "validAfter": "0",
//!             "validBefore": "9999999999",
//!             "nonce": format!("0x{nonce}"),
//!         },
//!     },
//! }));
//! let checked = check(&header::decode(paid.as_bytes())?, &offers, Timestamp::now())?;
//! assert!(checked.key().as_str().starts_with("eip155:84532/0x036cbd"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is where
//!
//! - [`offers`] turns what an operator wrote into [`PaymentRequirements`], with the [`Networks`]
//!   and assets that are known.
//! - [`header`] reads payments, [`check`] finds the offer that one is for, and [`Refusal`] says why
//!   it is not taken.
//! - [`Facilitator`] asks whoever moves the money; [`FacilitatorError`] above all says whether it
//!   may have moved.
//! - [`ResourceServer`] keeps account of it all in a [`Ledger`](bindu_storage::Ledger).
//! - [`Sessions`] and [`page`] are for people who pay in a browser, [`eip712`] is what their
//!   wallets sign.
//! - [`v1`] reads payments of x402 version 1, which are taken inside tasks only.
//!
//! # What it leaves out
//!
//! Signatures are not verified here, that is for the facilitator; nor are they made, that is for
//! the payer. Other schemes than `exact`, other families of chains than EVM, and `Permit2`.

mod address;
mod price;

mod network;
mod offer;
mod words;

mod check;
pub mod header;
mod refusal;
pub mod v1;

mod facilitator;

pub mod eip712;
pub mod page;
mod session;

mod server;

pub use self::address::{AddressError, EvmAddress};
pub use self::check::{Checked, check};
pub use self::facilitator::{Config, Facilitator, FacilitatorError};
pub use self::network::{Asset, ExtraNetwork, Network, NetworkError, Networks};
pub use self::offer::{MAX_TIMEOUT_SECONDS, OfferError, PaymentOption, offers};
pub use self::price::{Amount, AmountError, Price, PriceError};
pub use self::refusal::{Detail, Fault, Mismatch, Refusal, code};
pub use self::server::{Next, Patience, Rejection, ResourceServer, Standing, remarks};
pub use self::session::{Session, SessionConfig, SessionError, Sessions};
pub use self::words::{
    AgentInfo, Authorization, ExactEvmPayload, PaymentPayload, PaymentRequired,
    PaymentRequirements, Resource, SettleResponse, SupportedKind, SupportedKinds, VerifyResponse,
    X402_VERSION,
};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
