//! A sign-in that somebody else shows to a person.
//!
//! Owns one sign-in that runs in a task of its own, and how far it has come. It opens no browser: who
//! began it has the address shown. It must not know how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::step::{Options, Step, Take};
use crate::auth::oauth::challenge::BearerChallenge;
use crate::config::BackendConfig;
use crate::tasks;

/// How long the person may take.
const WAIT: Duration = Duration::from_secs(600);

/// A sign-in under way. Dropping it ends the sign-in.
#[derive(Debug)]
pub(crate) struct Offer {
    /// Names it to clients; it can't be guessed.
    pub(crate) id: String,
    stage: watch::Receiver<Stage>,
    task: AbortOnDropHandle<()>,
}

/// How far a sign-in has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The authorization server is looked for.
    Begun,
    /// Another process of this user signs in to the same backend: the wait for that.
    Elsewhere,
    /// A person is to open this address.
    Visit {
        /// An address of the authorization server.
        url: Url,
        /// What is to be entered there, if something is. It is the server's text.
        code: Option<String>,
    },
    /// It has ended: there is a new token, or a reason for people.
    Ended(Result<(), Arc<str>>),
}

impl Offer {
    /// Begins to sign in to this backend. `challenge` is what it said to a request; `instead_of` the
    /// generation of the sign-in that was not enough.
    pub(crate) fn begin(
        backend: Arc<BackendConfig>,
        challenge: Option<BearerChallenge>,
        instead_of: u64,
    ) -> Self {
        let (reports, stage) = watch::channel(Stage::Begun);
        let signing_in = async move {
            let options = Options {
                device: false,
                scopes: Vec::new(),
                switch: false,
                wait: WAIT,
                instead_of: Some(instead_of),
                take: Take::No,
            };
            // Nobody types here.
            let (_, mut lines) = mpsc::unbounded_channel();
            let mut step = |step: Step<'_>| {
                if let Some(stage) = Stage::of(&step) {
                    reports.send_replace(stage);
                }
            };
            let login = super::login(
                &backend,
                challenge.as_ref(),
                &options,
                &mut lines,
                &mut step,
            );
            let outcome = login.await.map(|_| ());
            let outcome = outcome.map_err(|why| backend.scrubber.message(&why).into());
            reports.send_replace(Stage::Ended(outcome));
        };
        Self {
            id: format!("{:032x}", rand::random::<u128>()),
            stage,
            task: AbortOnDropHandle::new(tasks::spawn(signing_in)),
        }
    }

    /// One that ends when it is withdrawn.
    #[cfg(test)]
    pub(crate) fn endless() -> Self {
        let (reports, stage) = watch::channel(Stage::Begun);
        let waiting = async move {
            let _reports = reports;
            std::future::pending::<()>().await;
        };
        Self {
            id: String::new(),
            stage,
            task: AbortOnDropHandle::new(tasks::spawn(waiting)),
        }
    }

    /// How far it has come.
    pub(crate) fn stage(&self) -> Stage {
        let stage = self.stage.borrow().clone();
        match self.stage.has_changed() {
            Err(_) if !matches!(stage, Stage::Ended(_)) => Stage::cut_off(),
            _ => stage,
        }
    }

    /// Waits for a stage like this, or the end.
    pub(crate) async fn until(&self, wanted: impl Fn(&Stage) -> bool) -> Stage {
        let is_there = |stage: &Stage| wanted(stage) || matches!(stage, Stage::Ended(_));
        let mut stage = self.stage.clone();
        let reached = stage.wait_for(is_there).await;
        reached.map_or_else(|_| Stage::cut_off(), |stage| stage.clone())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why there is no sign-in, for people.
    pub(crate) async fn ended(&self) -> Result<(), Arc<str>> {
        match self.until(|_| false).await {
            Stage::Ended(outcome) => outcome,
            _ => Ok(()),
        }
    }

    /// Nobody wants it any more: the port is closed, and others may sign in.
    pub(crate) fn withdraw(&self) {
        self.task.abort();
    }
}

impl Stage {
    /// `None` where there is nothing to show.
    fn of(step: &Step<'_>) -> Option<Self> {
        match step {
            Step::Visit(url) => Some(Self::Visit {
                url: (*url).clone(),
                code: None,
            }),
            Step::Enter(answer) => Some(Self::Visit {
                url: (answer.complete_uri.as_ref())
                    .unwrap_or(&answer.verification_uri)
                    .clone(),
                code: Some(answer.user_code.clone()),
            }),
            Step::Busy => Some(Self::Elsewhere),
            // Of a terminal.
            _ => None,
        }
    }

    /// The end of a sign-in whose task is gone.
    fn cut_off() -> Self {
        Self::Ended(Err("it was given up".into()))
    }
}
