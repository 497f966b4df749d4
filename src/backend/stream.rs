//! Reading what a backend sends: HTTP responses, SSE streams, and the messages on them.
//!
//! Owns the way from an HTTP response to the JSON-RPC messages it holds, resuming an interrupted
//! stream, and answering requests of the server while its stream is read. It must not know
//! sessions, retries or clients; messages beside the response go to a [`ServerMessageHandler`].

mod handler;
mod messages;
mod pending;
mod reader;
mod resume;
mod server_requests;
mod session_lost;
pub mod sse;

pub(super) use handler::deliver;
pub use handler::{NoResponse, NoopHandler, Responder, ResponseSink, ServerMessageHandler};
pub(super) use pending::{PendingRequests, StreamItem, StreamRouter};
pub(super) use reader::RefusalBody;
pub use reader::ResponseReader;
pub use resume::{Cursor, Resume};
pub(super) use resume::{ResumeResponse, open_get};
