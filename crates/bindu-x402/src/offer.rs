use serde_json::{Map, Value};

use crate::{
    AddressError, AmountError, EvmAddress, NetworkError, Networks, PaymentRequirements, Price,
    PriceError,
};

/// How long a payer may take to settle, in seconds, as every offer says it.
pub const MAX_TIMEOUT_SECONDS: u64 = 60;

/// One way to pay, as an operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentOption {
    /// The price for people: `0.01`, `$0.01`, `0.01 USDC`. See [`Price`].
    pub amount: String,
    /// The ticker of what is paid in. Without one, what the price says, or else what the network
    /// has.
    pub token: Option<String>,
    /// The chain, by name or by CAIP-2 id. See [`Networks::resolve`].
    pub network: String,
    /// Who is paid. Without one, whoever the first option pays.
    pub pay_to: Option<String>,
}

/// Why nothing can be offered: the configuration is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// There is no option at all.
    #[error("there is no way to pay")]
    Empty,
    /// An option has no price.
    #[error("execution_cost.amount is required when execution_cost is configured")]
    NoAmount,
    /// Nobody is paid.
    #[error("execution_cost.pay_to_address is required when execution_cost is configured")]
    NoPayee,
    /// The price cannot be read.
    #[error("the price {amount:?} cannot be read")]
    Price {
        /// As it is written.
        amount: String,
        /// What it should look like.
        source: PriceError,
    },
    /// The price is more than a contract can hold.
    #[error("the price {amount:?} is too high")]
    TooHigh {
        /// As it is written.
        amount: String,
        /// The limit.
        source: AmountError,
    },
    /// The price is nothing, or less than the smallest unit: whoever asks for it would be free.
    #[error("the price {amount:?} is nothing, with the {decimals} decimals of {symbol}")]
    Free {
        /// As it is written.
        amount: String,
        /// The asset.
        symbol: String,
        /// How many decimals it has.
        decimals: u8,
    },
    /// The price and the option name two assets.
    #[error("the price is in {ticker}, but the token is {token}")]
    TwoTokens {
        /// What the price says.
        ticker: String,
        /// What the option says.
        token: String,
    },
    /// There is no such network, or no such asset on it.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Who is paid is no address.
    #[error("pay_to_address {address:?} cannot be used")]
    Payee {
        /// As it is written.
        address: String,
        /// What is wrong with it.
        source: AddressError,
    },
}

/// What is offered to whoever has not paid: an entry of `accepts` for each option, in order.
///
/// ```
/// use bindu_x402::{Networks, PaymentOption, offers};
///
/// let option = PaymentOption {
///     amount: "$0.01".into(),
///     network: "base-sepolia".into(),
///     pay_to: Some("0xa11ce0000000000000000000000000000000a11c".into()),
///     ..PaymentOption::default()
/// };
/// let offers = offers(&[option], &Networks::default())?;
/// assert_eq!(offers[0].network, "eip155:84532");
/// assert_eq!(offers[0].amount.as_str(), "10000");
/// # Ok::<(), bindu_x402::OfferError>(())
/// ```
///
/// # Errors
///
/// [`OfferError`], for the first option that is wrong.
pub fn offers(
    options: &[PaymentOption],
    networks: &Networks,
) -> Result<Vec<PaymentRequirements>, OfferError> {
    let primary = options.first().ok_or(OfferError::Empty)?;
    options.iter().map(|option| offer(option, primary, networks)).collect()
}

fn offer(
    option: &PaymentOption,
    primary: &PaymentOption,
    networks: &Networks,
) -> Result<PaymentRequirements, OfferError> {
    let amount = || option.amount.clone();
    if option.amount.trim().is_empty() {
        return Err(OfferError::NoAmount);
    }
    let price: Price =
        option.amount.parse().map_err(|source| OfferError::Price { amount: amount(), source })?;
    let payee = given(option.pay_to.as_deref()).or_else(|| given(primary.pay_to.as_deref()));
    let payee = payee.ok_or(OfferError::NoPayee)?;
    let pay_to: EvmAddress =
        payee.parse().map_err(|source| OfferError::Payee { address: payee.to_owned(), source })?;
    let token = given(option.token.as_deref()).filter(|token| !token.eq_ignore_ascii_case("USD"));
    let ticker = match (price.ticker(), token) {
        (Some(ticker), Some(token)) if !ticker.eq_ignore_ascii_case(token) => {
            return Err(OfferError::TwoTokens {
                ticker: ticker.to_owned(),
                token: token.to_owned(),
            });
        }
        (ticker, token) => ticker.or(token),
    };
    let network = networks.resolve(&option.network)?;
    let asset = network.asset(ticker)?;
    let atomic = price
        .atomic(asset.decimals)
        .map_err(|source| OfferError::TooHigh { amount: amount(), source })?;
    if atomic.is_zero() {
        let (symbol, decimals) = (asset.symbol.clone(), asset.decimals);
        return Err(OfferError::Free { amount: amount(), symbol, decimals });
    }
    let mut extra = Map::new();
    extra.insert("name".to_owned(), Value::from(asset.name.as_str()));
    extra.insert("version".to_owned(), Value::from(asset.version.as_str()));
    Ok(PaymentRequirements {
        scheme: "exact".to_owned(),
        network: network.caip2.clone(),
        asset: asset.address.to_string(),
        amount: atomic,
        pay_to: pay_to.to_string(),
        max_timeout_seconds: MAX_TIMEOUT_SECONDS,
        extra,
    })
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}
