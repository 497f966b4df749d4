//! Results, progress and log messages as text for people (MCP 2025-11-25, server/tools, server/resources,
//! server/prompts, basic/utilities/progress and server/utilities/logging).
//!
//! Owns the form of each: text is unchanged, and everything else is one line that describes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use super::terminal::one_line;
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

/// One of the contents of a resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Text, as it was sent.
    Text(String),
    /// A binary, decoded, and a line that describes it.
    Binary(Vec<u8>, String),
}

impl Content {
    /// Its text, or one line in place of a binary.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Binary(_, summary) => summary.clone(),
        }
    }

    /// What it consists of.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes, _) => bytes,
        }
    }
}

/// The contents of a `resources/read` result.
///
/// # Errors
/// The content that is neither text nor a binary in base64.
pub(super) fn contents(result: &RawJson) -> Result<Vec<Content>, String> {
    let contents = result.get("contents");
    let contents = contents.and_then(|contents| elements(&contents));
    let Some(contents) = contents else {
        return Err("the server's answer has no contents; --json shows it".to_owned());
    };
    let read = |content: &RawJson| {
        if let Some(text) = member(content, "text") {
            return Ok(Content::Text(text));
        }
        let blob: Option<String> = member(content, "blob");
        let bytes = blob.and_then(|blob| STANDARD.decode(blob).ok());
        let summary = summary("resource", content);
        match bytes {
            Some(bytes) => Ok(Content::Binary(bytes, summary)),
            None => Err(format!(
                "{summary} is neither text nor base64; --json shows it"
            )),
        }
    };
    contents.iter().map(read).collect()
}

/// The messages of a `prompts/get` result, each under its role.
pub(super) fn messages(result: &RawJson) -> String {
    let messages = result
        .get("messages")
        .and_then(|messages| elements(&messages))
        .unwrap_or_default();
    let shown = messages.iter().map(|message| {
        let role: Option<String> = member(message, "role");
        let role = one_line(role.as_deref().unwrap_or("message"));
        let content = message.get("content");
        let blocks = content.as_ref().and_then(elements);
        let blocks = blocks.unwrap_or_else(|| content.into_iter().collect());
        let blocks: Vec<String> = blocks.iter().map(block_summary).collect();
        format!("{role}:\n{}", blocks.join("\n"))
    });
    shown.collect::<Vec<String>>().join("\n\n")
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
    summary(
        &kind,
        &block.get("resource").unwrap_or_else(|| block.clone()),
    )
}

/// As in `[image image/png, 4 bytes]`.
fn summary(kind: &str, holder: &RawJson) -> String {
    let details = [
        member(holder, "uri"),
        member(holder, "mimeType"),
        decoded_len(holder).map(|bytes| format!("{bytes} bytes")),
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
    fn contents_are_text_or_decoded() {
        let result = raw(r#"{"contents":[
            {"uri":"a","text":"x\ny"},
            {"uri":"b\u001b","mimeType":"image/png","blob":"AAEC"}]}"#);
        let read = contents(&result).unwrap();
        let summaries: Vec<String> = read.iter().map(Content::summary).collect();
        assert_eq!(summaries, ["x\ny", "[resource b , image/png, 3 bytes]"]);
        assert_eq!(read[1].as_bytes(), [0, 1, 2]);
        for (result, why) in [
            (r#"{}"#, "has no contents"),
            (r#"{"contents":{}}"#, "has no contents"),
            (r#"{"contents":[{"uri":"a"}]}"#, "neither text nor base64"),
            (
                r#"{"contents":[{"uri":"a","blob":"*"}]}"#,
                "neither text nor base64",
            ),
        ] {
            let error = contents(&raw(result)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn messages_are_shown_under_their_roles() {
        let result = raw(r#"{"messages":[
            {"role":"user","content":{"type":"text","text":"Review\nthis"}},
            {"role":"assistant","content":[{"type":"image","data":"AAAA"},{"type":"text","text":"b"}]},
            {}]}"#);
        let expected = "\
user:
Review
this

assistant:
[image 3 bytes]
b

message:
";
        assert_eq!(messages(&result), expected);
        assert_eq!(messages(&raw("{}")), "");
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
