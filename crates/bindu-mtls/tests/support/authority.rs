use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bindu_mtls::{Certificates, Config, PeerRules, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::{Result, did};

pub(crate) const ISSUER: &str = "https://hydra.example";

/// A root and an intermediate below it, as step-ca has them.
pub(crate) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// What a certificate says.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) common_name: String,
    pub(crate) uris: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Leaf {
    /// As step-ca issues it for a token: `<issuer>#<did>`, dated back by a minute.
    pub(crate) fn of(did: &str) -> Self {
        let now = SystemTime::now();
        Self {
            common_name: did.to_owned(),
            uris: vec![format!("{ISSUER}#{did}")],
            hosts: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            not_before: now - Duration::from_mins(1),
            not_after: now + Duration::from_hours(24),
        }
    }

    pub(crate) fn for_host(mut self, host: &str) -> Self {
        self.hosts.push(host.to_owned());
        self
    }

    pub(crate) fn ending_in(mut self, life: Duration) -> Self {
        self.not_after = SystemTime::now() + life;
        self
    }
}

/// A chain and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn write(&self, directory: &Path) -> Result {
        fs::write(directory.join("tls_cert.pem"), &self.chain)?;
        let key = directory.join("tls_key.pem");
        fs::write(&key, &self.key)?;
        #[cfg(unix)]
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(())
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let params = |what: &str, below| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, format!("{name} {what}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params
        };
        let root = CertifiedIssuer::self_signed(params("Root CA", 1), KeyPair::generate()?)?;
        let intermediate =
            CertifiedIssuer::signed_by(params("Intermediate CA", 0), KeyPair::generate()?, &root)?;
        Ok(Self { root, intermediate })
    }

    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub(crate) fn root_der(&self) -> &CertificateDer<'static> {
        self.root.der()
    }

    pub(crate) fn intermediate_pem(&self) -> String {
        self.intermediate.pem()
    }

    /// A certificate for somebody's key, in PEM and without its chain.
    pub(crate) fn sign(&self, leaf: &Leaf, key: &impl PublicKeyData) -> Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if !leaf.common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
        }
        for uri in &leaf.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        }
        for host in &leaf.hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(host.as_str().try_into()?),
            });
        }
        params.extended_key_usages.clone_from(&leaf.usages);
        params.not_before = leaf.not_before.into();
        params.not_after = leaf.not_after.into();
        Ok(params.signed_by(key, &self.intermediate)?.pem())
    }

    pub(crate) fn issue(&self, leaf: &Leaf) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let chain = format!("{}{}", self.sign(leaf, &key)?, self.intermediate_pem());
        Ok(Pair { chain, key: key.serialize_pem() })
    }

    pub(crate) fn trust(&self, rules: PeerRules) -> Result<Trust> {
        Ok(Trust::from_pem(self.root_pem().as_bytes(), rules)?)
    }
}

/// The rules of most tests: our issuer, and nothing of the machine's.
pub(crate) fn rules() -> PeerRules {
    PeerRules { issuer: ISSUER.into(), public_roots: false, ..PeerRules::default() }
}

/// An agent whose certificate lies in files.
pub(crate) struct Agent {
    pub(crate) certificates: Certificates,
    pub(crate) directory: TempDir,
}

impl Agent {
    pub(crate) async fn of(authority: &Authority, leaf: &Leaf, name: &str) -> Result<Self> {
        Self::with_rules(authority, leaf, name, rules()).await
    }

    pub(crate) async fn with_rules(
        authority: &Authority,
        leaf: &Leaf,
        name: &str,
        peers: PeerRules,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        authority.issue(leaf)?.write(directory.path())?;
        fs::write(directory.path().join("ca_bundle.pem"), authority.root_pem())?;
        let config = Config { directory: directory.path().into(), peers, ..Config::new(did(name)) };
        Ok(Self { certificates: Certificates::from_files(config).await?, directory })
    }
}
