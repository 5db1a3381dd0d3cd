use std::net::IpAddr;

use bindu_did::Did;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use zeroize::Zeroizing;

use crate::MtlsError;

/// The longest common name (RFC 5280, appendix A.1), in characters.
const LONGEST_COMMON_NAME: usize = 64;

/// A new key and the request to certify it.
pub(crate) struct CertificateRequest {
    pub(crate) key_pem: Zeroizing<String>,
    pub(crate) csr_pem: String,
}

impl CertificateRequest {
    /// ECDSA on P-256. The DID is the URI among the names, its last segment the common
    /// name; hosts that are neither a DNS name nor an address are left out.
    pub(crate) fn new(did: &Did, hosts: &[String]) -> Result<Self, MtlsError> {
        let failed = |error: rcgen::Error| MtlsError::Request(error.into());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name(did));
        // Names of certificates are ASCII.
        let uri = utf8_percent_encode(did.as_str(), BEYOND_ASCII).to_string();
        params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(failed)?));
        for host in hosts {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            match (host.parse::<IpAddr>(), host.to_owned().try_into()) {
                (Ok(ip), _) => params.subject_alt_names.push(SanType::IpAddress(ip)),
                (_, Ok(name)) if !host.is_empty() => {
                    params.subject_alt_names.push(SanType::DnsName(name));
                }
                _ => tracing::warn!(host, "asking for no certificate for a strange host"),
            }
        }
        let csr_pem = params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(failed)?;
        Ok(Self { key_pem: Zeroizing::new(key.serialize_pem()), csr_pem })
    }
}

const BEYOND_ASCII: &AsciiSet = CONTROLS;

fn common_name(did: &Did) -> String {
    let last = did.as_str().rsplit(':').next().unwrap_or_default();
    if !last.is_empty() && last.len() <= LONGEST_COMMON_NAME {
        return last.to_owned();
    }
    did.as_str().chars().take(LONGEST_COMMON_NAME).collect()
}
