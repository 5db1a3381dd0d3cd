//! What a wallet shows and signs (EIP-712): a `TransferWithAuthorization` (EIP-3009).

use serde_json::{Value, json};

use crate::network::chain_id;
use crate::{Authorization, PaymentRequirements};

/// The members of a transfer, in the order in which they are hashed.
const TRANSFER: [(&str, &str); 6] = [
    ("from", "address"),
    ("to", "address"),
    ("value", "uint256"),
    ("validAfter", "uint256"),
    ("validBefore", "uint256"),
    ("nonce", "bytes32"),
];

/// The members of a domain, likewise.
const DOMAIN: [(&str, &str); 4] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
];

/// What `eth_signTypedData_v4` takes, to sign this authorization for this offer; `None` if the
/// offer is not on a chain of the EVM family, or does not say `name` and `version` of the asset.
///
/// ```
/// use bindu_x402::{Authorization, Networks, PaymentOption, eip712, offers};
///
/// # let option = PaymentOption {
/// #     amount: "0.01".into(),
/// #     network: "base".into(),
/// #     pay_to: Some("0xa11ce0000000000000000000000000000000a11c".into()),
/// #     ..PaymentOption::default()
/// # };
/// let offer = &offers(&[option], &Networks::default())?[0];
/// let authorization = Authorization {
///     from: "0x000000000000000000000000000000000000beef".parse()?,
///     to: offer.pay_to.parse()?,
///     value: offer.amount.clone(),
///     valid_after: 0.into(),
///     valid_before: 1_893_456_000.into(),
///     nonce: format!("0x{}", "01".repeat(32)),
/// };
/// let typed = eip712::typed_data(offer, &authorization).expect("an offer of ours");
/// assert_eq!(typed["domain"]["chainId"], 8453);
/// assert_eq!(typed["message"]["value"], "10000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn typed_data(offer: &PaymentRequirements, authorization: &Authorization) -> Option<Value> {
    let mut typed = template(offer)?;
    typed["message"] = serde_json::to_value(authorization).ok()?;
    Some(typed)
}

/// The same for an authorization that is made later: without its `message`.
#[must_use]
pub fn template(offer: &PaymentRequirements) -> Option<Value> {
    let text = |key: &str| offer.extra.get(key).and_then(Value::as_str);
    let members = |members: &[(&str, &str)]| -> Value {
        members.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
    };
    Some(json!({
        "types": {
            "EIP712Domain": members(&DOMAIN),
            "TransferWithAuthorization": members(&TRANSFER),
        },
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": text("name")?,
            "version": text("version")?,
            "chainId": chain_id(&offer.network)?,
            "verifyingContract": offer.asset,
        },
    }))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use sha3::{Digest as _, Keccak256};

    use super::*;
    use crate::{Networks, PaymentOption, offers};

    fn hash(bytes: &[u8]) -> Vec<u8> {
        Keccak256::digest(bytes).to_vec()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold("0x".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn signature_of(typed: &Value, name: &str) -> String {
        let members = typed["types"][name].as_array().unwrap().iter();
        let members = members.map(|member| {
            format!("{} {}", member["type"].as_str().unwrap(), member["name"].as_str().unwrap())
        });
        format!("{name}({})", members.collect::<Vec<_>>().join(","))
    }

    /// The contract of USDC on Ethereum says these hashes itself, as `DOMAIN_SEPARATOR` and
    /// `TRANSFER_WITH_AUTHORIZATION_TYPEHASH`.
    #[test]
    fn the_hashes_are_those_of_the_contract() {
        let option = PaymentOption {
            amount: "1".to_owned(),
            network: "ethereum".to_owned(),
            pay_to: Some("0xa11ce0000000000000000000000000000000a11c".to_owned()),
            ..PaymentOption::default()
        };
        let offer = &offers(&[option], &Networks::default()).unwrap()[0];
        let typed = template(offer).unwrap();
        assert_eq!(
            hex(&hash(signature_of(&typed, "TransferWithAuthorization").as_bytes())),
            "0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"
        );
        let domain = &typed["domain"];
        let mut words = hash(signature_of(&typed, "EIP712Domain").as_bytes());
        words.extend(hash(domain["name"].as_str().unwrap().as_bytes()));
        words.extend(hash(domain["version"].as_str().unwrap().as_bytes()));
        words.extend([0; 24]);
        words.extend(domain["chainId"].as_u64().unwrap().to_be_bytes());
        words.extend([0; 12]);
        let contract = domain["verifyingContract"].as_str().unwrap();
        for at in (2..42).step_by(2) {
            words.push(u8::from_str_radix(&contract[at..at + 2], 16).unwrap());
        }
        assert_eq!(
            hex(&hash(&words)),
            "0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335"
        );
    }

    #[test]
    fn an_offer_elsewhere_has_no_typed_data() {
        let option = PaymentOption {
            amount: "1".to_owned(),
            network: "base".to_owned(),
            pay_to: Some("0xa11ce0000000000000000000000000000000a11c".to_owned()),
            ..PaymentOption::default()
        };
        let offer = offers(&[option], &Networks::default()).unwrap().remove(0);
        let elsewhere = PaymentRequirements { network: "solana:1".to_owned(), ..offer.clone() };
        assert_eq!(template(&elsewhere), None);
        let nameless = PaymentRequirements { extra: serde_json::Map::new(), ..offer };
        assert_eq!(template(&nameless), None);
    }
}
