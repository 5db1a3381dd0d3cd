//! Whether the process serves, and whether the agent can take work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bindu_http::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::error_response::json as respond;
use crate::service::Shared;

/// The last readiness check.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<Option<(Instant, Report)>>);

#[derive(Clone, Debug)]
struct Report {
    storage: Check,
    scheduler: Check,
    worker: Check,
}

#[derive(Clone, Copy, Debug)]
struct Check {
    ok: bool,
    took: Duration,
    error: Option<&'static str>,
}

impl Check {
    fn to_json(self) -> Value {
        let mut check = json!({ "ok": self.ok, "latency_ms": self.took.as_secs_f64() * 1e3 });
        if let Some(error) = self.error {
            check["error"] = error.into();
        }
        check
    }
}

impl Report {
    fn is_ready(&self) -> bool {
        self.storage.ok && self.scheduler.ok && self.worker.ok
    }
}

impl Shared {
    async fn check(&self) -> Report {
        let fresh = {
            let last = self.checks.0.lock().unwrap_or_else(PoisonError::into_inner);
            last.as_ref().filter(|(at, _)| at.elapsed() < self.config.check_ttl).cloned()
        };
        if let Some((_, report)) = fresh {
            return report;
        }
        let (storage, scheduler) = tokio::join!(
            timed(self.config.check_timeout, self.tasks.storage().ping()),
            timed(self.config.check_timeout, self.tasks.scheduler().ping()),
        );
        let alive = self.workers.is_alive();
        let worker = Check {
            ok: alive,
            took: Duration::ZERO,
            error: (!alive).then_some("no tasks are being taken"),
        };
        let report = Report { storage, scheduler, worker };
        *self.checks.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), report.clone()));
        report
    }

    /// `/health`: 200 as long as the process serves, whatever it depends on.
    pub(crate) async fn health(&self) -> Response<Body> {
        let report = self.check().await;
        let status = if report.worker.ok || self.tasks.is_closing() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        respond(status, &self.report(&report))
    }

    /// `/healthz`: 200 only if the agent can take work.
    pub(crate) async fn ready(&self) -> Response<Body> {
        let report = self.check().await;
        let is_ready = report.is_ready() && !self.tasks.is_closing();
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        respond(status, &self.report(&report))
    }

    fn report(&self, report: &Report) -> Value {
        let is_ready = report.is_ready() && !self.tasks.is_closing();
        json!({
            "version": self.config.version,
            "health": if is_ready { "healthy" } else { "degraded" },
            "runtime": {
                "storage_backend": self.tasks.storage().name(),
                "scheduler_backend": self.tasks.scheduler().name(),
                "task_manager_running": report.worker.ok,
                "strict_ready": is_ready,
            },
            "application": {
                "penguin_id": self.agent_id,
                "agent_did": self.did.as_ref().map(|did| &did.id),
            },
            "system": {
                "runtime_version": concat!("bindu-rs ", env!("CARGO_PKG_VERSION")),
                "platform": platform(),
                "environment": self.config.environment,
            },
            "status": if is_ready { "ok" } else { "degraded" },
            "ready": is_ready,
            "uptime_seconds": (self.started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
            "checks": {
                "storage": report.storage.to_json(),
                "scheduler": report.scheduler.to_json(),
                "worker": report.worker.to_json(),
            },
        })
    }
}

async fn timed<E: std::error::Error + 'static>(
    limit: Duration,
    ping: impl Future<Output = Result<(), E>>,
) -> Check {
    let begun = Instant::now();
    let answer = tokio::time::timeout(limit, ping).await;
    let error = match &answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(error = error as &dyn std::error::Error, "a readiness check failed");
            Some("not reachable")
        }
        Err(_) => Some("no answer in time"),
    };
    Check { ok: error.is_none(), took: begun.elapsed(), error }
}

fn platform() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        other => other,
    }
}
