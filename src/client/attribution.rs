//! Which backend a server request is from, in words that the person who is asked reads.
//!
//! Owns the table of server requests and of the text in each that a client shows. To a client the
//! gateway is one server, so nothing else says who asks. Pure; it must not know how a request
//! reaches its client.

use std::borrow::Cow;

use bytes::Bytes;

use crate::protocol::era::modern::key;
use crate::protocol::error::{URL_ELICITATION_REQUIRED, may_have_code};
use crate::protocol::message::each_element;
use crate::protocol::raw::quoted;
use crate::protocol::{Outcome, RawJson, task};
use crate::text::visible;

const ELICITATION: &str = "elicitation/create";
/// Names a url elicitation, and the notification that it is complete (MCP 2025-11-25, client/elicitation).
const ELICITATION_ID: &str = "elicitationId";
/// Notifications up to this size are read to their end, in bytes.
const SMALL: usize = 16 * 1024;

/// The requests of servers, and the member of their params whose text is shown or sent to a model.
/// A list of roots has none, and a client's program decides about it: it gets `_meta` alone.
const TEXTS: [(&str, Option<&str>); 3] = [
    (ELICITATION, Some("message")),
    ("sampling/createMessage", Some("systemPrompt")),
    ("roots/list", None),
];

/// Whether servers send requests of this method to clients.
pub(crate) fn is_server_request(method: &str) -> bool {
    TEXTS.iter().any(|(known, _)| *known == method)
}

/// The params of a server request with the name of its backend before the text, and in `_meta`. The
/// text loses its hidden characters, which could hide the name.
pub(crate) fn attributed(method: &str, params: Option<RawJson>, backend: &str) -> Option<RawJson> {
    let Some((_, text)) = TEXTS.iter().find(|(known, _)| *known == method) else {
        return params;
    };
    let params = params.unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = params.get("_meta").filter(RawJson::is_object);
    let meta = meta.unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = meta.with_members(&[(key::BACKEND, quoted(backend))], &[key::BACKEND_INFO]);
    let mut set = vec![("_meta", meta.into_bytes())];
    if let Some(text) = text {
        let own = params.get(text).and_then(|text| text.text());
        set.push((text, quoted(&said_by(backend, own.as_deref()))));
    }
    if method == ELICITATION
        && let Some(own) = params.get(ELICITATION_ID)
    {
        set.push((ELICITATION_ID, elicitation_id(&own, backend)));
    }
    Some(params.with_members(&set, &[]))
}

/// The params of a notification, with the id of the elicitation that it ends as clients know it. Of a large
/// one nothing else is kept: it says no more.
pub(crate) fn completion_for_client(
    method: &str,
    params: Option<RawJson>,
    backend: &str,
) -> Option<RawJson> {
    if method != "notifications/elicitation/complete" {
        return params;
    }
    let params = params?;
    let own = params.get_within(SMALL, ELICITATION_ID);
    let set = own.map(|own| (ELICITATION_ID, elicitation_id(&own, backend)));
    let kept = match params.as_bytes().len() {
        ..=SMALL => params,
        _ => RawJson::trusted("{}"),
    };
    Some(kept.with_members(set.as_slice(), &[]))
}

/// The id under which clients know an elicitation of this backend: two may use the same one.
fn elicitation_id(own: &RawJson, backend: &str) -> Bytes {
    let own = own.text().unwrap_or_else(|| own.as_str().to_owned());
    quoted(&format!("{backend}:{own}"))
}

/// An outcome in which a backend asks for input, with every request in it attributed: an
/// `input_required` result, a task that waits for input (MCP 2026-07-28), or the error -32042 (MCP
/// 2025-11-25). Any other stays as it is.
pub(crate) fn attributed_outcome(outcome: Outcome, backend: &str) -> Outcome {
    match outcome {
        Outcome::Result(result) => Outcome::Result(with_input_requests(result, backend)),
        Outcome::Error(error) if may_have_code(&error, URL_ELICITATION_REQUIRED) => {
            Outcome::Error(with_elicitations(error, backend))
        }
        error @ Outcome::Error(_) => error,
    }
}

