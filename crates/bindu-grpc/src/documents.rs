//! Documents as text: what an SDK is given of a PDF or a DOCX.
//!
//! Parsers of such formats are large, and their input comes from strangers. So they run in a child
//! process, which has nothing but its input, few seconds and little memory, and is killed when its
//! time is over: a document that makes the parser panic, overflow its stack, spin or eat memory is
//! an unreadable document and nothing else. [`Documents`] starts that process and keeps what came
//! out of it; [`extract`] is what the process does. The parsers are compiled in with the feature
//! `documents`.
//!
//! The program is usually the agent's own, started with an argument that leads to [`extract`] before
//! anything else is done:
//!
//! ```no_run
//! use bindu_grpc::documents::{Config, Documents, Program};
//!
//! if std::env::args().nth(1).as_deref() == Some("extract-text") {
//!     # #[cfg(feature = "documents")]
//!     bindu_grpc::documents::extract(std::io::stdin(), std::io::stdout())?;
//!     return Ok(());
//! }
//! let program = Program { path: std::env::current_exe()?, arguments: vec!["extract-text".into()] };
//! let documents = Documents::new(Config { program: Some(program), ..Config::default() });
//! # let _ = documents;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod child;
#[cfg(feature = "documents")]
mod docx;
#[cfg(feature = "documents")]
mod extract;
#[cfg(feature = "documents")]
mod pdf;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;

#[cfg(feature = "documents")]
pub use self::extract::{ExtractError, MAX_INFLATED, MAX_MEMORY, extract};

/// How long a failure is remembered: long enough for the turns of one conversation to fail at once,
/// and not for ever, since the machine may only have been slow.
const FAILURE_KEPT: Duration = Duration::from_mins(1);

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `text/plain`, in UTF-8.
    Plain,
    /// `application/pdf`.
    Pdf,
    /// `application/vnd.openxmlformats-officedocument.wordprocessingml.document`.
    Docx,
}

impl Kind {
    /// The kind that a media type names, exactly; `None` for all others.
    ///
    /// ```
    /// use bindu_grpc::documents::Kind;
    /// assert_eq!(Kind::of("application/pdf"), Some(Kind::Pdf));
    /// assert_eq!(Kind::of("image/png"), None);
    /// ```
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "text/plain" => Some(Self::Plain),
            "application/pdf" => Some(Self::Pdf),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => {
                Some(Self::Docx)
            }
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
        }
    }
}

/// How documents are read.
#[derive(Clone, Debug)]
pub struct Config {
    /// What parses PDF and DOCX; without it, both are unreadable.
    pub program: Option<Program>,
    /// The largest PDF or DOCX that is parsed, in bytes.
    pub max_bytes: usize,
    /// The most text that is taken from one, in bytes. What comes after is replaced by a line that
    /// says so.
    pub max_text: usize,
    /// How long the parser may take, as the clock on the wall counts.
    pub timeout: Duration,
    /// How many parsers may run at once; more documents wait, each for [`timeout`](Self::timeout)
    /// at most.
    pub concurrency: usize,
    /// How much text is kept for the next turn, in bytes.
    pub cache_bytes: u64,
}

impl Default for Config {
    /// No program, 20 MiB, 1 MiB of text, 10 s, two at once, 16 MiB kept.
    fn default() -> Self {
        Self {
            program: None,
            max_bytes: 20 * 1024 * 1024,
            max_text: 1024 * 1024,
            timeout: Duration::from_secs(10),
            concurrency: 2,
            cache_bytes: 16 * 1024 * 1024,
        }
    }
}

/// A program and its arguments. It is started without an environment, in the folder of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program, as an absolute path.
    pub path: PathBuf,
    /// What makes it call [`extract`].
    pub arguments: Vec<OsString>,
}

/// Why a document has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It should be UTF-8 and is not.
    #[error("the text is not UTF-8")]
    NotText,
    /// It has more than [`Config::max_bytes`].
    #[error("the document is too large")]
    TooLarge,
    /// No [`Program`] is set, or it does not start.
    #[error("there is no program that reads such documents")]
    NoProgram,
    /// The parser took longer than [`Config::timeout`].
    #[error("the document takes too long to read")]
    TooSlow,
    /// The parser refused the document, or came to harm.
    #[error("the document cannot be read")]
    Unreadable,
}

/// Reads documents, and remembers what it read. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Documents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    slots: Semaphore,
    read: Cache<Key, Arc<str>>,
    failed: Cache<Key, DocumentError>,
}

/// A kind and the SHA-256 of the bytes.
type Key = (Kind, [u8; 32]);

impl Documents {
    /// Nothing is started before the first document comes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let read = Cache::builder()
            .max_capacity(config.cache_bytes)
            // What an entry takes beside its text, roughly.
            .weigher(|_, text: &Arc<str>| u32::try_from(text.len() + 256).unwrap_or(u32::MAX));
        let failed = Cache::builder().max_capacity(4096).time_to_live(FAILURE_KEPT);
        Self(Arc::new(Inner {
            slots: Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            read: read.build(),
            failed: failed.build(),
            config,
        }))
    }

    /// The text of a document.
    ///
    /// Safe to drop: a parser that runs for it is killed.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it; see [`DocumentError`]. One that took too long or could not be
    /// parsed is not tried again for a minute.
    pub async fn text(&self, kind: Kind, bytes: Vec<u8>) -> Result<Arc<str>, DocumentError> {
        if kind == Kind::Plain {
            let text = String::from_utf8(bytes).map_err(|_| DocumentError::NotText)?;
            return Ok(text.into());
        }
        let Inner { config, slots, read, failed } = &*self.0;
        let program = config.program.as_ref().ok_or(DocumentError::NoProgram)?;
        if bytes.len() > config.max_bytes {
            return Err(DocumentError::TooLarge);
        }
        // Up to 20 MiB are some milliseconds of work, on a thread that others wait for.
        let hashed = move || {
            let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
            let mut hash = [0; 32];
            hash.copy_from_slice(digest.as_ref());
            ((kind, hash), bytes)
        };
        let hashed = tokio::task::spawn_blocking(hashed).await;
        let (key, bytes) = hashed.map_err(|_| DocumentError::Unreadable)?;
        let known = || match read.get(&key) {
            Some(text) => Some(Ok(text)),
            None => failed.get(&key).map(Err),
        };
        if let Some(known) = known() {
            return known;
        }
        // Never closed, so never an error but that of the time.
        let Ok(_slot) = tokio::time::timeout(config.timeout, slots.acquire()).await else {
            return Err(DocumentError::TooSlow);
        };
        // Somebody may have read the same while this one waited.
        if let Some(known) = known() {
            return known;
        }
        let text = child::run(program, config, kind, &bytes).await;
        match &text {
            Ok(text) => read.insert(key, Arc::clone(text)),
            Err(error @ (DocumentError::TooSlow | DocumentError::Unreadable)) => {
                failed.insert(key, *error);
            }
            Err(_) => {}
        }
        text
    }
}
