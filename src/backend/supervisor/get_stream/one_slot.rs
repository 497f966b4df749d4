//! Servers that serve one request at a time, and take the open GET stream for one.
//!
//! Owns the evidence: a request waits, or fails, while the stream is open, our `ping` does so too, and
//! the `ping` is answered when the stream is closed. Once may be chance; after the second time in a row
//! the stream stays closed for this process. A `ping` that is answered while the stream is open shows
//! that it was chance: the server was busy. No call is sent again for it. It must not know how a stream
//! is read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

use crate::backend::deadline::SharedPause;
use crate::backend::session::{Attempt, Connection, Waits};
use crate::backend::stream::{NoopHandler, fresh_id};
use crate::backend::supervisor::context::OneSlot;
use crate::call_report::CallTrace;
use crate::protocol::ClientProfile;

/// How long a request waits before it is suspicious, and within what it is answered once it can be.
const SOON: Duration = Duration::from_secs(1);
/// The pause between two pings after the stream was closed.
const NOTICED: Duration = Duration::from_millis(100);
/// How long nothing is suspected after a suspicion that was wrong.
const TRUST: Duration = Duration::from_secs(60);

/// A `ping` that is not answered while the stream is open.
pub(super) enum Blocked<'a> {
    /// The ping waits for its answer.
    Waiting(BoxFuture<'a, bool>),
    Failed,
}

/// Resolves when the stream seems to be in the way: then it is to be closed. While a request of the
/// server is open on it, nothing is suspected. `trusting`: the last suspicion was wrong.
pub(super) async fn blocked<'a>(
    connection: &'a Arc<Connection>,
    one_slot: &OneSlot,
    pause: &SharedPause,
    trusting: bool,
) -> Blocked<'a> {
    let ping = || ping(connection);
    blocked_by(ping, &connection.waits, one_slot, pause, trusting).await
}

async fn blocked_by<'a>(
    ping: impl Fn() -> BoxFuture<'a, bool>,
    waits: &Waits,
    one_slot: &OneSlot,
    pause: &SharedPause,
    trusting: bool,
) -> Blocked<'a> {
    let mut at_once = one_slot.is_suspected();
    if trusting {
        sleep(TRUST).await;
    }
    loop {
        if !std::mem::take(&mut at_once) {
            trouble(waits).await;
        }
        if pause.is_active() {
            sleep(SOON).await;
            continue;
        }
        let mut answered = ping();
        match timeout(SOON, &mut answered).await {
            Ok(true) => {
                one_slot.was_not_in_the_way();
                sleep(TRUST).await;
            }
            Ok(false) => return Blocked::Failed,
            Err(_) => return Blocked::Waiting(answered),
        }
    }
}

impl Blocked<'_> {
    /// Whether the stream was in the way, once it was closed.
    pub(super) async fn freed(self, connection: &Arc<Connection>, one_slot: &OneSlot) -> bool {
        self.freed_by(|| ping(connection), one_slot).await
    }

    async fn freed_by<'a>(
        self,
        ping: impl Fn() -> BoxFuture<'a, bool>,
        one_slot: &OneSlot,
    ) -> bool {
        let answered = match self {
            Self::Waiting(ping) => timeout(SOON, ping).await,
            Self::Failed => timeout(SOON, answered_at_last(ping)).await,
        };
        let is_freed = answered == Ok(true);
        if is_freed {
            one_slot.was_in_the_way();
        }
        is_freed
    }
}

/// Repeats the `ping` until it is answered: a server notices a moment later that a stream is closed.
async fn answered_at_last<'a>(ping: impl Fn() -> BoxFuture<'a, bool>) -> bool {
    while !ping().await {
        sleep(NOTICED).await;
    }
    true
}

/// Whether the server answers at all.
fn ping(connection: &Arc<Connection>) -> BoxFuture<'_, bool> {
    async move {
        let (id, trace, us) = (fresh_id(), CallTrace::start(), ClientProfile::ourselves());
        let attempt = Attempt::plain(&id, "ping", None, &us, &trace);
        connection.request(&attempt, &NoopHandler).await.is_ok()
    }
    .boxed()
}

/// Resolves when a request has failed, or some wait and none was answered for a second.
async fn trouble(waits: &Waits) {
    loop {
        waits.begun().await;
        loop {
            let answered = waits.answered();
            if waits.has_failed() {
                return;
            }
            if waits.waiting() == 0 {
                break;
            }
            sleep(SOON).await;
            if waits.waiting() > 0 && waits.answered() == answered {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep_until};

    use super::*;

    /// A server that serves one request at a time, and now and then has a slow call.
    #[tokio::test(start_paused = true)]
    async fn slow_calls_of_a_serial_server_do_not_cost_its_stream() {
        let (waits, one_slot, pause) =
            (Waits::default(), OneSlot::default(), SharedPause::default());
        for _ in 0..3 {
            let begin = Instant::now() + 2 * TRUST;
            let end = begin + SOON * 5 / 2;
            let ping = move || {
                let ping = async move {
                    if (begin..end).contains(&Instant::now()) {
                        sleep_until(end).await;
                    }
                    true
                };
                ping.boxed()
            };
            let calling = async {
                sleep_until(begin).await;
                let _waiting = waits.begin();
                std::future::pending::<()>().await;
            };
            let blocked = tokio::select! {
                blocked = blocked_by(ping, &waits, &one_slot, &pause, false) => blocked,
                () = calling => unreachable!("it waits"),
            };
            assert!(blocked.freed_by(ping, &one_slot).await);
            assert!(one_slot.is_suspected() && !one_slot.is_certain());
        }
    }
}
