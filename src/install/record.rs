//! What is kept of an installation in the state folder.
//!
//! Owns the format of the record and the backups, at most ten of one file. Both may hold secrets of the client's
//! file, so they are the user's alone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files::{self, Readers};
use crate::hex::hex;

/// Most bytes of a record, which holds entries of a client's file.
const MAX_BYTES: u64 = 128 << 20;
/// Most backups that are kept of one file.
const MAX_BACKUPS: usize = 10;
const VERSION: u32 = 1;

/// What is known of one file of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The client's file, for people who look into the folder.
    file: PathBuf,
    /// The numbers of the backups that exist, oldest first.
    backups: Vec<u32>,
    /// How our entry came into the file; `None` where it has been taken out.
    pub(super) installed: Option<Installed>,
    /// How it had come into the file before it was taken out; `written` is what the file held then.
    #[serde(default)]
    pub(super) last: Option<Installed>,
}

/// What is needed to take an entry out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    /// The entry's name.
    pub(super) name: String,
    /// The entry as it was written.
    pub(super) entry: String,
    /// What stood under this name before.
    pub(super) before: Option<String>,
    /// Entries that were taken out since they had become backends.
    pub(super) removed: Vec<Removed>,
    /// The object for all servers was made for our entry.
    pub(super) made_servers: bool,
    /// The last line of the file got its line end for our entry.
    #[serde(default)]
    pub(super) made_line_end: bool,
    /// The backup from before; `None` where there was no file.
    pub(super) backup: Option<u32>,
    /// SHA-256 of the file as it was written.
    pub(super) written: String,
    /// Somebody else had changed the file between two installations, so the backup lacks that.
    pub(super) edited_between: bool,
}

/// An entry of a client's file that was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Its name.
    pub(crate) name: String,
    /// Its text.
    pub(crate) raw: String,
}

/// The folder of one client's file.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
    file: PathBuf,
}

pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The same of a file that may not be there.
pub(super) fn digest_of(file: Option<&[u8]>) -> String {
    file.map(digest).unwrap_or_default()
}

impl Store {
    /// In the gateway's state folder, for a client's file.
    pub(super) fn new(state: &Path, client: &str, file: &Path) -> Self {
        let digest = digest(file.as_os_str().as_encoded_bytes());
        Self {
            folder: state
                .join("install")
                .join(format!("{client}-{}", &digest[..12])),
            file: file.to_owned(),
        }
    }

    /// Reads the record; an empty one where there is none.
    ///
    /// # Errors
    /// A message for people.
    pub(super) fn read(&self) -> Result<Record, String> {
        let path = self.folder.join("record.json");
        let shown = path.display();
        let bytes = files::read(&path, MAX_BYTES)
            .map_err(|error| format!("{shown} can't be read: {error}"))?;
        let Some(bytes) = bytes else {
            return Ok(Record::default());
        };
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.version <= VERSION => Ok(record),
            Ok(_) => Err(format!(
                "{shown} is from a later version of the gateway: use that one"
            )),
            Err(_) => Err(format!(
                "{shown} is damaged; the backups beside it hold the client's file from before"
            )),
        }
    }

    /// Makes the folder, and locks it against other installations of the same file until the result is
    /// dropped. `None` where the file system has no locks.
    ///
    /// # Errors
    /// If it can't be made.
    pub(super) fn lock(&self) -> Result<Option<File>, String> {
        let made = files::private_folder(&self.folder);
        made.map_err(|error| format!("{} can't be used: {error}", self.folder.display()))?;
        Ok(files::guard(&self.folder))
    }

    /// Writes a record.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let record = Record {
            version: VERSION,
            file: self.file.clone(),
            ..record.clone()
        };
        let bytes = serde_json::to_vec_pretty(&record)?;
        files::replace(&self.folder.join("record.json"), &bytes, Readers::User)
    }

    /// Keeps a copy of the file, reads it back, and forgets the oldest ones. Returns its number.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn back_up(&self, record: &mut Record, bytes: &[u8]) -> io::Result<u32> {
        let number = record.backups.last().map_or(1, |last| last + 1);
        let path = self.backup(number);
        files::replace(&path, bytes, Readers::User)?;
        if files::read_up_to(&path, bytes.len() as u64)? != bytes {
            return Err(io::Error::other("the backup reads back differently"));
        }
        record.backups.push(number);
        let needed = [&record.installed, &record.last].map(|known| {
            let known = known.as_ref();
            known.and_then(|installed| installed.backup)
        });
        while record.backups.len() > MAX_BACKUPS {
            let oldest = record
                .backups
                .iter()
                .position(|backup| !needed.contains(&Some(*backup)));
            let Some(oldest) = oldest else { break };
            files::remove(&self.backup(record.backups.remove(oldest)))?;
        }
        Ok(number)
    }

    /// The path of a backup.
    pub(super) fn backup(&self, number: u32) -> PathBuf {
        self.folder.join(format!("backup-{number}"))
    }
}
