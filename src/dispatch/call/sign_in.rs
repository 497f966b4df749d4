//! A call that needs a sign-in which its client can be offered.
//!
//! Owns when it goes out again: where it has not run, or may run twice. It must not know how the client
//! is asked.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::Run;
use crate::backend::Answer;
use crate::dispatch::input::{Offered, Resumed, Unsigned, after_sign_in, may_offer, offer};
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Class, Era, Executed, GatewayData, RawJson, RpcError, Tally};
use crate::snapshot::{Snapshot, Snapshots};

type Ended = (Result<Answer, RpcError>, Arc<Snapshot>);

impl Run<'_> {
    /// Runs it to the end, and once more after a sign-in.
    pub(super) async fn with_sign_in(
        &self,
        snapshot: Arc<Snapshot>,
        snapshots: &mut Snapshots,
    ) -> Ended {
        let (client, sign_ins) = (&self.exchange.client, &self.parked.sign_ins);
        if let Some(resuming) = after_sign_in(self.method, self.params, client, sign_ins) {
            let begun = Instant::now();
            // Rare, and a large future, like the others here.
            return match Box::pin(resuming).await {
                Ok(Resumed { params, tally }) => {
                    let again = self.again(&params, tally, begun, snapshot, snapshots);
                    Box::pin(again).await
                }
                Err(error) => (Err(error), snapshot),
            };
        }
        let (answer, snapshot) = self.to_the_end(snapshot, snapshots).await;
        match answer {
            Err(error) if error.awaits_sign_in().is_some() => {
                Box::pin(self.offered(error, snapshot, snapshots)).await
            }
            answer => (answer, snapshot),
        }
    }

    /// Offers the client a sign-in, if it can be.
    async fn offered(
        &self,
        error: RpcError,
        snapshot: Arc<Snapshot>,
        snapshots: &mut Snapshots,
    ) -> Ended {
        let route = self.target.route(&snapshot);
        let client = &self.exchange.client;
        let route = route.filter(|route| may_offer(route.backend, self.method, client));
        let (Some(route), Some(tally)) = (route, error.awaits_sign_in()) else {
            return (Err(error), snapshot);
        };
        let begun = Instant::now();
        let call = Unsigned {
            backend: route.backend,
            method: self.method,
            params: self.params,
            exchange: self.exchange,
            error,
            tally,
            may_repeat: self.may_repeat(tally, &snapshot),
            limit: route.timeout(),
        };
        match offer(call, &self.parked.sign_ins).await {
            Offered::SignedIn => {
                self.again(self.params, tally, begun, snapshot, snapshots)
                    .await
            }
            Offered::Answer(answer) => {
                // Either way the client makes the same call again.
                match (&*answer, self.ready(&route, &snapshot)) {
                    (
                        Ok(Answer {
                            era: Era::Modern, ..
                        }),
                        _,
                    ) => {
                        snapshot.admission.expect_round(route.backend.id);
                    }
                    (Ok(_), Ok(call)) => call.expect_repeat(),
                    _ => {}
                }
                (*answer, snapshot)
            }
        }
    }

    /// Whether a call of which this was sent may be made again.
    fn may_repeat(&self, before: Tally, snapshot: &Snapshot) -> bool {
        before.executed == Executed::No || self.is_safe(snapshot)
    }

    /// Runs it with these params, after what was sent before. The time since `asked` is the person's.
    async fn again(
        &self,
        params: &RawJson,
        before: Tally,
        asked: Instant,
        snapshot: Arc<Snapshot>,
        snapshots: &mut Snapshots,
    ) -> Ended {
        if let Some(route) = self.target.route(&snapshot) {
            if !self.may_repeat(before, &snapshot) {
                return (Err(not_again(route.backend.name(), before)), snapshot);
            }
            let _ = timeout(route.timeout(), route.backend.signed_in()).await;
        }
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let run = Run {
            method: self.method,
            params,
            target: self.target,
            exchange: self.exchange,
            parked: self.parked,
            begun: self.begun + asked.elapsed(),
            before,
        };
        run.to_the_end(snapshot, snapshots).await
    }
}

/// The call may have run, and is not one that may run twice.
fn not_again(backend: &str, tally: Tally) -> RpcError {
    let what = format!(
        "{backend}: you have signed in, but the tool MAY HAVE RUN before: check before calling again"
    );
    let data = GatewayData::new(Some(backend), Class::AuthRequired, tally);
    RpcError::new(INTERNAL_ERROR, what).with_data(data)
}
