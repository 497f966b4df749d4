//! The bodies that a server answers a call with, and what each one says.
//!
//! Owns the facts that rules are about. They follow from how a body is written here, not from reading
//! it as the gateway does.

use std::fmt;

use serde_json::{Value, json};

use super::message;
use super::reply::Reply;

/// More than the gateway reads of a body that is not passed on.
const LONG: usize = 70 * 1024;
/// A text by which servers say that a session is lost.
const LOST: &str = "Session not found";

/// A kind of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Empty,
    Text,
    Html,
    /// JSON that ends too early.
    BrokenJson,
    /// An error under our id that ends too early.
    BrokenResponse,
    /// JSON that is no JSON-RPC message.
    OtherJson,
    /// Plain text that says that the session is lost.
    LostText,
    Message(Media, Message),
    /// Two JSON-RPC messages in an array: an error under another id, then this one.
    Array(Message),
    /// An error under our id of which half comes before the connection closes.
    CutOff,
    /// An error under our id that is longer than the gateway reads of a refusal.
    Long,
    /// An event with an error under our id, without the blank line at its end.
    UnfinishedEvent,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    EventStream,
}

/// A JSON-RPC response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: IdKind,
    pub content: Content,
}

/// The id of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    Ours,
    /// The value of ours in another JSON type.
    Text,
    Fraction,
    Other,
    Null,
    Missing,
}

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Result,
    /// A result that is no object.
    BadResult,
    Error(i64),
    /// An error that says that the session is lost.
    LostError,
    /// An error without the member `jsonrpc`.
    WithoutVersion,
}

/// An error that a tool may return.
pub const ORDINARY: i64 = -1;
/// Codes that only the modern era uses.
pub const RESERVED: [i64; 3] = [-32020, -32021, -32022];
/// The code of a session error in some SDKs; by itself it says nothing.
const SESSION_CODE: i64 = -32001;

impl IdKind {
    /// Whether it can only be ours on the response to our own POST.
    fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::Text | Self::Fraction)
    }
}

