//! What a user of the crate may rely on, through its public interface.

mod ed25519;
mod key_dir;
mod pins;
#[cfg(feature = "vectors")]
mod vectors;
