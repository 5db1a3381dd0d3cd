//! Servers that are published as Go modules only: built once, and kept in a cache.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::server::tail;
use super::{Machine, ServicesError};

/// A program in Go, with everything that decides how it comes out.
#[derive(Debug)]
pub(super) struct Program {
    /// The server's name.
    pub(super) server: &'static str,
    /// What it is called in the cache.
    pub(super) name: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// The module it is built in: file names and contents, `go.sum` among them.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// The package that has `main`.
    pub(super) package: &'static str,
    /// What points at a running one.
    pub(super) variables: &'static str,
}

impl Program {
    /// The program in the cache; builds it if it is not there, which takes minutes.
    pub(super) fn get(&self, machine: &Machine) -> Result<PathBuf, ServicesError> {
        let file = machine.cache.join(self.file_name());
        if file.is_file() {
            return Ok(file);
        }
        let (server, variables) = (self.server, self.variables);
        let Some(go) = machine.program("go") else {
            return Err(ServicesError::NoGo { server, variables });
        };
        let doing = "keeping a program";
        fs::create_dir_all(&machine.cache).map_err(ServicesError::io(doing))?;
        let lock = File::create(machine.cache.join(format!("{}.lock", self.name)));
        let lock = lock.map_err(ServicesError::io(doing))?;
        lock.lock().map_err(ServicesError::io(doing))?;
        if file.is_file() {
            // Somebody else built it while we waited for the lock.
            return Ok(file);
        }
        let folder = tempfile::Builder::new().prefix("build-").tempdir_in(&machine.cache);
        let folder = folder.map_err(ServicesError::io(doing))?;
        for (name, text) in self.files {
            fs::write(folder.path().join(name), text).map_err(ServicesError::io(doing))?;
        }
        // Whoever waits may know what for; if nobody can read it, it is not worth a failure.
        let _ = writeln!(
            io::stderr(),
            "building {server} {} with Go into {}: this takes minutes, once",
            self.version,
            machine.cache.display()
        );
        let output = Command::new(go)
            .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w"])
            .args(["-o", "program", self.package])
            .current_dir(folder.path())
            .env("PATH", &machine.path)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .output()
            .map_err(ServicesError::io("running go"))?;
        if !output.status.success() {
            let log = tail(&[output.stdout, output.stderr].concat());
            return Err(ServicesError::Build { server, variables, log });
        }
        // In one step, so that nobody ever runs half of it.
        let built = fs::rename(folder.path().join("program"), &file);
        built.map_err(ServicesError::io(doing))?;
        Ok(file)
    }

    /// Another one for whatever would come out otherwise.
    fn file_name(&self) -> String {
        let mut whole = ring::digest::Context::new(&ring::digest::SHA256);
        let machine = [std::env::consts::OS, std::env::consts::ARCH, self.package];
        for text in self.files.iter().flat_map(|(name, text)| [*name, *text]).chain(machine) {
            whole.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            whole.update(text.as_bytes());
        }
        // So much of it that no two are the same by chance.
        let hash = whole.finish().as_ref()[..6]
            .iter()
            .fold(0_u64, |hash, &byte| (hash << 8) | u64::from(byte));
        format!("{}-{}-{hash:012x}{}", self.name, self.version, std::env::consts::EXE_SUFFIX)
    }
}
