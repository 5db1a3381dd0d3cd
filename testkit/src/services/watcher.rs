//! Ends a process when this one is gone.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for a word, or for the end of whoever should have said it.
///
/// A parent-death signal would be shorter, but it is sent when the *thread* ends that started the
/// child, and a server outlives many threads.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r word && [ "$word" = done ] && exit 0
kill -s "$2" -- "$1" 2>/dev/null
tries=0
while kill -s 0 -- "$1" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
[ $tries -lt 100 ] || kill -s KILL -- "$1" 2>/dev/null
[ ! -f "$3/end" ] || sh "$3/end" >/dev/null 2>&1
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// A small process that ends another one, once we are gone in whatever way. Dropped, it is called
/// off.
#[derive(Debug)]
pub struct Watcher(Child);

impl Watcher {
    /// Starts a command in a process group of its own, which is ended by SIGTERM, or by SIGKILL if
    /// that does not help, when this process is gone. Ctrl-C reaches it in no other way.
    ///
    /// # Errors
    ///
    /// The command cannot be started, or not be watched.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::process::Command;
    ///
    /// use bindu_testkit::services::Watcher;
    ///
    /// let (mut child, watcher) = Watcher::spawn(Command::new("sleep").arg("60"))?;
    /// child.kill()?;
    /// child.wait()?;
    /// drop(watcher); // There is nothing left to watch.
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(command: &mut Command) -> io::Result<(Child, Self)> {
        apart(command);
        let child = command.spawn()?;
        // The whole group, which has the number of its first process.
        let group = format!("-{}", child.id());
        Self::watch(child, &group, "TERM", Path::new(""))
    }

    /// Watches over a server that a signal (`KILL`, `QUIT`) ends; its directory goes with it.
    pub(super) fn over(child: Child, signal: &str, directory: &Path) -> io::Result<(Child, Self)> {
        let pid = child.id().to_string();
        Self::watch(child, &pid, signal, directory)
    }

    fn watch(
        mut child: Child,
        whom: &str,
        signal: &str,
        directory: &Path,
    ) -> io::Result<(Child, Self)> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watcher", whom, signal]).arg(directory);
        apart(&mut command);
        // Only we hold the other end of this pipe, so it closes when we end, in whatever way.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(watcher) => Ok((child, Self(watcher))),
            Err(error) => {
                // Nobody would end it for us.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            // If it is gone, there is nothing to call off.
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}

/// Keeps what a terminal sends (Ctrl-C) from a process: we are told, and decide.
pub(super) fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
}
