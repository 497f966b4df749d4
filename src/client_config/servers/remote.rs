//! A server over HTTP, as a client's file describes it.

/// A server over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Its URL, in which `${VAR}` stands for a variable.
    pub(crate) url: String,
    /// Headers, in which `${VAR}` stands for a variable. May hold secrets.
    pub(crate) headers: Vec<(String, String)>,
    /// Credentials may go over plain http to another machine.
    pub(crate) allow_insecure: bool,
}

/// Why a program stays.
pub(super) const PROGRAM: &str = "it is a program, not a server over HTTP";
