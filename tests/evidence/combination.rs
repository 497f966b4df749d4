//! The dimensions of the machine, and which combinations of them are tested.

use std::fmt;

use crate::common::body::Body;
use crate::common::reply::Reply;

/// The era of a server, and whether it has sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    LegacyInSession,
    LegacyWithoutSession,
    Modern,
}

impl Server {
    pub const ALL: [Self; 3] = [
        Self::LegacyInSession,
        Self::LegacyWithoutSession,
        Self::Modern,
    ];
}

/// The header of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    Missing,
    Readable,
    Unreadable,
}

impl RetryAfter {
    const ALL: [Self; 3] = [Self::Missing, Self::Readable, Self::Unreadable];
}

/// One answer to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Combination {
    pub status: u16,
    body: Body,
    pub server: Server,
    pub retry_after: RetryAfter,
    /// The tool is known to be safe to run twice.
    pub safe: bool,
    /// The client's era.
    pub modern_client: bool,
}

impl Combination {
    /// What the server sends: HTTP gives some statuses no body.
    pub fn body(&self) -> Body {
        match self.status {
            204 | 304 => Body::Empty,
            _ => self.body,
        }
    }

    pub fn reply(&self) -> Reply {
        let modern = self.server == Server::Modern;
        let reply = self.body().reply(self.status, modern);
        match self.retry_after {
            RetryAfter::Missing => reply,
            RetryAfter::Readable => reply.header("retry-after", "0"),
            RetryAfter::Unreadable => reply.header("retry-after", "soon"),
        }
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            server,
            retry_after,
            ..
        } = self;
        let body = self.body();
        let tool = if self.safe { "safe" } else { "unsafe" };
        let client = if self.modern_client {
            "modern"
        } else {
            "legacy"
        };
        write!(
            f,
            "{status}, {body}, {server:?}, Retry-After {retry_after:?}, {tool} tool, {client} client"
        )
    }
}

/// Statuses with rules of their own: tested with every body, server and tool.
const NAMED: [u16; 9] = [200, 400, 401, 403, 404, 405, 410, 429, 503];
/// Statuses of a few that share a rule, and neighbours of them: tested with every body and server.
const GROUPED: [u16; 14] = [
    201, 202, 303, 307, 406, 408, 409, 413, 418, 425, 499, 500, 502, 599,
];
/// Of the bodies, so many parts: every other status is tested with one of them.
const PARTS: usize = 13;

/// The combinations to test: every status with every body, server and tool, where the headers and the
/// client's era take turns; or, unless the `whole` is asked for, the part of them that the constants
/// above describe.
pub fn combinations(whole: bool) -> Vec<Combination> {
    let bodies = Body::all();
    let mut all = Vec::new();
    for status in 200..=599 {
        for (at, body) in bodies.iter().enumerate() {
            let turn = usize::from(status) * 7 + at;
            let product = product(status, *body, turn);
            if whole || NAMED.contains(&status) {
                all.extend(product);
            } else if GROUPED.contains(&status) {
                let tools = product.chunks(2).enumerate();
                all.extend(tools.map(|(server, two)| two[(turn + server) % 2]));
            } else if at % PARTS == usize::from(status) % PARTS {
                all.push(product[turn % product.len()]);
            }
        }
    }
    all
}

/// A status and a body with each server, twice in a row: with an unsafe tool and with a safe one.
fn product(status: u16, body: Body, turn: usize) -> Vec<Combination> {
    let mut all = Vec::new();
    for server in Server::ALL {
        for safe in [false, true] {
            let turn = turn + all.len();
            all.push(Combination {
                status,
                body,
                server,
                retry_after: RetryAfter::ALL[turn % 3],
                safe,
                modern_client: turn / 3 % 2 == 1,
            });
        }
    }
    all
}
