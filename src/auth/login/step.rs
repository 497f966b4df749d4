//! What a person is shown during a sign-in, and how the person wants to sign in.
//!
//! Owns both as data: [`Step`] and [`Options`]. It must not know how a step is shown.

use std::time::Duration;

use url::Url;

use crate::auth::oauth::token::DeviceAnswer;

/// What a person is to be shown.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// This URL is to be opened in a browser.
    Visit(&'a Url),
    /// This code is to be entered at that address.
    Enter(&'a DeviceAnswer),
    /// Somebody else is signing in to this backend: the wait for that.
    Busy,
    /// mcp-remote is signed in, too: whether that sign-in is to be taken over.
    Offer,
    /// mcp-remote is signed in, and stays so beside this sign-in.
    Beside,
    /// mcp-remote is signed in, but doesn't say at which issuer: this sign-in is a new one.
    Uncertain,
    /// mcp-remote has no sign-in that can be taken over.
    NothingToTake,
    /// What was typed is not the address that the browser ended at.
    NotAnAnswer(String),
}

/// How to sign in.
#[derive(Debug)]
pub(crate) struct Options {
    /// Whether the person enters a code at another device.
    pub(crate) device: bool,
    /// Scopes to ask for besides the usual ones.
    pub(crate) scopes: Vec<String>,
    /// The person chooses the account anew.
    pub(crate) switch: bool,
    /// How long a person may take.
    pub(crate) wait: Duration,
    /// The generation of the sign-in that is not enough: a newer one is taken as it is. `None`: the person
    /// wants a new one.
    pub(crate) instead_of: Option<u64>,
    /// What becomes of mcp-remote's sign-in.
    pub(crate) take: Take,
}

/// Whether the tokens of mcp-remote are taken over. It has to sign in anew then: two users of a token
/// that rotates would end each other's sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// The person has said so.
    Yes,
    /// Not without being asked.
    No,
    /// The person is asked.
    Ask,
}

/// What was taken over from mcp-remote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing: the sign-in is a new one.
    #[default]
    Nothing,
    /// Its registration; the sign-in is a new one.
    Client,
    /// Its tokens.
    Tokens,
}
