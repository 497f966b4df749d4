//! Writes what was planned.
//!
//! Owns the order of the steps: the backup, the record, the file. The process may be killed between any two: what
//! the record says then still takes out no more than our entry.

use std::io;
use std::path::PathBuf;

use super::{After, Place, Plan};
use crate::files::{self, SwapError, SwapStep};
use crate::install::record::{Installed, digest_of};

/// A step of writing a plan, before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// What the file holds is kept.
    BackUp,
    /// The record says what is about to be written.
    Record,
    /// The file is written.
    Swap(SwapStep),
    /// The record says that the entry has been taken out.
    Settle,
    /// What the record said before is written again, since the file can't be written.
    TakeBack,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Done {
    /// The backup of what the file held; `None` where there was no file.
    pub(crate) backup: Option<PathBuf>,
}

impl Plan {
    /// The file.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the file holds already what it is to hold.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.place.old == self.new
    }

    /// Whether the file is to go.
    pub(crate) fn removes_file(&self) -> bool {
        self.place.old.is_some() && self.new.is_none()
    }

    /// The texts before and after.
    pub(crate) fn texts(&self) -> (String, String) {
        let text = |bytes: &Option<Vec<u8>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        (text(&self.place.old), text(&self.new))
    }

    /// Writes a backup, the record and the file.
    ///
    /// # Errors
    /// A message for people. The file then holds what it held, or what another program wrote.
    pub(crate) fn apply(self) -> Result<Done, String> {
        self.apply_with(&mut |_| Ok(()))
    }

    /// Writes a backup, the record and the file, with something done before each step.
    pub(super) fn apply_with(
        self,
        before: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> Result<Done, String> {
        let Self { place, new, after } = self;
        let shown = place.file.display();
        let store = &place.store;
        let _lock = store.lock()?;
        let known = store.read()?;
        let mut record = known.clone();
        let failed = |error: io::Error| {
            format!("the backup for {shown} can't be written: {error}; nothing was changed")
        };
        let mut backup = None;
        if let Some(old) = &place.old {
            let kept = before(Step::BackUp).and_then(|()| store.back_up(&mut record, old));
            let number = kept.map_err(failed)?;
            backup = Some(number);
        }
        let uninstalls = matches!(after, After::Uninstalled);
        if let After::Installed { installed, again } = after {
            record.installed = Some(Installed {
                backup: if again { installed.backup } else { backup },
                ..*installed
            });
            record.last = None;
        }
        // Before the file: a crash in between leaves a record of an entry that is not there, which
        // takes nothing out. Until the entry is taken out, its backup and record are kept.
        let kept = before(Step::Record).and_then(|()| store.write(&record));
        kept.map_err(failed)?;
        let mut swaps = |step| before(Step::Swap(step));
        let (old, new) = (place.old.as_deref(), new.as_deref());
        match files::swap(&place.file, old, new, &mut swaps) {
            Ok(()) => {}
            Err(error @ (SwapError::Changed | SwapError::Io(_))) => {
                // What was known before is true again; the new backup may stay.
                record.installed = known.installed;
                record.last = known.last;
                let _ = before(Step::TakeBack).and_then(|()| store.write(&record));
                return Err(format!("{shown}: {error}"));
            }
            Err(error @ SwapError::Overwritten) => return Err(format!("{shown}: {error}")),
        }
        if uninstalls {
            if let Some(installed) = record.installed.take() {
                record.last = Some(Installed {
                    written: digest_of(new),
                    ..installed
                });
            }
            let failed = |error| format!("{shown} is written, but its record is not: {error}");
            let kept = before(Step::Settle).and_then(|()| store.write(&record));
            kept.map_err(failed)?;
        }
        Ok(Done {
            backup: backup.map(|number| store.backup(number)),
        })
    }
}
