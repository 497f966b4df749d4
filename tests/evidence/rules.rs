//! The rules: what each answer of a server proves about a call. The page `.planning/EVIDENCE.md` is
//! written from them, and they are the oracle of the machine.
//!
//! Owns the expected verdicts. It must not use anything of the gateway.

use std::fmt::Write as _;

use crate::combination::{Combination, RetryAfter, Server};
use crate::common::body::{Body, Content, RESERVED};
use crate::verdict::{Client, Resent, Verdict};

use Client::{Answer, Error};
use Resent::{IfSafe, Never, Once, OnceIfSafe, Yes};

/// One rule. The first that matches a combination decides.
pub struct Rule {
    server: Servers,
    status: Statuses,
    body: Bodies,
    retry_after: Option<bool>,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Servers {
    Any,
    Legacy,
    InSession,
    Modern,
}

enum Statuses {
    /// All from the first to the last.
    From(u16, u16),
    Of(&'static [u16]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bodies {
    Any,
    /// A result, or a message that is no valid response, under our id.
    Result,
    BadResponse,
    /// An error under our id.
    Error,
    /// -32020 under our id.
    HeaderMismatch,
    /// The same and more errors, under our id or none: no other request can be meant.
    OwnHeaderMismatch,
    OwnError,
    /// One that says that the session is lost.
    OwnLostError,
    /// An error without an id.
    ErrorOfNobody,
    /// The same with -32020 to -32022.
    ReservedOfNobody,
    /// -32020 to -32022 under any id or none.
    Reserved,
    /// The text speaks of a lost session.
    Lost,
    /// Read to its end, without a response under our id.
    NoResponse,
    /// Not to be read to its end.
    NotWhole,
    /// An event stream without a response under our id.
    Stream,
    CutOff,
    Long,
}

/// The 4xx and 5xx statuses.
const REFUSALS: Statuses = Statuses::From(400, 599);
const SUCCESS: Statuses = Statuses::From(200, 299);

macro_rules! rules {
    ($($server:ident, $status:expr, $body:ident, $after:expr => $resent:ident, $client:expr;)*) => {
        &[$(Rule {
            server: Servers::$server,
            status: $status,
            body: Bodies::$body,
            retry_after: $after,
            verdict: Verdict { resent: $resent, client: $client },
        }),*]
    };
}

/// All rules, in their order.
pub const RULES: &[Rule] = rules! {
    Any, Statuses::Of(&[202, 204]), Any, None => Never, Error("unknown", "bad_reply");
    InSession, SUCCESS, OwnLostError, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    Modern, SUCCESS, OwnHeaderMismatch, None => OnceIfSafe, Answer;
    Any, SUCCESS, Result, None => Never, Answer;
    Any, SUCCESS, OwnError, None => Never, Answer;
    Any, SUCCESS, BadResponse, None => Never, Error("unknown", "bad_reply");
    Any, SUCCESS, Long, None => Never, Answer;
    Any, SUCCESS, CutOff, None => IfSafe, Error("unknown", "outcome_unknown");
    Any, SUCCESS, Stream, None => IfSafe, Error("unknown", "outcome_unknown");
    Any, SUCCESS, Any, None => Never, Error("unknown", "bad_reply");
    Any, Statuses::From(300, 399), Any, None => Never, Error("unknown", "refused");
    Any, REFUSALS, Result, None => Never, Answer;
    Any, REFUSALS, BadResponse, None => Never, Error("unknown", "bad_reply");
    InSession, Statuses::Of(&[401, 403]), Lost, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    Any, Statuses::Of(&[401]), Any, None => Never, Error("no", "auth_required");
    Any, Statuses::Of(&[403]), Any, None => Never, Error("unknown", "auth_required");
    Any, Statuses::Of(&[413]), Any, None => Never, Error("unknown", "too_large");
    Any, Statuses::Of(&[429]), Any, None => Yes, Error("no", "rate_limited");
    Any, Statuses::Of(&[503]), Any, Some(true) => Yes, Error("no", "overloaded");
    Any, Statuses::Of(&[503]), Any, Some(false) => IfSafe, Error("unknown", "overloaded");
    InSession, Statuses::Of(&[404]), NoResponse, None => Once, Error("no", "refused");
    InSession, Statuses::Of(&[404]), NotWhole, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    Legacy, REFUSALS, Reserved, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    InSession, Statuses::Of(&[410]), Any, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    InSession, Statuses::Of(&[400, 404]), Lost, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    Modern, Statuses::Of(&[400]), HeaderMismatch, None => Once, Answer;
    Modern, REFUSALS, OwnHeaderMismatch, None => OnceIfSafe, Answer;
    Any, REFUSALS, Error, None => Never, Answer;
    Modern, Statuses::Of(&[400, 404, 405]), ReservedOfNobody, None => Never, Answer;
    Modern, Statuses::Of(&[400, 404, 405]), ErrorOfNobody, None => OnceIfSafe, Answer;
    Any, REFUSALS, ErrorOfNobody, None => Never, Answer;
    Modern, Statuses::Of(&[400, 404, 405]), Any, None => OnceIfSafe, Error("unknown", "outcome_unknown");
    Any, Statuses::Of(&[408, 409, 425, 499]), Any, None => IfSafe, Error("unknown", "refused");
    Any, Statuses::From(500, 599), Any, None => IfSafe, Error("unknown", "outcome_unknown");
    Any, Statuses::From(400, 499), Any, None => Never, Error("unknown", "refused");
};

/// The rule of a combination, by its number from 0.
pub fn rule_of(combination: &Combination) -> usize {
    let rule = RULES.iter().position(|rule| rule.matches(combination));
    rule.unwrap_or_else(|| panic!("no rule for {combination}"))
}

impl Rule {
    fn matches(&self, combination: &Combination) -> bool {
        let status = match self.status {
            Statuses::From(first, last) => (first..=last).contains(&combination.status),
            Statuses::Of(all) => all.contains(&combination.status),
        };
        let server = match self.server {
            Servers::Any => true,
            Servers::Legacy => combination.server != Server::Modern,
            Servers::InSession => combination.server == Server::LegacyInSession,
            Servers::Modern => combination.server == Server::Modern,
        };
        let readable = combination.retry_after == RetryAfter::Readable;
        status
            && server
            && self.retry_after.is_none_or(|wanted| wanted == readable)
            && self.body.matches(combination)
    }
}

impl Bodies {
    fn matches(self, combination: &Combination) -> bool {
        let body = combination.body();
        let ours = body.ours();
        let own = ours.or(body.of_nobody());
        let is_error = matches!(ours, Some(Content::Error(_) | Content::LostError));
        match self {
            Self::Any => true,
            Self::Result => ours == Some(Content::Result),
            Self::BadResponse => {
                matches!(ours, Some(Content::BadResult | Content::WithoutVersion))
            }
            Self::Error => is_error,
            Self::OwnError => {
                is_error || body.of_nobody().is_some() || body == Body::UnfinishedEvent
            }
            Self::OwnLostError => own == Some(Content::LostError),
            Self::HeaderMismatch => ours == Some(Content::Error(RESERVED[0])),
            Self::OwnHeaderMismatch => own == Some(Content::Error(RESERVED[0])),
            Self::ErrorOfNobody => body.of_nobody().is_some(),
            Self::ReservedOfNobody => body.of_nobody().is_some() && body.has_reserved_code(),
            Self::Reserved => body.has_reserved_code(),
            Self::Lost => body.says_session_lost(),
            Self::NoResponse => ours.is_none() && body.is_whole(),
            Self::NotWhole => !body.is_whole(),
            Self::Stream => ours.is_none() && body.is_stream(),
            Self::CutOff => body == Body::CutOff,
            Self::Long => body == Body::Long,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Result => "a result under our id",
            Self::BadResponse => "an invalid response under our id",
            Self::Error => "an error under our id",
            Self::OwnError => "an error under our id or none",
            Self::OwnLostError => {
                "an error under our id or none that says that the session is lost"
            }
            Self::HeaderMismatch => "-32020 under our id",
            Self::OwnHeaderMismatch => "-32020 under our id or none",
            Self::ErrorOfNobody => "an error without an id",
            Self::ReservedOfNobody => "-32020, -32021 or -32022 without an id",
            Self::Reserved => "-32020, -32021 or -32022, under any id or none",
            Self::Lost => "its text says that the session is lost",
            Self::NoResponse => "read to its end, and no response under our id",
            Self::NotWhole => {
                "not read to its end: cut off, over 64 KiB, or broken JSON with an `id`"
            }
            Self::Stream => "an event stream that ends without a response under our id",
            Self::CutOff => "cut off",
            Self::Long => "an error under our id of more than 64 KiB",
        }
    }
}

const HEAD: &str = "\
# What an answer proves

Written by `BLESS=1 cargo test --test evidence_test`, and checked by that binary. It is the oracle of a
machine in which a server runs a tool and then gives every answer of this page, and counts how often
it ran.

The first row that fits an answer decides. *Sent again*: `yes` is up to `retries` times, within budget and
deadline; `if safe` is the same for a tool that is known to be safe to run twice, and never for
another; `once` is beyond `retries`, on a new connection or with the tool fetched again. The last two
columns say what the client gets if every attempt ends so. *Our id* is also the same value in another JSON
type, `7` in quotes or `7.0` for `7`: no other request can be meant. *A response* is a JSON-RPC result or error, in
JSON or in an event; with a 2xx status also in an event that the stream's end cuts off behind it.

No row but those with `executed: no` says that a tool did not run, and a tool that is not known to be safe
is sent again only there and after -32020 with status 400, where the server says of this request that
it did not take it.
";

const TAIL: &str = "\
Cases without such an answer, each with its test in `tests/evidence/agreement.rs`, which also compares
`attempts`, the log and the requests that the server got:

| case | sent again | executed |
|---|---|---|
| no connection, or a refused HTTP/2 stream: REFUSED_STREAM, GOAWAY before the request | yes | no |
| GOAWAY after the request, a reset or a closed connection | if safe | unknown |
| 401, and the credentials were renewed | once | no |
| 307 or 308 within the origin, at most three: sent on to the new address, which is another request of the same attempt | by what follows | by what follows |

After 202 or 204 the response may come on the session's stream of GET, where that is read: it is waited for there
(`tests/field/answers.rs`), and the first row above holds when it can't come.
";

/// The page.
pub fn page() -> String {
    let mut page = format!(
        "{HEAD}\n| server | status | body | `Retry-After` | sent again | executed | the client gets |\n|---|---|---|---|---|---|---|\n"
    );
    for rule in RULES {
        let server = match rule.server {
            Servers::Any => "any",
            Servers::Legacy => "legacy",
            Servers::InSession => "legacy, in a session",
            Servers::Modern => "modern",
        };
        let status = match rule.status {
            Statuses::From(first, last) if first + 99 == last => format!("{}xx", first / 100),
            Statuses::From(400, 599) => "4xx, 5xx".to_owned(),
            Statuses::From(first, last) => format!("{first} to {last}"),
            Statuses::Of(all) => {
                let all: Vec<String> = all.iter().map(u16::to_string).collect();
                all.join(", ")
            }
        };
        let after = match rule.retry_after {
            None => "any",
            Some(true) => "readable",
            Some(false) => "none, or not readable",
        };
        let (body, Verdict { resent, client }) = (rule.body.text(), rule.verdict);
        let _ = writeln!(
            page,
            "| {server} | {status} | {body} | {after} | {resent} | {client} |"
        );
    }
    page + "\n" + TAIL
}

#[test]
fn the_evidence_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.planning/EVIDENCE.md");
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "{path} is out of date: run the test with BLESS=1"
    );
}

/// The promise, checked on the rules themselves: what they allow is what the head of the page says.
#[test]
fn only_evidence_about_the_request_resends_an_unsafe_call() {
    for rule in RULES {
        let says_no = matches!(rule.verdict.client, Error("no", _));
        let resends = matches!(rule.verdict.resent, Yes | Once);
        let mismatch = rule.body == Bodies::HeaderMismatch
            && matches!(rule.status, Statuses::Of([400]))
            && rule.server == Servers::Modern;
        assert!(!resends || says_no || mismatch, "{}", rule.body.text());
    }
}
