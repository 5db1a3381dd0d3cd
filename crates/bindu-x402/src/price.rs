use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest text that is read as a price, in bytes.
const LONGEST_PRICE: usize = 128;

/// The greatest number that a contract can hold: 2^256 - 1.
const GREATEST: &str =
    "115792089237316195423570985008687907853269984665640564039457584007913129639935";

/// A price as people write it: `0.01`, `$0.01`, `0.01 USDC`.
///
/// An optional `$`, digits with or without a fraction, and optionally a ticker after a space. The
/// ticker `USD` says nothing more than `$` does, and is dropped. No signs, no exponents, no
/// separators of thousands.
///
/// ```
/// # use bindu_x402::Price;
/// let price: Price = "$0.01 USDC".parse()?;
/// assert_eq!(price.ticker(), Some("USDC"));
/// assert_eq!(price.atomic(6)?.as_str(), "10000");
/// assert_eq!("10000".parse::<Price>()?.atomic(6)?.as_str(), "10000000000", "whole dollars");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    whole: Box<str>,
    fraction: Box<str>,
    ticker: Option<Box<str>>,
}

/// A text that is no [`Price`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a price is written like 0.01, $0.01 or 0.01 USDC")]
pub struct PriceError;

impl Price {
    /// The currency that it names, if it names one.
    #[must_use]
    pub fn ticker(&self) -> Option<&str> {
        self.ticker.as_deref()
    }

    /// The number alone: `0.01`.
    #[must_use]
    pub fn number(&self) -> String {
        if self.fraction.is_empty() {
            self.whole.to_string()
        } else {
            format!("{}.{}", self.whole, self.fraction)
        }
    }

    /// The price in the smallest units of an asset with so many decimals. What is smaller than
    /// one of them is cut off.
    ///
    /// # Errors
    ///
    /// [`AmountError`] if it is more than a contract can hold.
    pub fn atomic(&self, decimals: u8) -> Result<Amount, AmountError> {
        let places = usize::from(decimals);
        let kept = &self.fraction[..self.fraction.len().min(places)];
        format!("{}{kept}{}", self.whole, "0".repeat(places - kept.len())).parse()
    }
}

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        if text.len() > LONGEST_PRICE {
            return Err(PriceError);
        }
        let text = text.trim();
        let text = text.strip_prefix('$').unwrap_or(text).trim_start();
        let (number, ticker) = match text.split_once(char::is_whitespace) {
            Some((number, ticker)) => (number, Some(ticker.trim_start())),
            None => (text, None),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (number, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_ticker = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        };
        if !digits(whole) || !fraction.is_none_or(digits) || !ticker.is_none_or(is_ticker) {
            return Err(PriceError);
        }
        Ok(Self {
            whole: whole.into(),
            fraction: fraction.unwrap_or_default().into(),
            ticker: ticker.filter(|ticker| !ticker.eq_ignore_ascii_case("USD")).map(Into::into),
        })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.number())?;
        match &self.ticker {
            Some(ticker) => write!(f, " {ticker}"),
            None => Ok(()),
        }
    }
}

/// A whole number from 0 to 2^256 - 1, as contracts count money and time.
///
/// It is decimal digits, without leading zeros. On the wire it is a string; a JSON number is read
/// too.
///
/// ```
/// # use bindu_x402::Amount;
/// let amount: Amount = serde_json::from_str(r#""010000""#)?;
/// assert_eq!(amount, Amount::from(10_000));
/// assert_eq!(amount.to_decimal(6), "0.01");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Amount(Box<str>);

/// A text that is no [`Amount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is a whole number from 0 to 2^256 - 1, in decimal digits")]
pub struct AmountError;

impl Amount {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self.0 == *"0"
    }

    /// The number, or the greatest there is if it is greater.
    #[must_use]
    pub fn saturating_u64(&self) -> u64 {
        self.0.parse().unwrap_or(u64::MAX)
    }

    /// The number with so many decimals, for people: no zeros at the end.
    #[must_use]
    pub fn to_decimal(&self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError);
        }
        let digits = text.trim_start_matches('0');
        let amount = Self(if digits.is_empty() { "0".into() } else { digits.into() });
        if amount > Self(GREATEST.into()) { Err(AmountError) } else { Ok(amount) }
    }
}

impl From<u64> for Amount {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros, the longer one is the greater one.
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number in a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
        Ok(number.into())
    }
}
