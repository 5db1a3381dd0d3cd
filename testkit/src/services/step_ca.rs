//! How a private step-ca is made and spoken to.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::go::Program;
use super::hydra::private;
use super::server::Ports;
use super::{Machine, ServicesError};

/// The module that it is built in.
const STEP_CA: Program = Program {
    server: "step-ca",
    name: "step-ca",
    version: "0.30.2",
    files: &[
        ("go.mod", include_str!("../../services/step-ca/go.mod")),
        ("go.sum", include_str!("../../services/step-ca/go.sum")),
    ],
    package: "github.com/smallstep/certificates/cmd/step-ca",
    variables: "MTLS__CA_URL and MTLS__CA_ROOT_FILE",
};

/// What a token has to be for: the client id of the provisioner.
const AUDIENCE: &str = "step-ca";

const ROOT: &str = "root.crt";
const INTERMEDIATE: &str = "intermediate.crt";
const KEY: &str = "intermediate.key";
const CONFIG: &str = "ca.json";

#[derive(Debug)]
pub(super) struct StepCa {
    program: PathBuf,
    directory: PathBuf,
    issuer: String,
}

impl StepCa {
    /// Makes a root and an intermediate certificate.
    pub(super) fn make(
        machine: &Machine,
        directory: &Path,
        issuer: &str,
    ) -> Result<Self, ServicesError> {
        let program = STEP_CA.get(machine)?;
        let made = certificates();
        let (root, intermediate, key) = made.map_err(|error| ServicesError::Start {
            server: "step-ca",
            log: format!("making certificates: {error}"),
        })?;
        for (name, text) in [(ROOT, root), (INTERMEDIATE, intermediate)] {
            let written = fs::write(directory.join(name), text);
            written.map_err(ServicesError::io("writing a certificate"))?;
        }
        private(&directory.join(KEY), &key)?;
        Ok(Self { program, directory: directory.to_owned(), issuer: issuer.to_owned() })
    }

    /// The command that starts it; what it reads is written before.
    pub(super) fn command(&self, ports: Ports) -> Result<Command, ServicesError> {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let issuer = self.issuer.trim_end_matches('/');
        let config = json!({
            "root": file(ROOT),
            "crt": file(INTERMEDIATE),
            "key": file(KEY),
            "address": format!("127.0.0.1:{}", ports.main),
            "dnsNames": ["localhost", "127.0.0.1"],
            "logger": { "format": "text" },
            "authority": {
                "backdate": "1m0s",
                "provisioners": [{
                    "type": "OIDC",
                    "name": "hydra",
                    "clientID": AUDIENCE,
                    "clientSecret": "",
                    "configurationEndpoint": format!("{issuer}/.well-known/openid-configuration"),
                    "claims": {
                        "minTLSCertDuration": "10s",
                        "maxTLSCertDuration": "24h",
                        "defaultTLSCertDuration": "24h",
                        "disableRenewal": false,
                    },
                }],
            },
            "tls": { "minVersion": 1.2, "maxVersion": 1.3, "renegotiation": false },
        });
        private(&self.directory.join(CONFIG), &config.to_string())?;
        let mut command = Command::new(&self.program);
        command.arg(CONFIG).current_dir(&self.directory).env_clear();
        command.env("HOME", &self.directory).env("STEPPATH", &self.directory);
        Ok(command)
    }

    pub(super) fn url(ports: Ports) -> String {
        format!("https://127.0.0.1:{}", ports.main)
    }

    pub(super) fn root_file(directory: &Path) -> PathBuf {
        directory.join(ROOT)
    }

    /// Whether it takes connections: it does so once it has asked the issuer for its keys.
    pub(super) fn answers(ports: Ports) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, ports.main)).is_ok()
    }
}

/// A root and an intermediate certificate, and the key of that one.
fn certificates() -> Result<(String, String, String), rcgen::Error> {
    let root = CertifiedIssuer::self_signed(authority("Bindu Root CA", 10, 1), key()?)?;
    let intermediate_key = key()?;
    let params = authority("Bindu Intermediate CA", 5, 0);
    let intermediate = params.signed_by(&intermediate_key, &root)?;
    Ok((root.pem(), intermediate.pem(), intermediate_key.serialize_pem()))
}

fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

/// An authority that is valid for some years, with at most so many authorities below it.
fn authority(name: &str, years: i64, below: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    // Clocks differ: not from this very moment on.
    params.not_before = OffsetDateTime::now_utc() - Duration::HOUR;
    params.not_after = params.not_before + Duration::days(365 * years);
    params
}
