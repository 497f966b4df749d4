//! A request as it is sent.
//!
//! Owns its headers and params in the server's era (`Mcp-Method`, `Mcp-Name`, `x-mcp-header`, `_meta`),
//! and in the trace of its attempt.

use std::borrow::Cow;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Connection;
use crate::backend::session::Attempt;
use crate::protocol::era::{legacy, modern, param_header};
use crate::protocol::{Era, RawJson};

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
impl Connection {
    /// Headers and params of a request in the server's era.
    pub(super) fn encode_request<'a>(
        &'a self,
        attempt: &Attempt<'a>,
    ) -> (Cow<'a, HeaderMap>, Option<RawJson>) {
        let (mut headers, params) = self.encode_in_era(attempt);
        if let Some(span) = attempt.span {
            for (name, value) in span.headers() {
                headers.to_mut().insert(name, value);
            }
        }
        (headers, params)
    }

    fn encode_in_era<'a>(&'a self, attempt: &Attempt<'a>) -> (Cow<'a, HeaderMap>, Option<RawJson>) {
        if self.era == Era::Legacy {
            let params = attempt.params.map(|params| match attempt.caller.era {
                Era::Modern => legacy::params_from_modern(params),
                Era::Legacy => params.clone(),
            });
            return (Cow::Borrowed(&self.headers), params);
        }
        let mut headers = self.headers.clone();
        let named = attempt
            .target
            .map(|name| (MCP_NAME, param_header::encoded(name)));
        let param_headers = attempt.param_headers.iter().cloned();
        for (name, value) in [(MCP_METHOD, attempt.method.to_owned())]
            .into_iter()
            .chain(named)
            .chain(param_headers)
        {
            // After encoding, every value is valid in a header.
            headers.extend(
                HeaderValue::from_str(&value)
                    .ok()
                    .map(|value| (name, value)),
            );
        }
        let stamped = attempt.params.filter(|params| {
            params
                .at(&["_meta", modern::key::PROTOCOL_VERSION])
                .is_some()
        });
        let params = stamped
            .cloned()
            .unwrap_or_else(|| modern::params_for(attempt.params, attempt.caller));
        let params = match !self.passes_experimental && attempt.caller.has_experimental() {
            true => modern::without_experimental(&params),
            false => params,
        };
        (Cow::Owned(headers), Some(params))
    }
}
