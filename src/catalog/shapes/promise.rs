//! What a tool's definition promises of its results.
//!
//! Owns the form of `structuredContent` for a client. Of a result it reads that member and
//! `isError`, and only for tools that declare an `outputSchema` or had to be listed without it. It
//! must not know calls.

use std::sync::OnceLock;

use serde_json::Value;

use super::validator::is_surely_valid;
use super::wrap;
use crate::protocol::{Era, RawJson};

/// Largest content that is compared with its schema, in bytes: its values take many times the memory
/// of their text, and the loop's time.
const MAX_CHECKED: usize = 64 * 1024;

/// The promise of one tool.
#[derive(Debug)]
pub struct Promise {
    /// The schema that clients know; `None` if none is listed.
    schema: Option<RawJson>,
    /// It is read for the first error result.
    read: OnceLock<Option<Value>>,
    /// Legacy clients know it wrapped.
    wrapped: bool,
}

impl Promise {
    pub(super) fn new(schema: Option<RawJson>, wrapped: bool) -> Self {
        Self {
            schema,
            read: OnceLock::new(),
            wrapped,
        }
    }

    /// A result of the tool as a client of this era can read it.
    ///
    /// The SDKs check an error result's content too, and tell their own error in place of the
    /// tool's: content that isn't surely valid is left out there, so that the words arrive. In
    /// other results it stays, whether it fits or not: the promise is the tool's.
    pub fn shape(&self, result: &RawJson, client: Era) -> RawJson {
        // Where a member occurs twice, readers differ, and the client is to see both.
        let found = result.locate_members(["structuredContent", "isError"]);
        let Ok([Some(content), is_error]) = found else {
            return result.clone();
        };
        let content = result.slice(content);
        let is_error = is_error.is_some_and(|at| result.slice(at).as_str() == "true");
        if is_error && self.schema.is_some() && !self.fits(&content) {
            return result.with_members(&[], &["structuredContent"]);
        }
        match client {
            Era::Legacy => for_legacy(result, &content, self.wrapped),
            Era::Modern => result.clone(),
        }
    }

    /// Content that is too large to be checked isn't surely valid.
    fn fits(&self, content: &RawJson) -> bool {
        if content.as_bytes().len() > MAX_CHECKED {
            return false;
        }
        let read = || self.schema.as_ref()?.read().ok();
        let schema = self.read.get_or_init(read).as_ref();
        let content = content.read::<Value>().ok();
        schema
            .zip(content)
            .is_some_and(|(schema, content)| is_surely_valid(schema, &content))
    }
}

/// A modern server's result for a legacy client, of a tool without a promise.
pub(crate) fn shape_unpromised(result: &RawJson) -> RawJson {
    match result.locate_members(["structuredContent"]) {
        Ok([Some(content)]) => for_legacy(result, &result.slice(content), false),
        _ => result.clone(),
    }
}

/// The content of a legacy result is an object. `null` holds nothing, anything else is wrapped.
fn for_legacy(result: &RawJson, content: &RawJson, always: bool) -> RawJson {
    match content.as_str() {
        text if text.starts_with('{') && !always => result.clone(),
        "null" if !always => result.with_members(&[], &["structuredContent"]),
        _ => result.with_members(&[("structuredContent", wrap::content(content))], &[]),
    }
}
