//! A file that lines are appended to, and that starts anew when it is full.
//!
//! Several processes may share one: each line is one write at the end of the file, and the file at the
//! path is looked at before each, so that a file which another process or a tool has moved away is
//! left. Owns the older files beside it, `NAME.1` being the newest. It must not know what a line says.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::try_lock;

/// How often a file that another process rotates is looked at again, and how long the pause is before each.
/// After that lines go to the full file without a pause, until it is twice as long as it may be: a process that is
/// stopped holds up nobody for long, and lets no file grow without end.
const LOOKS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// Appends lines to the file at one path.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    /// Bytes from which on the file starts anew.
    max_bytes: u64,
    /// How many older files are kept.
    keep: u32,
    open: Option<File>,
    /// A line was written in part, and could not be taken back.
    is_torn: bool,
    /// The wait for another process has timed out.
    is_stalled: bool,
}

impl AppendFile {
    /// Not opened yet. `keep` is at least 1: a line that another process writes at the moment of a
    /// rotation goes to the newest of the older files.
    pub(crate) fn new(path: PathBuf, max_bytes: u64, keep: u32) -> Self {
        Self {
            path,
            max_bytes,
            keep: keep.max(1),
            open: None,
            is_torn: false,
            is_stalled: false,
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file that is at the path now, and creates it for the user alone if there is none, and so its
    /// folder. Returns its length.
    ///
    /// # Errors
    /// If it can't be opened, or is no regular file (a symbolic link is not followed).
    pub(crate) fn open(&mut self) -> io::Result<u64> {
        let there = match fs::symlink_metadata(&self.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let (Some(there), Some(open)) = (&there, &self.open)
            && is_same(there, &open.metadata()?)
        {
            return Ok(there.len());
        }
        self.open = None;
        super::is_regular(&self.path)?;
        let file = match options().open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                super::make_folder(super::folder_of(&self.path))?;
                options().open(&self.path)?
            }
            opened => opened?,
        };
        let length = file.metadata()?.len();
        self.open = Some(file);
        self.is_torn = false;
        Ok(length)
    }

    /// Appends one line, which has its line end, in one write. A file that it doesn't fit into any more
    /// starts anew before.
    ///
    /// # Errors
    /// If it can't be written. It then is in the file not at all or, where other processes write too,
    /// in part; the next line begins on a line of its own.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = line.len() as u64;
        self.make_room(bytes)?;
        let Some(file) = &mut self.open else {
            return Err(ErrorKind::NotFound.into());
        };
        let fresh;
        let text = match self.is_torn {
            true => {
                fresh = [b"\n", line].concat();
                &fresh
            }
            false => line,
        };
        let written = loop {
            match file.write(text) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        if written == text.len() {
            self.is_torn = false;
            return Ok(());
        }
        // The disk has become full within the line, or a signal came.
        let rest = file.write_all(&text[written..]);
        self.is_torn = rest.is_err() && !take_back(file, written);
        rest
    }

    /// Opens the file, and says whether so many bytes fit into it.
    fn has_room(&mut self, bytes: u64) -> io::Result<bool> {
        let length = self.open()?;
        Ok(length == 0 || length.saturating_add(bytes) <= self.max_bytes)
    }

    /// Opens a file that so many bytes fit into. One process rotates, the others wait for it.
    #[expect(
        clippy::disallowed_methods,
        reason = "lines are appended on a thread of their own"
    )]
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        let looks = if self.is_stalled { 1 } else { LOOKS };
        for look in 1..=looks {
            if self.has_room(bytes)? {
                self.is_stalled = false;
                return Ok(());
            }
            let lock = match try_lock(&beside(&self.path, "lock")) {
                Ok(None) if look < looks => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Ok(None) => break,
                // On a file system without locks two may rotate at once: one file is then shorter.
                lock => lock.unwrap_or_default(),
            };
            self.is_stalled = false;
            return self.rotate(bytes, lock);
        }
        self.is_stalled = true;
        match self.open()?.saturating_add(bytes) <= self.max_bytes.saturating_mul(2) {
            true => Ok(()),
            false => Err(io::Error::other(
                "it is full, and a process that has begun to start it anew does not go on",
            )),
        }
    }

    /// Renames the file to the first of the older ones and opens a new one for so many bytes, unless
    /// another process has done so. A file that can't be renamed leaves the older ones as they are.
    fn rotate(&mut self, bytes: u64, lock: Option<File>) -> io::Result<()> {
        if self.has_room(bytes)? {
            return Ok(());
        }
        let next = beside(&self.path, "next");
        // Where a rotation was broken off.
        self.shift(&next)?;
        let permissions = fs::symlink_metadata(&self.path)?.permissions();
        fs::rename(&self.path, &next)?;
        self.shift(&next)?;
        self.open()?;
        if let Some(file) = &self.open {
            // A reader who was let in stays.
            file.set_permissions(permissions)?;
        }
        drop(lock);
        Ok(())
    }

    /// Gives `next`, if it is there, its place among the older ones.
    fn shift(&self, next: &Path) -> io::Result<()> {
        if !super::is_regular(next)? {
            return Ok(());
        }
        for number in (1..self.keep).rev() {
            let older = |number: u32| beside(&self.path, &number.to_string());
            match fs::rename(older(number), older(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(next, beside(&self.path, "1"))
    }
}

/// Takes the last `bytes` bytes of a file back that this process has written; `false` if something
/// follows them, or it can't be done.
fn take_back(file: &mut File, bytes: usize) -> bool {
    let (Ok(end), Ok(found)) = (file.stream_position(), file.metadata()) else {
        return false;
    };
    let begin = end.saturating_sub(bytes as u64);
    found.len() == end && file.set_len(begin).is_ok()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(ending);
    name.into()
}

/// Opening waits for nobody, which a pipe would, and follows no symbolic link.
#[cfg(unix)]
fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.custom_flags(flags.bits().cast_signed());
    options
}

#[cfg(not(unix))]
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    options
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A moved file keeps its time of creation, a new one has its own.
#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(str::to_owned).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_full_file_starts_anew_and_older_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = AppendFile::new(path.clone(), 20, 2);
        for number in 10..22 {
            file.append(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(lines(&path), ["line 20", "line 21"]);
        assert_eq!(lines(&beside(&path, "1")), ["line 18", "line 19"]);
        assert_eq!(lines(&beside(&path, "2")), ["line 16", "line 17"]);
        assert!(!beside(&path, "3").exists());
        // One that is longer than the file may be is written alone.
        file.append(format!("{}\n", "x".repeat(50)).as_bytes())
            .unwrap();
        assert_eq!(lines(&path).len(), 1);
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_that_was_moved_away_or_removed_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a"), folder.path().join("b"));
        let mut file = AppendFile::new(path.clone(), 1000, 2);
        file.append(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(
            (lines(&moved), lines(&path)),
            (vec!["one".into()], vec!["two".into()])
        );
        fs::remove_file(&path).unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(lines(&path), ["three"]);
    }

    #[test]
    fn permissions_of_a_file_outlive_its_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut file = AppendFile::new(path.clone(), 4, 1);
        for line in ["one\n", "two\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!((mode(&path), mode(&beside(&path, "1"))), (0o640, 0o640));
    }

    #[test]
    fn a_file_that_cannot_be_renamed_leaves_the_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let older = |number: &str| lines(&beside(&path, number));
        let mut file = AppendFile::new(path.clone(), 4, 2);
        for line in ["one\n", "two\n", "three\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        let before = (older("1"), older("2"));
        assert_eq!(before, (vec!["two".to_owned()], vec!["one".to_owned()]));
        // The file can't get the name that it would have meanwhile.
        let next = beside(&path, "next");
        fs::create_dir(&next).unwrap();
        for _ in 0..3 {
            file.append(b"four\n").unwrap_err();
            assert_eq!((older("1"), older("2")), before);
        }
        fs::remove_dir(&next).unwrap();
        // A rotation that was broken off is finished first.
        fs::write(&next, "between\n").unwrap();
        file.append(b"four\n").unwrap();
        assert_eq!(lines(&path), ["four"]);
        assert_eq!(
            (older("1"), older("2")),
            (vec!["three".into()], vec!["between".into()])
        );
        assert!(!next.exists());
    }

    /// Each with many lines, all of them at once.
    #[test]
    fn of_lines_that_several_write_none_is_lost_or_torn() {
        const WRITERS: usize = 4;
        const LINES: usize = 500;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let write = |writer: usize| {
            // Enough of them that none is removed.
            let mut file = AppendFile::new(path.clone(), 2_000, 1_000);
            for number in 0..LINES {
                let line = format!("{writer} {number} {}\n", "x".repeat(number % 50));
                file.append(line.as_bytes()).unwrap();
            }
        };
        std::thread::scope(|threads| {
            for writer in 0..WRITERS {
                threads.spawn(move || write(writer));
            }
        });
        let mut all: Vec<String> = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            all.extend(lines(&entry.unwrap().path()));
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), WRITERS * LINES);
        assert!(beside(&path, "5").exists(), "it was rotated");
        for line in all {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, number, xs] = words[..] else {
                panic!("{line}")
            };
            assert_eq!(xs.len(), number.parse::<usize>().unwrap() % 50, "{line}");
        }
    }

    #[test]
    fn a_line_waits_for_another_process_that_rotates_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = AppendFile::new(path.clone(), 20, 2);
        file.append(b"the file is full by this\n").unwrap();
        let rotates = try_lock(&beside(&path, "lock")).unwrap().unwrap();
        let (began, begins) = std::sync::mpsc::channel();
        let appends = thread::spawn(move || {
            began.send(()).unwrap();
            file.append(b"waited\n").unwrap();
            file
        });
        begins.recv().unwrap();
        fs::rename(&path, beside(&path, "1")).unwrap();
        let mut file = appends.join().unwrap();
        assert_eq!(lines(&beside(&path, "1")), ["the file is full by this"]);
        assert_eq!(lines(&path), ["waited"]);
        // A process that is stopped within a rotation holds nobody up.
        file.append(b"more than has room\n").unwrap();
        assert_eq!(lines(&path), ["waited", "more than has room"]);
        // It was waited for once: each of these would wait for 200 ms. The file doesn't grow without end.
        let begun = std::time::Instant::now();
        file.append(b"no pause\n").unwrap();
        for _ in 0..100 {
            file.append(b"no room at all\n").unwrap_err();
        }
        assert!(
            begun.elapsed() < 25 * LOOKS * PAUSE,
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(lines(&path), ["waited", "more than has room", "no pause"]);
        drop(rotates);
        file.append(b"next\n").unwrap();
        assert_eq!(lines(&path), ["next"]);
    }

    #[test]
    fn only_a_regular_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "").unwrap();
        symlink(&target, &link).unwrap();
        for path in [&link, folder.path(), Path::new("/dev/full")] {
            let mut file = AppendFile::new(path.to_owned(), 1000, 2);
            assert!(file.append(b"x\n").is_err(), "{}", path.display());
        }
        assert!(lines(&target).is_empty());
        let below = target.join("no/such");
        assert!(AppendFile::new(below, 1000, 2).append(b"x\n").is_err());
        // A folder that is missing is made, for the user alone.
        let missing = folder.path().join("new/one/a");
        let mut file = AppendFile::new(missing.clone(), 1000, 2);
        file.append(b"x\n").unwrap();
        assert_eq!(lines(&missing), ["x"]);
        assert_eq!(mode(missing.parent().unwrap()), 0o700);
    }
}
