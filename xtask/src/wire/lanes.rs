//! Work that is done side by side and reported in order.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use anyhow::Context as _;

/// Does all of `work`, at most `lanes` at a time. A lane does one thing after another, and `act` is
/// told which one it is, from 0 on.
///
/// What `act` writes comes out in the order of `work`, and never between the lines of something
/// else; with one lane it comes at once.
///
/// # Errors
///
/// The first error of `act`, in the order of `work`. Nothing is begun after one; what is under way
/// ends and is reported.
pub(super) fn run<W: Sync, T: Send>(
    work: &[W],
    lanes: u16,
    act: impl Fn(&W, u16, &mut (dyn Write + Send)) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    run_into(work, lanes, &mut io::stdout(), act)
}

fn run_into<W: Sync, T: Send>(
    work: &[W],
    lanes: u16,
    out: &mut (dyn Write + Send),
    act: impl Fn(&W, u16, &mut (dyn Write + Send)) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    if lanes == 1 || work.len() == 1 {
        return work.iter().map(|one| act(one, 0, out)).collect();
    }
    // Handed out in order: whatever comes before something that was begun was begun, too.
    let waiting: Mutex<VecDeque<_>> = Mutex::new(work.iter().enumerate().collect());
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for lane in 0..lanes {
            let (waiting, act, done) = (&waiting, &act, done.clone());
            scope.spawn(move || {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some((place, one)) = next() {
                    let mut text = Vec::new();
                    let result = act(one, lane, &mut text);
                    if result.is_err() {
                        waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                    // The other end is there until all of us have ended.
                    let _ = done.send((place, text, result));
                }
            });
        }
        drop(done);
        let mut early: Vec<Option<(Vec<u8>, anyhow::Result<T>)>> = Vec::new();
        early.resize_with(work.len(), || None);
        let mut found = Vec::new();
        for (place, text, result) in results {
            early[place] = Some((text, result));
            while let Some((text, result)) = early.get_mut(found.len()).and_then(Option::take) {
                out.write_all(&text).and_then(|()| out.flush()).context("writing a report")?;
                found.push(result);
            }
        }
        found.into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex, mpsc};

    use anyhow::ensure;

    use super::run_into;

    #[test]
    fn what_is_done_side_by_side_is_reported_in_order() {
        // The first ends after the others have.
        let (say, heard) = mpsc::channel();
        let (say, heard) = (Mutex::new(say), Mutex::new(heard));
        let together = Barrier::new(3);
        let mut out = Vec::new();
        let found = run_into(&[0, 1, 2], 3, &mut out, |&number, lane, out| {
            together.wait();
            if number == 0 {
                let heard = heard.lock().unwrap();
                heard.recv()?;
                heard.recv()?;
            }
            writeln!(out, "begin {number}")?;
            writeln!(out, "end {number}")?;
            if number > 0 {
                say.lock().unwrap().send(())?;
            }
            Ok((number, lane))
        });
        let mut found = found.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "begin 0\nend 0\nbegin 1\nend 1\nbegin 2\nend 2\n");
        assert_eq!(found.iter().map(|one| one.0).collect::<Vec<_>>(), [0, 1, 2]);
        found.sort_by_key(|one| one.1);
        assert_eq!(found.iter().map(|one| one.1).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_failure_is_reported_and_nothing_is_begun_after_it() {
        for lanes in [1, 2] {
            let begun = Mutex::new(Vec::new());
            let mut out = Vec::new();
            let found = run_into(&[0, 1, 2, 3, 4, 5, 6, 7], lanes, &mut out, |&number, _, out| {
                begun.lock().unwrap().push(number);
                writeln!(out, "{number}")?;
                ensure!(number < 1, "number {number} is too large");
                Ok(())
            });
            assert_eq!(found.unwrap_err().to_string(), "number 1 is too large");
            let begun = begun.into_inner().unwrap();
            assert!(lanes > 1 || begun == [0, 1], "{begun:?} were begun");
            assert!(out.starts_with(b"0\n1\n"));
        }
    }

    #[test]
    fn there_may_be_more_lanes_than_work() {
        let mut out = Vec::new();
        assert_eq!(run_into(&[7, 8], 9, &mut out, |one, _, _| Ok(*one)).unwrap(), [7, 8]);
        assert!(run_into(&[], 9, &mut out, |one: &i32, _, _| Ok(*one)).unwrap().is_empty());
    }
}
