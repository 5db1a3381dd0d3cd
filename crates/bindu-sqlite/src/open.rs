//! Opens the file, alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::failure::Failure;
use crate::schema::{self, Found};
use crate::{OpenError, SqliteConfig, Synchronous};

/// Statements kept prepared for each connection; there are about sixty.
const STATEMENTS: usize = 96;

/// Pages in the log before it is written back into the file: 32 MiB, so that a flush of the file
/// itself is shared by thousands of writes.
const CHECKPOINT_PAGES: i64 = 8192;

/// The one connection that writes. The lock is given back after the connection is closed.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    _lock: File,
}

/// Takes the file, makes it if it is not there, and brings its tables up to date.
pub(crate) fn writer(config: &SqliteConfig) -> Result<Writer, OpenError> {
    let path =
        create(&config.path).map_err(|error| unusable(&config.path, "creating the file", error))?;
    let lock = lock(&path)?;
    let doing = "opening the file";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)
        .and_then(|connection| {
            tune(&connection, config)?;
            // 32 MiB of pages: the upper part of every index of a million tasks.
            connection.pragma_update(None, "cache_size", -32_768)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            Ok(connection)
        })
        .map_err(|error| refused(&path, doing, error.into()))?;
    let found = schema::prepare(&mut connection, &config.agent)
        .map_err(|error| refused(&path, "reading its layout", error))?;
    match found {
        Found::Ready => {}
        Found::Foreign => return Err(OpenError::Foreign { path }),
        Found::TooNew(found) => {
            return Err(OpenError::TooNew { path, found, known: schema::LAYOUT });
        }
        Found::OtherAgent(found) => {
            return Err(OpenError::OtherAgent { path, found, expected: config.agent.clone() });
        }
    }
    // Only now: a file that is not ours is left as it is.
    journal(&connection, config.synchronous)
        .map_err(|error| refused(&path, "turning the write-ahead log on", error))?;
    Ok(Writer { connection, _lock: lock })
}

/// A further connection, which reads.
pub(crate) fn reader(config: &SqliteConfig) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&config.path, flags)
        .and_then(|connection| {
            tune(&connection, config)?;
            connection.pragma_update(None, "cache_size", -8192)?;
            // Pages are read where the system has them, and not copied. Nobody else shortens the
            // file, which is what a mapping could not stand.
            connection.query_row("PRAGMA mmap_size = 1073741824", [], |_| Ok(()))?;
            Ok(connection)
        })
        .map_err(|error| refused(&config.path, "opening the file to read", error.into()))
}

/// The connection that flushes the write-ahead log.
pub(crate) fn flusher(config: &SqliteConfig) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&config.path, flags)
        .map_err(Failure::from)
        .and_then(|connection| {
            tune(&connection, config)?;
            journal(&connection, config.synchronous)?;
            Ok(connection)
        })
        .map_err(|failure| refused(&config.path, "opening the file to flush", failure))
}

fn tune(connection: &Connection, config: &SqliteConfig) -> rusqlite::Result<()> {
    connection.busy_timeout(config.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "temp_store", "memory")
}

fn journal(connection: &Connection, synchronous: Synchronous) -> Result<(), Failure> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Failure::stored(
            "the file system cannot share memory, which SQLite's WAL needs",
        ));
    }
    connection.pragma_update(None, "synchronous", synchronous.as_str())?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Where a plain flush stops at the drive's own cache; nothing elsewhere.
    let full = synchronous == Synchronous::Full;
    connection.pragma_update(None, "fullfsync", full)?;
    connection.pragma_update(None, "checkpoint_fullfsync", full)?;
    Ok(())
}

/// Makes the file if it is not there, for its owner only: `SQLite` would make it by the process's
/// mask, and tasks are private. Says where it really is, so that two names of it share one lock.
fn create(path: &Path) -> std::io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path)?);
    path.canonicalize()
}

/// A lock of the system's, beside the file: `SQLite`'s own locks are only taken while it writes. It
/// ends with the process, however that ends, so the file that carries it may stay.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let doing = "taking the lock";
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(name).map_err(|error| unusable(path, doing, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unusable(path, doing, error)),
    }
}

fn unusable(path: &Path, doing: &'static str, error: std::io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), doing, source: error.into() }
}

fn refused(path: &Path, doing: &'static str, failure: Failure) -> OpenError {
    let path = path.to_owned();
    let source = match failure {
        Failure::Sql(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                return OpenError::Damaged { path, source: error.into() };
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                return OpenError::InUse { path };
            }
            _ => error.into(),
        },
        Failure::Stored(source) => source,
        Failure::Refused(error) => error.into(),
    };
    OpenError::Unusable { path, doing, source }
}
