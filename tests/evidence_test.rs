//! What a response proves about a call: whether it is sent again, and what the client is told.
//!
//! A machine: a server runs a tool and then answers with every status, body, era and header, and its
//! execution counter is compared with the rules in `.planning/EVIDENCE.md`, which this binary writes
//! (`BLESS=1 cargo test --test evidence_test`) and never derives from the tested code.
//! `EVIDENCE=all` tests the whole product of the dimensions instead of the usual part of it.
//!
//! A binary of its own: it keeps every core busy, and other tests wait for real time.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
// The lints exempt only `#[test]` functions, not the helpers they call.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

#[path = "evidence/agreement.rs"]
mod agreement;
#[path = "evidence/combination.rs"]
mod combination;
#[path = "evidence/machine.rs"]
mod machine;
#[path = "evidence/rules.rs"]
mod rules;
#[path = "evidence/verdict.rs"]
mod verdict;
