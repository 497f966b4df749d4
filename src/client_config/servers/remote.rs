//! A server over HTTP, as a client's file describes it.
//!
//! Owns [`Remote`], the form in which all clients' spellings meet: `${VAR}` for variables, globs for tools.

use std::path::Path;

/// A server over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Its URL, in which `${VAR}` stands for a variable.
    pub(crate) url: String,
    /// Headers, in which `${VAR}` stands for a variable. May hold secrets.
    pub(crate) headers: Vec<(String, String)>,
    /// Credentials may go over plain http to another machine.
    pub(crate) allow_insecure: bool,
    /// Which of its tools may be called.
    pub(crate) tools: Limits,
    /// How it is signed in to; `None` where nothing is said of it.
    pub(crate) sign_in: Option<SignIn>,
    /// A file with further CA certificates, which need not be there.
    pub(crate) ca_file: Option<String>,
    /// The variables that name proxies, with their values.
    pub(crate) proxies: Vec<(String, String)>,
    /// Its certificate is not checked.
    pub(crate) is_unchecked: bool,
}

/// What is said of a server whose certificate is not checked.
pub(crate) const UNCHECKED: &str = "NODE_TLS_REJECT_UNAUTHORIZED is not taken over, since the gateway always checks certificates: \
     name the file of the server's CA in ca_file of the backend";

impl Remote {
    /// Leaves the file of certificates to it if it is there; else says that it is not.
    pub(crate) fn check_ca_file(&mut self, is_file: fn(&Path) -> bool) -> Option<&'static str> {
        let file = self.ca_file.take()?;
        let path = Path::new(&file);
        if path.is_absolute() && is_file(path) {
            self.ca_file = Some(file);
            return None;
        }
        Some("NODE_EXTRA_CA_CERTS is not taken over: it is not the absolute path of a file")
    }
}

/// The variables by which programs are told of proxies, also in lower case.
pub(crate) const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Whether a variable is one of these.
pub(crate) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Which tools of a server may be called, by globs of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// These alone; `None` is all.
    pub(crate) allow: Option<Vec<String>>,
    /// None of these.
    pub(crate) deny: Vec<String>,
}

/// How a server is signed in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// Not at all.
    Never,
    /// With OAuth.
    OAuth(OAuth),
}

/// What is known of signing in with OAuth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OAuth {
    /// The id of a client that was registered by hand.
    pub(crate) client_id: Option<String>,
    /// Its secret, in which `${VAR}` stands for a variable.
    pub(crate) client_secret: Option<String>,
    /// The port that the browser returns to, at `localhost`.
    pub(crate) callback_port: Option<u16>,
    /// The scopes to ask for.
    pub(crate) scopes: Vec<String>,
    /// The resource that the token is for; `Some(None)` is not to be named.
    pub(crate) resource: Option<Option<String>>,
}

/// Why a program stays.
pub(super) const PROGRAM: &str = "it is a program, not a server over HTTP";
