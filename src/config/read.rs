//! Finds the config file, validates it against the schema and reads it as written.
//!
//! Owns the keys of sentinel.toml and their schema. It must not know what a value means beyond what
//! the schema says: that is `check`.

mod arg_value;
mod client_json;
pub(super) mod file;
mod locate;
pub(super) mod oauth;
pub(super) mod outputs;
mod secret_form;
pub(crate) mod switch;
mod validate;
mod written;

pub(crate) use client_json::is_client_json;
pub(super) use locate::{FoundFile, locate};
pub(super) use validate::{item_path, join};

use std::io::{self, ErrorKind};
use std::path::Path;

use serde::de::Deserialize;
use toml::de::DeTable;

use super::problem::{Location, Problems, Report};
use crate::files;
use file::{File, Located, rules};

/// Most bytes of a config file that the user chose.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Most bytes of a config file that was merely found in the working folder: reading TOML takes many
/// times its size.
const MAX_FOUND_BYTES: u64 = 1 << 20;

/// Reads the text of a config file at the start: of one that the user chose also from a pipe.
///
/// # Errors
/// One problem: the file is missing, can't be read, or isn't UTF-8.
pub(super) fn text(path: &Path, trusted: bool) -> Result<String, Problems> {
    let bytes = match trusted {
        true => files::read_up_to(path, MAX_BYTES),
        false => files::read_regular(path, MAX_FOUND_BYTES),
    };
    let missing = "there is no such file; --config, or else $SENTINEL_CONFIG, names it";
    text_of(path, bytes, missing)
}

/// Reads the text of a config file that the user chose again. Never waits for another process.
///
/// # Errors
/// As [`text`], and if it is no regular file.
pub(super) fn text_again(path: &Path) -> Result<String, Problems> {
    // Nobody may have named it: the one in the user's config folder is found.
    let missing =
        "there is no such file any more; until it is there again, what it said last holds";
    text_of(path, files::read_regular(path, MAX_BYTES), missing)
}

fn text_of(path: &Path, bytes: io::Result<Vec<u8>>, missing: &str) -> Result<String, Problems> {
    let bytes = bytes.map_err(|error| {
        let path = path.display();
        Problems::general(if error.kind() == ErrorKind::NotFound {
            format!("{path}: {missing}")
        } else {
            format!("{path}: can't be read: {error}")
        })
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let path = path.display();
        Problems::general(format!("{path}:{line}: not UTF-8; save the file as UTF-8"))
    })
}

/// Reads the document in `report.text`. What the schema doesn't allow is reported and left out.
/// `None` if the text isn't TOML.
pub(super) fn document(report: &mut Report) -> Option<File> {
    if is_client_json(Path::new(&report.file)) {
        return client_json::document(report);
    }
    let text = report.text.clone();
    let (mut document, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        errors.iter().for_each(|error| report.syntax(error));
        return None;
    }
    validate::prune(&mut document, &rules(), report);
    let root = keys(document.get_ref());
    let of_backends = document.get_ref().get("backends");
    let of_backends = of_backends.and_then(|list| list.get_ref().as_array());
    let of_backends: Vec<_> = (of_backends.into_iter().flatten())
        .map(|entry| entry.get_ref().as_table().map(keys).unwrap_or_default())
        .collect();
    match File::deserialize(toml::de::Deserializer::from(document)) {
        Ok(mut file) => {
            file.keys = root;
            for (backend, keys) in file.backends.iter_mut().zip(of_backends) {
                backend.value.keys = keys;
            }
            Some(file)
        }
        Err(error) => {
            report.syntax(&error);
            None
        }
    }
}

/// The keys of a table, and of tables in it.
fn keys(table: &DeTable<'_>) -> Vec<Located<String>> {
    let mut keys = Vec::new();
    for (key, value) in table {
        let at = |name: String, span| Located {
            value: name,
            location: Location::File(span),
        };
        keys.push(at(key.get_ref().to_string(), key.span()));
        for (inner, _) in value.get_ref().as_table().into_iter().flatten() {
            keys.push(at(join(key.get_ref(), inner.get_ref()), inner.span()));
        }
    }
    keys
}
