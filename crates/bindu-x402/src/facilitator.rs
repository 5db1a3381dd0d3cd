//! Who moves the money.

mod call;
mod error;

use std::time::Duration;

use bindu_http::client::{self, ClientBuilder};
use serde::Serialize;
use url::Url;

use self::call::{Caller, Operation};
pub use self::error::FacilitatorError;
use crate::refusal::Detail;
use crate::{
    EvmAddress, PaymentPayload, PaymentRequirements, SettleResponse, SupportedKinds,
    VerifyResponse, X402_VERSION,
};

/// Where the facilitator is, and how long it is waited for.
///
/// ```
/// use bindu_x402::Config;
///
/// let config = Config::new("http://127.0.0.1:3775".parse()?);
/// assert_eq!(config.settle_timeout.as_secs(), 60);
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its address; a path is kept as a prefix.
    pub url: Url,
    /// How long it may take to say what it supports, or what it thinks of a payment. Default 10 s.
    pub verify_timeout: Duration,
    /// How long it may take to move the money. Default 60 s.
    pub settle_timeout: Duration,
    /// The largest answer that is read, in bytes. Default 1 MiB.
    pub max_response_bytes: usize,
}

impl Config {
    /// This address, and the default for everything else.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            verify_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_mins(1),
            max_response_bytes: 1024 * 1024,
        }
    }
}

/// Calls a facilitator: whoever checks payments and moves the money for us.
///
/// Nothing is tried again here: whether that is harmless, whoever keeps account knows. What it
/// says is not believed where it contradicts what was signed. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Facilitator {
    caller: Caller,
    verify_timeout: Duration,
    settle_timeout: Duration,
}

impl Facilitator {
    /// The facilitator at this address. `client` brings the connector, which speaks `https` if
    /// need be, and the address policy; its limits are replaced. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError::Config`].
    pub fn new(config: &Config, client: ClientBuilder) -> Result<Self, FacilitatorError> {
        let limits = client::Config {
            timeout: config.verify_timeout.max(config.settle_timeout),
            read_idle_timeout: config.verify_timeout.max(config.settle_timeout),
            max_response_bytes: config.max_response_bytes,
            ..client::Config::default()
        };
        Ok(Self {
            caller: Caller::new(&config.url, client.config(limits).build())?,
            verify_timeout: config.verify_timeout,
            settle_timeout: config.settle_timeout,
        })
    }

    /// What it can do.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`].
    pub async fn supported(&self) -> Result<SupportedKinds, FacilitatorError> {
        self.caller.send(Operation::Supported, None, self.verify_timeout).await
    }

    /// What it thinks of a payment. No money moves.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`]; above all [`Contradiction`](FacilitatorError::Contradiction) if it
    /// takes somebody else for the payer.
    pub async fn verify(
        &self,
        payload: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<VerifyResponse, FacilitatorError> {
        let payer = payer(Operation::Verify, payload)?;
        let body = body(Operation::Verify, payload, requirements)?;
        let answer: VerifyResponse =
            self.caller.send(Operation::Verify, Some(body), self.verify_timeout).await?;
        if answer.is_valid && !is_payer(answer.payer.as_deref(), &payer) {
            return Err(FacilitatorError::Contradiction {
                doing: Operation::Verify.as_str(),
                what: "it names another payer",
                receipt: None,
            });
        }
        Ok(answer)
    }

    /// Has it move the money. Its answer may be that the money did not move:
    /// [`SettleResponse::success`] says.
    ///
    /// If the future is dropped before it is done, the money may move all the same.
    ///
    /// # Errors
    ///
    /// [`FacilitatorError`], of which [`may_have_moved`](FacilitatorError::may_have_moved) says
    /// what is to be feared.
    pub async fn settle(
        &self,
        payload: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<SettleResponse, FacilitatorError> {
        let payer = payer(Operation::Settle, payload)?;
        let body = body(Operation::Settle, payload, requirements)?;
        let mut answer: SettleResponse =
            self.caller.send(Operation::Settle, Some(body), self.settle_timeout).await?;
        // It goes into tasks and headers.
        for text in [&mut answer.error_reason, &mut answer.error_message].into_iter().flatten() {
            let short = Detail::new(text);
            short.as_str().clone_into(text);
        }
        match lie(&answer, &payer, requirements) {
            Some(what) => Err(FacilitatorError::Contradiction {
                doing: Operation::Settle.as_str(),
                what,
                receipt: Some(Box::new(answer)),
            }),
            None => Ok(answer),
        }
    }
}

/// What is wrong with a success.
fn lie(
    answer: &SettleResponse,
    payer: &EvmAddress,
    requirements: &PaymentRequirements,
) -> Option<&'static str> {
    if !answer.success {
        None
    } else if answer.network != requirements.network {
        Some("it names another network")
    } else if !is_payer(answer.payer.as_deref(), payer) {
        Some("it names another payer")
    } else if answer.transaction.trim().is_empty() {
        Some("it names no transaction")
    } else if answer.amount.as_ref().is_some_and(|amount| *amount != requirements.amount) {
        Some("it names another amount")
    } else {
        None
    }
}

/// Whether it names nobody, or the payer.
fn is_payer(named: Option<&str>, payer: &EvmAddress) -> bool {
    named.is_none_or(|named| named.eq_ignore_ascii_case(payer.as_str()))
}

fn payer(doing: Operation, payload: &PaymentPayload) -> Result<EvmAddress, FacilitatorError> {
    let signed = payload.exact_evm().map_err(|error| FacilitatorError::not_sent(doing, error))?;
    Ok(signed.authorization.from)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    x402_version: u32,
    payment_payload: &'a PaymentPayload,
    payment_requirements: &'a PaymentRequirements,
}

fn body(
    doing: Operation,
    payload: &PaymentPayload,
    requirements: &PaymentRequirements,
) -> Result<Vec<u8>, FacilitatorError> {
    let asked = Asked {
        x402_version: X402_VERSION,
        payment_payload: payload,
        payment_requirements: requirements,
    };
    serde_json::to_vec(&asked).map_err(|error| FacilitatorError::not_sent(doing, error))
}
