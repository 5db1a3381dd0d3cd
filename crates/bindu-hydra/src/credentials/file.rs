use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::entries::Entries;
use crate::{Credentials, HydraError};

/// How long [`CredentialsFile::lock`] waits for another process.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// `oauth_credentials.json`: the credentials of the agents that share a directory, by DID.
///
/// The file is written beside its place with mode 0600, flushed and renamed, so that it is
/// never half there nor open to others; entries of other agents stay as they are. One that
/// cannot be understood is moved aside, not overwritten: to the same name with `.corrupt`
/// at its end.
///
/// ```
/// # use bindu_hydra::{Credentials, CredentialsFile, Secret};
/// # let dir = tempfile::tempdir()?;
/// let file = CredentialsFile::at(dir.path().join("oauth_credentials.json"));
/// let credentials = Credentials {
///     agent_id: "139e3940-e64b-5491-7220-88d9a0d74162".to_owned(),
///     client_id: "did:bindu:ann:echo:139e3940-e64b-5491-7220-88d9a0d74162".to_owned(),
///     client_secret: Secret::generate()?,
///     created_at: "2026-11-21T04:09:09.144808+00:00".to_owned(),
///     scopes: vec!["agent:read".to_owned()],
/// };
/// file.save(&credentials)?;
/// assert_eq!(file.load(&credentials.client_id)?, Some(credentials));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Reading and writing block on files: small ones, so that calling them from async code at
/// start does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsFile {
    path: PathBuf,
    fallback: Option<PathBuf>,
}

/// Keeps other processes from registering with the same file. Given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct CredentialsLock {
    file: Option<File>,
}

impl CredentialsLock {
    /// Whether there is a lock at all: not where the file system has none, or another process
    /// would not give it back.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.file.is_some()
    }
}

impl CredentialsFile {
    /// The file at `path`, which need not exist.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fallback: None }
    }

    /// Reads what is not in the file from another, which is never written to: where an
    /// earlier version kept it.
    #[must_use]
    pub fn or_read(mut self, path: impl Into<PathBuf>) -> Self {
        self.fallback = Some(path.into()).filter(|fallback| *fallback != self.path);
        self
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The credentials of a DID, if they are there.
    ///
    /// # Errors
    ///
    /// [`HydraError::File`] if the file cannot be read, or not be moved aside.
    pub fn load(&self, did: &str) -> Result<Option<Credentials>, HydraError> {
        let entries = self.read()?;
        if let Some(found) = entries.get(did).and_then(Credentials::from_json) {
            return Ok(Some(found));
        }
        let Some(fallback) = &self.fallback else { return Ok(None) };
        let Some(text) = read(fallback)? else { return Ok(None) };
        let entries: Entries = serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %fallback.display(), %error, "the old credentials file is not understood");
            Entries::default()
        });
        Ok(entries.get(did).and_then(Credentials::from_json))
    }

    /// Writes the credentials of a DID, and keeps those of others.
    ///
    /// # Errors
    ///
    /// [`HydraError::File`]; the file is then as it was.
    pub fn save(&self, credentials: &Credentials) -> Result<(), HydraError> {
        let mut entries = self.read()?;
        entries.set(&credentials.client_id, credentials.to_json());
        self.write(&entries)
    }

    /// Removes the credentials of a DID. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub fn remove(&self, did: &str) -> Result<bool, HydraError> {
        let mut entries = self.read()?;
        let removed = entries.remove(did);
        if removed {
            self.write(&entries)?;
        }
        Ok(removed)
    }

    /// Waits until no other process registers with this file: at most half a minute, as one
    /// that hangs should not keep all others from starting. Where there can be no lock, none
    /// is waited for.
    ///
    /// # Errors
    ///
    /// [`HydraError::File`] if the directory cannot be made.
    pub async fn lock(&self) -> Result<CredentialsLock, HydraError> {
        if let Some(parent) = self.parent() {
            fs::create_dir_all(parent).map_err(failed("creating", parent))?;
        }
        let path = with_suffix(&self.path, ".lock");
        let opened = options(0o600).write(true).create(true).truncate(false).open(&path);
        let Ok(file) = opened else { return Ok(CredentialsLock { file: None }) };
        let locked = async {
            loop {
                match file.try_lock() {
                    Ok(()) => return true,
                    Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(50)).await,
                    Err(TryLockError::Error(_)) => return false,
                }
            }
        };
        let locked = timeout(LOCK_PATIENCE, locked).await.unwrap_or(false);
        if !locked {
            tracing::warn!(path = %path.display(), "registering without the lock");
        }
        Ok(CredentialsLock { file: locked.then_some(file) })
    }

    fn read(&self) -> Result<Entries, HydraError> {
        let Some(text) = read(&self.path)? else { return Ok(Entries::default()) };
        match serde_json::from_str(&text) {
            Ok(entries) => Ok(entries),
            Err(error) => {
                let aside = with_suffix(&self.path, ".corrupt");
                // The error names a line and column, never what is there.
                tracing::warn!(
                    path = %self.path.display(), moved_to = %aside.display(), %error,
                    "the credentials file is not understood"
                );
                fs::rename(&self.path, &aside).map_err(failed("moving aside", &self.path))?;
                Ok(Entries::default())
            }
        }
    }

    fn write(&self, entries: &Entries) -> Result<(), HydraError> {
        let failed = || failed("writing", &self.path);
        let text = serde_json::to_string_pretty(entries).map(Zeroizing::new);
        let text = text.map_err(|error| failed()(error.into()))?;
        if let Some(parent) = self.parent() {
            fs::create_dir_all(parent).map_err(failed())?;
        }
        let temporary = self.temporary()?;
        let written = write_new(&temporary, text.as_bytes())
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // The first error is the one to tell; this is only tidying up.
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| sync(self.parent())).map_err(failed())
    }

    fn parent(&self) -> Option<&Path> {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty())
    }

    fn temporary(&self) -> Result<PathBuf, HydraError> {
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| HydraError::Randomness)?;
        let mut suffix = String::from(".");
        for byte in random {
            // Writing to a string does not fail.
            let _ = write!(suffix, "{byte:02x}");
        }
        Ok(with_suffix(&self.path, &suffix))
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> HydraError + 'a {
    move |source| HydraError::File { doing, path: path.to_owned(), source: Arc::new(source) }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The text of a file, or `None` if there is no such file. Text that is not UTF-8 is
