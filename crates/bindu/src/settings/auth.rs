//! Who may call: tokens, signatures, certificates.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use bindu_protocol::TrustLevel;

use super::{
    Permissions,
    section::{section, words},
};

words! {
    /// What a client certificate has to do with who calls.
    #[non_exhaustive]
    pub enum MtlsMode, "one of: hybrid, mtls, off" {
        /// TLS, and tokens beside it; a certificate must name the same DID as the token.
        Hybrid = "hybrid",
        /// The certificate alone says who calls.
        Mtls = "mtls",
        /// No TLS.
        Off = "off",
    }
}

words! {
    /// How the certificate of an agent that is called is recognised.
    #[non_exhaustive]
    pub enum PeerIdentity, "one of: did, hostname, both" {
        /// By the DID in it.
        Did = "did",
        /// By the name of the host.
        Hostname = "hostname",
        /// By either of them.
        Both = "both",
    }
}

section! {
    /// Who may call.
    pub struct AuthSettings {
        /// Whether callers must authenticate.
        pub enabled: bool = ["AUTH__ENABLED"] default "false";
        /// Who vouches for them; `hydra` is the only one.
        pub provider: String = ["AUTH__PROVIDER"] default "hydra";
        /// Paths that are open to everybody: `*` stands for any text, `?` for a character. If it
        /// is not set: the card, `/did/resolve`, skills, health and metrics.
        pub public_endpoints: Option<Vec<String>> =
            ["AUTH__PUBLIC_ENDPOINTS", "HYDRA__PUBLIC_ENDPOINTS"] default "";
        /// Whether a token must have the scope that a method needs.
        pub require_permissions: bool = ["AUTH__REQUIRE_PERMISSIONS"] default "true";
        /// The scopes of which a token must have one, by method. Methods that are not named here
        /// need `agent:read` if they only read, else `agent:write`.
        pub permissions: Permissions = ["AUTH__PERMISSIONS"] default "{}";
        /// The only callers that are let in, by DID; if it is not set, every one.
        pub allowed_dids: Option<Vec<String>> =
            ["AUTH__ALLOWED_DIDS", "HYDRA__ALLOWED_DIDS"] default "";
        /// Callers that are never let in, by DID, whatever certificate or token they show.
        pub denied_dids: Vec<String> = ["AUTH__DENIED_DIDS", "MTLS__DENIED_DIDS"] default "[]";
        /// Whether only DIDs that are fingerprints of their key are let in.
        pub require_self_certified: bool = ["AUTH__REQUIRE_SELF_CERTIFIED"] default "false";
        /// Whether a token must be meant for this agent: its audience names the agent's DID.
        pub require_audience: bool = ["AUTH__REQUIRE_AUDIENCE"] default "false";
        /// Whether a signature must say which agent it is meant for, so that whoever received a
        /// request cannot send it on to another agent.
        pub require_target: bool = ["AUTH__REQUIRE_TARGET"] default "false";
        /// Whether the query parameter `token` of a GET request is taken for a token.
        pub allow_query_token: bool = ["AUTH__ALLOW_QUERY_TOKEN"] default "false";
        /// How old a signature may be; at most 300 seconds.
        pub signature_max_age: Duration = ["AUTH__SIGNATURE_MAX_AGE"] default "300" nonzero;
        /// How far ahead of this machine's clock a signature may be; at most 300 seconds.
        pub signature_max_skew: Duration = ["AUTH__SIGNATURE_MAX_SKEW"] default "300";
        /// Whether the signature of a request that changes something is taken once only.
        pub replay_protection: bool = ["AUTH__REPLAY_PROTECTION"] default "true";
        /// Tokens that turn out to be no good which one address may show (one IPv6 network of 64 bits)
        /// before only known ones are taken from it. Higher where a proxy hides who calls.
        pub max_refusals: u32 = ["AUTH__MAX_REFUSALS"] default "100" nonzero;
        /// After so long it may show one more.
        pub refusal_pause: Duration = ["AUTH__REFUSAL_PAUSE"] default "200ms" nonzero;
        /// How far callers are trusted, by DID; all others are guests.
        pub trust: BTreeMap<String, TrustLevel> = ["AUTH__TRUST"] default "{}";
    }
}

