//! An agent becomes a client of Hydra, and stays the one it says it is.

mod reconcile;

use std::time::SystemTime;

use bindu_did::{Did, PublicKey};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::credentials::iso;
use crate::hydra::joined;
use crate::{Creation, Credentials, CredentialsFile, Hydra, HydraError, OAuthClient, Secret};

use self::reconcile::{reconcile, refuse_foreign_key};

/// What an agent registers as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its DID: the id of the client.
    pub did: Did,
    /// Its id.
    pub agent_id: Uuid,
    /// Its name, for people who look at the list of clients.
    pub name: String,
    /// Where it is reached.
    pub url: Option<String>,
    /// The key that its signatures are verified with.
    pub public_key: PublicKey,
    /// What it may ask for. Scopes that the client has besides stay.
    pub scopes: Vec<String>,
    /// How it may ask; `client_credentials` is needed for tokens of its own. Grant types
    /// that the client has besides stay.
    pub grant_types: Vec<String>,
    /// Whom its tokens may be for: the certificate authority's audience. Others that the
    /// client has stay.
    pub audience: Option<String>,
    /// Whether its tokens have to be JWTs, as a certificate authority needs them.
    pub jwt_tokens: bool,
    /// Whether a different public key in Hydra may be replaced by this one.
    pub allow_key_change: bool,
    /// The secret to register with if none is stored: one that is derived from the key, or
    /// kept elsewhere. `None` makes a new one.
    pub client_secret: Option<Secret>,
}

impl Registration {
    /// An agent with the usual scopes and grant types, without an audience.
    #[must_use]
    pub fn new(did: Did, agent_id: Uuid, name: impl Into<String>, public_key: PublicKey) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            did,
            agent_id,
            name: name.into(),
            url: None,
            public_key,
            scopes: owned(&["openid", "offline", "agent:read", "agent:write"]),
            grant_types: owned(&["client_credentials", "authorization_code", "refresh_token"]),
            audience: None,
            jwt_tokens: false,
            allow_key_change: false,
            client_secret: None,
        }
    }
}

/// What [`register`] found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// What the agent proves itself with from now on. Saved in the file.
    pub credentials: Credentials,
    /// What had to be done.
    pub outcome: Outcome,
    /// Whether Hydra gave a token for the credentials. If not, its public API is away; the
    /// credentials are probably good.
    pub verified: bool,
}

/// What a registration came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The client is new.
    Created,
    /// The client was as it should be.
    Unchanged,
    /// The client differed, and has been mended.
    Mended {
        /// Which of its members: `audience`, `metadata.public_key`. Among them
        /// `client_secret` if Hydra did not know ours (any more).
        fields: Vec<&'static str>,
    },
}

/// Registers an agent, or finds its registration and mends what differs.
///
/// 1. The credentials are read from `file`, the client is looked up.
/// 2. A client that is not there is created with a new secret, which is saved before.
/// 3. One that is there is refused if it has another public key, unless
///    [`allow_key_change`](Registration::allow_key_change); and updated if its audience,
///    scopes, grant types, authentication method, token strategy or metadata differ. What it
///    has besides is kept. If no secret is known for it, it is given a new one.
/// 4. One token is requested, to see that the credentials are good. If they are not, the
///    secret is sent again.
///
/// Takes as long as it takes [patiently](Hydra::patient). Agents that share a file register
/// one after the other. May be dropped at any time: the next call completes what was begun.
///
/// # Errors
///
/// [`HydraError::ForeignKey`], [`HydraError::Unavailable`], [`HydraError::Refused`],
/// [`HydraError::File`], [`HydraError::Randomness`].
pub async fn register(
    hydra: &Hydra,
    what: &Registration,
    file: &CredentialsFile,
    now: SystemTime,
) -> Result<Registered, HydraError> {
    let hydra = hydra.patient();
    let _lock = file.lock().await?;
    let found = hydra.client(what.did.as_str()).await?;
    let stored = file.load(what.did.as_str())?;
    let mut registered = match found {
        None => create(&hydra, what, file, now).await?,
        Some(client) => mend(&hydra, what, file, client, stored, now).await?,
    };
    registered.verified = verify(&hydra, what, &mut registered).await?;
    match &registered.outcome {
        Outcome::Created => tracing::info!(did = %what.did, "registered with hydra"),
        Outcome::Unchanged => tracing::debug!(did = %what.did, "already registered with hydra"),
        Outcome::Mended { fields } => {
            tracing::info!(did = %what.did, ?fields, "the registration with hydra was mended");
        }
    }
    Ok(registered)
}

async fn create(
    hydra: &Hydra,
    what: &Registration,
    file: &CredentialsFile,
    now: SystemTime,
) -> Result<Registered, HydraError> {
    let credentials = what.credentials(None, now)?;
    // Before the client exists: a secret that is saved and unknown to Hydra can be sent
    // again, one that is lost cannot.
    file.save(&credentials)?;
    let client = what.to_client(&credentials, now);
    match hydra.create_client(&client).await? {
        Creation::Created(_) => {
            Ok(Registered { credentials, outcome: Outcome::Created, verified: false })
        }
        Creation::Exists { perhaps_ours } => {
            // An earlier attempt made it, or someone else just now: look at it.
            let Some(found) = hydra.client(what.did.as_str()).await? else {
                return Err(HydraError::Refused {
                    doing: "registering a client",
                    status: 409,
                    code: None,
                    description: None,
                });
            };
            let mut mended = mend(hydra, what, file, found, Some(credentials), now).await?;
            if perhaps_ours && mended.outcome == Outcome::Unchanged {
                mended.outcome = Outcome::Created;
            }
            Ok(mended)
        }
    }
}

