//! What to try next in a handshake.
//!
//! Owns the policy: the next candidate is a function of what was tried and how it failed.
//! Pure; it must not know how a candidate is sent.

use crate::config::Protocol;
use crate::protocol::{Contact, LEGACY_VERSIONS};

/// Most requests of one handshake, with redirects, repeats and `notifications/initialized`.
const MAX_REQUESTS: usize = 10;
/// Redirects and repeats that the first `server/discover` may take: an `initialize` and its
/// confirmation must be possible after it, each with one repeat.
pub(super) const FIRST_REPEATS: usize = MAX_REQUESTS - 5;

/// One way to begin with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    /// `server/discover` of the modern era.
    Discover,
    /// `initialize` of the legacy era.
    Initialize(Offer),
}

/// What `initialize` offers, and how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) version: &'static str,
    /// Whether the client's capabilities are left out.
    pub(super) bare: bool,
    /// Whether it goes over the HTTP with SSE transport of 2024-11-05.
    pub(super) http_sse: bool,
}

/// How a candidate failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The answer to `server/discover` is none of a modern server.
    NotModern,
    /// It is modern, and legacy too.
    AlsoLegacy,
    /// The answer says nothing about the era: 401, 403, 5xx, a redirect, a reset.
    Undecided,
    /// The same, and the server says when it may be asked again: 429 or 503 with `Retry-After`.
    Later,
    /// No answer in time.
    Silent,
    /// `initialize` is refused.
    Refused(Refusal),
    /// It has no HTTP with SSE transport.
    WithoutSse,
    /// No other candidate would end otherwise.
    End,
}

impl Failure {
    /// Whether it says nothing about the server's era.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided | Self::Silent)
    }

    /// Whether the server's era may be another one, or is the client's.
    pub(super) fn leaves_open(&self) -> bool {
        let is_later = matches!(self, Self::Later | Self::AlsoLegacy);
        is_later || self.is_undecided()
    }

    /// Whether it is an error of the modern era.
    pub(super) fn is_modern(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.modern)
    }
}

/// What a refusal of `initialize` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status, unless it is 2xx.
    pub(super) status: Option<u16>,
    /// The legacy versions that it names besides the one that was asked for.
    pub(super) named: Vec<&'static str>,
    /// It speaks of the version.
    pub(super) of_version: bool,
    /// It is about the contents of the request, as far as can be seen.
    pub(super) of_request: bool,
    /// It is an error of the modern era.
    pub(super) modern: bool,
}

/// What is known before the legacy handshake.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) protocol: Protocol,
    /// The client's own.
    pub(super) version: &'static str,
    /// The client declares some.
    pub(super) has_capabilities: bool,
    /// What the server took the last time.
    pub(super) remembered: Option<&'a Contact>,
}

/// Whether the first candidate is `server/discover`, which needs no client.
pub(super) fn begins_with_discover(protocol: Protocol, remembered: Option<&Contact>) -> bool {
    match protocol {
        Protocol::Auto => remembered.is_none(),
        Protocol::Modern => true,
        Protocol::Legacy => false,
    }
}

/// The next candidate after these, which took so many redirects and repeats beside their requests, and
/// how many it may take, its confirmation included; `None` if there is none, or not enough requests are left for it.
pub(super) fn next(
    start: &Start<'_>,
    seen: &[(Candidate, Failure)],
    repeats: usize,
) -> Option<(Candidate, usize)> {
    let candidate = candidate(start, seen)?;
    let left = MAX_REQUESTS.checked_sub(requests(seen) + repeats)?;
    Some((candidate, left.checked_sub(most_of(candidate, seen))?))
}

/// Requests that a candidate takes at most, repeats aside; with `notifications/initialized`.
fn most_of(candidate: Candidate, seen: &[(Candidate, Failure)]) -> usize {
    match candidate {
        Candidate::Discover => 1,
        Candidate::Initialize(offer) => 2 + usize::from(offer.http_sse && !has_stream(seen)),
    }
}

fn candidate(start: &Start<'_>, seen: &[(Candidate, Failure)]) -> Option<Candidate> {
    let Some((last, failure)) = seen.last() else {
        return Some(Candidate::Initialize(first_offer(start)));
    };
    match last {
        _ if *failure == Failure::End => None,
        Candidate::Discover if seen.iter().any(|(tried, _)| *tried != Candidate::Discover) => None,
        Candidate::Discover => {
            (start.protocol != Protocol::Modern).then(|| Candidate::Initialize(first_offer(start)))
        }
        Candidate::Initialize(offer) => next_offer(start, seen, *offer, failure)
            .map(Candidate::Initialize)
            .or_else(|| discover_after_all(start, seen).then_some(Candidate::Discover)),
    }
}

