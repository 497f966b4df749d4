//! One backend: its connection, its calls, its retries.
//!
//! Owns everything between "this call goes to that backend" and its outcome. From the bottom up:
//! [`retry`], [`backoff`] and [`deadline`] are policy without I/O, [`http`] sends, [`stream`] reads,
//! [`session`] is an initialized connection and its state, [`supervisor`] keeps it connected,
//! [`call`] makes a call, which is one or more attempts, and [`http_backend`] has the type that stands for one server.
//! It must not know the client's ids, the catalog, or that there are other backends.

pub mod backoff;
pub mod call;
pub mod deadline;
pub mod error;
pub mod http;
pub(crate) mod http_backend;
pub mod retry;
pub mod session;
pub mod stream;
pub(crate) mod supervisor;

pub use crate::state::Contacts;
pub use call::{Call, Called, ProgressHighWater, ProgressToken};
pub use deadline::Deadline;
pub use error::BackendError;
pub use http_backend::{
    HttpBackend, Launcher, SubscribeError, Subscription, shutdown_all, start_all,
};
pub use session::{Answer, LevelGuard, State};
pub use stream::{ServerMessageHandler, sse};
pub use supervisor::{BackendEvent, Incomplete};