async fn mend(
    hydra: &Hydra,
    what: &Registration,
    file: &CredentialsFile,
    mut client: OAuthClient,
    stored: Option<Credentials>,
    now: SystemTime,
) -> Result<Registered, HydraError> {
    refuse_foreign_key(&client, what)?;
    let known = stored.is_some() || what.client_secret.is_some();
    let credentials = what.credentials(stored.as_ref(), now)?;
    if stored.as_ref() != Some(&credentials) {
        file.save(&credentials)?;
    }
    let mut fields = reconcile(&mut client, what);
    if !known {
        fields.push("client_secret");
    }
    if fields.is_empty() {
        return Ok(Registered { credentials, outcome: Outcome::Unchanged, verified: false });
    }
    send(hydra, what, client, &credentials).await?;
    Ok(Registered { credentials, outcome: Outcome::Mended { fields }, verified: false })
}

/// Requests a token. If the secret is not good, sends it again, and requests another.
async fn verify(
    hydra: &Hydra,
    what: &Registration,
    registered: &mut Registered,
) -> Result<bool, HydraError> {
    match request_token(hydra, &registered.credentials).await {
        Err(error) if error.is_invalid_client() => {}
        outcome => return outcome,
    }
    let Some(mut client) = hydra.client(what.did.as_str()).await? else {
        return request_token(hydra, &registered.credentials).await;
    };
    refuse_foreign_key(&client, what)?;
    let mut fields = match &registered.outcome {
        Outcome::Mended { fields } => fields.clone(),
        Outcome::Created | Outcome::Unchanged => Vec::new(),
    };
    let newly = reconcile(&mut client, what).into_iter().chain(["client_secret"]);
    for field in newly {
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    send(hydra, what, client, &registered.credentials).await?;
    registered.outcome = Outcome::Mended { fields };
    request_token(hydra, &registered.credentials).await
}

/// Whether Hydra gave a token; an error only if it refused to.
async fn request_token(hydra: &Hydra, credentials: &Credentials) -> Result<bool, HydraError> {
    let Credentials { client_id, client_secret, .. } = credentials;
    let none: [&str; 0] = [];
    match hydra.token(client_id, client_secret, &none, None).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_unavailable() => {
            tracing::warn!(%error, "the credentials could not be verified");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Replaces the client. The secret goes along: Hydra does not give it out, and versions of
/// it lose a secret that an update leaves out.
async fn send(
    hydra: &Hydra,
    what: &Registration,
    mut client: OAuthClient,
    credentials: &Credentials,
) -> Result<(), HydraError> {
    let secret = Value::from(credentials.client_secret.reveal());
    client.members_mut().insert("client_secret".to_owned(), secret);
    hydra.update_client(what.did.as_str(), &client).await?;
    Ok(())
}

impl Registration {
    /// The stored credentials, brought up to date; or new ones.
    fn credentials(
        &self,
        stored: Option<&Credentials>,
        now: SystemTime,
    ) -> Result<Credentials, HydraError> {
        let secret = stored.map(|stored| &stored.client_secret).or(self.client_secret.as_ref());
        let client_secret = match secret {
            Some(secret) => secret.clone(),
            None => Secret::generate()?,
        };
        let created_at = stored.map(|stored| stored.created_at.clone());
        Ok(Credentials {
            agent_id: self.agent_id.to_string(),
            client_id: self.did.as_str().to_owned(),
            client_secret,
            created_at: created_at.filter(|at| !at.is_empty()).unwrap_or_else(|| iso(now)),
            scopes: self.scopes.clone(),
        })
    }

    /// The client to create.
    fn to_client(&self, credentials: &Credentials, now: SystemTime) -> OAuthClient {
        let mut client = OAuthClient::of(json!({
            "client_id": self.did.as_str(),
            "client_secret": credentials.client_secret.reveal(),
            "client_name": self.name,
            "grant_types": self.grant_types,
            "response_types": ["code", "token"],
            "scope": joined(&self.scopes),
            "token_endpoint_auth_method": reconcile::AUTH_METHOD,
        }));
        let members = client.members_mut();
        if let Some(audience) = &self.audience {
            members.insert("audience".to_owned(), json!([audience]));
        }
        if self.jwt_tokens {
            members.insert("access_token_strategy".to_owned(), json!("jwt"));
        }
        let mut metadata: Map<String, Value> =
            self.metadata().map(|(_, name, value)| (name.to_owned(), value)).collect();
        metadata.insert("registered_at".to_owned(), json!(iso(now)));
        members.insert("metadata".to_owned(), Value::Object(metadata));
        client
    }

    /// What the metadata has to say: the name for reports, the name of the member, the value.
    fn metadata(&self) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
        let url = self.url.as_ref().map(|url| ("metadata.agent_url", "agent_url", json!(url)));
        [
            ("metadata.agent_id", "agent_id", json!(self.agent_id.to_string())),
            ("metadata.did", "did", json!(self.did.as_str())),
            ("metadata.public_key", "public_key", json!(self.public_key.to_base58())),
            ("metadata.key_type", "key_type", json!("Ed25519")),
            (
                "metadata.verification_method",
                "verification_method",
                json!("Ed25519VerificationKey2020"),
            ),
            ("metadata.hybrid_auth", "hybrid_auth", json!(true)),
        ]
        .into_iter()
        .chain(url)
    }
}
