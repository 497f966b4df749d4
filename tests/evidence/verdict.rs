//! What becomes of a call: how often it is sent, and what the client gets.

use std::fmt;

/// The verdict of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub resent: Resent,
    pub client: Client,
}

/// Whether a call is sent again after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    Never,
    /// Up to `retries` times, whatever the tool.
    Yes,
    /// The same for a tool that may run twice; never for another.
    IfSafe,
    /// Once, beyond `retries`, whatever the tool.
    Once,
    /// The same for a tool that may run twice; never for another.
    OnceIfSafe,
}

/// What the client gets if every attempt ends the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The server's own response.
    Answer,
    /// An error of the gateway with this `executed` and this `class`.
    Error(&'static str, &'static str),
}

impl Resent {
    /// How often the server gets the call.
    pub fn sends(self, safe: bool, retries: u64) -> u64 {
        match self {
            Self::Yes => 1 + retries,
            Self::IfSafe if safe => 1 + retries,
            Self::Once => 2,
            Self::OnceIfSafe if safe => 2,
            Self::Never | Self::IfSafe | Self::OnceIfSafe => 1,
        }
    }
}

impl fmt::Display for Resent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "no",
            Self::Yes => "yes",
            Self::IfSafe => "if safe",
            Self::Once => "once",
            Self::OnceIfSafe => "once, if safe",
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => write!(f, "– | the response"),
            Self::Error(executed, class) => write!(f, "{executed} | `{class}`"),
        }
    }
}
