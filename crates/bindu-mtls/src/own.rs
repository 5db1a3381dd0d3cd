//! Our own certificate, and whether it is good.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use crate::store::{Files, Found};
use crate::x509::{Leaf, Usage};
use crate::{Config, MtlsError, PeerError, Trust};

/// How often files that do not fit each other are looked at again, and how long after.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Our certificate.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) leaf: Leaf,
    /// How long it was to live when it was issued.
    pub(crate) life: Duration,
}

impl Own {
    /// Our certificate, if it is good: for both sides, for our DID, under our roots, now.
    pub(crate) fn of(
        certified: Arc<CertifiedKey>,
        config: &Config,
        trust: &Trust,
        now: SystemTime,
        issued: Option<SystemTime>,
    ) -> Result<Self, String> {
        let leaf = leaf_of(&certified)?;
        let did = trust.own_did(&leaf).map_err(|error| error.to_string())?;
        if did != config.did {
            return Err(format!("it is of {did}, not of {}", config.did));
        }
        if !(leaf.is_for(Usage::Client) && leaf.is_for(Usage::Server)) {
            return Err("it must be for clients and for servers".into());
        }
        trust.own(&certified.cert, now)?;
        // Authorities date certificates back, by a minute or so: for a short life that is
        // no part of the life.
        let life = match issued {
            Some(issued) => leaf.not_after.duration_since(issued).unwrap_or_default(),
            None => leaf.not_after.duration_since(leaf.not_before).unwrap_or_default(),
        };
        Ok(Self { certified, leaf, life: life.min(config.cert_ttl) })
    }

    pub(crate) fn remaining(&self, now: SystemTime) -> Duration {
        self.leaf.not_after.duration_since(now).unwrap_or_default()
    }
}

fn leaf_of(certified: &CertifiedKey) -> Result<Leaf, String> {
    let first: &CertificateDer<'_> = certified.cert.first().ok_or("it is empty")?;
    Leaf::parse(first).map_err(|_| "it cannot be read".into())
}

/// A certificate that somebody else keeps. Blocks.
pub(crate) fn foreign(config: &Config, files: &Files, trust: &Trust) -> Result<Own, MtlsError> {
    let unusable = |reason| MtlsError::Unusable { path: files.cert.clone(), reason };
    let mut looks = 0;
    let pair = loop {
        match files.load_foreign()? {
            Found::Pair(pair) => break pair,
            Found::Nothing => return Err(unusable("it is missing".into())),
            // Perhaps somebody is between the two renames.
            Found::Unusable(_) if looks < LOOKS => {
                looks += 1;
                thread::sleep(BETWEEN_LOOKS);
            }
            Found::Unusable(reason) => return Err(unusable(reason)),
        }
    };
    let now = SystemTime::now();
    let leaf = leaf_of(&pair).map_err(unusable)?;
    if trust.own_did(&leaf) == Err(PeerError::NoDid) {
        if leaf.not_after <= now {
            return Err(unusable("it has expired".into()));
        }
        tracing::info!(fingerprint = %leaf.fingerprint, "the certificate names no DID: peers know us by host name");
        let life = leaf.not_after.duration_since(leaf.not_before).unwrap_or_default();
        return Ok(Own { certified: pair, leaf, life });
    }
    let mut own = Own::of(pair, config, trust, now, None).map_err(unusable)?;
    own.life = own.leaf.not_after.duration_since(own.leaf.not_before).unwrap_or_default();
    Ok(own)
}
