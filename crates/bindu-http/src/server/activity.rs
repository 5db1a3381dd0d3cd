//! What a connection is doing, as seen by its IO and its service, and the deadlines
//! that follow from it.
//!
//! hyper's own header timeout allocates and arms a timer for each request. Here the IO
//! and the service only leave marks, and the connection's task looks at them when it
//! has nothing else to do; its one timer is moved only when a deadline comes nearer.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::Config;

/// Marks left by one connection's IO and service.
///
/// All marks but those of HTTP/2 streams are made and read by one task, so plain
/// relaxed loads and stores do.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose response body has not been handed over or dropped.
    in_flight: AtomicUsize,
    /// A request finished since the last look.
    finished: AtomicBool,
    /// Bytes came in since the last request began or ended: the start of a head.
    head_bytes: AtomicBool,
    /// The last request announced a body that may not have been read to its end.
    has_body: AtomicBool,
    /// The socket took nothing when we last wrote.
    blocked: AtomicBool,
    /// The socket took something since the last look.
    wrote: AtomicBool,
    /// HTTP/2 bodies that gave a piece and were not asked for more: their window is shut.
    waiting: AtomicUsize,
    /// An HTTP/2 body was asked for more since the last look.
    resumed: AtomicBool,
    /// We are done and only take what the peer still sends.
    lingering: AtomicBool,
    /// The server is draining.
    draining: AtomicBool,
    waker: OnceLock<Waker>,
}

