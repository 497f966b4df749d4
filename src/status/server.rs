//! The socket of a running gateway.
//!
//! Owns when there is one: while the config allows it. Each connection of the same user gets one document
//! and is closed; nothing is read from it. A connection has a time limit, and only a few are served at
//! once, so that a reader that does not read costs little.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gather::Facts;
use super::place::{self, Bound, connect, is_ours};
use crate::files;
use crate::tasks;
use crate::text::for_output;

/// Longest time for one connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Most connections that are served at once; further ones wait.
const MAX_CONNECTIONS: usize = 4;
/// The pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Time for removing the socket at the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The task that listens, until this is dropped.
#[derive(Debug)]
pub(crate) struct StatusServer {
    task: JoinHandle<()>,
    ending: DropGuard,
}

impl StatusServer {
    /// Listens in the first of these folders that can be used. Where none can, a line of the log says so
    /// at level debug.
    pub(crate) fn start(facts: Facts, folders: Vec<PathBuf>) -> Self {
        let ending = CancellationToken::new();
        Self {
            task: tasks::spawn(run(facts, folders, ending.clone())),
            ending: ending.drop_guard(),
        }
    }

    /// Removes the socket.
    pub(crate) async fn finish(self) {
        drop(self.ending);
        let _ = tokio::time::timeout(END_TIMEOUT, self.task).await;
    }
}

async fn run(facts: Facts, folders: Vec<PathBuf>, ending: CancellationToken) {
    if folders.is_empty() {
        return;
    }
    let mut config = facts.clone();
    loop {
        tokio::select! {
            shown = config.wait_until_shown(true) => if !shown { return },
            () = ending.cancelled() => return,
        }
        let Some((listener, path)) = open(&folders).await else {
            return;
        };
        let ended = tokio::select! {
            hidden = config.wait_until_shown(false) => !hidden,
            () = ending.cancelled() => true,
            () = accept(&listener, &facts) => true,
        };
        drop(listener);
        let _ = tasks::blocking(move || files::remove(&path)).await;
        if ended {
            return;
        }
    }
}

async fn open(folders: &[PathBuf]) -> Option<(UnixListener, PathBuf)> {
    let folders = folders.to_owned();
    let listening = tasks::blocking(move || place::listen(&folders));
    let bound = match listening.await {
        Ok(bound) => bound,
        Err(_) => return None,
    };
    let opened = bound.and_then(|Bound { listener, path }| {
        let listener = UnixListener::from_std(listener).map_err(|error| error.to_string());
        Ok((listener?, path))
    });
    match opened {
        Ok((listener, path)) => {
            tracing::debug!(socket = %path.display(), "`status` can see this gateway");
            remove_remnants(&path).await;
            Some((listener, path))
        }
        Err(why) => {
            tracing::debug!(why, "`status` can't see this gateway");
            None
        }
    }
}

/// Removes the sockets of gateways that were killed.
async fn remove_remnants(own: &std::path::Path) {
    let folder = files::folder_of(own).to_owned();
    let looking = tasks::blocking(move || place::sockets(&folder));
    let sockets = looking.await.ok().and_then(Result::ok).unwrap_or_default();
    for socket in sockets.iter().filter(|socket| *socket != own) {
        let _ = tokio::time::timeout(END_TIMEOUT, connect(socket)).await;
    }
}

/// Serves connections. Never returns.
async fn accept(listener: &UnixListener, facts: &Facts) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let facts = facts.clone();
                tasks::spawn(async move {
                    let _permit = permit;
                    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, answer(stream, facts)).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a reader of the status can't be served");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, facts: Facts) {
    if !is_ours(&stream) {
        tracing::debug!("a process of another user wanted the status and got nothing");
        return;
    }
    let document = facts.document().await;
    let text = serde_json::to_string(&document).unwrap_or_default();
    let text = for_output(&text);
    if stream.write_all(text.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