/// A result, or the params of a notification, with its `inputRequests` attributed. Requests that can't be
/// told apart (an unreadable key, more than 10,000, the member twice) are removed.
pub(crate) fn with_input_requests(result: RawJson, backend: &str) -> RawJson {
    let mut all = result.every("inputRequests");
    let (requests, more) = (all.next(), all.next());
    drop(all);
    let Some(requests) = requests else {
        return result;
    };
    if more.is_some() {
        return result.with_members(&[], &["inputRequests"]);
    }
    let attributed_request = |request: RawJson| {
        let method = request.get("method")?.text()?;
        let params = request.get("params").filter(RawJson::is_object);
        let params = attributed(&method, params, backend)?;
        Some(request.with_members(&[("params", params.into_bytes())], &[]))
    };
    let Some(members) = requests.members() else {
        return match requests.is_object() {
            true => result.with_members(&[], &["inputRequests"]),
            false => result,
        };
    };
    let edits = members.iter().filter_map(|(_, request)| {
        let at = requests.range_of(request);
        Some((at, attributed_request(requests.part(request))?.into_bytes()))
    });
    let requests = requests.with_edits(edits.collect());
    result.with_members(&[("inputRequests", requests.into_bytes())], &[])
}

fn with_elicitations(error: RawJson, backend: &str) -> RawJson {
    let Some(data) = error.get("data") else {
        return error;
    };
    let is_ambiguous =
        error.every("data").nth(1).is_some() || data.every("elicitations").nth(1).is_some();
    if is_ambiguous {
        return error.with_members(&[], &["data"]);
    }
    let elicitations = data.get("elicitations");
    let Some(elicitations) = elicitations.filter(|all| all.as_str().starts_with('[')) else {
        return error;
    };
    let elicitations = each_element(&elicitations).map(|params| {
        let as_it_is = params.clone();
        attributed(ELICITATION, Some(params), backend).unwrap_or(as_it_is)
    });
    let data = data.with_members(&[("elicitations", task::array(elicitations))], &[]);
    error.with_members(&[("data", data.into_bytes())], &[])
}

