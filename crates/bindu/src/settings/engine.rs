//! How tasks are spoken of, run and tried again.

use std::{num::NonZeroUsize, thread, time::Duration};

use bindu_protocol::DialectPolicy;

use super::section::{section, words};

words! {
    /// What becomes of a task whose worker vanished.
    #[non_exhaustive]
    pub enum OnCrash, "one of: requeue, fail" {
        /// It is run again.
        Requeue = "requeue",
        /// It fails.
        Fail = "fail",
    }
}

section! {
    /// How the protocol is spoken.
    pub struct A2aSettings {
        /// Which dialect a request is answered in: by its own marks (`auto`), strictly A2A
        /// (`a2a`), or always that of the Python reference (`reference`).
        pub dialect: DialectPolicy = ["A2A__DIALECT"] default "auto";
        /// How long a blocking `message/send` waits before it answers with the task as it is.
        pub blocking_timeout: Duration = ["A2A__BLOCKING_TIMEOUT"] default "30s" nonzero;
    }
}

section! {
    /// What a handler is given.
    pub struct AgentSettings {
        /// Whether the conversation opens with a system message that tells a language model
        /// how to ask back. The configuration's `enable_system_message` must be on too.
        pub enable_structured_responses: bool = ["AGENT__ENABLE_STRUCTURED_RESPONSES"] default "true";
        /// The text of that system message; an empty one leaves it out.
        pub structured_response_system_prompt: String =
            ["AGENT__STRUCTURED_RESPONSE_SYSTEM_PROMPT"] default
            "Answer the user directly, in plain text, whenever you have what you need. If you cannot go on without one more piece of information from the user, answer with a single JSON object and nothing around it: {\"state\": \"input-required\", \"prompt\": \"<your one question>\"}. Ask one question at a time, and never wrap a finished answer in JSON.";
    }
}

section! {
    /// How tasks are run.
    pub struct WorkerSettings {
        /// Tasks run at one time; 0 or nothing: four for each core.
        pub concurrency: Option<NonZeroUsize> = ["WORKER__CONCURRENCY"] default "";
        /// How long a handler may run; 0 sets no limit.
        pub task_timeout: Option<Duration> =
            ["WORKER__TASK_TIMEOUT_SECONDS", "WORKER__TASK_TIMEOUT"] default "0";
        /// How long a job belongs to a worker that has gone silent.
        pub lease: Duration = ["WORKER__LEASE_SECONDS", "WORKER__LEASE"] default "30" nonzero;
        /// How often a worker says that it is still at a job; at most half a lease.
        pub heartbeat: Duration =
            ["WORKER__HEARTBEAT_SECONDS", "WORKER__HEARTBEAT"] default "10" nonzero;
        /// How often a job is handed out before its task is failed.
        pub max_deliveries: u32 = ["WORKER__MAX_DELIVERIES"] default "5" nonzero;
        /// What becomes of a task whose worker vanished: it is run again (`requeue`), or it fails
        /// (`fail`). A handler that failed is never run again.
        pub on_crash: OnCrash = ["WORKER__ON_CRASH"] default "requeue";
        /// How long a task may wait before it is queued once more, in case its job was lost.
        pub requeue_after: Duration =
            ["WORKER__REQUEUE_AFTER_SECONDS", "WORKER__REQUEUE_AFTER"] default "10" nonzero;
        /// How long a task may be worked on by nobody we know before it counts as lost; 0 leaves
        /// it alone. Only with a database that the Python reference used, when none of its
        /// replicas runs any more.
        pub adopt_after: Option<Duration> =
            ["WORKER__ADOPT_AFTER_SECONDS", "WORKER__ADOPT_AFTER"] default "0";
        /// How long running tasks may go on after a request to stop.
        pub drain: Duration = ["WORKER__DRAIN_SECONDS", "WORKER__DRAIN"] default "30";
        /// Hides from callers what a handler said when it failed.
        pub redact_errors: bool = ["WORKER__REDACT_ERRORS"] default "false";
    }
}

