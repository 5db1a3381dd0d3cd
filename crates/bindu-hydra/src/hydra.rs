use std::sync::Arc;
use std::time::Duration;

use bindu_http::client::Client;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::call::{Answer, Call, Caller, Content, Endpoint, Patience, form};
use crate::{Config, Credentials, HydraError, Introspection, OAuthClient, Secret};

/// Everything but the unreserved characters (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Hydra, its admin and its public API. Cheap to clone; clones share what they know of
/// Hydra being away.
///
/// Every method is one call. A handle made by [`new`](Self::new) is for the path of
/// requests: within [`Config::timeout`], with at most one quick retry if the connection
/// failed, and an immediate [`HydraError::Unavailable`] while Hydra is away. One made by
/// [`patient`](Self::patient) is for start and registration: it tries several times, with
/// pauses.
///
/// All futures may be dropped at any time; the call may then have been made or not.
#[derive(Clone, Debug)]
pub struct Hydra {
    shared: Arc<Shared>,
    patience: Patience,
}

#[derive(Debug)]
struct Shared {
    caller: Caller,
    admin: Endpoint,
    public: Endpoint,
}

/// An access token, as the token endpoint gave it (RFC 6749, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub access_token: Secret,
    /// How long it is good for, from the time it was requested, if Hydra said.
    pub expires_in: Option<Duration>,
    /// The scopes it carries.
    pub scopes: Vec<String>,
}

/// What became of [`Hydra::create_client`].
#[derive(Clone, Debug, PartialEq)]
pub enum Creation {
    /// The client is new, and as given here.
    Created(OAuthClient),
    /// A client of this id exists. If `perhaps_ours`, an earlier attempt of the same call
    /// may have made it.
    Exists {
        /// Whether the call was sent more than once.
        perhaps_ours: bool,
    },
}

impl Hydra {
    /// Hydra at the addresses of `config`, called through `http`, whose connector decides
    /// about TLS and private certificate authorities.
    ///
    /// Calls nobody yet. The time limits of `http` apply beside [`Config::timeout`].
    ///
    /// # Errors
    ///
    /// [`HydraError::Config`] if an address cannot be used.
    pub fn new(config: &Config, http: Client) -> Result<Self, HydraError> {
        let shared = Shared {
            caller: Caller::new(http, config),
            admin: Endpoint::new("admin URL", &config.admin_url, config)?,
            public: Endpoint::new("public URL", &config.public_url, config)?,
        };
        Ok(Self { shared: Arc::new(shared), patience: Patience::Quick })
    }

