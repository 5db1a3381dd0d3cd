//! A log file that is put aside when it grows large or old.
//!
//! `tracing-appender` turns files by the clock only; the operators of the reference are
//! used to a size (`10 MB`) and a retention (`1 week`), so this is written here.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::settings::{LogRetention, LogRotation, LoggingSettings};

/// An open log file. Files put aside lie beside it, named `<file>.<seconds since 1970>`.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    begun: SystemTime,
    rotation: LogRotation,
    retention: LogRetention,
}

impl LogFile {
    /// Opens the file for appending; makes the directory if needed.
    pub(super) fn open(settings: &LoggingSettings) -> io::Result<Self> {
        fs::create_dir_all(&settings.log_dir)?;
        let path = settings.log_dir.join(&settings.log_filename);
        let (file, bytes) = append_to(&path)?;
        let now = SystemTime::now();
        // Not every file system knows when a file was made.
        let begun = file.metadata()?.created().unwrap_or(now);
        let log = Self {
            path,
            file,
            bytes,
            begun,
            rotation: settings.log_rotation,
            retention: settings.log_retention,
        };
        log.remove_old(now);
        Ok(log)
    }

    fn write_at(&mut self, line: &[u8], now: SystemTime) -> io::Result<()> {
        let more = line.len() as u64;
        let full = match self.rotation {
            LogRotation::Bytes(most) => self.bytes > 0 && self.bytes + more > most,
            LogRotation::Age(most) => age(self.begun, now) >= most,
            LogRotation::Never => false,
        };
        // If the file cannot be put aside, a file that is too large beats lost lines.
        if full && self.put_aside(now).is_ok() {
            self.remove_old(now);
        }
        self.file.write_all(line)?;
        self.bytes += more;
        Ok(())
    }

    fn put_aside(&mut self, now: SystemTime) -> io::Result<()> {
        let seconds = age(UNIX_EPOCH, now).as_secs();
        let mut aside = with_suffix(&self.path, &format!(".{seconds}"));
        let mut more = 1;
        while aside.exists() {
            aside = with_suffix(&self.path, &format!(".{seconds}-{more}"));
            more += 1;
        }
        fs::rename(&self.path, aside)?;
        (self.file, self.bytes) = append_to(&self.path)?;
        self.begun = now;
        Ok(())
    }

    /// Removes files that were put aside and are beyond the retention. One that cannot be
    /// removed stays; the log is not the place to fail.
    fn remove_old(&self, now: SystemTime) {
        let mut aside = self.aside();
        aside.sort_by(|a, b| b.cmp(a));
        for (index, (changed, path)) in aside.into_iter().enumerate() {
            let old = match self.retention {
                LogRetention::Age(most) => age(changed, now) > most,
                LogRetention::Files(most) => index >= most,
                LogRetention::Forever => false,
            };
            if old {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The files that were put aside, and when they were last written.
    fn aside(&self) -> Vec<(SystemTime, PathBuf)> {
        let Some(name) = self.path.file_name().and_then(OsStr::to_str) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir(self.path.parent().unwrap_or(Path::new("."))) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| {
                let other = entry.file_name();
                other.to_str().and_then(|it| it.strip_prefix(name)?.strip_prefix('.')).is_some_and(
                    |it| !it.is_empty() && it.chars().all(|c| c.is_ascii_digit() || c == '-'),
                )
            })
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect()
    }
}

impl Write for LogFile {
    /// Takes the whole line: lines are not torn between two files.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_at(line, SystemTime::now())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How long after `then` it is; nothing if the clock was put back.
fn age(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn names(dir: &Path) -> Result<Vec<String>, io::Error> {
        let mut names = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>, io::Error>>()?;
        names.sort();
        Ok(names)
    }

    fn settings(dir: &Path, rotation: LogRotation, retention: LogRetention) -> LoggingSettings {
        let mut settings = Settings::default().logging;
        dir.clone_into(&mut settings.log_dir);
        "a.log".clone_into(&mut settings.log_filename);
        settings.log_rotation = rotation;
        settings.log_retention = retention;
        settings
    }

    #[test]
    fn a_full_file_is_put_aside_whole() -> Result<(), io::Error> {
        let dir = tempfile::tempdir()?;
        let settings = settings(dir.path(), LogRotation::Bytes(10), LogRetention::Forever);
        let mut log = LogFile::open(&settings)?;
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        log.write_at(b"larger than it may be\n", now)?;
        log.write_at(b"12345\n", now)?;
        log.write_at(b"123\n", now)?;
        log.write_at(b"next\n", now)?;
        assert_eq!(names(dir.path())?, ["a.log", "a.log.1000", "a.log.1000-1"]);
        assert_eq!(fs::read_to_string(dir.path().join("a.log"))?, "next\n");
        assert_eq!(fs::read_to_string(dir.path().join("a.log.1000-1"))?, "12345\n123\n");
        Ok(())
    }

    #[test]
    fn an_existing_file_is_continued() -> Result<(), io::Error> {
        let dir = tempfile::tempdir()?;
        let settings = settings(dir.path(), LogRotation::Bytes(10), LogRetention::Forever);
        fs::write(dir.path().join("a.log"), "before\n")?;
        LogFile::open(&settings)?.write_at(b"a\n", SystemTime::now())?;
        assert_eq!(fs::read_to_string(dir.path().join("a.log"))?, "before\na\n");
        Ok(())
    }

    #[test]
    fn an_old_file_is_put_aside() -> Result<(), io::Error> {
        let dir = tempfile::tempdir()?;
        let day = Duration::from_hours(24);
        let settings = settings(dir.path(), LogRotation::Age(day), LogRetention::Forever);
        let mut log = LogFile::open(&settings)?;
        let begun = log.begun;
        log.write_at(b"a\n", begun)?;
        log.write_at(b"b\n", begun + day)?;
        assert_eq!(fs::read_to_string(dir.path().join("a.log"))?, "b\n");
        Ok(())
    }

    #[test]
    fn only_so_many_files_are_kept_and_no_stranger_is_touched() -> Result<(), io::Error> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("a.log.notes"), "")?;
        let settings = settings(dir.path(), LogRotation::Bytes(1), LogRetention::Files(2));
        let mut log = LogFile::open(&settings)?;
        for second in 1..=5 {
            log.write_at(b"line\n", UNIX_EPOCH + Duration::from_secs(second))?;
        }
        let names = names(dir.path())?;
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.contains(&"a.log.notes".to_owned()));
        Ok(())
    }

    #[test]
    fn files_beyond_the_retention_go() -> Result<(), io::Error> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("a.log.7"), "old\n")?;
        let week = Duration::from_hours(7 * 24);
        let settings = settings(dir.path(), LogRotation::Never, LogRetention::Age(week));
        let log = LogFile::open(&settings)?;
        assert!(dir.path().join("a.log.7").exists(), "written just now");
        log.remove_old(SystemTime::now() + 2 * week);
        assert_eq!(names(dir.path())?, ["a.log"]);
        Ok(())
    }
}
