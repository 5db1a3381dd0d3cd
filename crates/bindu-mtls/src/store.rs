//! The files, and how a pair of them is replaced as if it were one.
//!
//! Key and certificate are two files, and no system renames two at once. So both are
//! written beside their names first, then the key is renamed and then the certificate. A
//! crash between the two leaves a key whose certificate still lies beside its name:
//! [`Files::load`] finds it there and finishes the work.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::{Config, MtlsError};

#[derive(Clone, Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    pub(crate) cert: PathBuf,
    key: PathBuf,
    bundle: PathBuf,
    csr: PathBuf,
}

/// What [`Files::load`] found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A key and a chain that fit each other.
    Pair(Arc<CertifiedKey>),
    /// Neither file is there.
    Nothing,
    /// Something is there that cannot be used.
    Unusable(String),
}

impl Files {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            directory: config.directory.clone(),
            cert: config.path(&config.cert_file),
            key: config.path(&config.key_file),
            bundle: config.path(&config.bundle_file),
            csr: config.path(&config.csr_file),
        }
    }

    /// The pair; finished first, if writing it was cut off.
    pub(crate) fn load(&self) -> Result<Found, MtlsError> {
        let _lock = self.lock()?;
        let (new_cert, new_key) = (beside(&self.cert), beside(&self.key));
        let pair = self.pair(&self.cert, &self.key)?;
        if let Found::Pair(_) = pair {
            remove(&new_key)?;
            remove(&new_cert)?;
            return Ok(pair);
        }
        // Cut off between the two renames, or before them with nothing to fall back to.
        for key in [&self.key, &new_key] {
            if let finished @ Found::Pair(_) = self.pair(&new_cert, key)? {
                tracing::info!(path = %self.cert.display(), "finishing a write that was cut off");
                if *key == new_key {
                    rename(&new_key, &self.key)?;
                }
                rename(&new_cert, &self.cert)?;
                return Ok(finished);
            }
        }
        Ok(pair)
    }

    /// The pair as it is, of files that belong to somebody else.
    pub(crate) fn load_foreign(&self) -> Result<Found, MtlsError> {
        self.pair(&self.cert, &self.key)
    }

    /// Replaces the pair. Readers that come between the two renames see a key that is not
    /// the certificate's; they must look again.
    pub(crate) fn write(&self, cert: &str, key: &str) -> Result<(), MtlsError> {
        let _lock = self.lock()?;
        let (new_cert, new_key) = (beside(&self.cert), beside(&self.key));
        write_new(&new_key, key.as_bytes(), 0o600)?;
        write_new(&new_cert, cert.as_bytes(), 0o644)?;
        rename(&new_key, &self.key)?;
        rename(&new_cert, &self.cert)
    }

    pub(crate) fn bundle(&self) -> Result<Option<String>, MtlsError> {
        read_optional(&self.bundle)
    }

    pub(crate) fn write_bundle(&self, pem: &str) -> Result<(), MtlsError> {
        if self.bundle()?.as_deref() == Some(pem) {
            return Ok(());
        }
        let _lock = self.lock()?;
        let new = beside(&self.bundle);
        write_new(&new, pem.as_bytes(), 0o644)?;
        rename(&new, &self.bundle)
    }

    pub(crate) fn write_csr(&self, pem: &str) -> Result<(), MtlsError> {
        let _lock = self.lock()?;
        let new = beside(&self.csr);
        write_new(&new, pem.as_bytes(), 0o644)?;
        rename(&new, &self.csr)
    }

    fn pair(&self, cert: &Path, key: &Path) -> Result<Found, MtlsError> {
        let (chain, secret) = match (read_optional(cert)?, read_optional(key)?) {
            (Some(chain), Some(secret)) => (chain, Zeroizing::new(secret)),
            (None, None) => return Ok(Found::Nothing),
            (None, Some(_)) => return Ok(Found::Unusable("the certificate is missing".into())),
            (Some(_), None) => return Ok(Found::Unusable("the key is missing".into())),
        };
        if is_open_to_all(key)? {
            return Ok(Found::Unusable(format!(
                "every user can read the key; run: chmod 600 {}",
                self.key.display()
            )));
        }
        Ok(certified(&chain, &secret).map_or_else(Found::Unusable, Found::Pair))
    }

    /// Held while files change: replicas may share a directory.
    fn lock(&self) -> Result<File, MtlsError> {
        create_dir(&self.directory).map_err(MtlsError::file("making", &self.directory))?;
        let path = self.directory.join(".tls.lock");
        let lock = options(0o600).create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(MtlsError::file("opening", &path))?;
        lock.lock().map_err(MtlsError::file("locking", &path))?;
        Ok(lock)
    }
}

/// A chain and a key in PEM that fit each other.
pub(crate) fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the key cannot be read: {error}"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map(Arc::new)
        .map_err(|error| format!("the key is not the certificate's: {error}"))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn read_optional(path: &Path) -> Result<Option<String>, MtlsError> {
    match fs::read(path) {
        // What is no text is no PEM either, and will be found to be none.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MtlsError::file("reading", path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), MtlsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(MtlsError::file("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// What a crash left of an earlier attempt goes first: it may have another mode.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), MtlsError> {
    remove(path)?;
    let write = || {
        let mut file = options(mode).write(true).create_new(true).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(MtlsError::file("writing", path))
}

/// Renames, and makes it survive a power cut.
fn rename(from: &Path, to: &Path) -> Result<(), MtlsError> {
    fs::rename(from, to).map_err(MtlsError::file("replacing", to))?;
    sync_directory_of(to).map_err(MtlsError::file("replacing", to))
}

#[cfg(unix)]
fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_directory_of(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options
}

#[cfg(not(unix))]
fn options(_: u32) -> OpenOptions {
    OpenOptions::new()
}

fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The group may read it: that is how secrets are mounted into containers.
#[cfg(unix)]
fn is_open_to_all(path: &Path) -> Result<bool, MtlsError> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = fs::metadata(path).map_err(MtlsError::file("reading", path))?;
    Ok(metadata.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_all(_: &Path) -> Result<bool, MtlsError> {
    Ok(false)
}
