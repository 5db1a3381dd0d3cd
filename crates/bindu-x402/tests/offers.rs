//! What an operator may write, and what he is told otherwise.

use bindu_x402::{
    Amount, ExtraNetwork, MAX_TIMEOUT_SECONDS, NetworkError, Networks, OfferError, PaymentOption,
    Price, offers,
};
use serde_json::{Value, json};

use crate::support::{PAYEE, option};

fn extra(value: Value) -> ExtraNetwork {
    serde_json::from_value(value).unwrap()
}

/// What a single option is refused with.
fn refused(change: impl FnOnce(&mut PaymentOption)) -> String {
    let mut option = option("base-sepolia");
    change(&mut option);
    offers(&[option], &Networks::default()).unwrap_err().to_string()
}

#[test]
fn the_first_option_lends_its_payee_to_the_others() {
    let mut second = option("base");
    second.amount = "$2.50".to_owned();
    second.pay_to = None;
    let offers = offers(&[option("base-sepolia"), second], &Networks::default()).unwrap();
    insta::assert_json_snapshot!(offers, @r#"
    [
      {
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "amount": "10000",
        "payTo": "0xa11ce0000000000000000000000000000000a11c",
        "maxTimeoutSeconds": 60,
        "extra": {
          "name": "USDC",
          "version": "2"
        }
      },
      {
        "scheme": "exact",
        "network": "eip155:8453",
        "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "amount": "2500000",
        "payTo": "0xa11ce0000000000000000000000000000000a11c",
        "maxTimeoutSeconds": 60,
        "extra": {
          "name": "USD Coin",
          "version": "2"
        }
      }
    ]
    "#);
    assert_eq!(offers[0].max_timeout_seconds, MAX_TIMEOUT_SECONDS);
}

#[test]
fn every_mistake_in_an_option_is_told() {
    assert_eq!(offers(&[], &Networks::default()), Err(OfferError::Empty));
    let required = "execution_cost.amount is required when execution_cost is configured";
    assert_eq!(refused(|option| option.amount.clear()), required);
    assert_eq!(refused(|option| option.amount = "  ".into()), required);
    for wrong in ["-1", "1e-7", "1USDC", "NaN", "inf", "1,000", ".5", "5.", "+1", "$", "1 2", "1 $"]
    {
        let told = refused(|option| option.amount = wrong.into());
        assert_eq!(told, format!("the price {wrong:?} cannot be read"));
    }
    for nothing in ["0", "0.00", "0.0000001", "0.0000009 USDC"] {
        let told = refused(|option| option.amount = nothing.into());
        assert_eq!(told, format!("the price {nothing:?} is nothing, with the 6 decimals of USDC"));
    }
    let much = format!("1{}", "0".repeat(72));
    assert_eq!(
        refused(|option| option.amount.clone_from(&much)),
        format!("the price {much:?} is too high")
    );
    assert_eq!(
        refused(|option| option.pay_to = None),
        "execution_cost.pay_to_address is required when execution_cost is configured"
    );
    assert_eq!(
        refused(|option| option.pay_to = Some("0xabc".into())),
        "pay_to_address \"0xabc\" cannot be used"
    );
    // One digit of a real address was mistyped.
    let typo = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02914";
    let error = {
        let mut option = option("base");
        option.pay_to = Some(typo.to_owned());
        offers(&[option], &Networks::default()).unwrap_err()
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the checksum of the address is wrong (EIP-55): a digit was mistyped");
    assert_eq!(
        refused(|option| option.token = Some("ETH".into())),
        "eip155:84532 has no asset \"ETH\"; known are USDC"
    );
    assert_eq!(
        refused(|option| option.amount = "0.01 DAI".into()),
        "eip155:84532 has no asset \"DAI\"; known are USDC"
    );
    assert_eq!(
        refused(|option| {
            option.amount = "0.01 USDC".into();
            option.token = Some("EURC".into());
        }),
        "the price is in USDC, but the token is EURC"
    );
    let unknown = refused(|option| option.network = "bse".into());
    assert!(unknown.starts_with("no network is called \"bse\"; known are arbitrum, "), "{unknown}");
    assert!(unknown.contains("base-sepolia, "), "{unknown}");
    assert!(refused(|option| option.network = "eip155:999".into()).contains("eip155:999"));
    // The second option is looked at too.
    let wrong = PaymentOption { network: "nowhere".to_owned(), ..option("base") };
    let error = offers(&[option("base"), wrong], &Networks::default()).unwrap_err();
    assert!(matches!(error, OfferError::Network(NetworkError::Unknown { .. })), "{error}");
}

#[test]
fn a_price_is_read_in_every_way_that_people_write_it() {
    for (text, ticker, atomic) in [
        ("0.01", None, "10000"),
        ("$0.01", None, "10000"),
        ("$ 0.01", None, "10000"),
        ("0.01 USD", None, "10000"),
        ("0.01 USDC", Some("USDC"), "10000"),
        ("$0.01   EURC", Some("EURC"), "10000"),
        (" 1 USDC.e ", Some("USDC.e"), "1000000"),
        ("10000", None, "10000000000"),
        ("0.0000019", None, "1"),
        ("0.0000001", None, "0"),
        ("007.50", None, "7500000"),
    ] {
        let price: Price = text.parse().unwrap();
        assert_eq!(price.ticker(), ticker, "{text}");
        assert_eq!(price.atomic(6).unwrap().as_str(), atomic, "{text}");
    }
    let price: Price = "1.5".parse().unwrap();
    assert_eq!(price.atomic(0).unwrap(), Amount::from(1));
    assert_eq!(price.atomic(36).unwrap().as_str(), format!("15{}", "0".repeat(35)));
}

#[test]
fn every_network_that_comes_along_can_be_offered() {
    let networks = Networks::default();
    let ids = [
        1,
        50,
        51,
        137,
        143,
        1328,
        1329,
        5042,
        8453,
        10143,
        42161,
        42220,
        43114,
        84532,
        421_614,
        5_042_002,
        11_155_111,
        1_187_947_933_u64,
    ];
    let by_id = ids.iter().map(|id| format!("eip155:{id}"));
    for name in networks.names().into_iter().chain(by_id) {
        let offers = offers(&[option(&name)], &networks).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(offers[0].network.starts_with("eip155:"), "{name}");
        let network = networks.resolve(&name).unwrap();
        let asset = network.asset(None).unwrap();
        assert_eq!(asset.address.to_checksummed(), asset.address.as_str(), "{name}");
    }
    assert_eq!(networks.resolve("base").unwrap(), networks.resolve("base-mainnet").unwrap());
    assert_eq!(networks.resolve("polygon").unwrap().caip2, "eip155:137");
    assert_eq!(networks.name_of("eip155:84532"), Some("base-sepolia"));
    assert_eq!(networks.name_of("eip155:51"), None);
    for wrong in ["", "eip155:", "eip155:x", "eip155:+1", "solana:1", "Base"] {
        assert!(networks.resolve(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn networks_of_the_operator_join_the_others() {
    let asset = format!("0x{}", "aB".repeat(20));
    let own = json!({
        "caip2": "eip155:4242", "asset": asset, "asset_symbol": "TST", "asset_decimals": 2,
        "asset_name": "Test", "asset_eip712_version": "7",
    });
    let other_usdc = json!({ "caip2": "eip155:8453", "asset": asset });
    let networks = Networks::with_extra([
        ("mine", extra(own.clone())),
        ("base", extra(own.clone())),
        ("polygon", extra(own)),
        ("new-base", extra(other_usdc)),
    ])
    .unwrap();
    let offered = |network: &str| offers(&[option(network)], &networks).unwrap().remove(0);
    let mine = offered("mine");
    assert_eq!(mine, offered("eip155:4242"));
    assert_eq!((mine.network.as_str(), mine.amount.as_str()), ("eip155:4242", "1"));
    assert_eq!(mine.asset, asset);
    assert_eq!(json!(mine.extra), json!({ "name": "Test", "version": "7" }));
    // A firm name stays where it is, but the asset on its chain is the operator's.
    assert_eq!(offered("base").network, "eip155:8453");
    assert_eq!(offered("base").asset, asset);
    assert_eq!(offered("new-base"), offered("base"));
    // Another name does not.
    assert_eq!(offered("polygon").network, "eip155:4242");
    assert_eq!(networks.names().iter().filter(|name| *name == "polygon").count(), 1);
    let payee = offers(&[option("mine")], &networks).unwrap().remove(0).pay_to;
    assert_eq!(payee, PAYEE);
}

#[test]
fn a_network_that_cannot_be_is_refused() {
    let asset = "0x85889c8c714505E0c94b30fcfcF64fE3Ac8FCb20";
    for (network, why) in [
        (json!({ "caip2": "solana:1", "asset": asset }), "its caip2 is not eip155: and a number"),
        (json!({ "caip2": "eip155:", "asset": asset }), "its caip2 is not eip155: and a number"),
        (
            json!({ "caip2": "eip155:1", "asset": "0x1" }),
            "its asset is not 0x and 40 hexadecimal digits",
        ),
        (
            json!({ "caip2": "eip155:1", "asset": asset, "asset_decimals": 37 }),
            "its asset_decimals are more than 36",
        ),
        (
            json!({ "caip2": "eip155:1", "asset": asset, "asset_symbol": "" }),
            "its asset_symbol is empty",
        ),
    ] {
        let error = Networks::with_extra([("mine", extra(network))]).unwrap_err();
        assert_eq!(error.to_string(), format!("extra network \"mine\": {why}"));
    }
    assert!(serde_json::from_value::<ExtraNetwork>(json!({ "caip2": "eip155:1" })).is_err());
}
