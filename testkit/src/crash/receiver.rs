//! A webhook that keeps what is posted to it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::history::{Post, now};

/// Takes posts at `/<task>`. Every seventh is kept and answered 503, so that it comes again.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    inbox: Arc<Mutex<HashMap<String, Vec<Post>>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let inbox = Arc::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&inbox)));
        Ok(Self { address, inbox, server })
    }

    /// Where to post what becomes of a task.
    pub(super) fn url(&self, task: &str) -> String {
        format!("http://{}/{task}", self.address)
    }

    /// What was posted of a task so far.
    pub(super) fn posts(&self, task: &str) -> Vec<Post> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.get(task).cloned().unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, inbox: Arc<Mutex<HashMap<String, Vec<Post>>>>) {
    let mut connections = JoinSet::new();
    let mut number = 0_u64;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        number += 1;
        let is_unkind = number.is_multiple_of(7);
        let inbox = Arc::clone(&inbox);
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let inbox = Arc::clone(&inbox);
                async move {
                    let task = request.uri().path().trim_start_matches('/').to_owned();
                    let came = keep(&inbox, task, request).await && !is_unkind;
                    let mut response = Response::new(Empty::<Bytes>::new());
                    if !came {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            // An agent that is killed in the middle has posted nothing, or will post it again.
            let _ = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Keeps a post that came whole.
async fn keep(
    inbox: &Mutex<HashMap<String, Vec<Post>>>,
    task: String,
    request: Request<Incoming>,
) -> bool {
    let Ok(body) = request.into_body().collect().await else { return false };
    let Ok(body) = serde_json::from_slice::<Value>(&body.to_bytes()) else { return false };
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    inbox.entry(task).or_default().push(Post { at: now(), body });
    true
}
