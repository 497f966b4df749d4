//! How backends were connected in an earlier run.
//!
//! Owns that a backend can ask before the files are read, and does not wait long for them. It must
//! not know files.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::protocol::Contact;

/// How long a backend waits for what is remembered, on a slow disk. Without it a handshake takes a
/// few requests more.
const PATIENCE: Duration = Duration::from_millis(250);

/// Contacts by the name of the backend.
type ByName = Arc<HashMap<Arc<str>, Contact>>;

/// What is remembered, for those who ask. Clones share it.
#[derive(Debug, Clone)]
pub struct Contacts(watch::Receiver<Option<ByName>>);

impl Contacts {
    /// Nothing is remembered.
    pub fn none() -> Self {
        Self(watch::channel(Some(ByName::default())).1)
    }

    /// How this backend was connected; `None` where that is not known in time.
    pub(crate) async fn of(&self, backend: &str) -> Option<Contact> {
        let mut receiver = self.0.clone();
        let known = receiver.wait_for(Option::is_some);
        let known = tokio::time::timeout(PATIENCE, known).await.ok()?.ok()?;
        known.as_ref()?.get(backend).cloned()
    }
}

/// Where it is put once it is read. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Remembered(watch::Sender<Option<ByName>>);

impl Default for Remembered {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Remembered {
    /// What was read.
    pub(super) fn set(&self, contacts: impl IntoIterator<Item = (Arc<str>, Contact)>) {
        self.0
            .send_replace(Some(Arc::new(contacts.into_iter().collect())));
    }

    pub(super) fn contacts(&self) -> Contacts {
        Contacts(self.0.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_backend_waits_for_what_is_remembered_but_not_for_ever() {
        let remembered = Remembered::default();
        let contacts = remembered.contacts();
        assert_eq!(contacts.of("mail").await, None);
        let asking = tokio::spawn(async move { contacts.of("mail").await });
        tokio::task::yield_now().await;
        remembered.set([("mail".into(), Contact::default())]);
        assert_eq!(asking.await.unwrap(), Some(Contact::default()));
        assert_eq!(Contacts::none().of("mail").await, None);
    }
}
