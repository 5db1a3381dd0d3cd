//! The body of a request, read or not.

use bindu_http::{ReadBodyError, read_body};
use bytes::Bytes;
use hyper::body::Incoming;

/// A request's body.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// Still on the wire.
    Wire(Incoming),
    /// Read, because who calls depended on it.
    Whole(Bytes),
}

impl Inbound {
    /// The whole body, if it is no longer than `limit` bytes.
    pub(crate) async fn read(self, limit: usize) -> Result<Bytes, ReadBodyError> {
        match self {
            Self::Wire(body) => read_body(body, limit).await,
            Self::Whole(body) if body.len() > limit => Err(ReadBodyError::TooLarge { limit }),
            Self::Whole(body) => Ok(body),
        }
    }
}
