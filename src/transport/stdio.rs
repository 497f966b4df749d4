//! Lines over a pair of byte streams (MCP 2025-11-25, basic/transports, "stdio").
//!
//! Owns the reader thread, the writer thread and the queue between gateway and writer. Both are OS
//! threads: a blocked pipe must not block the runtime, and a blocking read in the runtime would
//! delay the end of the process. It must not know methods or which request a line belongs to.

mod reader;
mod writer;

use std::fs::File;
use std::io::{Read, Write};
use std::thread;

pub(crate) use reader::{StdinEvent, read_lines};
pub(crate) use writer::{DropPolicy, NoticeSource, Outbox, WriteEnd, Writer, write_lines};

/// The two streams to the client: stdin and stdout, or pipes in a test.
pub struct Io {
    /// Source of the client's lines.
    pub reader: Box<dyn Read + Send>,
    /// Destination of lines to the client. Nothing else may write there.
    pub writer: Box<dyn Write + Send>,
}

impl Io {
    /// The process's stdin and stdout, without the standard library's line buffering, which
    /// searches the rest of a large response for a line end before each write to the pipe.
    ///
    /// # Errors
    /// If one of them is not open.
    pub(crate) fn stdio() -> std::io::Result<Self> {
        #[cfg(unix)]
        let (stdin, stdout) = {
            use std::os::fd::AsFd;
            (
                std::io::stdin().as_fd().try_clone_to_owned()?,
                std::io::stdout().as_fd().try_clone_to_owned()?,
            )
        };
        #[cfg(windows)]
        let (stdin, stdout) = {
            use std::os::windows::io::AsHandle;
            (
                std::io::stdin().as_handle().try_clone_to_owned()?,
                std::io::stdout().as_handle().try_clone_to_owned()?,
            )
        };
        // A larger pipe needs fewer switches between writer and reader for a large response. Fails
        // without harm if stdout is not a pipe.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
        Ok(Self {
            reader: Box::new(File::from(stdin)),
            writer: Box::new(File::from(stdout)),
        })
    }
}

/// The largest pipe size that needs no privileges, in bytes (`pipe(7)`).
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(body) {
        tracing::error!(%error, "the thread for {name} can't be started");
    }
}
