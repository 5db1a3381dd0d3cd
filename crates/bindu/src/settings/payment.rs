//! What work costs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::section::section;

section! {
    /// How callers pay, for agents whose configuration says what a task costs.
    pub struct X402Settings {
        /// Who checks payments and moves the money.
        pub facilitator_url: String =
            ["X402__FACILITATOR_URL", "FACILITATOR_URL"] default "https://x402.org/facilitator";
        /// The chain of an `execution_cost` that names none.
        pub default_network: String = ["X402__DEFAULT_NETWORK"] default "base-sepolia";
        /// The JSON-RPC methods that cost something.
        pub protected_methods: Vec<String> = ["X402__PROTECTED_METHODS"]
            default "[\"message/send\",\"message/stream\"]";
        /// Chains beside those that are known, by name: `caip2`, `asset`, and, where they differ
        /// from USDC's, `asset_symbol`, `asset_name`, `asset_decimals`, `asset_eip712_version`.
        pub extra_networks: BTreeMap<String, serde_json::Value> = ["X402__EXTRA_NETWORKS"] default "{}";
        /// How long the facilitator may take to check a payment.
        pub verify_timeout: Duration = ["X402__VERIFY_TIMEOUT"] default "10s" nonzero;
        /// How long the facilitator may take to move the money.
        pub settle_timeout: Duration = ["X402__SETTLE_TIMEOUT"] default "60s" nonzero;
        /// How long a task waits for a payment whose outcome got lost. After that it fails; what
        /// became of the money is still found out.
        pub work_patience: Duration = ["X402__WORK_PATIENCE"] default "2m" nonzero;
        /// Tasks that may wait to be paid for; beyond that, only who pays at once is served.
        pub max_unpaid_tasks: u64 = ["X402__MAX_UNPAID_TASKS"] default "1000" nonzero;
        /// How long a task waits to be paid for before it is canceled.
        pub unpaid_life: Duration = ["X402__UNPAID_LIFE"] default "1h" nonzero;
        /// Payment sessions of browsers that may be open at one time.
        pub max_sessions: usize = ["X402__MAX_SESSIONS"] default "1000" nonzero;
    }
}
