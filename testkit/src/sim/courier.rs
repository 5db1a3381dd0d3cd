//! Webhook receivers that are not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bindu_http::HttpError;
use bindu_storage::BoxFuture;
use bindu_tasks::Courier;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::sleep;

use super::life::Life;
use super::world::World;

/// What receivers got, by their URL.
#[derive(Debug, Default)]
pub(super) struct Receivers(Mutex<BTreeMap<String, Vec<Arrival>>>);

/// One attempt that reached a receiver.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) body: Bytes,
}

impl Receivers {
    pub(super) fn of(&self, url: &str) -> Vec<Arrival> {
        let receivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.get(url).cloned().unwrap_or_default()
    }

    fn arrived(&self, url: String, arrival: Arrival) {
        let mut receivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.entry(url).or_default().push(arrival);
    }
}

/// Carries what one life of a replica tells.
#[derive(Debug)]
pub(super) struct SimCourier {
    pub(super) world: Arc<World>,
    pub(super) life: Arc<Life>,
}

impl SimCourier {
    async fn attempt(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let world = &self.world;
        self.life.gate().await;
        let fails = !world.is_calm() && world.chance(world.plan.receiver_fails);
        world.rest(0, world.plan.pace).await;
        self.life.gate().await;
        let url = request.uri().to_string();
        let kind = if fails { world.below(6) } else { u64::MAX };
        world.note("told", kind, || format!("{url} by {} fate {kind}", self.life));
        let arrived = || {
            world.receivers.arrived(url.clone(), Arrival { body: request.body().clone() });
        };
        let answered = match kind {
            0 => Ok(StatusCode::INTERNAL_SERVER_ERROR),
            1 => Ok(StatusCode::TOO_MANY_REQUESTS),
            2 => {
                // It takes it, and then fails.
                arrived();
                Ok(StatusCode::BAD_GATEWAY)
            }
            3 => {
                arrived();
                Err(HttpError::Io("simulated".into()))
            }
            4 => Err(HttpError::Connect { host: url.clone(), source: "simulated".into() }),
            5 => {
                if world.chance(0.5) {
                    arrived();
                }
                sleep(Duration::from_mins(1)).await;
                Err(HttpError::Io("simulated".into()))
            }
            _ => {
                arrived();
                Ok(StatusCode::OK)
            }
        };
        if self.life.is_last_call() {
            world.kill(&self.life);
        }
        self.life.gate().await;
        answered.map(|status| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = status;
            response
        })
    }
}

impl Courier for SimCourier {
    fn carry(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        Box::pin(self.attempt(request))
    }
}
