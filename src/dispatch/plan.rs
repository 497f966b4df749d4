//! What is to be done about a request: the result of routing it.
//!
//! Owns the two choices: an answer at once, or a task whose output is the answer.

use futures_util::future::BoxFuture;

use crate::protocol::{Outcome, RpcError, error};

/// What is to be done about a request.
pub(crate) enum Plan {
    /// Respond at once.
    Reply(Outcome),
    /// Spawn this; its output is the response.
    Spawn(BoxFuture<'static, Outcome>),
}

impl Plan {
    /// An error, at once.
    pub(super) fn refuse(code: i64, message: impl Into<String>) -> Self {
        Self::Reply(RpcError::new(code, message).into())
    }

    /// The error for a method that does not exist.
    pub(super) fn unknown(method: &str) -> Self {
        let why = format!("the gateway does not know the method {method:?}");
        Self::refuse(error::METHOD_NOT_FOUND, why)
    }
}
