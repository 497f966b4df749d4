//! Results of tools within `tools.max_result_tokens`.
//!
//! Owns how a result is cut, and the words that say how to go on. Only text is: images, audio,
//! resources and structured content stay as they are, and a result within its limit stays byte for
//! byte. It must not know where a page ends, nor how long the rest is kept.

use std::fmt;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::{IgnoredAny, Visitor};
use serde_json::{Value, json};

use crate::backend::Answer;
use crate::protocol::era::modern::ResultType;
use crate::protocol::message::each_element;
use crate::protocol::raw::quoted;
use crate::protocol::{Outcome, RawJson, task};
use crate::snapshot::{KeptResults, LargeText, Page, Piece, Snapshot};
use crate::tasks;

/// Tokens of a page that are left for the words that say how to go on.
const NOTICE: usize = 64;
/// Results of at most this many bytes are cut at once, others on another thread.
const SMALL: usize = 256 * 1024;

/// Where in an answer the result of a tool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Place {
    /// It is the result.
    Whole,
    /// It is this member of the result, as of a task that is completed.
    Member(&'static str),
}

/// The answer with its text within so many tokens.
pub(in crate::dispatch) async fn limited(
    answer: Answer,
    tokens: usize,
    place: Place,
    snapshot: &Snapshot,
) -> Answer {
    let result = match &answer.outcome {
        Outcome::Result(result) if answer.result_type == ResultType::Complete => result,
        _ => return answer,
    };
    let tool_result = match place {
        Place::Whole => Some(result.clone()),
        Place::Member(name) => result.get(name),
    };
    // A token has at least a byte.
    let Some(large) = tool_result.filter(|result| result.as_bytes().len() > tokens) else {
        return answer;
    };
    let kept = Arc::clone(&snapshot.kept_results);
    let cut = match large.as_bytes().len() <= SMALL {
        true => cut(&large, tokens, &kept),
        // A backend decides how long that takes.
        false => {
            let cutting = tasks::blocking(move || cut(&large, tokens, &kept));
            cutting.await.ok().flatten()
        }
    };
    let Some(cut) = cut else {
        return answer;
    };
    let outcome = Outcome::Result(match place {
        Place::Whole => cut,
        Place::Member(name) => result.with_members(&[(name, cut.into_bytes())], &[]),
    });
    Answer { outcome, ..answer }
}

/// Remembers the limit on a result that comes later, where the answer is that the call runs as a task.
pub(in crate::dispatch) fn limit_later(
    answer: &Answer,
    tokens: Option<usize>,
    snapshot: &Snapshot,
) {
    let Outcome::Result(result) = &answer.outcome else {
        return;
    };
    let id = match answer.result_type {
        ResultType::Task => result.get("taskId"),
        _ => result.at(&["task", "taskId"]),
    };
    if let Some(id) = id.and_then(|id| id.text()) {
        snapshot.kept_results.limit_task(id, tokens);
    }
}

/// The limit on the result of a task, by its id as clients know it. Of a task that is not
/// known here, it is the least that its backend has for any tool.
pub(in crate::dispatch) fn limit_of_task(id: &str, snapshot: &Snapshot) -> Option<usize> {
    snapshot.kept_results.task_limit(id).unwrap_or_else(|| {
        let (name, _) = task::split_id(id)?;
        let mut backends = snapshot.backends.iter();
        let backend = backends.find(|backend| backend.name() == name)?;
        backend.config.tools.least_max_result_tokens()
    })
}

/// The content of a page of a result that was cut.
///
/// # Errors
/// What is wrong with the handle or the place, for a model.
pub(in crate::dispatch) async fn page(
    handle: &str,
    offset: usize,
    kept: &KeptResults,
) -> Result<Value, String> {
    let result = kept.get(handle).ok_or_else(|| {
        format!("there is no result {handle:?} any more: newer ones took its place, results are no longer limited, or it is of an earlier run. Call the tool again")
    })?;
    let bytes = result.text.len();
    let page = move || {
        let tokens = result.page_tokens.saturating_sub(NOTICE);
        result.text.page(offset, tokens)
    };
    let page = match bytes <= SMALL {
        true => page(),
        // The elements of an array are counted from its beginning.
        false => tasks::blocking(page).await.ok().flatten(),
    };
    let page = page.ok_or_else(|| {
        format!("nothing follows offset {offset}: the result {handle:?} has {bytes} bytes")
    })?;
    let notice = notice(&page, bytes, Some(handle));
    let mut pieces = page.pieces;
    let own_block = add_notice(&mut pieces, notice, &page.next);
    let texts = pieces.into_iter().map(|piece| piece.text).chain(own_block);
    Ok(texts.map(text_block).collect())
}

