//! Calls on whose behalf a backend asks the client for input.
//!
//! Owns how such a call is run. Within an era, server requests and `input_required` results stay what
//! they are. [`bridge`] chooses where they can't: [`legacy_client`] turns the `input_required` results
//! of a modern backend into requests to a legacy client; a [`detached_call`] turns the requests of a
//! legacy backend into `input_required` results for a modern client, and [`parked_calls`] keeps it
//! between the client's requests. [`kept_tasks`] keeps one that goes on as a task. [`sign_in`] has a person sign in to the backend of a call. It must not know which backend has what the call is about.

mod bridge;
mod detached_call;
mod input_requests;
mod kept_tasks;
mod legacy_client;
mod parked_calls;
mod request_state;
mod sign_in;
mod unsolicited;
mod urls;

pub(super) use bridge::{forward, resumed};
pub(crate) use parked_calls::ParkedCalls;
pub(super) use sign_in::{Offered, Resumed, Unsigned, after_sign_in, may_offer, offer};
pub(crate) use unsolicited::relay;
pub(super) use urls::for_legacy_client;
