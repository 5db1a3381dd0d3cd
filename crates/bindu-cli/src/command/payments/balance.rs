//! Sums of payments.

use std::collections::BTreeMap;
use std::fmt;

use bindu_storage::{PaymentKey, PaymentState};
use serde_json::{Value, json};

/// How many payments there are, and of what, by state, network and asset.
#[derive(Debug, Default)]
pub(super) struct Balance {
    /// The state by its place in the life of a payment.
    totals: BTreeMap<(usize, String, String), Total>,
}

#[derive(Debug, Default)]
struct Total {
    count: u64,
    amount: Amount,
    /// How many name no amount that can be read.
    unread: u64,
}

impl Balance {
    pub(super) fn add(&mut self, state: PaymentState, key: &PaymentKey, amount: Option<&str>) {
        let place = PaymentState::ALL.iter().position(|other| *other == state).unwrap_or_default();
        let group = (place, key.network().to_owned(), key.asset().to_owned());
        let total = self.totals.entry(group).or_default();
        total.count += 1;
        if !amount.is_some_and(|amount| total.amount.add(amount)) {
            total.unread += 1;
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let payments: u64 = self.totals.values().map(|total| total.count).sum();
        let balance: Vec<_> = self
            .totals
            .iter()
            .map(|((state, network, asset), total)| {
                json!({
                    "state": PaymentState::ALL[*state],
                    "network": network,
                    "asset": asset,
                    "count": total.count,
                    "amount": total.amount.to_string(),
                    "unreadable": total.unread,
                })
            })
            .collect();
        json!({ "payments": payments, "balance": balance })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let line = |((state, network, asset), total): (&(usize, String, String), &Total)| {
            let Total { count, amount, unread } = total;
            let state = PaymentState::ALL[*state];
            let unread = match unread {
                0 => String::new(),
                unread => format!(" (without {unread} that name no amount)"),
            };
            format!("{state:<9}  {count:>7}  {amount:>24} of {asset} on {network}{unread}")
        };
        self.totals.iter().map(line).collect()
    }
}

/// A sum of whole numbers that has no bound: its decimal digits, the last first.
#[derive(Debug, Default)]
struct Amount(Vec<u8>);

impl Amount {
    /// Adds a number of decimal digits; says whether it is one.
    fn add(&mut self, text: &str) -> bool {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        let mut carry = 0;
        let mut digits = text.bytes().rev().map(|byte| byte - b'0');
        let mut place = 0;
        loop {
            let digit = digits.next();
            if digit.is_none() && carry == 0 {
                return true;
            }
            if place == self.0.len() {
                self.0.push(0);
            }
            let sum = self.0[place] + digit.unwrap_or_default() + carry;
            self.0[place] = sum % 10;
            carry = sum / 10;
            place += 1;
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.iter().rev().skip_while(|digit| **digit == 0);
        let text: String = digits.map(|digit| char::from(b'0' + digit)).collect();
        f.pad(if text.is_empty() { "0" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_no_bound() {
        for (numbers, sum) in [
            (&[][..], "0"),
            (&["0", "000"], "0"),
            (&["1", "999", "0"], "1000"),
            (&["10000", "7", "0095"], "10102"),
            (
                &[
                    "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                    "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                ],
                "231584178474632390847141970017375815706539969331281128078915168015826259279870",
            ),
        ] {
            let mut amount = Amount::default();
            for number in numbers {
                assert!(amount.add(number), "{number}");
            }
            assert_eq!(amount.to_string(), sum);
        }
    }

    #[test]
    fn what_is_no_number_is_counted_and_not_added() {
        let mut balance = Balance::default();
        let key = PaymentKey::new("eip155:1", "0xa", "0xb", "0x1");
        for amount in [Some("5"), Some("-1"), Some("1.5"), Some(""), Some("1e3"), None] {
            balance.add(PaymentState::Settled, &key, amount);
        }
        let told = balance.to_json();
        assert_eq!(told["payments"], 6);
        assert_eq!(told["balance"][0]["amount"], "5");
        assert_eq!(told["balance"][0]["unreadable"], 5);
        assert!(balance.lines()[0].ends_with("(without 5 that name no amount)"));
    }
}
