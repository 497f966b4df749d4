//! What is known of a backend's token in this process. Pure.
//!
//! Owns the record as it was last read and what has happened since, and from it when a token is due
//! (60 seconds before its end, less if it is short-lived), how long renewal pauses after a failure (1 to 60
//! seconds), and why a person has to sign in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::oauth::challenge::BearerChallenge;
use crate::auth::store::{Record, StoredToken};
use crate::config::Secret;
use crate::files::Stamp;

/// A token is renewed this long before its end, or a tenth of its life before.
const EARLY: u64 = 60;
/// A token younger than this that is refused is not renewed: the next would be refused, too.
const YOUNG: u64 = 30;
/// The pause between two attempts to renew, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// What a person can do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What is missing.
    pub why: String,
    /// What to type, with absolute paths.
    pub command: Arc<str>,
    /// The scopes that the request lacks.
    pub scopes: Vec<String>,
    /// `false`: the server didn't say that it takes such sign-ins.
    pub is_certain: bool,
}

/// Why there is no token to send.
#[derive(Debug, Clone)]
pub(crate) enum AuthError {
    /// A person has to sign in.
    SignIn(Advice),
    /// There is none for now. It is tried again by itself.
    Unavailable(String),
}

/// The record as it was last read, and what has happened since.
#[derive(Default)]
pub(super) struct State {
    record: Option<Record>,
    stamp: Option<Stamp>,
    /// Since it was read, the server has refused its token, and there is no other.
    refused: Option<String>,
    /// Calls have lacked these scopes: a new token is looked for.
    lacked: Option<Vec<String>>,
    /// What the server last said to a request that was not signed in well enough.
    challenge: Option<BearerChallenge>,
    failures: u32,
    retry_at: Option<Instant>,
    why_unavailable: String,
}

impl State {
    pub(super) fn adopt(&mut self, record: Option<Record>, stamp: Option<Stamp>) {
        let access = |record: &Option<Record>| {
            let token = record.as_ref()?.token.as_ref()?;
            Some(token.access.clone())
        };
        if access(&self.record) != access(&record) {
            self.refused = None;
            self.lacked = None;
            self.succeeded();
        }
        self.record = record;
        self.stamp = stamp;
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub(super) fn token(&self) -> Option<&StoredToken> {
        self.record.as_ref()?.token.as_ref()
    }

    pub(super) fn access(&self) -> Option<&Secret> {
        self.token().map(|token| &token.access)
    }

    pub(super) fn has_token(&self) -> bool {
        self.token().is_some()
    }

    /// The server refuses the token, and nothing of ours can change that.
    pub(super) fn refuse(&mut self, why: String) {
        self.refused = Some(why);
    }

    /// Calls lack scopes that another token may have.
    pub(super) fn await_more(&mut self, lacked: &[String]) {
        self.lacked = Some(lacked.to_vec());
    }

    pub(super) fn awaits_more(&self) -> bool {
        self.lacked.is_some()
    }

    /// Whether calls lack what the sign-in asked for: another one would not get it, either.
    pub(super) fn lacks_in_vain(&self) -> bool {
        let lacked = self.lacked.as_deref();
        !self.is_refused() && lacked.is_some_and(|lacked| self.has_asked_for(lacked))
    }

    /// Whether the sign-in that there is asked for these scopes.
    pub(super) fn has_asked_for(&self, scopes: &[String]) -> bool {
        let record = self.record.as_ref().filter(|record| record.token.is_some());
        let has = |scope| record.is_some_and(|record| record.requested.contains(scope));
        !scopes.is_empty() && scopes.iter().all(has)
    }

    pub(super) fn note_challenge(&mut self, challenge: Option<&BearerChallenge>) {
        if challenge.is_some() {
            self.challenge = challenge.cloned();
        }
    }

    pub(super) fn challenge(&self) -> Option<&BearerChallenge> {
        self.challenge.as_ref()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.why().is_some()
    }

    /// Why a person has to sign in again; `None` where the token may be sent, or there is none.
    pub(super) fn why(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        let ended = record.sign_in.as_ref().map(|reason| reason.why.clone());
        ended.or_else(|| self.refused.clone())
    }

    /// Whether the token ends soon, and can be renewed: with a refresh token, or by the client for
    /// itself.
    pub(super) fn is_due(&self, now: u64, for_itself: bool) -> bool {
        let renewable = |token: &&StoredToken| for_itself || token.refresh.is_some();
        self.token().filter(renewable).is_some_and(|token| {
            let Some(ends) = token.expires_at else {
                return false;
            };
            let life = ends.saturating_sub(token.obtained_at);
            now + EARLY.min(life / 10) >= ends
        })
    }

    /// Whether the token has ended.
    pub(super) fn has_ended(&self, now: u64) -> bool {
        let ends = self.token().and_then(|token| token.expires_at);
        ends.is_some_and(|ends| ends <= now)
    }

    pub(super) fn is_young(&self, now: u64) -> bool {
        self.token()
            .is_some_and(|token| now < token.obtained_at + YOUNG)
    }

    pub(super) fn failed(&mut self, why: String) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(10))
            .min(LAST_PAUSE);
        self.failures += 1;
        self.retry_at = Some(Instant::now() + pause);
        self.why_unavailable = why;
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    /// Why no attempt is made now.
    pub(super) fn pause(&self) -> Option<&str> {
        let waits = self.retry_at.is_some_and(|at| Instant::now() < at);
        waits.then_some(&*self.why_unavailable)
    }
}

