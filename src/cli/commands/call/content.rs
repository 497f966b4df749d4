//! Results, progress and log messages as text for people (MCP 2025-11-25, server/tools,
//! basic/utilities/progress and server/utilities/logging).

use serde::de::DeserializeOwned;

use crate::cli::terminal::one_line;
use crate::protocol::RawJson;
use crate::protocol::message::elements;

/// A result: text blocks unchanged, one line for every other block, and `structuredContent` if no
/// block is text. May be empty.
pub(super) fn text(result: &RawJson) -> String {
    let blocks = result
        .get("content")
        .and_then(|content| elements(&content))
        .unwrap_or_default();
    let has_text = blocks.iter().any(|block| block_text(block).is_some());
    let mut parts: Vec<String> = blocks.iter().map(block_summary).collect();
    if let Some(structured) = result.get("structuredContent").filter(|_| !has_text) {
        parts.push(structured.as_str().to_owned());
    }
    parts.join("\n")
}

/// The params of a progress notification: `progress 3/10: copying`.
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

/// The params of a log notification: `warning db: slow query`.
pub(super) fn log(params: &RawJson) -> String {
    let mut line = member(params, "level").unwrap_or_else(|| "log".to_owned());
    if let Some(logger) = member::<String>(params, "logger") {
        line = format!("{line} {logger}");
    }
    let data = params.get("data").map(|data| {
        let text = data.read::<String>();
        text.unwrap_or_else(|_| data.as_str().to_owned())
    });
    one_line(&format!("{line}: {}", data.unwrap_or_default()))
}

fn block_summary(block: &RawJson) -> String {
    if let Some(text) = block_text(block) {
        return text;
    }
    let kind = member::<String>(block, "type").unwrap_or_else(|| "unknown".to_owned());
    let resource = block.get("resource").unwrap_or_else(|| block.clone());
    let details = [
        member(&resource, "uri"),
        member(&resource, "mimeType"),
        decoded_len(&resource).map(|bytes| format!("{bytes} bytes")),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    one_line(&format!("[{kind} {}", details.join(", ")))
        .trim_end()
        .to_owned()
        + "]"
}

/// The text of a text block or of a text resource.
fn block_text(block: &RawJson) -> Option<String> {
    let holder = match member::<String>(block, "type")?.as_str() {
        "text" => block.clone(),
        "resource" => block.get("resource")?,
        _ => return None,
    };
    member(&holder, "text")
}

/// Number of bytes that the base64 data of a block encodes.
fn decoded_len(block: &RawJson) -> Option<usize> {
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
    fn text_is_printed_and_other_blocks_are_summarised() {
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
    fn structured_content_is_printed_if_there_is_no_text() {
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