    /// A handle to the same Hydra that tries again after connection errors, time-outs, 429
    /// and 5xx, with growing pauses; see [`Config::attempts`]. A call can take minutes.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), patience: Patience::Patient }
    }

    /// Asks whether a token is good, and what it says (RFC 7662). See
    /// [`Introspector`](crate::Introspector), which remembers.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`] if Hydra gave no answer, or none that can be understood;
    /// that the token is not good is no error.
    pub async fn introspect(&self, token: &str) -> Result<Introspection, HydraError> {
        let call = Call {
            doing: "introspecting a token",
            method: Method::POST,
            path: "/admin/oauth2/introspect".to_owned(),
            content: form(&[("token", Some(token)), ("scope", Some(""))]),
            wants_json: true,
            secrets: &[token],
        };
        let answer = self.admin(&call).await?;
        if answer.status != StatusCode::OK || !answer.body.is_object() {
            return Err(call.not_understood(&answer));
        }
        Ok(Introspection::from_json(&answer.body))
    }

    /// The client of this id, without its secret, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`] as for [`introspect`](Self::introspect).
    pub async fn client(&self, id: &str) -> Result<Option<OAuthClient>, HydraError> {
        let Some(path) = client_path(id) else { return Ok(None) };
        let call = Call {
            doing: "looking up a client",
            method: Method::GET,
            path,
            content: Content::None,
            wants_json: true,
            secrets: &[],
        };
        let answer = self.admin(&call).await?;
        match (answer.status, &answer.body) {
            (StatusCode::OK, Value::Object(_)) => Ok(Some(OAuthClient::of(answer.body))),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            _ => Err(call.not_understood(&answer)),
        }
    }

    /// Registers a client.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`], or [`HydraError::Refused`] if Hydra does not take it.
    pub async fn create_client(&self, client: &OAuthClient) -> Result<Creation, HydraError> {
        let secrets: Vec<_> = client.secret().into_iter().collect();
        let call = Call {
            doing: "registering a client",
            method: Method::POST,
            path: "/admin/clients".to_owned(),
            content: Content::Json(client.to_json()),
            wants_json: true,
            secrets: &secrets,
        };
        let answer = self.admin(&call).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => {
                Ok(Creation::Created(OAuthClient::of(answer.body)))
            }
            StatusCode::CONFLICT => Ok(Creation::Exists { perhaps_ours: answer.repeated }),
            _ => Err(answer.refused(&call)),
        }
    }

    /// Replaces a client by this one, whole. A client without its secret may lose it.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`], or [`HydraError::Refused`] if Hydra does not take it or
    /// knows no such client.
    pub async fn update_client(
        &self,
        id: &str,
        client: &OAuthClient,
    ) -> Result<OAuthClient, HydraError> {
        let secrets: Vec<_> = client.secret().into_iter().collect();
        let call = Call {
            doing: "updating a client",
            method: Method::PUT,
            path: required_path(id, "updating a client")?,
            content: Content::Json(client.to_json()),
            wants_json: true,
            secrets: &secrets,
        };
        let answer = self.admin(&call).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(OAuthClient::of(answer.body)),
            _ => Err(answer.refused(&call)),
        }
    }

    /// Deletes a client and its tokens. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`] or [`HydraError::Refused`].
    pub async fn delete_client(&self, id: &str) -> Result<bool, HydraError> {
        let Some(path) = client_path(id) else { return Ok(false) };
        let call = Call {
            doing: "deleting a client",
            method: Method::DELETE,
            path,
            content: Content::None,
            wants_json: false,
            secrets: &[],
        };
        let answer = self.admin(&call).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(true),
            // Gone by an earlier attempt of this very call.
            StatusCode::NOT_FOUND => Ok(answer.repeated),
            _ => Err(answer.refused(&call)),
        }
    }

    /// Requests an access token for the client itself (RFC 6749, section 4.4). Id and secret
    /// go in the body: the colons of a DID have no place in HTTP Basic.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`]; [`HydraError::Refused`] with the code `invalid_client`
    /// if the secret is wrong, `invalid_scope` or `invalid_request` if the client may not
    /// have these scopes or this audience.
    pub async fn token<S: AsRef<str> + Sync>(
        &self,
        client_id: &str,
        secret: &Secret,
        scopes: &[S],
        audience: Option<&str>,
    ) -> Result<Token, HydraError> {
        let scope = joined(scopes);
        let call = Call {
            doing: "requesting a token",
            method: Method::POST,
            path: "/oauth2/token".to_owned(),
            content: form(&[
                ("grant_type", Some("client_credentials")),
                ("client_id", Some(client_id)),
                ("client_secret", Some(secret.reveal())),
                ("scope", (!scope.is_empty()).then_some(&scope)),
                ("audience", audience),
            ]),
            wants_json: true,
            secrets: &[secret.reveal()],
        };
        let answer = self.public(&call).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.refused(&call));
        }
        Token::from_json(&answer.body).ok_or_else(|| call.not_understood(&answer))
    }

    /// Revokes one of a client's tokens (RFC 7009). That it was not good any more is no
    /// error. An [`Introspector`](crate::Introspector) must be told to
    /// [forget](crate::Introspector::forget) it.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`] or [`HydraError::Refused`].
    pub async fn revoke(&self, credentials: &Credentials, token: &str) -> Result<(), HydraError> {
        let secret = credentials.client_secret.reveal();
        let call = Call {
            doing: "revoking a token",
            method: Method::POST,
            path: "/oauth2/revoke".to_owned(),
            content: form(&[
                ("token", Some(token)),
                ("client_id", Some(&credentials.client_id)),
                ("client_secret", Some(secret)),
            ]),
            wants_json: false,
            secrets: &[secret, token],
        };
        let answer = self.public(&call).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refused(&call)) }
    }

    /// Revokes all tokens of a client, as an administrator.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`] or [`HydraError::Refused`].
    pub async fn revoke_all(&self, client_id: &str) -> Result<(), HydraError> {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client_id)
            .finish();
        let call = Call {
            doing: "revoking the tokens of a client",
            method: Method::DELETE,
            path: format!("/admin/oauth2/tokens?{query}"),
            content: Content::None,
            wants_json: false,
            secrets: &[],
        };
        let answer = self.admin(&call).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refused(&call)) }
    }

    /// Whether the admin API says that Hydra is ready.
    pub async fn is_ready(&self) -> bool {
        let call = Call {
            doing: "asking whether hydra is ready",
            method: Method::GET,
            path: "/health/ready".to_owned(),
            content: Content::None,
            wants_json: false,
            secrets: &[],
        };
        self.admin(&call).await.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    async fn admin(&self, call: &Call<'_>) -> Result<Answer, HydraError> {
        self.shared.caller.send(&self.shared.admin, self.patience, call).await
    }

    async fn public(&self, call: &Call<'_>) -> Result<Answer, HydraError> {
        self.shared.caller.send(&self.shared.public, self.patience, call).await
    }
}

impl Token {
    fn from_json(body: &Value) -> Option<Self> {
        let access_token = body.get("access_token")?.as_str().filter(|token| !token.is_empty())?;
        let scope = body.get("scope").and_then(Value::as_str).unwrap_or_default();
        Some(Self {
            access_token: Secret::from(access_token),
            expires_in: body.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs),
            scopes: scope.split_ascii_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// `None` for ids that no client can have, and that a path could not carry.
fn client_path(id: &str) -> Option<String> {
    if matches!(id, "" | "." | "..") {
        return None;
    }
    Some(format!("/admin/clients/{}", utf8_percent_encode(id, SEGMENT)))
}

fn required_path(id: &str, doing: &'static str) -> Result<String, HydraError> {
    client_path(id).ok_or(HydraError::Refused {
        doing,
        status: StatusCode::NOT_FOUND.as_u16(),
        code: None,
        description: None,
    })
}

/// Scopes as OAuth2 writes them: with a space between.
pub(crate) fn joined<S: AsRef<str>>(scopes: &[S]) -> String {
    let mut all = String::new();
    for scope in scopes {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(scope.as_ref());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_segment_of_the_path() {
        assert_eq!(
            client_path("did:bindu:a/b?c").unwrap(),
            "/admin/clients/did%3Abindu%3Aa%2Fb%3Fc"
        );
        assert_eq!(client_path(".."), None);
        assert_eq!(client_path(""), None);
    }
}
