use std::collections::BTreeMap;

use serde::Deserialize;

use crate::EvmAddress;

/// The names that no configuration takes away, with their chains.
const FIRM_NAMES: [(&str, u64); 6] = [
    ("base", 8453),
    ("base-mainnet", 8453),
    ("base-sepolia", 84532),
    ("ethereum", 1),
    ("ethereum-mainnet", 1),
    ("ethereum-sepolia", 11_155_111),
];

/// The names that an extra network may take over: those of x402 v1, and one that comes along.
const OTHER_NAMES: [(&str, u64); 10] = [
    ("arbitrum", 42161),
    ("arbitrum-sepolia", 421_614),
    ("avalanche", 43114),
    ("celo", 42220),
    ("monad", 143),
    ("monad-testnet", 10143),
    ("polygon", 137),
    ("sei", 1329),
    ("sei-testnet", 1328),
    ("skale-europa", 1_187_947_933),
];

/// The USDC of each chain: chain, contract, EIP-712 name. Version `2` and 6 decimals everywhere.
const USDC: [(u64, &str, &str); 18] = [
    (1, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin"),
    (50, "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1", "USDC"),
    (51, "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4", "USDC"),
    (137, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin"),
    (143, "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", "USDC"),
    (1328, "0x4fCF1784B31630811181f670Aea7A7bEF803eaED", "USDC"),
    (1329, "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", "USDC"),
    (5042, "0x3600000000000000000000000000000000000000", "USDC"),
    (8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),
    (10143, "0x534b2f3A21130d7a60830c2Df862319e593943A3", "USDC"),
    (42161, "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin"),
    (42220, "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", "USDC"),
    (43114, "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin"),
    (84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC"),
    (421_614, "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", "USD Coin"),
    (5_042_002, "0x3600000000000000000000000000000000000000", "USDC"),
    // The issuer's test coin, as its list of contracts has it.
    (11_155_111, "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238", "USDC"),
    (1_187_947_933, "0x85889c8c714505E0c94b30fcfcF64fE3Ac8FCb20", "Bridged USDC (SKALE Bridge)"),
];

/// A chain on which agents are paid, with what can be paid in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its CAIP-2 id: `eip155:8453`.
    pub caip2: String,
    /// Its number among the chains of the EVM family.
    pub chain_id: u64,
    /// The assets known on it; the first is what a price without a ticker means.
    pub assets: Vec<Asset>,
}

/// A token contract that takes signed transfers (EIP-3009).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The contract.
    pub address: EvmAddress,
    /// Its ticker: `USDC`.
    pub symbol: String,
    /// The name in its EIP-712 domain.
    pub name: String,
    /// The version in its EIP-712 domain.
    pub version: String,
    /// How many decimals a whole coin has.
    pub decimals: u8,
}

/// A network of the operator's own, as the settings write it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExtraNetwork {
    /// Its CAIP-2 id: `eip155:` and a number.
    pub caip2: String,
    /// The contract of the asset.
    pub asset: String,
    /// The asset's ticker. Default `USDC`.
    #[serde(default = "usdc")]
    pub asset_symbol: String,
    /// The name in its EIP-712 domain. Default `USD Coin`.
    #[serde(default = "usd_coin")]
    pub asset_name: String,
    /// How many decimals a whole coin has, 0 to 36. Default 6.
    #[serde(default = "six")]
    pub asset_decimals: u8,
    /// The version in its EIP-712 domain. Default `2`.
    #[serde(default = "two")]
    pub asset_eip712_version: String,
}

fn usdc() -> String {
    "USDC".to_owned()
}

fn usd_coin() -> String {
    "USD Coin".to_owned()
}

const fn six() -> u8 {
    6
}

fn two() -> String {
    "2".to_owned()
}

/// Why there is no such network or asset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No network has this name or id.
    #[error("no network is called {name:?}; known are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What could have been.
        known: Vec<String>,
    },
    /// The network has no asset with this ticker.
    #[error("{network} has no asset {ticker:?}; known are {}", .known.join(", "))]
    UnknownAsset {
        /// The network's CAIP-2 id.
        network: String,
        /// What was asked for.
        ticker: String,
        /// What could have been.
        known: Vec<String>,
    },
    /// An extra network cannot be used.
    #[error("extra network {name:?}: {why}")]
    Extra {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The networks by name: those that come along, and the operator's own.
///
/// ```
/// # use bindu_x402::Networks;
/// let networks = Networks::default();
/// let polygon = networks.resolve("polygon")?;
/// assert_eq!(polygon.caip2, "eip155:137");
/// assert_eq!(polygon, networks.resolve("eip155:137")?);
/// assert_eq!(polygon.asset(None)?.symbol, "USDC");
/// assert!(polygon.asset(Some("ETH")).is_err());
/// # Ok::<(), bindu_x402::NetworkError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Networks {
    extra: BTreeMap<String, (u64, Asset)>,
}