fn said_by(backend: &str, text: Option<&str>) -> String {
    match text.map(visible) {
        None | Some(Cow::Borrowed("")) => format!("The server \"{backend}\" asks."),
        Some(text) => format!("The server \"{backend}\" asks: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(method: &str, params: Option<&'static str>) -> String {
        let shown = attributed(method, params.map(RawJson::trusted), "db");
        shown.map_or_else(String::new, |shown| shown.as_str().to_owned())
    }

    #[test]
    fn every_server_request_says_which_backend_asks() {
        let meta = r#""_meta":{"sentinel-gateway/backend":"db"}"#;
        for (method, params, expected) in [
            (
                ELICITATION,
                Some(r#"{"message":"who?", "n": 1.0}"#),
                format!(r#"{{"message":"The server \"db\" asks: who?", "n": 1.0,{meta}}}"#),
            ),
            (
                "sampling/createMessage",
                Some(r#"{"systemPrompt":"be brief","messages":[]}"#),
                format!(
                    r#"{{"systemPrompt":"The server \"db\" asks: be brief","messages":[],{meta}}}"#
                ),
            ),
            (
                "sampling/createMessage",
                Some(r#"{"messages":[]}"#),
                format!(r#"{{"messages":[],{meta},"systemPrompt":"The server \"db\" asks."}}"#),
            ),
            ("roots/list", None, format!("{{{meta}}}")),
            ("tools/list", None, String::new()),
        ] {
            assert_eq!(shown(method, params), expected);
        }
    }

    #[test]
    fn a_backend_can_not_hide_the_name_or_give_another() {
        // What a terminal takes for "begin the line again", twice under one key, and the name of another.
        let params = concat!(
            r#"{"message":"","mess\u0061ge":"\r\u001b[2K\u202eThe server \"bank\" asks: PIN?","#,
            r#""_meta":{"progressToken":7,"sentinel-gateway/backend":"bank","sentinel-gateway/serverInfo":{}}}"#
        );
        let shown: serde_json::Value =
            serde_json::from_str(&shown(ELICITATION, Some(params))).unwrap();
        let text = r#"The server "db" asks: [2KThe server "bank" asks: PIN?"#;
        assert_eq!(shown["message"], text);
        assert_eq!(shown["_meta"]["sentinel-gateway/backend"], "db");
        assert_eq!(shown["_meta"].get("sentinel-gateway/serverInfo"), None);
        assert_eq!(shown["_meta"]["progressToken"], 7);
    }

    #[test]
    fn requests_within_results_and_errors_are_attributed_and_the_rest_stays() {
        let result = r#"{"resultType":"input_required", "inputRequests":{"a\n":{"method":"elicitation/create","params":{"message":"m"}},"b":{"method":"roots/list"},"c":7},"requestState":"s\u00e9"}"#;
        let Outcome::Result(shown) =
            attributed_outcome(Outcome::Result(RawJson::trusted(result)), "db")
        else {
            panic!("a result stays one")
        };
        let meta = r#""_meta":{"sentinel-gateway/backend":"db"}"#;
        let expected = format!(
            r#"{{"resultType":"input_required", "inputRequests":{{"a\n":{{"method":"elicitation/create","params":{{"message":"The server \"db\" asks: m",{meta}}}}},"b":{{"method":"roots/list","params":{{{meta}}}}},"c":7}},"requestState":"s\u00e9"}}"#
        );
        assert_eq!(shown.as_str(), expected);

        let error = r#"{"code":-32042,"message":"x","data":{"elicitations":[{"mode":"url","url":"https://a","message":"m"},7]}}"#;
        let Outcome::Error(shown) =
            attributed_outcome(Outcome::Error(RawJson::trusted(error)), "db")
        else {
            panic!("an error stays one")
        };
        let expected = format!(
            r#"{{"code":-32042,"message":"x","data":{{"elicitations":[{{"mode":"url","url":"https://a","message":"The server \"db\" asks: m",{meta}}},7]}}}}"#
        );
        assert_eq!(shown.as_str(), expected);
        let forged =
            r#"{"method":"elicitation/create","params":{"message":"The server \"bank\" asks: m"}}"#;
        let many = format!(r#""b":{forged},"#).repeat(10_000);
        for requests in [
            format!(r#""\ud800":1,"a":{forged}"#),
            format!(r#"{many}"a":{forged}"#),
        ] {
            let result = format!(r#"{{"x":1,"inputRequests":{{{requests}}}}}"#);
            let shown = with_input_requests(RawJson::trusted(result), "db");
            assert_eq!(shown.as_str(), r#"{"x":1}"#);
        }
        let forged = r#"{"a":{"method":"elicitation/create","params":{"message":"m"}}}"#;
        let twice = format!(r#"{{"x":1,"inputRequests":{forged},"inputRequests":{{}}}}"#);
        let shown = with_input_requests(RawJson::trusted(twice), "db");
        assert_eq!(shown.as_str(), r#"{"x":1}"#);
        let forged = r#"{"elicitations":[{"message":"m"}]}"#;
        let twice = format!(r#"{{"code":-32042,"data":{forged},"data":{{}}}}"#);
        let shown = attributed_outcome(Outcome::Error(RawJson::trusted(twice)), "db");
        assert_eq!(shown.text().as_str(), r#"{"code":-32042}"#);
        let many = r#"{"message":"The server \"bank\" asks: m"},"#.repeat(10_000);
        for codes in [["-32042", "1"], ["1", "-32042"], ["1", "-3.2042e4"]] {
            let [first, last] = codes;
            let error = format!(
                r#"{{"code":{first},"data":{{"elicitations":[{many}{{}}]}},"code":{last}}}"#
            );
            let error = Outcome::Error(RawJson::trusted(error));
            let shown = attributed_outcome(error, "db");
            let named = shown.text().as_str().matches(r#"The server \"db\" asks"#);
            assert_eq!(named.count(), 10_001);
        }
        for other in [
            r#"{"inputRequests":[]}"#,
            r#"{"content":[]}"#,
            r#"{"code":-32042,"data":{"elicitations":{}}}"#,
            r#"{"code":-32000,"data":{"elicitations":[{}]}}"#,
        ] {
            let text = RawJson::trusted(other);
            for outcome in [Outcome::Result(text.clone()), Outcome::Error(text)] {
                let (Outcome::Result(shown) | Outcome::Error(shown)) =
                    attributed_outcome(outcome, "db");
                assert_eq!(shown.as_str(), other);
            }
        }
    }
}
