//! What a tool says, as text for a person (MCP `server/tools`, `basic/utilities/progress`,
//! `server/utilities/logging`).

use serde::de::DeserializeOwned;

use crate::cli::style::one_line;
use crate::protocol::RawJson;
use crate::protocol::message::elements;

/// A result: text blocks as they are, one line for every other block, and `structuredContent`
/// where no block is text. Empty if there is nothing at all.
pub(super) fn text(result: &RawJson) -> String {
    let blocks = result
        .get("content")
        .and_then(|content| elements(&content))
        .unwrap_or_default();
    let has_text = blocks.iter().any(|block| words(block).is_some());
    let mut parts: Vec<String> = blocks.iter().map(shown).collect();
    if let Some(structured) = result.get("structuredContent").filter(|_| !has_text) {
        parts.push(structured.as_str().to_owned());
    }
    parts.join("\n")
}

/// A progress notification's params: `3/10: copying`.
pub(super) fn progress(params: &RawJson) -> String {
    let number = |key| params.get(key).map(|number| number.as_str().to_owned());
    let done = number("progress").unwrap_or_default();
    let mut line = match number("total") {
        Some(total) => format!("progress {done}/{total}"),
        None => format!("progress {done}"),
    };
    if let Some(message) = member::<String>(params, "message") {
        line = format!("{line}: {message}");
    }
    one_line(&line)
}

/// A log notification's params: `warning db: slow query`.
pub(super) fn log(params: &RawJson) -> String {
    let mut line = member(params, "level").unwrap_or_else(|| "log".to_owned());
    if let Some(logger) = member::<String>(params, "logger") {
        line = format!("{line} {logger}");
    }
    let data = params.get("data").map(|data| {
        let words = data.read::<String>();
        words.unwrap_or_else(|_| data.as_str().to_owned())
    });
    one_line(&format!("{line}: {}", data.unwrap_or_default()))
}

fn shown(block: &RawJson) -> String {
    if let Some(words) = words(block) {
        return words;
    }
    let kind = member::<String>(block, "type").unwrap_or_else(|| "unknown".to_owned());
    let resource = block.get("resource").unwrap_or_else(|| block.clone());
    let details = [
        member(&resource, "uri"),
        member(&resource, "mimeType"),
        bytes(&resource).map(|bytes| format!("{bytes} bytes")),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    one_line(&format!("[{kind} {}", details.join(", ")))
        .trim_end()
        .to_owned()
        + "]"
}

/// The text of a text block, or of a resource that is text.
fn words(block: &RawJson) -> Option<String> {
    let holder = match member::<String>(block, "type")?.as_str() {
        "text" => block.clone(),
        "resource" => block.get("resource")?,
        _ => return None,
    };
    member(&holder, "text")
}

/// How many bytes the base64 of an image, a sound or a resource stands for.
fn bytes(block: &RawJson) -> Option<usize> {
    let encoded: String = member(block, "data").or_else(|| member(block, "blob"))?;
    let digits = encoded.trim_end_matches('=').len();
    Some(digits * 3 / 4)
}

fn member<T: DeserializeOwned>(object: &RawJson, key: &str) -> Option<T> {
    object.get(key)?.read().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &'static str) -> RawJson {
        RawJson::trusted(text)
    }

    #[test]
    fn text_is_text_and_the_rest_is_named() {
        let result = raw(r#"{"content":[
                {"type":"text","text":"one\ntwo"},
                {"type":"image","mimeType":"image/png","data":"AAAAAA=="},
                {"type":"resource_link","uri":"file:///a","name":"a"},
                {"type":"resource","resource":{"uri":"file:///b","blob":"AAAA"}},
                {"type":"resource","resource":{"uri":"file:///c","text":"inside"}},
                {"type":"novel\u001b[2J"}],
              "structuredContent":{"n":1}}"#);
        let expected = "\
one
two
[image image/png, 4 bytes]
[resource_link file:///a]
[resource file:///b, 3 bytes]
inside
[novel [2J]";
        assert_eq!(text(&result), expected);
    }

    #[test]
    fn structured_content_stands_in_where_there_is_no_text() {
        let result = r#"{"content":[],"structuredContent":{"b":1.10,"a":2}}"#;
        assert_eq!(text(&raw(result)), r#"{"b":1.10,"a":2}"#);
        assert_eq!(text(&raw("{}")), "");
    }

    #[test]
    fn progress_and_log_are_one_line_each() {
        let params = raw(r#"{"progressToken":1,"progress":3,"total":10,"message":"a\nb"}"#);
        assert_eq!(progress(&params), "progress 3/10: a b");
        assert_eq!(progress(&raw(r#"{"progress":0.5}"#)), "progress 0.5");
        let params = raw(r#"{"level":"warning","logger":"db","data":{"slow":true}}"#);
        assert_eq!(log(&params), r#"warning db: {"slow":true}"#);
        assert_eq!(log(&raw(r#"{"level":"info","data":"hi"}"#)), "info: hi");
    }
}
