//! What is bought, and with what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Who is paid.
pub(super) const PAY_TO: &str = "0xa11ce0000000000000000000000000000000a11c";

/// On which chain.
pub(super) const NETWORK: &str = "eip155:84532";

const PAYER: &str = "0x000000000000000000000000000000000000beef";

/// What the facilitator does with a payment; see
/// [`FakeFacilitator`](crate::fake_facilitator::FakeFacilitator).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// How the nonce begins.
    pub(super) prefix: &'static str,
    /// How often it is chosen.
    weight: u32,
    /// Whether the payer has to be heard in the end.
    pub(super) is_accepted: bool,
    /// Whether the money can move at all.
    pub(super) can_move: bool,
    /// Whether the agent may be left in the dark although the money moved: nobody tells it.
    pub(super) hides: bool,
}

const fn kind(prefix: &'static str, weight: u32) -> Kind {
    Kind { prefix, weight, is_accepted: true, can_move: true, hides: false }
}

/// The facilitator refuses what it has done before, instead of saying that it did it.
const fn hides(prefix: &'static str) -> Kind {
    Kind { hides: true, ..kind(prefix, 6) }
}

const fn unmoved(prefix: &'static str) -> Kind {
    Kind { can_move: false, ..kind(prefix, 3) }
}

const fn refused(prefix: &'static str) -> Kind {
    Kind { is_accepted: false, ..unmoved(prefix) }
}

/// Every kind that there is; what begins with `00` is paid as it should be.
pub(super) const KINDS: [Kind; 18] = [
    kind("00", 40),
    kind("71e0", 5),
    kind("5e77", 5),
    kind("c105", 5),
    kind("f1a0", 5),
    kind("11e3", 5),
    hides("00de99"),
    hides("71e099"),
    hides("5e7799"),
    hides("c10599"),
    unmoved("fa11"),
    unmoved("cdcd"),
    unmoved("dead"),
    unmoved("11e0"),
    unmoved("11e1"),
    unmoved("11e2"),
    refused("11e4"),
    refused("bad0"),
];

/// How a payer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At once, by a header.
    Header,
    /// When the task asks for it.
    InTask,
}

/// One purchase with an authorization.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Copy {
    /// What is to be done. Nobody else says the same.
    pub(super) text: String,
    pub(super) way: Way,
    /// What the task is called, if payers may say so, and the messages to it.
    pub(super) task: String,
    /// Whether it is to be canceled.
    pub(super) cancels: bool,
}

/// An authorization, and what somebody wants for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deal {
    pub(super) kind: Kind,
    /// With `0x`, in lower case.
    pub(super) nonce: String,
    /// When it is void, in seconds since 1970.
    void: u64,
    /// One, or two that are tried at the same time.
    pub(super) copies: Vec<Copy>,
}

impl Deal {
    pub(super) fn new(round: usize, number: usize, void: f64, chance: &mut fastrand::Rng) -> Self {
        let all: u32 = KINDS.iter().map(|kind| kind.weight).sum();
        let mut left = chance.u32(..all);
        // Each kind has its turn, and then chance has its own.
        let kind = KINDS.get(number).copied().or_else(|| {
            KINDS.into_iter().find(|kind| {
                let is_it = left < kind.weight;
                left = left.saturating_sub(kind.weight);
                is_it
            })
        });
        let kind = kind.unwrap_or(KINDS[0]);
        let Kind { prefix, .. } = kind;
        let random = format!("{:032x}{:032x}", chance.u128(..), chance.u128(..));
        // A good one stays good.
        let random = random.replace("99", "98");
        let nonce = format!("0x{prefix}{}", &random[prefix.len()..]);
        let copies = if chance.u32(..100) < 25 { 2 } else { 1 };
        let copies = (0..copies).map(|copy| {
            let what = if chance.u32(..10) == 0 { "fail" } else { "sleep" };
            let milliseconds = match chance.u32(..100) {
                0..80 => chance.u32(5..100),
                80..97 => chance.u32(300..1_000),
                _ => chance.u32(2_000..3_000),
            };
            let task = uuid::Builder::from_random_bytes(chance.u128(..).to_be_bytes());
            Copy {
                text: format!("{what}:{milliseconds}:{round}-{number}-{copy}-{nonce}"),
                way: if chance.u32(..100) < 30 { Way::InTask } else { Way::Header },
                task: task.into_uuid().to_string(),
                cancels: chance.u32(..12) == 0,
            }
        });
        let copies = copies.collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
        Self { kind, nonce, void: void as u64, copies }
    }

    /// What is signed. Nobody looks at the signature.
    pub(super) fn payload(&self) -> Value {
        json!({
            "x402Version": 2,
            "payload": {
                "signature": format!("0x{}", "00".repeat(65)),
                "authorization": {
                    "from": PAYER, "to": PAY_TO, "value": "10000", "validAfter": "0",
                    "validBefore": self.void.to_string(), "nonce": self.nonce,
                },
            },
            "accepted": {
                "scheme": "exact", "network": NETWORK,
                "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "amount": "10000",
                "payTo": PAY_TO, "maxTimeoutSeconds": 60,
                "extra": { "name": "USDC", "version": "2" },
            },
        })
    }

    /// The same as the value of a header.
    pub(super) fn header(&self) -> String {
        STANDARD.encode(self.payload().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_turn_and_no_nonce_comes_twice() {
        let mut chance = fastrand::Rng::with_seed(1);
        let deals: Vec<_> = (0..200).map(|at| Deal::new(0, at, 9.0, &mut chance)).collect();
        for (kind, deal) in KINDS.iter().zip(&deals) {
            assert_eq!(*kind, deal.kind);
        }
        let mut nonces: Vec<_> = deals.iter().map(|deal| &deal.nonce).collect();
        nonces.sort();
        nonces.dedup();
        assert_eq!(nonces.len(), deals.len());
        for deal in &deals {
            assert_eq!(deal.nonce.len(), 66, "{deal:?}");
            assert!(deal.nonce[2..].starts_with(deal.kind.prefix), "{deal:?}");
            assert_eq!(&deal.nonce[6..8] == "99", deal.kind.hides, "{deal:?}");
        }
    }
}
