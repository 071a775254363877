//! Messages through a thread of their own: whoever reads them may stand still,
//! and nobody else does for it.
//!
//! Keeps the order. Holds [`WAITING_MAX`] texts at most; what finds no room is
//! dropped, and how many lines that were is told in its place. Nobody waits for
//! the thread, but for [`Aside::finish`], and that not for long; it ends with the
//! process, also in the middle of a write.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::counted::counted;

/// Texts that wait to be written: many more than a start and a stop have, and
/// a few hundred kilobytes.
const WAITING_MAX: usize = 1024;

/// Where to leave what is to be written.
pub(super) struct Aside(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread, and whoever waits for it.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    is_writing: bool,
}

enum Waiting {
    Text(String),
    /// So many lines found no room here.
    Missing(usize),
}

impl Aside {
    /// Begins to write to `out`.
    pub(super) fn begin(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("messages".into())
            .spawn(move || work.write_all(out))?;
        Ok(Self(shared))
    }

    /// Has `text` written after everything before it, if there is room.
    pub(super) fn write(&self, text: String) {
        self.0.queue().push(text);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, but for `patience` at most.
    pub(super) fn finish(&self, patience: Duration) {
        let queue = self.0.queue();
        let waited = self
            .0
            .changed
            .wait_timeout_while(queue, patience, |queue| !queue.is_done());
        drop(waited);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for ever.
    fn write_all(&self, mut out: impl Write) {
        loop {
            let text = self.next();
            // A reader that has gone wants no more.
            _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }

    /// What is to be written next; what was before it is.
    fn next(&self) -> String {
        let mut queue = self.queue();
        queue.is_writing = false;
        self.changed.notify_all();
        loop {
            if let Some(waiting) = queue.waiting.pop_front() {
                queue.is_writing = true;
                return waiting.into_text();
            }
            let waited = self.changed.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    fn push(&mut self, text: String) {
        if self.waiting.len() < WAITING_MAX {
            return self.waiting.push_back(Waiting::Text(text));
        }
        // What only moves the cursor is no line, and not missed.
        let lines = text.matches('\n').count();
        match self.waiting.back_mut() {
            Some(Waiting::Missing(before)) => *before += lines,
            _ => self.waiting.push_back(Waiting::Missing(lines)),
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }
}

impl Waiting {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Missing(0) => String::new(),
            Self::Missing(lines) => {
                format!("dropped {} that nobody read\n", counted(lines, "line"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Far more than a thread needs to write a few lines.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Writes as soon as somebody takes it.
    struct Slow(SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(text.to_vec());
            sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// With a thread that is in the middle of its first write.
    fn stuck() -> (Aside, Receiver<Vec<u8>>) {
        let (slow, written) = sync_channel(0);
        let aside = Aside::begin(Slow(slow)).unwrap();
        aside.write("first\n".to_owned());
        while !aside.0.queue().waiting.is_empty() {
            std::thread::yield_now();
        }
        (aside, written)
    }

    fn next(written: &Receiver<Vec<u8>>) -> String {
        let text = written.recv_timeout(PATIENCE).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_finds_no_room_is_counted_where_it_is_missing() {
        let (aside, written) = stuck();
        for n in 0..WAITING_MAX + 3 {
            aside.write(format!("{n}\n"));
        }
        assert_eq!(next(&written), "first\n");
        for n in 0..WAITING_MAX {
            assert_eq!(next(&written), format!("{n}\n"));
        }
        assert_eq!(next(&written), "dropped 3 lines that nobody read\n");
        aside.write("last\n".to_owned());
        assert_eq!(next(&written), "last\n");
    }

    #[test]
    fn what_comes_when_there_is_room_again_stands_after_what_is_missing() {
        let mut queue = Queue::default();
        for n in 0..=WAITING_MAX {
            queue.push(format!("{n}\n"));
        }
        queue.waiting.drain(..2);
        queue.push("later\n".to_owned());
        let texts: Vec<_> = queue.waiting.into_iter().map(Waiting::into_text).collect();
        let last = texts.last_chunk().unwrap();
        assert_eq!(last, &["dropped 1 line that nobody read\n", "later\n"]);
    }

    #[test]
    fn a_line_that_only_stood_until_the_next_one_is_not_missed() {
        let missing = Waiting::Missing(0).into_text();
        assert_eq!(missing, "");
        let mut queue = Queue::default();
        for _ in 0..=WAITING_MAX {
            queue.push("\r\x1b[2K".to_owned());
        }
        assert!(matches!(queue.waiting.back(), Some(Waiting::Missing(0))));
    }

    #[test]
    fn the_end_waits_for_a_reader_that_reads_and_not_for_one_that_hangs() {
        let (aside, written) = stuck();
        aside.finish(Duration::ZERO);
        assert!(!aside.0.queue().is_done());
        let reading = std::thread::spawn(move || next(&written));
        aside.finish(PATIENCE);
        assert!(aside.0.queue().is_done());
        assert_eq!(reading.join().unwrap(), "first\n");
    }
}
