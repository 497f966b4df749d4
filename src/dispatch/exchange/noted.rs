//! What a task notes of its request, for the request's record.
//!
//! Owns no state; nothing is done where nobody reads records.

use std::sync::Arc;

use super::Exchange;
use crate::backend::{Answer, HttpBackend};
use crate::observe::audit::RecordHalf;
use crate::protocol::era::modern::ResultType;
use crate::protocol::{Outcome, RawJson, RpcError};

impl Exchange {
    /// What the request is about, as the client names it, and the params that say so.
    pub(in crate::dispatch) fn note_target(&self, name: &str, params: &RawJson) {
        if let Some(record) = &self.record {
            record.set_target(name, params);
        }
    }

    /// It goes to this backend, whose own name of the target is `own`, where that is another one.
    pub(in crate::dispatch) fn note_backend(&self, backend: &HttpBackend, own: Option<&Arc<str>>) {
        if let Some(record) = &self.record {
            record.set_backend(&backend.config.name, backend.known_era(), own);
        }
    }

    /// The answer of a backend, or why there is none.
    pub(in crate::dispatch) fn note(&self, answer: Result<&Answer, &RpcError>) {
        let Some(record) = &self.record else { return };
        match answer {
            Ok(answer) => {
                let needs_input = answer.result_type == ResultType::InputRequired;
                record.answered(&answer.outcome, answer.era, needs_input);
            }
            Err(error) => record.failed(error),
        }
    }

    /// An answer of the gateway's own.
    pub(in crate::dispatch) fn noted_answer(&self, outcome: Outcome) -> Outcome {
        if let Some(record) = &self.record {
            record.answered_here(&outcome);
        }
        outcome
    }

    /// Keeps the record open until a call that runs beside the request has ended or is parked.
    pub(in crate::dispatch) fn keep_record(&self) -> Option<RecordHalf> {
        self.record.as_ref().map(RecordHalf::of)
    }
}
