//! The project, and the identity of its agents.

use std::path::PathBuf;

use bindu_did::key_dir::DidSuffix;

use super::section::section;

section! {
    /// What the operator calls this installation.
    pub struct ProjectSettings {
        /// The kind of installation: `development`, `testing`, `production`.
        pub environment: String = ["PROJECT__ENVIRONMENT", "ENVIRONMENT"] default "development";
        /// The environment that `/health` tells.
        pub health_environment: String = ["ENV"] default "development";
    }
}

section! {
    /// Keys and DIDs.
    pub struct DidSettings {
        /// How the DID of an agent ends: as it is or, if new, with a fingerprint of the key
        /// (`auto`), always with the fingerprint (`key`), or with the agent id (`agent-id`).
        /// The older name also takes `public_key` and `author_name`.
        pub suffix: DidSuffix = ["DID__SUFFIX", "DID__AGENT_ID_SOURCE"] default "auto";
        /// Whether the parts of artifacts are signed.
        pub sign_artifacts: bool = ["DID__SIGN_ARTIFACTS"] default "true";
        /// Takes a private key that other users of the machine can read.
        pub allow_lax_permissions: bool = ["DID__ALLOW_LAX_PERMISSIONS"] default "false";
        /// The directory of the keys, below the agent's own.
        pub pki_dir: PathBuf = ["DID__PKI_DIR"] default ".bindu" nonzero;
        /// The file of the private key in that directory.
        pub private_key_filename: String = ["DID__PRIVATE_KEY_FILENAME"] default "private.pem" nonzero;
        /// The file of the public key in that directory.
        pub public_key_filename: String = ["DID__PUBLIC_KEY_FILENAME"] default "public.pem" nonzero;
    }
}