impl Networks {
    /// The networks that come along, and these.
    ///
    /// An extra network may have the chain of one that is known: its asset is then what prices on
    /// that chain mean. The names `base`, `base-sepolia`, `ethereum`, `ethereum-sepolia` and those
    /// with `-mainnet` stay what they are.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Extra`].
    pub fn with_extra<N: Into<String>>(
        extra: impl IntoIterator<Item = (N, ExtraNetwork)>,
    ) -> Result<Self, NetworkError> {
        let mut networks = BTreeMap::new();
        for (name, network) in extra {
            let name = name.into();
            let read = read_extra(network);
            let read = read.map_err(|why| NetworkError::Extra { name: name.clone(), why })?;
            networks.insert(name, read);
        }
        Ok(Self { extra: networks })
    }

    /// The network of this name (`base-sepolia`, or as x402 v1 calls it: `polygon`) or of this
    /// CAIP-2 id.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Unknown`].
    pub fn resolve(&self, name: &str) -> Result<Network, NetworkError> {
        let listed = |names: &[(&str, u64)]| {
            names.iter().find(|(known, _)| *known == name).map(|(_, chain)| *chain)
        };
        let own = self.extra.get(name);
        let chain_id = listed(&FIRM_NAMES)
            .or_else(|| own.map(|(chain, _)| *chain))
            .or_else(|| listed(&OTHER_NAMES))
            .or_else(|| chain_id(name));
        // One that has the name of another chain says nothing of that chain's assets.
        let first = own.filter(|(chain, _)| Some(*chain) == chain_id).map(|(_, asset)| asset);
        let network = chain_id.map(|chain_id| self.chain(chain_id, first));
        network
            .filter(|network| !network.assets.is_empty())
            .ok_or_else(|| NetworkError::Unknown { name: name.to_owned(), known: self.names() })
    }

    /// What the network with this CAIP-2 id is called, if it has a name.
    #[must_use]
    pub fn name_of(&self, caip2: &str) -> Option<&str> {
        let chain = chain_id(caip2)?;
        let of_chain = |names: &[(&'static str, u64)]| {
            names.iter().find(|(_, known)| *known == chain).map(|(name, _)| *name)
        };
        let own = || self.extra.iter().find(|(_, (own, _))| *own == chain).map(|(n, _)| n.as_str());
        of_chain(&FIRM_NAMES).or_else(|| of_chain(&OTHER_NAMES)).or_else(own)
    }

    /// All names, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let listed = FIRM_NAMES.iter().chain(&OTHER_NAMES).map(|(name, _)| (*name).to_owned());
        let mut names: Vec<_> = listed.chain(self.extra.keys().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A chain with its assets, `first` before all others.
    fn chain(&self, chain_id: u64, first: Option<&Asset>) -> Network {
        let own = self.extra.values().filter(|(chain, _)| *chain == chain_id);
        let own = own.map(|(_, asset)| asset).filter(|asset| Some(*asset) != first);
        let mut assets: Vec<Asset> = first.into_iter().chain(own).cloned().collect();
        let listed = USDC.iter().filter(|(chain, ..)| *chain == chain_id);
        assets.extend(listed.filter_map(|(_, address, name)| {
            Some(Asset {
                address: address.parse().ok()?,
                symbol: usdc(),
                name: (*name).to_owned(),
                version: two(),
                decimals: 6,
            })
        }));
        Network { caip2: format!("eip155:{chain_id}"), chain_id, assets }
    }
}

impl Network {
    /// The asset with this ticker, in whatever case; without one, the first.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UnknownAsset`].
    pub fn asset(&self, ticker: Option<&str>) -> Result<&Asset, NetworkError> {
        let meant = |asset: &&Asset| ticker.is_none_or(|t| asset.symbol.eq_ignore_ascii_case(t));
        self.assets.iter().find(meant).ok_or_else(|| NetworkError::UnknownAsset {
            network: self.caip2.clone(),
            ticker: ticker.unwrap_or_default().to_owned(),
            known: self.assets.iter().map(|asset| asset.symbol.clone()).collect(),
        })
    }
}

/// The chain of a CAIP-2 id of the EVM family.
pub(crate) fn chain_id(caip2: &str) -> Option<u64> {
    let digits = caip2.strip_prefix("eip155:")?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn read_extra(network: ExtraNetwork) -> Result<(u64, Asset), &'static str> {
    let chain = chain_id(&network.caip2).ok_or("its caip2 is not eip155: and a number")?;
    // Without the checksum, which the settings never asked for.
    let address = EvmAddress::any_case(&network.asset)
        .map_err(|_| "its asset is not 0x and 40 hexadecimal digits")?;
    if network.asset_decimals > 36 {
        return Err("its asset_decimals are more than 36");
    }
    if network.asset_symbol.is_empty() {
        return Err("its asset_symbol is empty");
    }
    let asset = Asset {
        address,
        symbol: network.asset_symbol,
        name: network.asset_name,
        version: network.asset_eip712_version,
        decimals: network.asset_decimals,
    };
    Ok((chain, asset))
}
