//! The thread that writes lines to a file, so that a slow disk delays nothing else.
//!
//! Owns the bounded queue before it, the count of what had no room or could not be written, and that
//! this is said: once in the log, and in the file when there is room again. It must not know what a
//! line says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::RotatingFile;
use crate::files::AppendFile;

/// Most lines that wait.
pub(super) const CAPACITY: usize = 8192;
/// The time between two attempts while the file can't be written.
const RETRY: Duration = Duration::from_millis(500);

/// Makes a line, which has its line end, on the writer's thread.
pub(super) type Line = Box<dyn FnOnce() -> Vec<u8> + Send>;

enum Job {
    Line(Line),
    /// From now on lines go to this file.
    Open(AppendFile),
}

/// What the file is for, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    /// What the file is called, such as "the audit file".
    pub(super) file: &'static str,
    /// What its lines are called, such as "records".
    pub(super) lines: &'static str,
    /// The line that says how many are missing.
    pub(super) missing: fn(u64) -> Vec<u8>,
}

/// How many lines there were.
#[derive(Debug, Default)]
pub(crate) struct LineCounts {
    written: AtomicU64,
    missing: AtomicU64,
}

impl LineCounts {
    /// Lines that are in the file, those that say what is missing left out.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines that had no room, or could not be written.
    pub(crate) fn missing(&self) -> u64 {
        self.missing.load(Relaxed)
    }
}

/// Queues lines. Clones share one thread, which ends when all of them are dropped.
#[derive(Debug, Clone)]
pub(super) struct LineWriter {
    jobs: Sender<Job>,
    status: Arc<Status>,
}

/// Resolves when the thread has written everything.
pub(super) type Ended = oneshot::Receiver<()>;

#[derive(Debug, Default)]
struct Status {
    /// Lines that wait, or have a place.
    places: AtomicUsize,
    /// Lines that are missing in the file, which has not been said.
    missing: AtomicU64,
    /// The last attempt to write has failed.
    is_failing: AtomicBool,
    counts: Arc<LineCounts>,
}

impl Status {
    fn note_missing(&self) {
        self.missing.fetch_add(1, Relaxed);
        self.counts.missing.fetch_add(1, Relaxed);
    }
}

impl LineWriter {
    /// Starts the thread, and opens the file: `at_once` before this returns, else in the thread. Lines are counted
    /// in `counts`.
    ///
    /// # Errors
    /// If there can't be a thread. That the file can't be opened is no error: it is tried again.
    pub(super) fn start(
        file: &RotatingFile,
        purpose: Purpose,
        counts: Arc<LineCounts>,
        at_once: bool,
    ) -> io::Result<(Self, Ended)> {
        let (jobs, queue) = channel();
        let status = Arc::new(Status {
            counts,
            ..Status::default()
        });
        let (end, ended) = oneshot::channel();
        let mut thread = WriterThread {
            file: append_file(file),
            purpose,
            status: Arc::clone(&status),
        };
        if at_once {
            thread.open();
        }
        thread::Builder::new().name("lines".into()).spawn(move || {
            thread.run(&queue);
            let _ = end.send(());
        })?;
        Ok((Self { jobs, status }, ended))
    }

    /// Lines that come from now on go to this file.
    pub(super) fn reopen(&self, file: &RotatingFile) {
        // The thread ends after its senders.
        let _ = self.jobs.send(Job::Open(append_file(file)));
    }

    /// Takes a place for a line that is to come; `None` if there is none.
    pub(super) fn place(&self) -> Option<Place> {
        let place = Place(self.clone());
        let before = self.status.places.fetch_add(1, Relaxed);
        (before < CAPACITY).then_some(place)
    }

    /// A line had no place.
    pub(super) fn note_missing(&self) {
        self.status.note_missing();
    }

    /// Whether the file can't be written.
    pub(super) fn is_failing(&self) -> bool {
        self.status.is_failing.load(Relaxed)
    }
}

/// A place in the queue, free again once its line is taken from it.
#[derive(Debug)]
pub(super) struct Place(LineWriter);

impl Place {
    /// Fills it.
    pub(super) fn write(self, line: Line) {
        let jobs = self.0.jobs.clone();
        let line = move || {
            let text = line();
            drop(self);
            text
        };
        let _ = jobs.send(Job::Line(Box::new(line)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.status.places.fetch_sub(1, Relaxed);
    }
}

fn append_file(file: &RotatingFile) -> AppendFile {
    AppendFile::new(file.path.clone(), file.max_bytes, file.keep)
}

struct WriterThread {
    file: AppendFile,
    purpose: Purpose,
    status: Arc<Status>,
}

impl WriterThread {
    fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let has_news =
                self.status.is_failing.load(Relaxed) || self.status.missing.load(Relaxed) > 0;
            let job = match has_news {
                true => queue.recv_timeout(RETRY),
                false => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Line(line)) => self.write(&line()),
                Ok(Job::Open(file)) => {
                    self.file = file;
                    self.open();
                }
                Err(RecvTimeoutError::Timeout) => self.try_again(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.say_missing();
        let missing = self.status.missing.load(Relaxed);
        if missing > 0 {
            let (file, lines) = (self.shown(), self.purpose.lines);
            tracing::error!(file, missing, "{lines} of the last calls are missing in it");
        }
    }

    fn open(&mut self) {
        let opened = self.file.open().map(|_| ());
        self.note(opened);
    }

    fn try_again(&mut self) {
        match self.status.missing.load(Relaxed) {
            0 => self.open(),
            _ => self.say_missing(),
        }
    }

    fn write(&mut self, line: &[u8]) {
        self.say_missing();
        let written = self.file.append(line);
        match written {
            Ok(()) => {
                self.status.counts.written.fetch_add(1, Relaxed);
            }
            Err(_) => self.status.note_missing(),
        }
        self.note(written);
    }

    /// Writes how many lines are missing, if some are.
    fn say_missing(&mut self) {
        let missing = self.status.missing.swap(0, Relaxed);
        if missing == 0 {
            return;
        }
        let written = self.file.append(&(self.purpose.missing)(missing));
        match &written {
            Ok(()) => {
                let (file, lines) = (self.shown(), self.purpose.lines);
                tracing::warn!(file, missing, "{lines} are missing in the file");
            }
            Err(_) => {
                self.status.missing.fetch_add(missing, Relaxed);
            }
        }
        self.note(written);
    }

    /// Says when the file can't be written any more, and when it can be again.
    fn note(&self, written: io::Result<()>) {
        let was_failing = self.status.is_failing.swap(written.is_err(), Relaxed);
        let what = self.purpose.file;
        match written {
            Err(error) if !was_failing => {
                let file = self.shown();
                tracing::error!(file, %error, "the {what} can't be written: it is tried again until it can be");
            }
            Ok(()) if was_failing => {
                tracing::warn!(file = self.shown(), "the {what} is written again");
            }
            _ => {}
        }
    }

    fn shown(&self) -> String {
        self.file.path().display().to_string()
    }
}
