use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha3::{Digest as _, Keccak256};

/// The address of an account or a contract on a chain of the EVM family: 20 bytes, in hexadecimal.
///
/// It is written as it was read. Two are equal if their bytes are, for case is no part of an
/// address: it is a checksum (EIP-55), which [`FromStr`] verifies where both cases occur. What
/// comes over the wire is read without that check, as chains and facilitators do.
///
/// ```
/// # use bindu_x402::EvmAddress;
/// let usdc: EvmAddress = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".parse()?;
/// assert_eq!(usdc, "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".parse()?);
/// assert!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02914".parse::<EvmAddress>().is_err());
/// # Ok::<(), bindu_x402::AddressError>(())
/// ```
#[derive(Clone)]
pub struct EvmAddress(Box<str>);

/// Why a text is no [`EvmAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not `0x` and 40 hexadecimal digits.
    #[error("an address is 0x and 40 hexadecimal digits")]
    Form,
    /// Its upper and lower case are not those of EIP-55: a digit is wrong.
    #[error("the checksum of the address is wrong (EIP-55): a digit was mistyped")]
    Checksum,
}

impl EvmAddress {
    /// Reads an address in any case, without looking at its checksum.
    ///
    /// # Errors
    ///
    /// [`AddressError::Form`].
    pub fn any_case(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix("0x").ok_or(AddressError::Form)?;
        if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(AddressError::Form);
        }
        Ok(Self(text.into()))
    }

    /// The address as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address with its checksum (EIP-55).
    ///
    /// ```
    /// # use bindu_x402::EvmAddress;
    /// let address: EvmAddress = "0x036cbd53842c5426634e7929541ec2318f3dcf7e".parse()?;
    /// assert_eq!(address.to_checksummed(), "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    /// # Ok::<(), bindu_x402::AddressError>(())
    /// ```
    #[must_use]
    pub fn to_checksummed(&self) -> String {
        let lower = self.0[2..].to_ascii_lowercase();
        let hash = Keccak256::digest(lower.as_bytes());
        let mut text = String::with_capacity(42);
        text.push_str("0x");
        for (place, digit) in lower.chars().enumerate() {
            let byte = hash[place / 2];
            let nibble = if place % 2 == 0 { byte >> 4 } else { byte & 15 };
            text.push(if nibble >= 8 { digit.to_ascii_uppercase() } else { digit });
        }
        text
    }
}

impl FromStr for EvmAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = Self::any_case(text)?;
        let digits = &address.0[2..];
        let mixed = digits.bytes().any(|byte| byte.is_ascii_lowercase())
            && digits.bytes().any(|byte| byte.is_ascii_uppercase());
        if mixed && address.to_checksummed() != *address.0 {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }
}

impl PartialEq for EvmAddress {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for EvmAddress {}

impl Hash for EvmAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EvmAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EvmAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::any_case(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of EIP-55.
    const EXAMPLES: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_examples_of_eip_55_are_addresses() {
        for example in EXAMPLES {
            let address: EvmAddress = example.parse().unwrap();
            assert_eq!(address.to_checksummed(), example);
            assert_eq!(address.to_string(), example);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}0", EXAMPLES[0]);
        let short = &EXAMPLES[0][..41];
        let bare = &EXAMPLES[0][2..];
        for text in ["", "0x", &long, short, bare, "0Xde709f2102306220921060314715629080e2fb77"] {
            assert_eq!(text.parse::<EvmAddress>(), Err(AddressError::Form), "{text}");
        }
        let other = format!("0x{}", "g".repeat(40));
        assert_eq!(other.parse::<EvmAddress>(), Err(AddressError::Form));
    }

    proptest! {
        #[test]
        fn one_letter_of_the_wrong_case_is_noticed(bytes: [u8; 20], at in 0..40_usize) {
            let text = bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"));
            let lower: EvmAddress = text.parse().unwrap();
            let right = lower.to_checksummed();
            prop_assert_eq!(&right.parse::<EvmAddress>().unwrap(), &lower);
            let mut wrong = right.clone().into_bytes();
            let letter = &mut wrong[2 + at];
            *letter = if letter.is_ascii_uppercase() {
                letter.to_ascii_lowercase()
            } else {
                letter.to_ascii_uppercase()
            };
            let wrong = String::from_utf8(wrong).unwrap();
            let both = |text: &str| {
                text.bytes().any(|byte| byte.is_ascii_lowercase() && byte != b'x')
                    && text.bytes().any(|byte| byte.is_ascii_uppercase())
            };
            let noticed = wrong != right && both(&wrong);
            prop_assert_eq!(wrong.parse::<EvmAddress>().is_err(), noticed, "{}", wrong);
            prop_assert_eq!(EvmAddress::any_case(&wrong).unwrap(), lower);
        }
    }
}
