//! The error -32042 of 2025-11-25, which names URLs to be visited first, for clients of either era.
//!
//! Owns its translation: the modern era has no such error but has input requests (X-ML-08); older
//! legacy clients have neither (X-LL-05). Pure; it must not know the call.

use super::input_requests::{self, InputRequest};
use crate::protocol::error::{INTERNAL_ERROR, URL_ELICITATION_REQUIRED, code_of};
use crate::protocol::message::elements;
use crate::protocol::{ClientProfile, Outcome, RawJson};

/// The error as an `input_required` result. The tool did not run: the retry, once the URLs were
/// visited, is simply a new call. `None` for any other error.
pub(super) fn asked(error: &RawJson) -> Option<RawJson> {
    if !is_required(error) {
        return None;
    }
    let elicitations = elements(&error.at(&["data", "elicitations"])?)?;
    let input_requests = elicitations.iter().enumerate().map(|(at, params)| {
        params.get("url")?.text()?;
        let mode = ("mode", b"\"url\""[..].into());
        Some(InputRequest {
            key: format!("url-{}", at + 1),
            method: "elicitation/create".into(),
            params: Some(params.with_members(&[mode], &["elicitationId"])),
        })
    });
    let input_requests: Vec<InputRequest> = input_requests.collect::<Option<_>>()?;
    (!input_requests.is_empty()).then(|| input_requests::input_required(&input_requests, None))
}

/// Whether an input response declines: asking for the same again would be no answer to that.
pub(super) fn declined(params: &RawJson) -> bool {
    let responses = params.get("inputResponses");
    let action = |response: &serde_json::value::RawValue| {
        RawJson::trusted(response.get().to_owned())
            .get("action")
            .and_then(|action| action.text())
    };
    responses
        .as_ref()
        .and_then(RawJson::members)
        .is_some_and(|members| {
            let mut actions = members.iter().filter_map(|(_, response)| action(response));
            actions.any(|action| action != "accept")
        })
}

/// A legacy backend's outcome for a legacy client, which may be too old for the error.
pub(in crate::dispatch) fn for_legacy_client(outcome: Outcome, client: &ClientProfile) -> Outcome {
    match outcome {
        Outcome::Error(error) if is_required(&error) && !takes_urls(client) => {
            let code = ("code", INTERNAL_ERROR.to_string().into());
            Outcome::Error(error.with_members(&[code], &[]))
        }
        other => other,
    }
}

/// Whether the outcome invites a legacy client to make the call again.
pub(super) fn invites(outcome: &Outcome, client: &ClientProfile) -> bool {
    matches!(outcome, Outcome::Error(error) if is_required(error)) && takes_urls(client)
}

fn is_required(error: &RawJson) -> bool {
    code_of(error) == Some(URL_ELICITATION_REQUIRED)
}

fn takes_urls(client: &ClientProfile) -> bool {
    client.version >= "2025-11-25" && client.declares(&["elicitation", "url"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_input_requests_without_legacy_elicitation_ids() {
        let error = RawJson::trusted(
            r#"{"code":-32042,"message":"first","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://a","message":"m"},{"url":"https://b"}]}}"#,
        );
        assert_eq!(
            asked(&error).unwrap().as_str(),
            concat!(
                r#"{"resultType":"input_required","inputRequests":{"#,
                r#""url-1":{"method":"elicitation/create","params":{"mode":"url","url":"https://a","message":"m"}},"#,
                r#""url-2":{"method":"elicitation/create","params":{"url":"https://b","mode":"url"}}}}"#
            )
        );
    }

    #[test]
    fn other_errors_and_broken_ones_stay_errors() {
        for text in [
            r#"{"code":-32000,"message":"m","data":{"elicitations":[{"url":"u"}]}}"#,
            r#"{"code":-32042,"message":"m"}"#,
            r#"{"code":-32042,"message":"m","data":{"elicitations":[]}}"#,
            r#"{"code":-32042,"message":"m","data":{"elicitations":[{}]}}"#,
        ] {
            assert!(asked(&RawJson::trusted(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn declined_and_accepted_responses_are_distinguished() {
        let params = |text: &'static str| RawJson::trusted(text);
        assert!(!declined(&params("{}")));
        assert!(!declined(&params(
            r#"{"inputResponses":{"a":{"action":"accept"}}}"#
        )));
        assert!(declined(&params(
            r#"{"inputResponses":{"a":{"action":"accept"},"b":{"action":"decline"}}}"#
        )));
    }
}
