//! Files that are never half written, and never open to others.

use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::error::KeyDirError;

/// Mode of files that hold a secret.
pub(crate) const PRIVATE: u32 = 0o600;
/// Mode of files that anyone may read.
pub(crate) const PUBLIC: u32 = 0o644;

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyDirError {
    move |source| KeyDirError::Io { doing, path: path.to_owned(), source }
}

/// Makes the directory and its parents; what is there already stays as it is.
pub(crate) fn create_dir(dir: &Path) -> Result<(), KeyDirError> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(io_error("creating", parent))?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made.map_err(io_error("creating", dir)),
    }
}

/// Waits for the directory's lock, held until the file is dropped.
///
/// `None` where there can be no lock: the directory cannot be written to, so that
/// no one makes a key there, or the file system has no locks.
pub(crate) fn lock(dir: &Path) -> Result<Option<File>, KeyDirError> {
    let path = dir.join(".lock");
    let mut options = options(PRIVATE);
    let file = match options.write(true).create(true).truncate(false).open(&path) {
        Ok(file) => file,
        Err(source) => {
            let error = io_error("opening", &path)(source);
            return if error.is_read_only() { Ok(None) } else { Err(error) };
        }
    };
    match file.lock() {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(io_error("locking", &path)(error)),
    }
}

pub(crate) fn exists(path: &Path) -> Result<bool, KeyDirError> {
    path.try_exists().map_err(io_error("looking for", path))
}

pub(crate) fn modified(path: &Path) -> Result<SystemTime, KeyDirError> {
    let found = fs::metadata(path).and_then(|metadata| metadata.modified());
    found.map_err(io_error("reading", path))
}

/// Refuses a private key that anyone but its owner has access to.
#[cfg(unix)]
pub(crate) fn refuse_lax_permissions(path: &Path) -> Result<(), KeyDirError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = fs::metadata(path).map_err(io_error("reading", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    let of_others = mode & 0o077;
    if of_others != 0 {
        return Err(KeyDirError::LaxPermissions { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Elsewhere than on Unix, permissions are the directory's business.
#[cfg(not(unix))]
pub(crate) fn refuse_lax_permissions(_: &Path) -> Result<(), KeyDirError> {
    Ok(())
}

pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyDirError> {
    fs::read_to_string(path).map(Zeroizing::new).map_err(io_error("reading", path))
}

/// The text of a file, or `None` if there is no such file or it is no text.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, KeyDirError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("reading", path)(error)),
    }
}

/// Writes a whole file: beside its place, flushed, then moved there. Unless
/// `replace` is set, a file that stands there already is an error and stays.
pub(crate) fn write(
    path: &Path,
    content: &[u8],
    mode: u32,
    replace: bool,
) -> Result<(), KeyDirError> {
    let temporary = temporary_beside(path)?;
    let written = write_new(&temporary, content, mode).and_then(|()| {
        if replace { fs::rename(&temporary, path) } else { rename_new(&temporary, path) }
    });
    if written.is_err() {
        // The first error is the one to tell; this is only tidying up.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_parent(path)).map_err(io_error("writing", path))
}

fn temporary_beside(path: &Path) -> Result<PathBuf, KeyDirError> {
    let mut random = [0; 8];
    let source = SystemRandom::new();
    source
        .fill(&mut random)
        .map_err(|_| io_error("writing", path)(io::Error::other("no random bytes")))?;
    let mut name = String::from(".");
    name.push_str(&path.file_name().unwrap_or_default().to_string_lossy());
    name.push('.');
    for byte in random {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(path.with_file_name(name))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = options(mode).write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// As rename, but never over another file.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No hard links on this file system; the lock keeps others away.
        Err(_) if !to.try_exists()? => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Makes a rename survive a power cut.
#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "modes exist on Unix only"))]
fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options
}