section! {
    /// Where Hydra is, and what the agent tells it about itself.
    pub struct HydraSettings {
        /// Its administrative address.
        pub admin_url: String =
            ["HYDRA__ADMIN_URL"] default "https://hydra-admin.getbindu.com" nonzero;
        /// Its public address.
        pub public_url: String =
            ["HYDRA__PUBLIC_URL"] default "https://hydra.getbindu.com" nonzero;
        /// How long a call to it may take.
        pub timeout: Duration = ["HYDRA__TIMEOUT"] default "10" nonzero;
        /// Whether its certificate is checked. If not, whoever is on the way can read tokens.
        pub verify_ssl: bool = ["HYDRA__VERIFY_SSL"] default "true";
        /// A PEM file with roots to trust for it, beside those of the system.
        pub ca_file: Option<PathBuf> = ["HYDRA__CA_FILE"] default "";
        /// How often a failed call is tried again, at the agent's start.
        pub max_retries: u32 = ["HYDRA__MAX_RETRIES"] default "3";
        /// How long an answer about a token holds.
        pub cache_ttl: Duration = ["HYDRA__CACHE_TTL"] default "300";
        /// Answers that are kept.
        pub max_cache_size: usize = ["HYDRA__MAX_CACHE_SIZE"] default "1000" nonzero;
        /// Scopes that make a token so powerful that it is asked about every time.
        pub sensitive_scopes: Vec<String> = ["HYDRA__SENSITIVE_SCOPES"]
            default "[\"admin\",\"agent:execute\",\"payment:capture\",\"key:rotate\"]";
        /// Whether the agent registers itself.
        pub auto_register_agents: bool = ["HYDRA__AUTO_REGISTER_AGENTS"] default "true";
        /// The scopes that the agent registers for itself.
        pub default_agent_scopes: Vec<String> = ["HYDRA__DEFAULT_AGENT_SCOPES"]
            default "[\"openid\",\"offline\",\"agent:read\",\"agent:write\"]";
        /// The grant types that the agent registers for itself.
        pub default_grant_types: Vec<String> = ["HYDRA__DEFAULT_GRANT_TYPES"]
            default "[\"client_credentials\",\"authorization_code\",\"refresh_token\"]";
        /// Whether the agent asks for tokens that are JWTs, when it needs them for a certificate.
        pub client_jwt_tokens: bool = ["HYDRA__CLIENT_JWT_TOKENS"] default "true";
        /// Whether the agent may replace another key under which its DID is registered.
        pub allow_key_rotation: bool = ["HYDRA__ALLOW_KEY_ROTATION"] default "false";
    }
}

