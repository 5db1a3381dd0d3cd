use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};

use crate::error::HttpError;

/// Whether a request may reach its receiver twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It may: it only reads, or the receiver recognises a repeat. It is sent again
    /// after connection errors, timeouts and the policy's statuses.
    Safe,
    /// It may not. It is sent again only if nothing of it was sent before.
    Unsafe,
}

/// How often and how soon a request is sent again.
///
/// ```
/// # use std::time::Duration;
/// # use bindu_http::client::RetryPolicy;
/// let policy = RetryPolicy { max_attempts: 8, ..RetryPolicy::default() };
/// // With the least and with the most luck:
/// assert_eq!(policy.backoff(3, 0.0), Duration::from_millis(500));
/// assert_eq!(policy.backoff(3, 1.0), Duration::from_secs(4));
/// ```
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. Default 4.
    pub max_attempts: u32,
    /// The shortest pause. Default 0.5 s.
    pub min_delay: Duration,
    /// The longest pause. Default 15 s.
    pub max_delay: Duration,
    /// The longest pause a `Retry-After` may ask for; if it asks for more, the answer is
    /// returned instead. Default 60 s.
    pub max_retry_after: Duration,
    /// Which statuses are worth another attempt. Default 429, 502, 503 and 504.
    pub retry_status: fn(StatusCode) -> bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(15),
            max_retry_after: Duration::from_mins(1),
            retry_status: |status| matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

impl RetryPolicy {
    /// The pause after an attempt, counted from 1: anything from `min_delay` to
    /// `min_delay` doubled with each attempt, at most `max_delay`. `random` chooses,
    /// from 0 to 1, so that many callers do not come back together ("full jitter").
    #[must_use]
    pub fn backoff(&self, attempt: u32, random: f64) -> Duration {
        let doubled =
            2_u32.checked_pow(attempt).and_then(|times| self.min_delay.checked_mul(times));
        let longest = doubled.unwrap_or(self.max_delay).min(self.max_delay).max(self.min_delay);
        let share = if random > 0.0 { random.min(1.0) } else { 0.0 };
        self.min_delay + longest.saturating_sub(self.min_delay).mul_f64(share)
    }

    /// The pause before the next attempt, or `None` if this outcome stands.
    pub(super) fn pause(
        &self,
        attempt: u32,
        replay: Replay,
        outcome: &Result<Response<Bytes>, HttpError>,
        now: SystemTime,
        random: f64,
    ) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let backoff = self.backoff(attempt, random);
        match outcome {
            Err(error) => (error.is_retryable()
                && (replay == Replay::Safe || error.was_not_sent()))
            .then_some(backoff),
            Ok(response) => {
                if replay == Replay::Unsafe || !(self.retry_status)(response.status()) {
                    return None;
                }
                match retry_after(response.headers(), now) {
                    Some(asked) if asked > self.max_retry_after => None,
                    Some(asked) => Some(asked.max(backoff)),
                    None => Some(backoff),
                }
            }
        }
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, of which the
/// time left from `now` is returned. `None` if it is absent or neither.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use bindu_http::client::retry_after;
/// use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(RETRY_AFTER, HeaderValue::from_static("120"));
/// assert_eq!(retry_after(&headers, SystemTime::now()), Some(Duration::from_secs(120)));
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits beyond u64 are still a number, and a long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<Response<Bytes>, HttpError>;

    fn answer(status: u16, after: Option<&'static str>) -> Outcome {
        let mut response = Response::builder().status(status);
        if let Some(after) = after {
            response = response.header(RETRY_AFTER, after);
        }
        response.body(Bytes::new()).map_err(|error| HttpError::Prepare(error.into()))
    }

    fn pause(attempt: u32, replay: Replay, outcome: &Outcome) -> Option<u64> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let pause = RetryPolicy::default().pause(attempt, replay, outcome, now, 0.0)?;
        Some(u64::try_from(pause.as_millis()).unwrap())
    }

    #[test]
    fn statuses_that_pass_are_retried_and_others_stand() {
        for status in [429, 502, 503, 504] {
            assert_eq!(pause(1, Replay::Safe, &answer(status, None)), Some(500), "{status}");
            assert_eq!(pause(1, Replay::Unsafe, &answer(status, None)), None, "{status}");
            assert_eq!(pause(4, Replay::Safe, &answer(status, None)), None, "{status}");
        }
        for status in [200, 301, 400, 401, 404, 408, 500] {
            assert_eq!(pause(1, Replay::Safe, &answer(status, None)), None, "{status}");
        }
    }

    #[test]
    fn retry_after_is_honoured_as_seconds_and_as_date() {
        let after = |value| pause(1, Replay::Safe, &answer(503, Some(value)));
        assert_eq!(after("3"), Some(3000));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(500));
        assert_eq!(after("soon"), Some(500));
        assert_eq!(after("-1"), Some(500));
        assert_eq!(after("61"), None);
        assert_eq!(after("99999999999999999999999"), None);
    }

    #[test]
    fn an_unsafe_request_is_repeated_only_if_it_was_not_sent() {
        let refused = Err(HttpError::Connect { host: "h:1".into(), source: "refused".into() });
        let broken = Err(HttpError::Io("reset".into()));
        assert_eq!(pause(1, Replay::Unsafe, &refused), Some(500));
        assert_eq!(pause(1, Replay::Unsafe, &broken), None);
        assert_eq!(pause(1, Replay::Safe, &broken), Some(500));
        assert_eq!(pause(1, Replay::Safe, &Err(HttpError::InvalidUrl("x"))), None);
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let policy = RetryPolicy::default();
        let longest: Vec<_> = (1..=6).map(|n| policy.backoff(n, 1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 15, 15]);
        assert_eq!(policy.backoff(u32::MAX, 0.5), Duration::from_millis(7750));
    }
}
