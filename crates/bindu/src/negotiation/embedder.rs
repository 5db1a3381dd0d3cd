//! What texts mean, as a service tells it that has the usual API of `/embeddings`.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bindu_agent::BoxFuture;
use bindu_agent::negotiation::{EmbedError, Embedder};
use bindu_http::client::{Client, Config, Tls};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::json;

use crate::config::EmbeddingService;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer, in bytes: a batch of long vectors, written out.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Asks a service over HTTP. It follows no redirects, so that the key goes nowhere else.
pub(super) struct HttpEmbedder {
    http: Client,
    url: Uri,
    authorization: HeaderValue,
    model: String,
}

impl fmt::Debug for HttpEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEmbedder")
            .field("url", &self.url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl HttpEmbedder {
    pub(super) fn new(
        service: &EmbeddingService,
        model: &str,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut url = service.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("embeddings");
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", service.key.reveal()))?;
        authorization.set_sensitive(true);
        let config =
            Config { timeout: TIMEOUT, max_response_bytes: MAX_ANSWER, ..Config::default() };
        let mut http = Client::builder().config(config);
        if url.scheme() == "https" {
            http = http.connector(Arc::new(Tls::native_roots()?));
        }
        Ok(Self {
            http: http.build(),
            url: url.as_str().parse()?,
            authorization,
            model: model.to_owned(),
        })
    }

    async fn ask(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let body = json!({ "model": self.model, "input": texts }).to_string();
        let request = Request::post(self.url.clone())
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body))
            .map_err(EmbedError::unavailable)?;
        let response = self.http.send(request).await.map_err(EmbedError::unavailable)?;
        // What comes with an error is not repeated: such texts quote keys.
        match response.status() {
            StatusCode::OK => read(response.body(), texts.len()),
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY) => {
                Err(EmbedError::Refused(format!("the service answered {status}")))
            }
            status => Err(EmbedError::unavailable(format!("the service answered {status}"))),
        }
    }
}

impl Embedder for HttpEmbedder {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(self.ask(texts))
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    /// Of which text it is. Services answer in any order.
    index: Option<usize>,
    embedding: Vec<f32>,
}

fn read(body: &[u8], asked: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
    let Answer { data } = serde_json::from_slice(body).map_err(EmbedError::unavailable)?;
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; asked];
    for (place, datum) in data.into_iter().enumerate() {
        match vectors.get_mut(datum.index.unwrap_or(place)) {
            Some(vector @ None) => *vector = Some(datum.embedding),
            _ => return Err(EmbedError::unavailable("the answer has a vector too many")),
        }
    }
    let whole: Option<Vec<_>> = vectors.into_iter().collect();
    whole.ok_or_else(|| EmbedError::unavailable("the answer lacks a vector"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::settings::Secret;

    fn reading(answer: &Value) -> Result<Vec<Vec<f32>>, EmbedError> {
        read(answer.to_string().as_bytes(), 2)
    }

    #[test]
    fn vectors_go_by_their_index() {
        let answer = json!({"object": "list", "data": [
            {"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": [1, 2]},
        ]});
        assert_eq!(reading(&answer).unwrap(), [vec![1.0, 2.0], vec![0.5]]);
        let answer = json!({"data": [{"embedding": [1]}, {"embedding": [2]}]});
        assert_eq!(reading(&answer).unwrap(), [vec![1.0], vec![2.0]]);
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let vector = |index: usize| json!({"index": index, "embedding": [1]});
        for answer in [
            json!({"data": [vector(0)]}),
            json!({"data": [vector(0), vector(0)]}),
            json!({"data": [vector(0), vector(2)]}),
            json!({"data": [vector(0), vector(1), vector(2)]}),
            json!({"data": [{"index": 0, "embedding": "base64"}]}),
            json!({"error": "no"}),
        ] {
            let error = reading(&answer).unwrap_err();
            assert!(matches!(error, EmbedError::Unavailable(_)), "{answer}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let url = "http://127.0.0.1:1/v1/".parse().unwrap();
        let service = EmbeddingService { url, key: Secret::from("hunter2") };
        let embedder = HttpEmbedder::new(&service, "m").unwrap();
        assert_eq!(embedder.url, "http://127.0.0.1:1/v1/embeddings");
        assert!(!format!("{embedder:?} {:?}", embedder.authorization).contains("hunter2"));
    }
}
