//! Hydra as the source of tokens and keys (feature `hydra`).

use bindu_did::{Did, PublicKey};
use bindu_hydra::{Keys, Secret, Tokens};
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;

use crate::auth::BoxError;
use crate::{ClientError, KeySource, Token, TokenAsk, TokenSource};

/// What a caller of agents asks for.
const SCOPES: [&str; 2] = ["agent:read", "agent:write"];

/// Tokens with the scopes `agent:read` and `agent:write`, for no audience in particular.
impl TokenSource for Tokens {
    fn token(&self, ask: TokenAsk) -> BoxFuture<'_, Result<Token, BoxError>> {
        async move {
            let token = match &ask.refused {
                Some(refused) => {
                    let refused = Secret::from(refused.reveal());
                    self.fresh_token(&SCOPES, None, &refused).await?
                }
                None => Self::token(self, &SCOPES, None).await?,
            };
            Ok(Token::new(token.reveal()))
        }
        .boxed()
    }
}

/// The keys that DIDs were registered with: more than an agent says of itself.
impl KeySource for Keys {
    fn key<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, Result<Option<PublicKey>, ClientError>> {
        async move {
            let found = Self::key(self, did.as_str()).await;
            found.map_err(|source| ClientError::Unavailable {
                what: "the authorization server",
                source: source.into(),
            })
        }
        .boxed()
    }
}
