//! Asks all running gateways of this user what they say of themselves.
//!
//! Owns the bounds on each answer (five seconds, 16 MiB), and that one that can't be read is told beside the others.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use super::document::GatewayStatus;
use super::place::{self, connect, is_ours};
use crate::tasks;

/// Longest time for one gateway.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a document.
const MAX_BYTES: u64 = 16 << 20;

/// A socket or a folder of sockets that can't be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
}

/// The documents of all gateways with sockets in these folders, by when they were started, and what could
/// not be read. Remnants of gateways that were killed are removed.
pub(crate) async fn read_all(folders: &[PathBuf]) -> (Vec<GatewayStatus>, Vec<Unread>) {
    let (mut documents, mut unread) = (Vec::new(), Vec::new());
    for folder in folders {
        let looked_at = folder.clone();
        let looking = tasks::blocking(move || place::sockets(&looked_at));
        let sockets = match looking.await.map_err(io::Error::other) {
            Ok(Ok(sockets)) => sockets,
            Ok(Err(error)) | Err(error) => {
                unread.push(Unread {
                    path: folder.clone(),
                    why: error.to_string(),
                });
                continue;
            }
        };
        let reading = sockets.iter().map(|socket| async move {
            let read = tokio::time::timeout(TIMEOUT, read(socket)).await;
            let late = || Err(format!("no answer within {} s", TIMEOUT.as_secs()));
            (socket, read.unwrap_or_else(|_| late()))
        });
        for (socket, read) in join_all(reading).await {
            match read {
                Ok(document) => documents.extend(document),
                Err(why) => unread.push(Unread {
                    path: socket.clone(),
                    why,
                }),
            }
        }
    }
    documents.sort_unstable_by_key(|document| (document.started_at, document.pid));
    (documents, unread)
}

/// `None` where the gateway is gone.
async fn read(socket: &Path) -> Result<Option<GatewayStatus>, String> {
    let text = |error: io::Error| error.to_string();
    let Some(stream) = connect(socket).await.map_err(text)? else {
        return Ok(None);
    };
    if !is_ours(&stream) {
        return Err("it belongs to a process of another user".to_owned());
    }
    let mut bytes = Vec::new();
    let mut limited = stream.take(MAX_BYTES);
    limited.read_to_end(&mut bytes).await.map_err(text)?;
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        // It ends, or has been told not to be seen.
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err("what it answers is no status".to_owned()),
    }
}
