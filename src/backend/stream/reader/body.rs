//! Reads the bytes of a response body, and the events of a stream.
//!
//! Owns the limits on size, buffered bytes and silence. It must not know what a body contains.

use bytes::{Bytes, BytesMut};

use super::ResponseReader;
use crate::backend::error::BackendError;
use crate::backend::http::{EACH, Response, Turn};
use crate::backend::stream::sse::{Decoder, Event, STEP_WORK, Step, TooLarge};
use crate::budget::Charge;

impl ResponseReader<'_> {
    /// The whole body, at most `max_message_bytes`. A body of one chunk is not copied.
    pub(super) async fn body(&self, response: &mut Response) -> Result<Bytes, BackendError> {
        let limit = self.endpoint.max_message_bytes;
        let announced = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(BackendError::TooLarge { limit });
        }
        // Charge the announced length first: then the budget can't run out half-way.
        let announced = announced.unwrap_or_default();
        let mut charge = self.endpoint.budget.charge();
        charge.cover(announced)?;
        let Some(first) = self.chunk(response, true).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk(response, true).await? else {
            if first.len() > limit {
                return Err(BackendError::TooLarge { limit });
            }
            charge.cover(first.len())?;
            return Ok(charge.attach_to(first));
        };
        let mut body = BytesMut::with_capacity(announced.max(first.len() + second.len()));
        body.extend_from_slice(&first);
        body.extend_from_slice(&second);
        while body.len() <= limit {
            charge.cover(body.len().max(announced))?;
            match self.chunk(response, true).await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(charge.attach_to(body.freeze())),
            }
        }
        Err(BackendError::TooLarge { limit })
    }

    /// The next chunk of the body. `timed`: the idle limit applies, which is not so while the client
    /// answers a request of the server.
    pub(super) async fn chunk(
        &self,
        response: &mut Response,
        timed: bool,
    ) -> Result<Option<Bytes>, BackendError> {
        let chunk = response.chunk();
        let chunk = match self.idle {
            Some(limit) if timed => tokio::time::timeout(limit, chunk)
                .await
                .map_err(|_| BackendError::Idle { limit })?,
            _ => chunk.await,
        };
        let chunk = chunk?;
        if let (Some(trace), Some(chunk)) = (self.trace, &chunk) {
            trace.add_received(chunk.len());
        }
        Ok(chunk)
    }

    /// The next event, with its own share of the byte budget; `charge` keeps what the decoder holds.
    /// `None` when more bytes are needed.
    pub(super) async fn next_event(
        &self,
        decoder: &mut Decoder,
        turn: &mut Turn,
        charge: &mut Charge,
    ) -> Result<Option<Event>, BackendError> {
        loop {
            match decoder.step() {
                Ok(Step::Event(event)) => {
                    turn.spend(EACH).await;
                    charge.cover(decoder.held())?;
                    let data = self.endpoint.budget.charge_bytes(event.data)?;
                    return Ok(Some(Event { data, ..event }));
                }
                Ok(Step::Pause) => turn.spend(STEP_WORK).await,
                Ok(Step::NeedsBytes) => return Ok(None),
                Err(TooLarge { limit }) => return Err(BackendError::TooLarge { limit }),
            }
        }
    }
}
