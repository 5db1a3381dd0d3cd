//! Writing down files that an agent sent.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// How many files of one name are kept beside each other.
const MAX_COPIES: u32 = 1000;

/// A directory for files. Nothing in it is ever overwritten, and nothing is written outside.
#[derive(Debug)]
pub(crate) struct Saver {
    dir: PathBuf,
}

impl Saver {
    /// Makes the directory if need be.
    pub(crate) fn new(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// Writes a file under its own name, as far as that is harmless, or one made up.
    pub(crate) fn save(
        &self,
        name: Option<&str>,
        extension: &str,
        content: &[u8],
    ) -> Result<PathBuf> {
        let name = name.and_then(harmless).unwrap_or_else(|| format!("file.{extension}"));
        for copy in 1..=MAX_COPIES {
            let path = self.dir.join(numbered(&name, copy));
            // Fails on anything that is there, also on a link that leads elsewhere.
            let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("making {}", path.display()));
                }
            };
            file.write_all(content).with_context(|| format!("writing {}", path.display()))?;
            return Ok(path);
        }
        bail!("{} holds {MAX_COPIES} files named {name} already", self.dir.display());
    }
}

/// The last segment of a foreign name, without what a file system or a terminal would obey.
fn harmless(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|'))
        .collect();
    // No hidden files, no `..`, no name that Windows would shorten to another.
    let clean = clean.trim_start_matches('.').trim_end_matches(['.', ' ']).trim_start();
    let end = clean.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 200);
    let clean = &clean[..end.last().unwrap_or(0)];
    let stem = clean.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let reserved = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (stem.len() == 4 && (stem.starts_with("COM") || stem.starts_with("LPT")));
    (!clean.is_empty() && !reserved).then(|| clean.to_owned())
}

/// `a.txt`, then `a-2.txt`.
fn numbered(name: &str, copy: u32) -> String {
    if copy == 1 {
        return name.to_owned();
    }
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match path.extension() {
        Some(extension) => format!("{stem}-{copy}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{copy}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_stay_in_the_directory() {
        for (name, kept) in [
            ("report.csv", Some("report.csv")),
            ("../../etc/passwd", Some("passwd")),
            ("/etc/passwd", Some("passwd")),
            ("C:\\windows\\x.exe", Some("x.exe")),
            ("C:x", Some("Cx")),
            ("..", None),
            ("../", None),
            (".bashrc", Some("bashrc")),
            ("a\u{0}b\n.txt", Some("ab.txt")),
            ("nul.txt", None),
            ("", None),
        ] {
            assert_eq!(harmless(name).as_deref(), kept, "{name:?}");
        }
        assert_eq!(harmless(&"é".repeat(300)).map(|name| name.len()), Some(200));
    }

    #[test]
    fn nothing_is_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let saver = Saver::new(parent.path().join("new")).unwrap();
        let save = |content: &[u8]| saver.save(Some("../a.txt"), "bin", content).unwrap();
        let (first, second) = (save(b"1"), save(b"2"));
        assert_eq!(first, parent.path().join("new/a.txt"));
        assert_eq!(second, parent.path().join("new/a-2.txt"));
        assert_eq!(fs::read(first).unwrap(), b"1");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let outside = parent.path().join("outside");
        let saver = Saver::new(parent.path().join("in")).unwrap();
        std::os::unix::fs::symlink(&outside, parent.path().join("in/a")).unwrap();
        assert_eq!(saver.save(Some("a"), "bin", b"x").unwrap(), parent.path().join("in/a-2"));
        assert!(!outside.exists());
    }
}
