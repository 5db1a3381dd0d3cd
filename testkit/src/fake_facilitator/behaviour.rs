//! How a payment is treated.

/// What becomes of a payment, in place of a yes and of money that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Both say yes, and the money moves.
    Good,
    /// `/verify` says no: `insufficient_funds`. `/settle` is not told.
    VerifyNo,
    /// `/verify` says yes, for somebody else.
    VerifyOtherPayer,
    /// `/settle` says no: `transfer reverted`. Nothing moves.
    SettleNo,
    /// `/settle` hangs, then answers 500. Nothing moves.
    Hang,
    /// `/settle` moves the money, hangs, and answers 500; it settles as usual when asked again.
    SettledThenHang,
    /// `/settle` moves the money and answers 500; it settles as usual when asked again.
    SettledThen500,
    /// `/settle` moves the money and closes the connection; it settles as usual when asked again.
    SettledThenClosed,
    /// `/settle` closes the connection. Nothing moves.
    Closed,
    /// `/settle` answers 500 the first time, and nothing moves; then it settles as usual.
    FirstFails,
    /// `/settle` says that somebody else has paid. Nothing moves.
    OtherPayer,
    /// `/settle` says yes, and names no transaction. Nothing moves.
    NoTransaction,
    /// `/settle` says that it was paid on another chain. Nothing moves.
    OtherNetwork,
    /// `/settle` moves the money and says no; it settles as usual when asked again.
    SettledSaysNo,
}

impl Behaviour {
    /// Each with its name, as `/__behave` takes it, and the nonces that do it by themselves.
    pub(super) const ALL: [(Self, &'static str, Option<&'static str>); 14] = [
        (Self::Good, "good", None),
        (Self::VerifyNo, "verify-no", Some("0xbad0")),
        (Self::SettleNo, "settle-no", Some("0xfa11")),
        (Self::Hang, "hang", Some("0xcdcd")),
        (Self::SettledThenHang, "settled-then-hang", Some("0x71e0")),
        (Self::SettledThen500, "settled-then-500", Some("0x5e77")),
        (Self::SettledThenClosed, "settled-then-closed", Some("0xc105")),
        (Self::Closed, "closed", Some("0xdead")),
        (Self::FirstFails, "first-fails", Some("0xf1a0")),
        (Self::OtherPayer, "other-payer", Some("0x11e0")),
        (Self::NoTransaction, "no-transaction", Some("0x11e1")),
        (Self::OtherNetwork, "other-network", Some("0x11e2")),
        (Self::SettledSaysNo, "settled-says-no", Some("0x11e3")),
        (Self::VerifyOtherPayer, "verify-other-payer", Some("0x11e4")),
    ];

    /// What is called so.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(behaviour, ..)| *behaviour)
    }
}
