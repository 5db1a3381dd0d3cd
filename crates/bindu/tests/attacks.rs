//! Attacks on a whole agent behind its locks. `docs/security.md` has the table of them.

mod bodies;
#[cfg(feature = "mtls")]
mod certificates;
mod gates;
mod outgoing;
mod replay;
mod site;
mod smuggling;
mod strangers;
mod table;