/// Shows no token.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("has_token", &self.has_token())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::store::Store;

    fn state(access: &str, obtained_at: u64, expires_at: Option<u64>) -> State {
        let url = url::Url::parse("https://h/mcp").unwrap();
        let mut record = Store::new("x".into(), "a", &url, None).empty();
        record.token = Some(StoredToken {
            access: Secret::new(access),
            refresh: Some(Secret::new("r")),
            obtained_at,
            expires_at,
            scope: Vec::new(),
        });
        let mut state = State::default();
        state.adopt(Some(record), None);
        state
    }

    #[test]
    fn a_token_is_due_a_minute_or_a_tenth_of_its_life_before_its_end() {
        for (life, due) in [(3600, 3540), (100, 90), (600, 540), (0, 0)] {
            let state = state("a", 1000, Some(1000 + life));
            assert!(life == 0 || !state.is_due(1000 + due - 1, false), "{life}");
            assert!(state.is_due(1000 + due, false), "{life}");
            assert!(state.has_ended(1000 + life) && (life == 0 || !state.has_ended(999 + life)));
        }
        assert!(!state("a", 1000, None).is_due(u64::MAX / 2, true));
        assert!(!State::default().is_due(0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_to_renew_are_further_and_further_apart_and_a_new_token_ends_that() {
        let mut state = state("a", 0, Some(0));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            state.failed("down".to_owned());
            let begun = Instant::now();
            while state.pause().is_some() {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            pauses.push(begun.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        state.failed("down".to_owned());
        assert_eq!(state.pause(), Some("down"));
        let newer = super::tests::state("b", 0, None);
        state.adopt(newer.record().cloned(), None);
        assert_eq!(state.pause(), None);
    }

    #[test]
    fn a_refused_token_stays_refused_until_there_is_another() {
        let mut state = state("a", 0, None);
        state.refuse("no".to_owned());
        let same = super::tests::state("a", 5, None);
        state.adopt(same.record().cloned(), None);
        assert_eq!(state.why().as_deref(), Some("no"));
        let other = super::tests::state("b", 5, None);
        state.adopt(other.record().cloned(), None);
        assert_eq!(state.why(), None);
        assert!(!format!("{state:?}").contains("\"b\""));
    }
}