section! {
    /// TLS with certificates that name the agent.
    pub struct MtlsSettings {
        /// Whether the agent serves TLS.
        pub enabled: bool = ["MTLS__ENABLED"] default "false";
        /// What a client certificate has to do with who calls.
        pub mode: MtlsMode = ["MTLS__MODE"] default "hybrid";
        /// Whether a client must show a certificate.
        pub require_client_cert: bool = ["MTLS__REQUIRE_CLIENT_CERT"] default "true";
        /// Serves without TLS if there is no certificate to be had, rather than not at all.
        pub allow_plaintext_fallback: bool = ["MTLS__ALLOW_PLAINTEXT_FALLBACK"] default "false";
        /// A certificate of your own, in PEM with its chain, in place of one by step-ca.
        pub cert_file: Option<PathBuf> = ["MTLS__CERT_FILE"] default "";
        /// Its private key, in PEM.
        pub key_file: Option<PathBuf> = ["MTLS__KEY_FILE"] default "";
        /// The roots that the certificates of others must lead to, in PEM; with a certificate of
        /// your own.
        pub ca_file: Option<PathBuf> = ["MTLS__CA_FILE"] default "";
        /// The address of step-ca.
        pub ca_url: String = ["MTLS__CA_URL"] default "https://ca.getbindu.com" nonzero;
        /// Where its root is read from, unless one of the two below says so.
        pub ca_root_url: String =
            ["MTLS__CA_ROOT_URL"] default "https://ca.getbindu.com/roots.pem" nonzero;
        /// The file with its root.
        pub ca_root_file: Option<PathBuf> = ["MTLS__CA_ROOT_FILE"] default "";
        /// SHA-256 of its root certificate, in hex: whatever step-ca sends must be this one.
        pub ca_root_fingerprint: Option<String> = ["MTLS__CA_ROOT_FINGERPRINT"] default "";
        /// Whether the certificate of step-ca itself is checked.
        pub verify_ssl: bool = ["MTLS__VERIFY_SSL"] default "true";
        /// How long a call to step-ca may take.
        pub timeout: Duration = ["MTLS__TIMEOUT"] default "10" nonzero;
        /// The life of a certificate that is asked for.
        pub cert_ttl: Option<Duration> = ["MTLS__CERT_TTL"] default "";
        /// The same in hours, if the life is not set.
        pub cert_ttl_hours: u32 = ["MTLS__CERT_TTL_HOURS"] default "24" nonzero;
        /// A certificate is renewed when so many hours of its life are left, or a third of it if
        /// that is less.
        pub renew_before_hours: u32 = ["MTLS__RENEW_BEFORE_HOURS"] default "8" nonzero;
        /// The file of the certificate and its chain, in the directory of the keys.
        pub cert_filename: String = ["MTLS__CERT_FILENAME"] default "tls_cert.pem" nonzero;
        /// The file of its private key.
        pub key_filename: String = ["MTLS__KEY_FILENAME"] default "tls_key.pem" nonzero;
        /// The file of the roots.
        pub ca_bundle_filename: String = ["MTLS__CA_BUNDLE_FILENAME"] default "ca_bundle.pem" nonzero;
        /// The file of the last request for a certificate, for looking at.
        pub csr_filename: String = ["MTLS__CSR_FILENAME"] default "tls.csr" nonzero;
        /// The audience of the token that step-ca takes: its provisioner's client id.
        pub oidc_audience: String = ["MTLS__OIDC_AUDIENCE"] default "step-ca" nonzero;
        /// The issuer in the names of certificates; if it is not set, `HYDRA__PUBLIC_URL`.
        pub oidc_issuer: Option<String> = ["MTLS__OIDC_ISSUER"] default "";
        /// Has no effect: the certificate of an agent that is called is always checked, by the DID in
        /// it. The reference needs `false` here, for it looks for a host name.
        pub verify_server_cert: bool = ["MTLS__VERIFY_SERVER_CERT"] default "true";
        /// How the certificate of an agent that is called is recognised.
        pub peer_identity: PeerIdentity = ["MTLS__PEER_IDENTITY"] default "did";
        /// The scopes of a caller whom its certificate alone names.
        pub default_scopes: Vec<String> =
            ["MTLS__DEFAULT_SCOPES"] default "[\"agent:read\",\"agent:write\"]";
    }
}

impl MtlsSettings {
    /// Whether the agent serves TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.enabled && self.mode != MtlsMode::Off
    }

    /// The life of a certificate that is asked for.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.cert_ttl.unwrap_or(Duration::from_hours(self.cert_ttl_hours.into()))
    }

    /// How much of a certificate's life is left when it is renewed, at most.
    #[must_use]
    pub fn renew_before(&self) -> Duration {
        Duration::from_hours(self.renew_before_hours.into())
    }
}

impl AuthSettings {
    /// The callers that are let in, if it is not every one.
    #[must_use]
    pub fn allowed(&self) -> Option<BTreeSet<String>> {
        self.allowed_dids.clone().map(|dids| dids.into_iter().collect())
    }
}