/// Requests that these took, repeats aside.
fn requests(seen: &[(Candidate, Failure)]) -> usize {
    seen.len() + usize::from(has_stream(seen))
}

/// Whether the stream of the HTTP with SSE transport was opened.
fn has_stream(seen: &[(Candidate, Failure)]) -> bool {
    seen.iter().any(|(tried, failure)| {
        matches!(tried, Candidate::Initialize(offer) if offer.http_sse)
            && *failure != Failure::WithoutSse
    })
}

fn first_offer(start: &Start<'_>) -> Offer {
    let remembered = start.remembered;
    let version = remembered.and_then(|contact| contact.version.as_deref());
    // One that this version of the gateway doesn't know is forgotten.
    let version =
        version.and_then(|taken| LEGACY_VERSIONS.into_iter().find(|known| *known == taken));
    Offer {
        version: version.map_or(start.version, |version| version.min(start.version)),
        bare: remembered.is_some_and(|contact| contact.bare),
        http_sse: remembered.is_some_and(|contact| contact.http_sse),
    }
}

/// Another version, another transport, or no capabilities, as the refusal of the last offer says.
fn next_offer(
    start: &Start<'_>,
    seen: &[(Candidate, Failure)],
    last: Offer,
    failure: &Failure,
) -> Option<Offer> {
    let is_new = |offer: &Offer| {
        let offered = Candidate::Initialize(*offer);
        seen.iter().all(|(tried, _)| *tried != offered)
    };
    let no_stream = seen
        .iter()
        .any(|(_, failure)| *failure == Failure::WithoutSse);
    let last = Offer {
        http_sse: last.http_sse && !no_stream,
        ..last
    };
    // A missing stream says nothing more than the refusal before it.
    let refusals = seen.iter().rev().find_map(|(_, failure)| match failure {
        Failure::Refused(refusal) => Some(refusal),
        _ => None,
    });
    let refusal = match (failure, refusals) {
        (Failure::WithoutSse, None) => return Some(last).filter(is_new),
        (Failure::Refused(_) | Failure::WithoutSse, Some(refusal)) => refusal,
        _ => return None,
    };
    let of_version = versions(start, refusal)
        .map(|version| Offer { version, ..last })
        .find(is_new)
        .filter(|_| refusal.of_version || (refusal.of_request && !last.bare));
    let over_sse = Offer {
        http_sse: true,
        ..last
    };
    let over_sse = (!no_stream && refusal.suggests_http_sse() && !last.http_sse)
        .then_some(over_sse)
        .filter(is_new);
    let bare = Offer {
        version: start.version,
        bare: true,
        ..last
    };
    let bare = (start.has_capabilities && refusal.of_request && !refusal.modern)
        .then_some(bare)
        .filter(is_new);
    match refusal.of_version {
        true => of_version.or(over_sse).or(bare),
        false => over_sse.or(of_version).or(bare),
    }
}

/// The versions that may be offered after this refusal, the best first.
fn versions(start: &Start<'_>, refusal: &Refusal) -> impl Iterator<Item = &'static str> {
    let named = refusal.named.iter().copied();
    let (own, names_any, modern) = (start.version, !refusal.named.is_empty(), refusal.modern);
    // A modern server that names none has none of this era.
    let older = (LEGACY_VERSIONS.into_iter().rev())
        .filter(move |version| *version <= own && !names_any && !modern);
    named.chain(older)
}

/// Whether the era is open after all: the first `server/discover` was not answered, or not sent.
fn discover_after_all(start: &Start<'_>, seen: &[(Candidate, Failure)]) -> bool {
    let mut probes = (seen.iter()).filter(|(tried, _)| *tried == Candidate::Discover);
    start.protocol == Protocol::Auto && probes.all(|(_, failure)| failure.is_undecided())
}

impl Refusal {
    /// Whether such a refusal is how servers of 2024-11-05 answer a POST (B-L-09).
    fn suggests_http_sse(&self) -> bool {
        match self.status {
            _ if self.modern => false,
            Some(401 | 403 | 429) | None => false,
            Some(status) => (400..500).contains(&status) || status == 501,
        }
    }
}

#[cfg(test)]
mod tests;