fn text_block(text: String) -> Value {
    json!({ "type": "text", "text": text })
}

/// The result with its text within so many tokens, the whole of which is kept; `None` where it is
/// within them already.
fn cut(result: &RawJson, tokens: usize, kept: &KeptResults) -> Option<RawJson> {
    let content = result.get("content")?;
    let texts = each_element(&content).filter_map(|block| text_of(&block));
    let text = LargeText::over(tokens, texts)?;
    let page = text.page(0, tokens.saturating_sub(NOTICE))?;
    let bytes = text.len();
    let charge = kept.reserve(text.held());
    let handle = charge.and_then(|charge| kept.keep(text, tokens, charge));
    if kept.is_closed() {
        // The limit was removed while the call ran: nobody could read on.
        return None;
    }
    let notice = notice(&page, bytes, handle.as_deref());
    let mut pieces = page.pieces;
    let own_block = add_notice(&mut pieces, notice, &page.next);
    let content = with_pieces(&content, pieces, own_block);
    Some(result.with_members(&[("content", content)], &[]))
}

/// The text of a block, if it is one of text.
fn text_of(block: &RawJson) -> Option<String> {
    let text = raw_text_of(block)?;
    text.text().or_else(|| lossy(&text))
}

/// Whether a block has text: the same without a copy of it.
fn has_text(block: &RawJson) -> bool {
    raw_text_of(block).is_some_and(|text| {
        let is_string = text.as_bytes().first() == Some(&b'"');
        is_string && serde_json::from_slice::<IgnoredAny>(text.as_bytes()).is_ok()
    })
}

fn raw_text_of(block: &RawJson) -> Option<RawJson> {
    let kind = block.get("type")?;
    (kind.as_str() == "\"text\"").then(|| block.get("text"))?
}

/// A JSON string in which escapes are no characters, such as half of a surrogate pair: a mark stands in
/// place of each.
fn lossy(text: &RawJson) -> Option<String> {
    struct Lossy;
    impl Visitor<'_> for Lossy {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    let mut text = serde_json::Deserializer::from_slice(text.as_bytes());
    text.deserialize_bytes(Lossy).ok()
}

/// Adds the notice to the last piece, or returns it where that is JSON, or whole.
fn add_notice(
    pieces: &mut [Piece],
    notice: Option<String>,
    next: &Option<usize>,
) -> Option<String> {
    let notice = notice?;
    match pieces.last_mut() {
        Some(last) if last.elements.is_none() && next.is_some() && last.is_cut => {
            last.text += if last.text.ends_with('\n') {
                "\n"
            } else {
                "\n\n"
            };
            last.text += &notice;
            None
        }
        _ => Some(notice),
    }
}

/// The blocks, those of text with what the page has of them: the others are left out.
fn with_pieces(content: &RawJson, pieces: Vec<Piece>, last: Option<String>) -> bytes::Bytes {
    let mut pieces = pieces.into_iter().peekable();
    let mut kept = Vec::new();
    let mut number = 0;
    let mut notice = last;
    for block in each_element(content) {
        if !has_text(&block) {
            kept.push(block);
            continue;
        }
        if let Some(piece) = pieces.next_if(|piece| piece.block == number) {
            // Those that are left out are not read.
            kept.push(match text_of(&block).as_ref() == Some(&piece.text) {
                true => block,
                false => block.with_members(&[("text", quoted(&piece.text))], &[]),
            });
            if pieces.peek().is_none() {
                kept.extend(notice.take().map(|notice| RawJson::of(&text_block(notice))));
            }
        }
        number += 1;
    }
    task::array(kept.into_iter())
}

/// How to go on after a page; `None` if it is the last one.
fn notice(page: &Page, bytes: usize, handle: Option<&str>) -> Option<String> {
    let next = page.next?;
    let elements = page.pieces.last().and_then(|piece| piece.elements);
    let shown = match elements {
        Some(part) => format!("Elements {} to {} of {}", part.first, part.last, part.of),
        None => format!("Cut after byte {next} of {bytes}"),
    };
    Some(match handle {
        Some(handle) => format!(
            "[{shown}. read_more with handle {handle:?} and offset {next} shows what follows.]"
        ),
        None => format!(
            "[{shown}. The rest does not fit into the budget (max_buffered_bytes) and is not kept: ask the tool for less.]"
        ),
    })
}
