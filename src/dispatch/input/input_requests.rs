//! Reading and writing `input_required` results (MCP 2026-07-28, basic/patterns/mrtr).
//!
//! Owns the form of input requests and input responses. It must not know which side sends them.

use bytes::Bytes;

use crate::client::attribution::is_server_request;
use crate::dispatch::backend_call::BackendCall;
use crate::protocol::raw::quoted;
use crate::protocol::{RawJson, RpcError};

/// The most rounds of input within one call, whatever the era.
pub(super) const MAX_ROUNDS: u32 = 16;

/// One request for input.
#[derive(Debug, Clone)]
pub(super) struct InputRequest {
    /// Its key in `inputRequests`.
    pub(super) key: String,
    pub(super) method: String,
    pub(super) params: Option<RawJson>,
}

/// What a server needs before it continues.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) input_requests: Vec<InputRequest>,
    /// `requestState`, to be returned as it is.
    pub(super) state: Option<RawJson>,
}

impl Needed {
    /// Reads the result of a call, which may be of any size.
    ///
    /// # Errors
    /// That the result can't be used, for the client.
    pub(super) async fn of(call: &BackendCall, result: &RawJson) -> Result<Self, RpcError> {
        let (result, bytes) = (result.clone(), result.as_bytes().len());
        let read = call.backend.sized(bytes, move || Self::read(&result));
        // A large future.
        Box::pin(read).await.map_err(|why| call.unusable(why))
    }

    /// Reads the result.
    ///
    /// # Errors
    /// What is wrong with it, for a message.
    pub(super) fn read(result: &RawJson) -> Result<Self, String> {
        let given = |key| result.get(key).filter(|value| value.as_str() != "null");
        let state = given("requestState");
        let input_requests = match given("inputRequests") {
            Some(requests) => read_input_requests(&requests)?,
            None => Vec::new(),
        };
        if input_requests.is_empty() && state.is_none() {
            return Err(
                "an input_required result with neither inputRequests nor requestState".into(),
            );
        }
        Ok(Self {
            input_requests,
            state,
        })
    }
}

fn read_input_requests(requests: &RawJson) -> Result<Vec<InputRequest>, String> {
    let members = requests
        .members()
        .ok_or("inputRequests must be an object")?;
    let read = |(key, request): (String, &serde_json::value::RawValue)| {
        let request = requests.part(request);
        let method = request.get("method").and_then(|method| method.text());
        let method = method.filter(|method| is_server_request(method));
        Ok(InputRequest {
            method: method.ok_or("an input request has a method that is not allowed")?,
            params: request.get("params").filter(RawJson::is_object),
            key,
        })
    };
    members.into_iter().map(read).collect()
}

/// An `input_required` result with these input requests and this `requestState`.
pub(super) fn input_required<'a>(
    input_requests: impl IntoIterator<Item = &'a InputRequest>,
    state: Option<&str>,
) -> RawJson {
    let members: Vec<(&str, Bytes)> = [
        ("resultType", Bytes::from_static(b"\"input_required\"")),
        (
            "inputRequests",
            self::input_requests(input_requests).into_bytes(),
        ),
    ]
    .into_iter()
    .chain(state.map(|state| ("requestState", quoted(state))))
    .collect();
    object(&members)
}

/// The object of these input requests.
pub(super) fn input_requests<'a>(
    input_requests: impl IntoIterator<Item = &'a InputRequest>,
) -> RawJson {
    let requests = input_requests.into_iter().map(|input_request| {
        let params = input_request
            .params
            .clone()
            .map(|params| ("params", params.into_bytes()));
        let members: Vec<(&str, Bytes)> = [("method", quoted(&input_request.method))]
            .into_iter()
            .chain(params)
            .collect();
        (&*input_request.key, object(&members).into_bytes())
    });
    object(&requests.collect::<Vec<_>>())
}

/// Params with these input responses and this state, and with no others.
pub(super) fn with_answers(
    params: &RawJson,
    answers: &[(&str, Bytes)],
    state: Option<&RawJson>,
) -> RawJson {
    let responses = (!answers.is_empty()).then(|| ("inputResponses", object(answers).into_bytes()));
    let state = state.map(|state| ("requestState", state.clone().into_bytes()));
    let set: Vec<(&str, Bytes)> = responses.into_iter().chain(state).collect();
    without_answers(params).with_members(&set, &[])
}

/// Params without input responses and state.
pub(super) fn without_answers(params: &RawJson) -> RawJson {
    params.with_members(&[], &["inputResponses", "requestState"])
}

fn object(members: &[(&str, Bytes)]) -> RawJson {
    RawJson::trusted("{}").with_members(members, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Needed, String> {
        Needed::read(&RawJson::trusted(text))
    }

    #[test]
    fn input_requests_round_trip() {
        let text = r#"{"resultType":"input_required","inputRequests":{"a\n":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{"n": 1.10}}},"requestState":"s\u00e9"}"#;
        let needed = read(text).unwrap();
        assert_eq!(needed.state.unwrap().as_str(), r#""s\u00e9""#);
        assert_eq!(
            input_required(&needed.input_requests, Some("sé")).as_str(),
            text.replace("\\u00e9", "é")
        );
    }

    #[test]
    fn invalid_input_required_is_rejected() {
        assert!(read(r#"{"inputRequests":{},"requestState":"x"}"#).is_ok());
        assert!(read(r#"{"requestState":"x"}"#).is_ok());
        for bad in [
            "{}",
            r#"{"inputRequests":{}}"#,
            r#"{"inputRequests":null,"requestState":null}"#,
            r#"{"inputRequests":[]}"#,
            r#"{"inputRequests":{"a":{"method":"tools/list"}}}"#,
            r#"{"inputRequests":{"a":{}}}"#,
            r#"{"inputRequests":{"a":1}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_and_state_replace_those_of_the_round_before() {
        let params =
            RawJson::trusted(r#"{"name":"t","inputResponses":{"old":1},"requestState":"old"}"#);
        let state = RawJson::trusted(r#""\u006eew""#);
        let answers = [("k", Bytes::from_static(b"{\"x\": 1.0}"))];
        assert_eq!(
            with_answers(&params, &answers, Some(&state)).as_str(),
            r#"{"name":"t","inputResponses":{"k":{"x": 1.0}},"requestState":"\u006eew"}"#
        );
        assert_eq!(with_answers(&params, &[], None).as_str(), r#"{"name":"t"}"#);
    }
}