impl Body {
    /// Every kind.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Empty,
            Self::Text,
            Self::Html,
            Self::BrokenJson,
            Self::BrokenResponse,
            Self::OtherJson,
            Self::LostText,
            Self::CutOff,
            Self::Long,
            Self::UnfinishedEvent,
        ];
        let ours = |content| Message {
            id: IdKind::Ours,
            content,
        };
        all.extend(
            [Content::Result, Content::Error(ORDINARY)].map(|content| Self::Array(ours(content))),
        );
        let errors = [ORDINARY, -32601, SESSION_CODE]
            .into_iter()
            .chain(RESERVED)
            .map(Content::Error)
            .chain([Content::LostError, Content::WithoutVersion]);
        let ids = [
            IdKind::Ours,
            IdKind::Text,
            IdKind::Other,
            IdKind::Null,
            IdKind::Missing,
        ];
        let mut messages: Vec<Message> = errors
            .flat_map(|content| ids.map(|id| Message { id, content }))
            .collect();
        for content in [Content::Result, Content::BadResult] {
            let ids = [IdKind::Ours, IdKind::Fraction, IdKind::Other, IdKind::Null];
            messages.extend(ids.map(|id| Message { id, content }));
        }
        for media in [Media::Json, Media::EventStream] {
            all.extend(
                messages
                    .iter()
                    .map(|message| Self::Message(media, *message)),
            );
        }
        all
    }

    /// The response under our id that can be read in it, whatever the status.
    pub fn ours(self) -> Option<Content> {
        match self {
            Self::Message(_, message) | Self::Array(message) if message.id.is_ours() => {
                Some(message.content)
            }
            _ => None,
        }
    }

    /// The error without an id in it, which is JSON-RPC.
    pub fn of_nobody(self) -> Option<Content> {
        let Self::Message(_, Message { id, content }) = self else {
            return None;
        };
        let is_error = matches!(content, Content::Error(_) | Content::LostError);
        (is_error && matches!(id, IdKind::Null | IdKind::Missing)).then_some(content)
    }

    /// Whether it is an error with a code of the modern era, under any id.
    pub fn has_reserved_code(self) -> bool {
        matches!(self, Self::Message(_, Message { content: Content::Error(code), .. })
            if RESERVED.contains(&code))
    }

    /// Whether its text says that the session is lost.
    pub fn says_session_lost(self) -> bool {
        matches!(
            self,
            Self::LostText
                | Self::Message(
                    _,
                    Message {
                        content: Content::LostError,
                        ..
                    }
                )
        )
    }

    /// Whether a refusal with it can be read to its end.
    pub fn is_whole(self) -> bool {
        !matches!(
            self,
            Self::CutOff | Self::Long | Self::UnfinishedEvent | Self::BrokenResponse
        )
    }

    /// Whether it is an event stream.
    pub fn is_stream(self) -> bool {
        matches!(
            self,
            Self::Message(Media::EventStream, _) | Self::UnfinishedEvent
        )
    }

    /// A reply with this status. `modern` is the server's era.
    pub fn reply(self, status: u16, modern: bool) -> Reply {
        let reply = Reply::status(status);
        // HTTP gives these no body.
        if matches!(status, 204 | 304) {
            return reply;
        }
        let typed = |kind: &str| Reply::status(status).header("content-type", kind);
        let json = || typed("application/json");
        let ordinary = Message {
            id: IdKind::Ours,
            content: Content::Error(ORDINARY),
        };
        let event = |text: &str| format!("event: message\ndata: {text}");
        match self {
            Self::Empty => reply,
            Self::Text => typed("text/plain").body("no such thing"),
            Self::Html => {
                typed("text/html").body("<html><title>Oops</title><body>no</body></html>")
            }
            Self::BrokenJson => json().body("{\"jsonrpc\": \"2.0\", oops"),
            Self::BrokenResponse => json().body(ordinary.text(modern).trim_end_matches('}')),
            Self::OtherJson => json().body("{\"error\":\"not found\"}"),
            Self::LostText => typed("text/plain").body(LOST),
            Self::Message(Media::Json, message) => json().body(message.text(modern)),
            Self::Message(Media::EventStream, message) => {
                let text = event(&message.text(modern));
                typed("text/event-stream").body(text + "\n\n")
            }
            Self::Array(message) => {
                let other = Message {
                    id: IdKind::Other,
                    ..ordinary
                };
                let (other, ours) = (other.text(modern), message.text(modern));
                json().body(format!("[{other},{ours}]"))
            }
            Self::CutOff => {
                let text = ordinary.text(modern);
                let half = &text[..text.len() / 2];
                json().body(half).length_off_by(100).then_hang_up()
            }
            Self::Long => json().body(
                ordinary
                    .text(modern)
                    .replace("\"no\"", &format!("\"{}\"", "no".repeat(LONG / 2))),
            ),
            Self::UnfinishedEvent => typed("text/event-stream").body(event(&ordinary.text(modern))),
        }
    }
}

impl Message {
    fn text(self, modern: bool) -> String {
        let error = |code, text| message::error(code, text);
        let mut message = match self.content {
            Content::Result if modern => message::complete_text("ran"),
            Content::Result => message::text("ran"),
            Content::BadResult => message::result(json!(["ran"])),
            Content::Error(code) => error(code, "no"),
            Content::LostError => error(SESSION_CODE, LOST),
            Content::WithoutVersion => error(ORDINARY, "no"),
        };
        let members = message.as_object_mut().unwrap();
        match self.id {
            IdKind::Ours => {}
            IdKind::Text | IdKind::Fraction => {
                drop(members.insert("id".into(), json!("$text_of_id")));
            }
            IdKind::Other => drop(members.insert("id".into(), json!(4_000_000_000_u64))),
            IdKind::Null => drop(members.insert("id".into(), Value::Null)),
            IdKind::Missing => drop(members.remove("id")),
        }
        if self.content == Content::WithoutVersion {
            members.remove("jsonrpc");
        }
        let message = message.to_string();
        match self.id {
            IdKind::Fraction => message.replace("\"$text_of_id\"", "$text_of_id.0"),
            _ => message,
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(Media::Json, message) => write!(f, "{message}"),
            Self::Message(Media::EventStream, message) => write!(f, "event with {message}"),
            Self::Array(message) => write!(f, "array with {message}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} under id {:?}", self.content, self.id)
    }
}