impl Activity {
    pub(super) fn request_began(&self, has_body: bool) {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_bytes.store(false, Relaxed);
        self.has_body.store(has_body, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.finished.store(true, Relaxed);
        self.head_bytes.store(false, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn bytes_came(&self) {
        self.head_bytes.store(true, Relaxed);
    }

    pub(super) fn bytes_left(&self) {
        self.blocked.store(false, Relaxed);
        self.wrote.store(true, Relaxed);
    }

    pub(super) fn write_blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    pub(super) fn body_waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    pub(super) fn body_resumes(&self) {
        self.resumed.store(true, Relaxed);
        self.waiting.fetch_sub(1, Relaxed);
    }

    pub(super) fn may_have_unread_body(&self) -> bool {
        self.has_body.load(Relaxed)
    }

    pub(super) fn nothing_unread(&self) {
        self.has_body.store(false, Relaxed);
    }

    pub(super) fn lingers(&self) {
        self.lingering.store(true, Relaxed);
    }

    /// Asks the connection to finish, from another task.
    pub(super) fn drain(&self) {
        self.draining.store(true, Relaxed);
        fence(SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Must be called when the connection's task is first polled, before
    /// [`is_draining`](Self::is_draining): so a drain before is seen, and one after wakes.
    /// A task's waker never changes, so it is kept once.
    pub(super) fn register(&self, cx: &Context<'_>) {
        if self.waker.get().is_none() {
            self.waker.get_or_init(|| cx.waker().clone());
            fence(SeqCst);
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

/// Which deadline a connection missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// No complete request head in time.
    Head,
    /// No request in flight for the idle time.
    Idle,
    /// The peer took none of our bytes.
    Write,
    /// The peer went on sending after our last word.
    Linger,
    /// We asked for an end, and the peer did not follow.
    Close,
}

/// The deadlines of one connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    head_timeout: Duration,
    idle_timeout: Duration,
    stall_timeout: Duration,
    /// HTTP/2 talks between requests; its bytes do not mean that a head has begun.
    watch_heads: bool,
    head_since: Option<Instant>,
    idle_since: Option<Instant>,
    blocked_since: Option<Instant>,
    waiting_since: Option<Instant>,
    linger_since: Option<Instant>,
    closing_since: Option<Instant>,
}

/// How long we take what the peer still sends after our last word. Closing a socket with
/// unread bytes resets it, and the peer could lose the answer that explains the refusal.
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection may take to end after it was asked to while idle.
pub(super) const CLOSE: Duration = Duration::from_secs(5);

impl Deadlines {
    pub(super) fn new(config: &Config, watch_heads: bool, accepted: Instant) -> Self {
        Self {
            head_timeout: config.header_read_timeout,
            idle_timeout: config.idle_timeout,
            stall_timeout: config.write_stall_timeout,
            watch_heads,
            head_since: Some(accepted),
            idle_since: Some(accepted),
            blocked_since: None,
            waiting_since: None,
            linger_since: None,
            closing_since: None,
        }
    }

    /// Reads the marks, and says which deadline is next. `now` is asked for only when
    /// something changed.
    pub(super) fn look(
        &mut self,
        activity: &Activity,
        now: impl Fn() -> Instant,
    ) -> Option<(Instant, Missed)> {
        let progressed = activity.wrote.load(Relaxed);
        if progressed {
            activity.wrote.store(false, Relaxed);
        }
        mark(&mut self.blocked_since, activity.blocked.load(Relaxed), progressed, &now);

        if activity.in_flight.load(Relaxed) == 0 {
            if activity.finished.load(Relaxed) {
                activity.finished.store(false, Relaxed);
                self.head_since = None;
                self.idle_since = None;
            }
            self.idle_since.get_or_insert_with(&now);
            if self.watch_heads && activity.head_bytes.load(Relaxed) {
                self.head_since.get_or_insert_with(&now);
            }
            self.waiting_since = None;
        } else {
            self.head_since = None;
            self.idle_since = None;
            let resumed = activity.resumed.load(Relaxed);
            if resumed {
                activity.resumed.store(false, Relaxed);
            }
            mark(&mut self.waiting_since, activity.waiting.load(Relaxed) > 0, resumed, &now);
        }
        mark(&mut self.linger_since, activity.lingering.load(Relaxed), false, &now);

        [
            (self.head_since, self.head_timeout, Missed::Head),
            (self.idle_since, self.idle_timeout, Missed::Idle),
            (self.blocked_since, self.stall_timeout, Missed::Write),
            (self.waiting_since, self.stall_timeout, Missed::Write),
            (self.linger_since, LINGER, Missed::Linger),
            (self.closing_since, CLOSE, Missed::Close),
        ]
        .into_iter()
        .filter_map(|(since, timeout, missed)| Some((since?.checked_add(timeout)?, missed)))
        .min_by_key(|(deadline, _)| *deadline)
    }

    /// When to look again if nothing is due. The end of an HTTP/2 request wakes nobody
    /// here, so this is never far away.
    pub(super) fn look_again(&self, now: Instant) -> Instant {
        const FAR: Duration = Duration::from_hours(24);
        now + self.idle_timeout.min(FAR)
    }

    /// The connection was asked to end while idle: replaces the idle deadline.
    pub(super) fn closing(&mut self, now: Instant) {
        self.idle_timeout = Duration::MAX;
        self.closing_since = Some(now);
    }

    /// Whether no request is in flight, as of the last look.
    pub(super) const fn is_idle(&self) -> bool {
        self.idle_since.is_some()
    }
}

/// Starts, keeps, restarts or stops a clock.
fn mark(since: &mut Option<Instant>, running: bool, restart: bool, now: impl Fn() -> Instant) {
    if !running {
        *since = None;
    } else if restart || since.is_none() {
        *since = Some(now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        start: Instant,
        activity: Activity,
        deadlines: Deadlines,
    }

    impl Scene {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                start,
                activity: Activity::default(),
                deadlines: Deadlines::new(&Config::default(), true, start),
            }
        }

        /// The next deadline in seconds from the start, looked at `at` seconds.
        fn look(&mut self, at: u64) -> Option<(u64, Missed)> {
            let now = self.start + Duration::from_secs(at);
            let (deadline, missed) = self.deadlines.look(&self.activity, || now)?;
            Some((deadline.duration_since(self.start).as_secs(), missed))
        }
    }

    #[test]
    fn a_new_connection_has_to_send_a_request() {
        assert_eq!(Scene::new().look(3), Some((10, Missed::Head)));
    }

    #[test]
    fn a_request_in_flight_has_no_deadline() {
        let mut scene = Scene::new();
        scene.activity.bytes_came();
        scene.activity.request_began(true);
        scene.activity.bytes_came();
        assert_eq!(scene.look(1), None);
    }

    #[test]
    fn after_a_request_the_connection_is_idle_and_the_next_head_is_timed() {
        let mut scene = Scene::new();
        scene.activity.request_began(false);
        scene.activity.request_ended();
        assert_eq!(scene.look(5), Some((80, Missed::Idle)));
        scene.activity.request_began(false);
        scene.activity.request_ended();
        assert_eq!(scene.look(60), Some((135, Missed::Idle)));
        scene.activity.bytes_came();
        assert_eq!(scene.look(70), Some((80, Missed::Head)));
        assert_eq!(scene.look(75), Some((80, Missed::Head)));
    }

    #[test]
    fn a_peer_that_takes_something_now_and_then_is_not_stalled() {
        let mut scene = Scene::new();
        scene.activity.request_began(false);
        scene.activity.write_blocked();
        assert_eq!(scene.look(0), Some((30, Missed::Write)));
        assert_eq!(scene.look(20), Some((30, Missed::Write)));
        scene.activity.bytes_left();
        scene.activity.write_blocked();
        assert_eq!(scene.look(25), Some((55, Missed::Write)));
        scene.activity.bytes_left();
        assert_eq!(scene.look(40), None);
    }

    #[test]
    fn a_shut_http2_window_is_a_stall_and_a_silent_body_is_not() {
        let mut scene = Scene::new();
        scene.activity.request_began(false);
        assert_eq!(scene.look(0), None);
        scene.activity.body_waits();
        assert_eq!(scene.look(1), Some((31, Missed::Write)));
        scene.activity.body_resumes();
        assert_eq!(scene.look(2), None);
    }

    #[test]
    fn a_connection_asked_to_end_is_not_idle_a_second_time() {
        let mut scene = Scene::new();
        scene.activity.request_began(false);
        scene.activity.request_ended();
        assert_eq!(scene.look(0), Some((75, Missed::Idle)));
        scene.deadlines.closing(scene.start + Duration::from_secs(75));
        assert_eq!(scene.look(76), Some((80, Missed::Close)));
    }
}
