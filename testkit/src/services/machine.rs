//! What the machine has, and what may be added to it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ServicesError;

/// Where Debian keeps each version of Postgres.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// What Debian asks before a package starts its own server.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The names under which a Chromium is found; the first one can do nothing but run without a
/// window, and so needs the least.
const CHROMIUMS: [&str; 4] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

const POSTGRES: Wanted = Wanted {
    name: "Postgres",
    packages: "postgresql",
    instead: "DATABASE_URL to the address of a running one",
};

const REDIS: Wanted = Wanted {
    name: "Redis",
    packages: "redis-server",
    instead: "REDIS_URL to the address of a running one",
};

/// With the font that its pictures are made with.
const CHROMIUM: Wanted = Wanted {
    name: "Chromium",
    packages: "chromium-headless-shell fonts-dejavu-core",
    instead: "CHROMIUM to the program",
};

/// A program of Debian's.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    name: &'static str,
    /// The packages that have it, with spaces between them.
    packages: &'static str,
    /// What can be set instead, and to what.
    instead: &'static str,
}

/// The machine that the servers run on, as far as they need to know.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Folders of programs, as in `PATH`.
    pub path: OsString,
    /// A folder with a folder `N/bin` for each version of Postgres.
    pub postgres_versions: PathBuf,
    /// Whether we are root, and so may install packages, and may not run Postgres as ourselves.
    pub is_root: bool,
    /// The file that says whether a package may start its server.
    pub policy: PathBuf,
    /// A folder for programs that had to be built, which outlives every target folder.
    pub cache: PathBuf,
}

impl Machine {
    /// The machine that this process runs on.
    #[must_use]
    pub fn this() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a tool for tests, which has no Settings")]
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = read("PATH").unwrap_or_default();
        let cache = read("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let cache = cache.or_else(|| Some(PathBuf::from(read("HOME")?).join(".cache")));
        let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
        Self {
            path,
            postgres_versions: POSTGRES_VERSIONS.into(),
            is_root: id.is_ok_and(|id| id.stdout.trim_ascii() == b"0"),
            policy: POLICY.into(),
            cache: cache.unwrap_or_else(std::env::temp_dir).join("bindu"),
        }
    }

    /// The folder that has `postgres`, `initdb` and `pg_isready`; installs them if it may.
    pub(super) fn postgres(&self) -> Result<PathBuf, ServicesError> {
        self.find_or_install(POSTGRES, || {
            let all_of_it = |folder: &PathBuf| {
                ["postgres", "initdb", "pg_isready"].iter().all(|name| folder.join(name).is_file())
            };
            let mut versions: Vec<PathBuf> = fs::read_dir(&self.postgres_versions)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
                .collect();
            // The newest one first.
            versions.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
            versions.into_iter().chain(std::env::split_paths(&self.path)).find(all_of_it)
        })
    }

    /// The program `redis-server`; installs it if it may.
    pub(super) fn redis(&self) -> Result<PathBuf, ServicesError> {
        self.find_or_install(REDIS, || self.program("redis-server"))
    }

    /// A Chromium; installs one, and a font for it, if it may.
    ///
    /// # Errors
    ///
    /// There is none, and none may or can be installed.
    pub fn chromium(&self) -> Result<PathBuf, ServicesError> {
        self.find_or_install(CHROMIUM, || CHROMIUMS.iter().find_map(|name| self.program(name)))
    }

    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path).map(|at| at.join(name)).find(|file| file.is_file())
    }

    fn find_or_install(
        &self,
        wanted: Wanted,
        find: impl Fn() -> Option<PathBuf>,
    ) -> Result<PathBuf, ServicesError> {
        if let Some(found) = find() {
            return Ok(found);
        }
        let Wanted { name: server, packages, instead } = wanted;
        let missing = ServicesError::Missing { server, packages, instead };
        let Some(apt) = self.program("apt-get").filter(|_| self.is_root) else {
            return Err(missing);
        };
        let log = self.install(&apt, packages)?;
        find().ok_or(ServicesError::Install { packages, instead, log })
    }

    /// Installs packages; a server that comes with them is not started. Gives the end of what was
    /// said.
    fn install(&self, apt: &Path, packages: &str) -> Result<String, ServicesError> {
        let _policy = Policy::forbid(&self.policy)?;
        let run = |arguments: &[&str]| {
            Command::new(apt)
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("PATH", &self.path)
                .stdin(Stdio::null())
                .output()
                .map_err(ServicesError::io("running apt-get"))
        };
        let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
        install.extend(packages.split(' '));
        let mut output = run(&install)?;
        if !output.status.success() {
            // What it knows of packages may be old, or nothing at all.
            run(&["update", "--quiet"])?;
            output = run(&install)?;
        }
        Ok(super::server::tail(&[output.stdout, output.stderr].concat()))
    }
}

/// The number in `…/15/bin`.
fn version(folder: &Path) -> u32 {
    let number = folder.parent().and_then(Path::file_name);
    number.and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

/// Keeps packages from starting servers while it lives, unless the machine has a rule of its own.
struct Policy<'a>(Option<&'a Path>);

impl<'a> Policy<'a> {
    fn forbid(file: &'a Path) -> Result<Self, ServicesError> {
        if file.exists() {
            return Ok(Self(None));
        }
        let rule =
            "#!/bin/sh\n# Here while a test installs a server that must not start.\nexit 101\n";
        fs::write(file, rule).map_err(ServicesError::io("writing policy-rc.d"))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let runs = fs::Permissions::from_mode(0o755);
            fs::set_permissions(file, runs).map_err(ServicesError::io("writing policy-rc.d"))?;
        }
        Ok(Self(Some(file)))
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // If it is gone already, all the better.
            let _ = fs::remove_file(file);
        }
    }
}
