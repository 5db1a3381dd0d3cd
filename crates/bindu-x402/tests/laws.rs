//! What holds whatever is written.

use bindu_protocol::Json;
use bindu_x402::v1::{self, PaymentRequirementsV1};
use bindu_x402::{
    Amount, Networks, PaymentPayload, PaymentRequirements, Price, check, header, offers,
};
use proptest::prelude::*;
use regex::Regex;
use serde_json::json;

use crate::support::{at, object, offer, option, payment, signed};

prop_compose! {
    fn any_offer()(
        amount in 1..u64::MAX,
        network in prop::sample::select(Networks::default().names()),
        seconds in 1..1000_u64,
    ) -> PaymentRequirements {
        let offer = offers(&[option(&network)], &Networks::default()).unwrap().remove(0);
        PaymentRequirements { amount: amount.into(), max_timeout_seconds: seconds, ..offer }
    }
}

proptest! {
    #[test]
    fn a_price_is_what_the_grammar_says(text in "[ $0-9A-Za-z.eE+-]{0,12}|\\$? ?[0-9]{1,4}(\\.[0-9]{1,9})?( [A-Z]{3,5})?") {
        let grammar = Regex::new(r"^\s*\$?\s*[0-9]+(\.[0-9]+)?(\s+[A-Za-z][A-Za-z0-9.]*)?\s*$").unwrap();
        let price = text.parse::<Price>();
        prop_assert_eq!(price.is_ok(), grammar.is_match(&text));
        if let Ok(price) = price {
            prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
        }
    }

    #[test]
    fn any_text_is_a_price_or_is_not(text in any::<String>()) {
        if let Ok(price) = text.parse::<Price>() {
            let _ = price.atomic(6);
        }
    }

    #[test]
    fn a_price_in_units_is_cut_off_exactly(
        whole in 0..1_000_000_000_u64,
        fraction in "[0-9]{1,12}",
        decimals in 0..18_u8,
    ) {
        let price: Price = format!("{whole}.{fraction}").parse().unwrap();
        let digits: u128 = format!("{whole}{fraction}").parse().unwrap();
        let places = u32::try_from(fraction.len()).unwrap();
        let exact = digits * 10_u128.pow(decimals.into()) / 10_u128.pow(places);
        prop_assert_eq!(price.atomic(decimals).unwrap().to_string(), exact.to_string());
    }

    #[test]
    fn an_amount_is_a_number(one: u128, other: u128, zeros in 0..5_usize) {
        let read = |number: u128| format!("{}{number}", "0".repeat(zeros)).parse::<Amount>().unwrap();
        prop_assert_eq!(read(one).cmp(&read(other)), one.cmp(&other));
        prop_assert_eq!(read(one).to_string(), one.to_string());
        let json = serde_json::to_string(&read(one)).unwrap();
        prop_assert_eq!(&json, &format!("\"{one}\""));
        prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), read(one));
        prop_assert_eq!(read(one).saturating_u64(), u64::try_from(one).unwrap_or(u64::MAX));
    }

    #[test]
    fn an_amount_for_people_is_the_same_amount(number: u128, decimals in 0..37_u8) {
        let amount: Amount = number.to_string().parse().unwrap();
        let price: Price = amount.to_decimal(decimals).parse().unwrap();
        prop_assert_eq!(price.atomic(decimals).unwrap(), amount);
    }

    #[test]
    fn a_payment_survives_its_header(
        offer in any_offer(),
        nonce in "0x[0-9a-f]{64}",
        url in any::<Option<String>>(),
        padded: bool,
        url_safe: bool,
        spaced: bool,
    ) {
        let resource = url.map(|url| bindu_x402::Resource { url, ..Default::default() });
        let payload = PaymentPayload { resource, ..payment(&offer, &nonce) };
        for mut value in [header::encode(&payload), payload.token()] {
            if !padded {
                value.truncate(value.trim_end_matches('=').len());
            }
            if url_safe {
                value = value.replace('+', "-").replace('/', "_");
            }
            if spaced {
                value.insert(value.len() / 2, '\n');
            }
            prop_assert_eq!(&header::decode(value.as_bytes()).unwrap(), &payload);
            prop_assert_eq!(&header::decode_or_json(value.as_bytes()).unwrap(), &payload);
        }
        let checked = check(&payload, std::slice::from_ref(&offer), at(1)).unwrap();
        // What was checked is checked again, and says the same.
        let again = check(checked.payload(), &[offer], at(1)).unwrap();
        prop_assert_eq!(again, checked);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = header::decode(&bytes);
        let _ = header::decode_or_json(&bytes);
        let _ = header::decode_or_json(&[b"{".as_slice(), &bytes].concat());
    }

    /// Nearly a payment: whatever is made of it is refused, or is a payment that stays one.
    #[test]
    fn a_payment_that_was_tampered_with_is_none_or_one(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = serde_json::to_vec(&payment(&offer(), "0x01")).unwrap();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let read = header::decode_or_json(&bytes).and_then(|p| check(&p, &[offer()], at(1)));
        if let Ok(checked) = read {
            let authorization = &checked.signed().authorization;
            prop_assert_eq!(&authorization.value, &offer().amount);
            prop_assert_eq!(authorization.to.to_string().to_lowercase(), offer().pay_to);
            prop_assert_eq!(check(checked.payload(), &[offer()], at(1)), Ok(checked));
        }
    }

    #[test]
    fn an_offer_survives_version_1(offer in any_offer()) {
        let networks = Networks::default();
        let old = PaymentRequirementsV1::of(&offer, None, &networks).unwrap();
        let json = serde_json::to_string(&old).unwrap();
        let old: PaymentRequirementsV1 = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(old.into_v2(&networks).unwrap(), offer);
    }

    #[test]
    fn a_payment_of_version_1_is_the_same_payment(first in any_offer(), second in any_offer()) {
        let networks = Networks::default();
        let offers = [first, second];
        for offer in &offers {
            let old = json!({
                "x402Version": 1, "scheme": "exact",
                "network": networks.name_of(&offer.network), "payload": signed(offer, "0x01"),
            });
            let read = v1::decode(&Json::from(old), &offers, &networks).unwrap();
            prop_assert_eq!(&read, &payment(offer, "0x01"));
            prop_assert!(check(&read, &offers, at(1)).is_ok());
        }
    }

    #[test]
    fn another_price_is_another_payment(value in 0..u64::MAX) {
        prop_assume!(value != 10_000);
        let mut inner = signed(&offer(), "0x01");
        inner["authorization"]["value"] = value.to_string().into();
        let payload = PaymentPayload { payload: object(inner), ..payment(&offer(), "0x01") };
        prop_assert!(check(&payload, &[offer()], at(1)).is_err());
    }
}

#[test]
fn an_amount_ends_where_contracts_do() {
    let greatest = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    assert_eq!(greatest.parse::<Amount>().unwrap().as_str(), greatest);
    let more = greatest.replace("9935", "9936");
    for wrong in [more.as_str(), "", "-1", "+1", "1.0", " 1", "0x1", "١"] {
        assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<Amount>("1.5").is_err());
    assert!(serde_json::from_str::<Amount>("-1").is_err());
    assert!(Amount::from(0).is_zero() && !Amount::from(10).is_zero());
}
