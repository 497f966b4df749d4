//! The status document as data.
//!
//! Owns its members, with their units, and that versions may differ: members that a reader does not know are
//! ignored, and those that are missing have their default.

use serde::{Deserialize, Serialize};

use crate::observe::call_stats::DurationTotals;

/// One running gateway.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GatewayStatus {
    /// Its process.
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// The commit that it was built from.
    pub(crate) commit: String,
    /// Its config file; `null` where there are only flags.
    pub(crate) config: Option<String>,
    /// The administrator's file, which holds beside it; `null` where there is none.
    pub(crate) administrators_file: Option<String>,
    /// What of the files and flags is not used as it is now, and why.
    pub(crate) unused_config: Vec<String>,
    /// Whether it takes its config again when the file changes.
    pub(crate) follows_config: bool,
    /// In seconds of Unix time.
    pub(crate) started_at: u64,
    pub(crate) uptime_secs: u64,
    /// `null` before a client has said who it is.
    pub(crate) client: Option<ClientStatus>,
    /// Bytes of all buffered messages, and `max_buffered_bytes`.
    pub(crate) buffered_bytes: u64,
    pub(crate) max_buffered_bytes: u64,
    /// Records in the audit file, and those that are missing there.
    pub(crate) records_written: u64,
    pub(crate) records_missing: u64,
    /// Changes of the config that are in use, at least in part, and those of which nothing can be used.
    pub(crate) reloads_applied: u64,
    pub(crate) reloads_refused: u64,
    /// In config order, those that are switched off included.
    pub(crate) backends: Vec<BackendStatus>,
}

/// The client that it serves.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ClientStatus {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `legacy` or `modern`.
    pub(crate) era: String,
    /// The protocol version that it speaks.
    pub(crate) protocol: String,
}

/// Whether a backend can be called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// A connection is being made.
    Connecting,
    /// It is connected.
    Up,
    /// The last attempt to connect has failed.
    Down,
    /// The config switches it off.
    Disabled,
    /// One that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// One backend. Numbers count from when its connection was configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BackendStatus {
    pub(crate) name: String,
    /// As written in the config, without user and query.
    pub(crate) url: String,
    /// Whether it is one of the administrator's file.
    pub(crate) of_administrator: bool,
    pub(crate) state: State,
    /// Why it is not up, and what to do.
    pub(crate) why: Option<String>,
    /// It is down, and a person has to sign in.
    pub(crate) awaits_sign_in: bool,
    /// After failures in a row calls are refused for a while, though it is connected.
    pub(crate) refuses_calls: bool,
    /// `legacy` or `modern`; `null` while it is not connected, as the next one.
    pub(crate) era: Option<String>,
    pub(crate) protocol: Option<String>,
    /// `null` where nobody can sign in.
    pub(crate) sign_in: Option<SignInStatus>,
    /// Its tools that clients can call.
    pub(crate) tools: usize,
    /// Their own names, of the first ones.
    pub(crate) tool_names: Vec<String>,
    /// Definitions that differ from what was accepted.
    pub(crate) pins_changed: usize,
    /// Calls that are sent, or wait to be sent again.
    pub(crate) in_flight: u32,
    /// Calls that wait for one of `max_in_flight`.
    pub(crate) queued: u32,
    pub(crate) max_in_flight: usize,
    /// Calls that are over, without those that the client cancelled.
    pub(crate) calls: u64,
    /// The calls that the backend has not answered.
    pub(crate) errors: u64,
    /// Calls that limits have refused.
    pub(crate) rate_limited: u64,
    /// How long sessions lasted; not part of the JSON.
    #[serde(skip)]
    pub(crate) sessions: DurationTotals,
    /// How long calls took; not part of the JSON.
    #[serde(skip)]
    pub(crate) durations: DurationTotals,
    pub(crate) calls_per_minute: f64,
    /// Of the last five minutes, queueing and retries included; `null` where there was no call.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) last_error: Option<ErrorStatus>,
}

/// Who is signed in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SignInStatus {
    /// `none`, `ok`, `sign_in` or `unavailable`, as in `check --json`.
    pub(crate) state: String,
    /// In seconds of Unix time; `null` where the server doesn't say.
    pub(crate) expires_at: Option<u64>,
    pub(crate) why: Option<String>,
}

/// Why a call had no answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorStatus {
    /// In seconds of Unix time.
    pub(crate) at: u64,
    /// The class in the `data` of the error that the client got.
    pub(crate) class: String,
    pub(crate) message: String,
}
