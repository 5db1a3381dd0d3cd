//! Where tasks are kept, how work is handed out, and whom a webhook may reach.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    Secret,
    section::{section, words},
};

words! {
    /// Where tasks are kept.
    #[non_exhaustive]
    pub enum StorageBackend, "one of: memory, sqlite, postgres" {
        /// In this process; gone when it ends.
        Memory = "memory",
        /// In one file.
        Sqlite = "sqlite",
        /// In a PostgreSQL database.
        Postgres = "postgres" | "postgresql",
    }
}

words! {
    /// How work is handed to workers.
    #[non_exhaustive]
    pub enum SchedulerBackend, "one of: memory, redis, postgres" {
        /// In this process.
        Memory = "memory",
        /// Through Redis.
        Redis = "redis",
        /// Through the PostgreSQL database of the tasks.
        Postgres = "postgres" | "postgresql",
    }
}

words! {
    /// What has reached the disk when a write to a file is answered.
    #[non_exhaustive]
    pub enum SqliteSynchronous, "one of: full, normal" {
        /// Everything: a power cut loses nothing.
        Full = "full",
        /// What a power cut may lose is the last moments; a crash of the process loses nothing.
        Normal = "normal",
    }
}

section! {
    /// Where tasks are kept, unless the configuration says so.
    pub struct StorageSettings {
        /// The backend.
        pub backend: StorageBackend = ["STORAGE__BACKEND", "STORAGE_TYPE"] default "memory";
        /// The database: `postgresql://user:password@host/name` for the backend `postgres`,
        /// `sqlite:path` for the backend `sqlite`.
        pub url: Option<Secret> =
            ["STORAGE__POSTGRES_URL", "POSTGRES_URL", "DATABASE_URL"] default "";
        /// Connections to the database, for the backend `postgres`.
        pub pool_max: usize =
            ["STORAGE__POSTGRES_POOL_MAX", "POSTGRES_POOL_MAX"] default "10" nonzero;
        /// How long a request waits for one of them.
        pub pool_timeout: Duration =
            ["STORAGE__POSTGRES_TIMEOUT", "POSTGRES_TIMEOUT"] default "5" nonzero;
        /// How long the database may take for one statement, in milliseconds; 0 sets no limit.
        pub statement_timeout_ms: u64 = ["STORAGE__STATEMENT_TIMEOUT_MS"] default "30000";
        /// Whether the tables are brought up to date at start. If not, an agent whose tables are
        /// not up to date does not start; `bindu db migrate` mends that.
        pub migrate: bool = ["STORAGE__RUN_MIGRATIONS_ON_STARTUP"] default "true";
        /// What has reached the disk when a write is answered, for the backend `sqlite`: everything
        /// (`full`), or everything but what the system still holds back (`normal`).
        pub sqlite_synchronous: SqliteSynchronous = ["STORAGE__SQLITE_SYNCHRONOUS"] default "full";
        /// For how many days tasks that are over are kept; 0 keeps them for ever.
        pub retention_days: u32 = ["STORAGE__RETENTION_DAYS"] default "0";
        /// Tasks that the backend `memory` keeps; beyond it the oldest finished ones go.
        pub memory_max_tasks: usize = ["STORAGE__MEMORY_MAX_TASKS"] default "1000000" nonzero;
        /// Bytes that the tasks of the backend `memory` may take, about; beyond it likewise.
        pub memory_max_bytes: usize = ["STORAGE__MEMORY_MAX_BYTES"] default "1073741824" nonzero;
        /// How large the history of one task may become, in bytes.
        pub history_max_bytes: usize = ["STORAGE__HISTORY_MAX_BYTES"] default "8388608" nonzero;
    }
}

section! {
    /// How work is handed to workers, unless the configuration says so.
    pub struct SchedulerSettings {
        /// The backend.
        pub backend: SchedulerBackend = ["SCHEDULER__BACKEND", "SCHEDULER_TYPE"] default "memory";
        /// The server, for the backend `redis`: `redis://user:password@host:port/database`.
        pub redis_url: Option<Secret> = ["SCHEDULER__REDIS_URL", "REDIS_URL"] default "";
        /// Whether the queue is shared with replicas of the same agent that run the Python
        /// reference, for the backend `redis`.
        pub redis_compat: bool = ["SCHEDULER__REDIS_COMPAT"] default "false";
        /// The list that is shared with them.
        pub queue_name: String = ["SCHEDULER__QUEUE_NAME"] default "bindu:tasks" nonzero;
        /// Jobs that may wait; beyond it a message is refused.
        pub capacity: usize = ["SCHEDULER__CAPACITY"] default "10000" nonzero;
    }
}

section! {
    /// Where changes of tasks are posted, and which addresses may be posted to.
    pub struct WebhookSettings {
        /// Where changes are posted for tasks without a configuration of their own. Only
        /// with the capability `push_notifications`.
        pub url: Option<String> = ["WEBHOOK__URL", "WEBHOOK_URL", "GLOBAL_WEBHOOK_URL"] default "";
        /// The bearer token that goes with it.
        pub token: Option<Secret> =
            ["WEBHOOK__TOKEN", "WEBHOOK_TOKEN", "GLOBAL_WEBHOOK_TOKEN"] default "";
        /// Whether loopback and private addresses may be posted to.
        pub allow_private: bool =
            ["WEBHOOK__ALLOW_PRIVATE", "BINDU_ALLOW_PRIVATE_WEBHOOK_RANGES"] default "true";
        /// The only hosts that may be posted to; an empty list allows every one.
        pub allowed_hosts: Vec<String> = ["WEBHOOK__ALLOWED_HOSTS"] default "[]";
        /// Networks that are never posted to. If it is not set: link-local networks and the
        /// metadata services of clouds.
        pub deny_cidrs: Option<Vec<IpNet>> = ["WEBHOOK__DENY_CIDRS"] default "";
        /// How long one delivery may take.
        pub timeout: Duration =
            ["WEBHOOK__TIMEOUT_SECONDS", "WEBHOOK__TIMEOUT"] default "5" nonzero;
        /// Attempts at one delivery.
        pub max_attempts: u32 = ["WEBHOOK__MAX_ATTEMPTS"] default "8" nonzero;
    }
}
