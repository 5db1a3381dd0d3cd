//! What agents of Bindu answer beside JSON-RPC.

use bindu_http::client::Replay;
use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::Client;
use super::transport::{Bears, status_error};
use crate::ClientError;

impl Client {
    /// The agent's skills, in full (Bindu): an object whose `skills` is a list.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] if the agent has no such page; else [`ClientError`].
    pub async fn skills(&self) -> Result<Value, ClientError> {
        let url = self.below(&["agent", "skills"])?;
        self.page(Method::GET, &url, None).await
    }

    /// One skill by its id or name, in full (Bindu).
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] if there is no such skill; else [`ClientError`].
    pub async fn skill(&self, id: &str) -> Result<Value, ClientError> {
        let url = self.below(&["agent", "skills", id])?;
        self.page(Method::GET, &url, None).await
    }

    /// The DID document of a DID, as the agent tells it (Bindu). An agent answers for its own
    /// DID; whether the document is true is not checked here.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] if the agent does not know it; else [`ClientError`].
    pub async fn resolve_did(&self, did: &str) -> Result<Value, ClientError> {
        let url = self.below(&["did", "resolve"])?;
        let body = Bytes::from(json!({ "did": did }).to_string());
        self.page(Method::POST, &url, Some(&body)).await
    }

    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Bytes>,
    ) -> Result<T, ClientError> {
        self.look_first().await?;
        let response = self.exchange(method, url, body, Replay::Safe, Bears::Credentials).await?;
        if !response.status().is_success() {
            return Err(status_error(&response));
        }
        serde_json::from_slice(response.body())
            .map_err(|error| ClientError::protocol("page", error))
    }

    /// A page below the agent's URL.
    pub(crate) fn below(&self, path: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.shared.base.clone();
        // A URL drops such a segment, and would name another page.
        if let Some(wrong) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(ClientError::Input(format!("{wrong:?} names nothing")));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use crate::Client;

    #[test]
    fn ids_stay_in_their_segment() {
        let agent = Client::connect("http://h/a").unwrap();
        let url = agent.below(&["agent", "skills", "../x?y#z"]).unwrap();
        assert_eq!(url.as_str(), "http://h/a/agent/skills/..%2Fx%3Fy%23z");
        assert!(agent.below(&["agent", "skills", ".."]).is_err());
    }
}