impl WorkerSettings {
    /// Tasks run at one time, with the default worked out for this machine.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.concurrency.map_or_else(
            || 4 * thread::available_parallelism().map_or(1, NonZeroUsize::get),
            NonZeroUsize::get,
        )
    }
}

section! {
    /// How often something is tried before it has failed, and how long to wait in between.
    /// A zero stands for the default.
    pub struct RetrySettings {
        /// Attempts at running a task.
        pub worker_max_attempts: u32 = ["RETRY__WORKER_MAX_ATTEMPTS", "WORKER_MAX_ATTEMPTS"] default "3";
        /// The first wait between them.
        pub worker_min_wait: Duration = ["RETRY__WORKER_MIN_WAIT", "WORKER_MIN_WAIT"] default "1";
        /// The longest wait between them.
        pub worker_max_wait: Duration = ["RETRY__WORKER_MAX_WAIT", "WORKER_MAX_WAIT"] default "10";
        /// Attempts at opening the storage.
        pub storage_max_attempts: u32 = ["RETRY__STORAGE_MAX_ATTEMPTS", "STORAGE_MAX_ATTEMPTS"] default "5";
        /// The first wait between them.
        pub storage_min_wait: Duration = ["RETRY__STORAGE_MIN_WAIT", "STORAGE_MIN_WAIT"] default "0.5";
        /// The longest wait between them.
        pub storage_max_wait: Duration = ["RETRY__STORAGE_MAX_WAIT", "STORAGE_MAX_WAIT"] default "5";
        /// Attempts at reaching the scheduler.
        pub scheduler_max_attempts: u32 =
            ["RETRY__SCHEDULER_MAX_ATTEMPTS", "SCHEDULER_MAX_ATTEMPTS"] default "3";
        /// The first wait between them.
        pub scheduler_min_wait: Duration =
            ["RETRY__SCHEDULER_MIN_WAIT", "SCHEDULER_MIN_WAIT"] default "1";
        /// The longest wait between them.
        pub scheduler_max_wait: Duration =
            ["RETRY__SCHEDULER_MAX_WAIT", "SCHEDULER_MAX_WAIT"] default "8";
        /// Attempts at a call to another service.
        pub api_max_attempts: u32 = ["RETRY__API_MAX_ATTEMPTS", "API_MAX_ATTEMPTS"] default "4";
        /// The first wait between them.
        pub api_min_wait: Duration = ["RETRY__API_MIN_WAIT", "API_MIN_WAIT"] default "1";
        /// The longest wait between them.
        pub api_max_wait: Duration = ["RETRY__API_MAX_WAIT", "API_MAX_WAIT"] default "15";
    }
}

/// How often one kind of thing is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least one.
    pub max_attempts: u32,
    /// The first wait.
    pub min_wait: Duration,
    /// The longest wait.
    pub max_wait: Duration,
}

impl RetrySettings {
    /// Running a task.
    #[must_use]
    pub fn worker(&self) -> Retry {
        self.family(|it| (it.worker_max_attempts, it.worker_min_wait, it.worker_max_wait))
    }

    /// Opening the storage.
    #[must_use]
    pub fn storage(&self) -> Retry {
        self.family(|it| (it.storage_max_attempts, it.storage_min_wait, it.storage_max_wait))
    }

    /// Reaching the scheduler.
    #[must_use]
    pub fn scheduler(&self) -> Retry {
        self.family(|it| (it.scheduler_max_attempts, it.scheduler_min_wait, it.scheduler_max_wait))
    }

    /// Calling another service.
    #[must_use]
    pub fn api(&self) -> Retry {
        self.family(|it| (it.api_max_attempts, it.api_min_wait, it.api_max_wait))
    }

    fn family(&self, pick: impl Fn(&Self) -> (u32, Duration, Duration)) -> Retry {
        let (attempts, min, max) = pick(self);
        let default = pick(&Self::default());
        Retry {
            max_attempts: or(attempts, default.0),
            min_wait: or(min, default.1),
            max_wait: or(max, default.2),
        }
    }
}

fn or<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() { default } else { value }
}
