//! A console that nobody waits for.
//!
//! A process that is started by another one writes its log into a pipe. Whoever holds the other end
//! may stop to read; a write would then wait, and with it whatever logs.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const LINES: usize = 4096;

/// How long the end of the process waits for lines that are not written yet.
const LAST_LINES: Duration = Duration::from_millis(200);

enum Item {
    Line(Vec<u8>),
    /// Tells when everything before it is written.
    Mark(SyncSender<()>),
}

/// Takes lines for a thread to write. What does not fit is dropped, and counted in a line of its own.
#[derive(Clone)]
pub(crate) struct Detached {
    lines: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

impl Detached {
    /// Begins to write.
    pub(super) fn begin(to: impl Write + Send + 'static) -> Self {
        let (lines, taken) = sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        // It ends with the process, or with the last of those who write.
        std::thread::spawn(move || write(to, &taken, &counted));
        Self { lines, dropped }
    }

    /// Waits for what has been logged so far, but not for long.
    pub(crate) fn finish(&self) {
        let (done, told) = sync_channel(1);
        if self.lines.try_send(Item::Mark(done)).is_ok() {
            _ = told.recv_timeout(LAST_LINES);
        }
    }
}

fn write(mut to: impl Write, taken: &Receiver<Item>, dropped: &AtomicU64) {
    while let Ok(item) = taken.recv() {
        // Whoever read may be gone. What cannot be written is lost, and nothing else is.
        match item {
            Item::Line(line) => _ = to.write_all(&line),
            Item::Mark(done) => _ = done.try_send(()),
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            _ = writeln!(
                to,
                "{{\"level\":\"WARN\",\"msg\":\"log lines were lost\",\"lines\":{lost}}}"
            );
        }
        _ = to.flush();
    }
}

impl Write for Detached {
    /// Takes a whole line: the subscriber writes each in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Item::Line(line.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Detached {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Writes a line each time it is let.
    struct Slow {
        let_go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.let_go.recv().map_err(io::Error::other)?;
            self.written.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Detached, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (go, let_go) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let console = Detached::begin(Slow { let_go, written: Arc::clone(&written) });
        (console, go, written)
    }

    #[test]
    fn nobody_waits_for_a_console_that_is_not_read() {
        let (mut console, go, written) = slow();
        for number in 0..LINES + 100 {
            console.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        console.finish(); // not for ever
        // The thread has one in its hands.
        assert!(console.dropped.load(Ordering::Relaxed) >= 99);
        assert!(written.lock().unwrap().is_empty());
        drop(go);
    }

    #[test]
    fn what_was_lost_is_counted_once_there_is_room_again() {
        let (mut console, go, written) = slow();
        console.write_all(b"one\n").unwrap();
        console.dropped.fetch_add(7, Ordering::Relaxed);
        for _ in 0..8 {
            go.send(()).unwrap();
        }
        console.finish();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("one\n") && written.contains("\"lines\":7"), "{written}");
    }
}