/// mangled, and so not understood.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, HydraError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("reading", path)(error)),
    };
    tighten(path);
    Ok(Some(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
}

/// Takes away what others may do with the file. The reference leaves it open to them for a
/// moment, and for good if it dies then.
#[cfg(unix)]
fn tighten(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(metadata) = fs::metadata(path) else { return };
    let of_others = metadata.permissions().mode() & 0o077;
    if of_others == 0 {
        return;
    }
    let tightened = fs::set_permissions(path, fs::Permissions::from_mode(0o600)).is_ok();
    tracing::warn!(path = %path.display(), tightened, "others had access to the credentials file");
}

#[cfg(not(unix))]
fn tighten(_: &Path) {}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = options(0o600).write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a rename survive a power cut.
#[cfg(unix)]
fn sync(directory: Option<&Path>) -> io::Result<()> {
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: Option<&Path>) -> io::Result<()> {
    Ok(())
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "modes exist on Unix only"))]
fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn credentials(did: &str) -> Credentials {
        Credentials {
            agent_id: "a".to_owned(),
            client_id: did.to_owned(),
            client_secret: Secret::from("hunter2"),
            created_at: "2026-01-02T03:04:05+00:00".to_owned(),
            scopes: vec!["openid".to_owned()],
        }
    }

    #[test]
    fn entries_of_others_stay_as_they_are_and_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("oauth_credentials.json");
        fs::write(&path, r#"{"did:z":{"x":1},"did:b":{"client_id":"did:b"},"note":null}"#).unwrap();
        let file = CredentialsFile::at(&path);
        file.save(&credentials("did:b")).unwrap();
        file.save(&credentials("did:a")).unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
        {
          "did:z": {
            "x": 1
          },
          "did:b": {
            "agent_id": "a",
            "client_id": "did:b",
            "client_secret": "hunter2",
            "created_at": "2026-01-02T03:04:05+00:00",
            "scopes": [
              "openid"
            ]
          },
          "note": null,
          "did:a": {
            "agent_id": "a",
            "client_id": "did:a",
            "client_secret": "hunter2",
            "created_at": "2026-01-02T03:04:05+00:00",
            "scopes": [
              "openid"
            ]
          }
        }
        "#);
        assert_eq!(file.load("did:a").unwrap(), Some(credentials("did:a")));
        assert_eq!(file.load("did:z").unwrap(), None, "an entry without a secret is none");
        assert!(file.remove("did:a").unwrap());
        assert!(!file.remove("did:a").unwrap());
        assert_eq!(file.load("did:a").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_open_to_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deeper/oauth_credentials.json");
        let file = CredentialsFile::at(&path);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        file.save(&credentials("did:a")).unwrap();
        assert_eq!(mode(), 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        file.load("did:a").unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn a_file_that_is_not_understood_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        for corrupt in [&b"{\"did:a\": {"[..], b"[]", b"", b"\xff\xfe"] {
            fs::write(&path, corrupt).unwrap();
            let file = CredentialsFile::at(&path);
            assert_eq!(file.load("did:a").unwrap(), None);
            assert_eq!(fs::read(dir.path().join("c.json.corrupt")).unwrap(), corrupt);
            assert!(!path.exists());
            file.save(&credentials("did:a")).unwrap();
            assert_eq!(file.load("did:a").unwrap(), Some(credentials("did:a")));
        }
    }

    #[test]
    fn the_old_place_is_read_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new.json"), dir.path().join("old.json"));
        CredentialsFile::at(&old).save(&credentials("did:a")).unwrap();
        let before = fs::read(&old).unwrap();

        let file = CredentialsFile::at(&new).or_read(&old);
        assert_eq!(file.load("did:a").unwrap(), Some(credentials("did:a")));
        let newer = Credentials { agent_id: "b".to_owned(), ..credentials("did:a") };
        file.save(&newer).unwrap();
        assert_eq!(file.load("did:a").unwrap(), Some(newer));
        assert_eq!(fs::read(&old).unwrap(), before);

        fs::write(&old, "no JSON").unwrap();
        assert_eq!(file.load("did:other").unwrap(), None);
        assert!(old.exists());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = CredentialsFile::at(dir.path()).load("did:a").unwrap_err();
        assert!(matches!(error, HydraError::File { doing: "reading", .. }), "{error}");
    }

    #[tokio::test]
    async fn of_two_who_register_one_waits() {
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialsFile::at(dir.path().join("c.json"));
        let first = file.lock().await.unwrap();
        let mut second = Box::pin(file.lock());
        let waits = futures_util::poll!(&mut second).is_pending();
        assert!(waits);
        drop(first);
        assert!(second.await.unwrap().is_held());
    }
}
