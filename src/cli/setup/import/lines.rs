//! What is said of a client's entry: the backend that it becomes, or why it stays.
//!
//! Owns the line about it, which has no user and no query of a URL: they may be secrets.

use url::Url;

use crate::cli::terminal::{GOOD, one_line};
use crate::client_config::import::backend_name;
use crate::client_config::servers::has_variables;

/// What becomes of one entry.
#[derive(Debug)]
pub(super) struct Line {
    /// The id of its client.
    pub(super) client: &'static str,
    /// Its name.
    pub(super) entry: String,
    /// The backend that it is now, or why it stays.
    pub(super) result: Result<Became, String>,
}

#[derive(Debug)]
pub(super) struct Became {
    pub(super) name: String,
    pub(super) is_new: bool,
    pub(super) shown_url: String,
    /// What else is to be said of it.
    pub(super) notes: Vec<String>,
}

impl Line {
    /// As it is printed.
    pub(super) fn shown(&self) -> String {
        match &self.result {
            Ok(became) => {
                let sign = if became.is_new { "+" } else { "=" };
                let (name, url) = (&became.name, &became.shown_url);
                let why = why_this_name(&self.entry, name, became.is_new);
                let notes = became.notes.iter().map(|note| one_line(note));
                let notes: String = notes.map(|note| format!("    {note}\n")).collect();
                format!("{GOOD}{sign} {name}{GOOD:#} {url}{why}\n{notes}")
            }
            Err(why) => {
                let (entry, why) = (one_line(&self.entry), one_line(why));
                format!("  {entry} stays: {why}\n")
            }
        }
    }
}

/// Why the backend of a client's entry has this name, where that isn't plain to see.
fn why_this_name(entry: &str, name: &str, is_new: bool) -> String {
    let valid = backend_name(entry, &[]);
    let why = match (is_new, valid == entry, valid == name) {
        (false, ..) if name == entry => "this server is a backend already".to_owned(),
        (false, ..) => format!("the server of {entry} is this backend already"),
        (true, true, true) => return String::new(),
        (true, false, true) => format!("{entry} is not a valid name of a backend"),
        (true, true, false) => format!("another backend has the name {entry}"),
        (true, false, false) => format!(
            "{entry} is not a valid name of a backend, and another backend has the name {valid}"
        ),
    };
    format!(" ({})", one_line(&why))
}

/// Without user and query, which may be secrets.
pub(super) fn shown_url(url: &str) -> String {
    if has_variables(url) {
        return one_line(url.split('?').next().unwrap_or_default());
    }
    match Url::parse(url) {
        Ok(url) => one_line(&format!(
            "{}{}",
            url.origin().ascii_serialization(),
            url.path()
        )),
        Err(_) => String::new(),
    }
}
