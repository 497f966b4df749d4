//! What the supervisors of a backend's sessions share.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::event::BackendEvent;
use crate::backend::deadline::SharedPause;
use crate::backend::http::{Credentials, SideRequests};
use crate::budget::Budget;
use crate::call_report::BackendId;
use crate::state::Contacts;
use crate::transport::http::Pool;

/// What it takes to connect one backend and to report on it. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::backend) struct BackendContext {
    pub(in crate::backend) id: BackendId,
    pub(in crate::backend) pool: Pool,
    pub(in crate::backend) credentials: Arc<Credentials>,
    pub(in crate::backend) side_requests: Arc<SideRequests>,
    pub(in crate::backend) max_message_bytes: usize,
    pub(in crate::backend) budget: Budget,
    pub(in crate::backend) shared_pause: SharedPause,
    pub(in crate::backend) contacts: Contacts,
    pub(in crate::backend) events: mpsc::UnboundedSender<BackendEvent>,
}
