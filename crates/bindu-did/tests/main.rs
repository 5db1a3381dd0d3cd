//! What a user of the crate may rely on, through its public interface.

mod key_dir;
#[cfg(feature = "vectors")]
mod vectors;
