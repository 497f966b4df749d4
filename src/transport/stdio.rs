//! Lines over a pair of byte streams (MCP `basic/transports/stdio`).
//!
//! Owns the reader thread, the writer thread and the queue before it. Both are plain OS threads:
//! a blocked pipe must not hold up the runtime, and a runtime's own stdin would keep the process
//! alive after everything is done. It must not know JSON-RPC, nor who asked for what.

mod reader;
mod writer;

use std::fs::File;
use std::io::{Read, Write};
use std::thread;

pub use reader::{OverBudget, StdinEvent, read_lines};
pub use writer::{DropPolicy, Outbox, WriteEnd, Writer, write_lines};

/// The two streams a gateway talks over: stdin and stdout, or pipes in a test.
pub struct Io {
    /// Where the client's lines come from.
    pub reader: Box<dyn Read + Send>,
    /// Where answers go. Nothing else may write there.
    pub writer: Box<dyn Write + Send>,
}

impl Io {
    /// The process's own stdin and stdout, without the standard library's line buffering: it
    /// would search what is left of a large answer for a line end before each write to the pipe.
    ///
    /// # Errors
    /// When one of them is not open.
    pub fn stdio() -> std::io::Result<Self> {
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
        // A large answer goes through in fewer turns of writer and reader. Where it can't be had, or
        // stdout is no pipe, it stays as it is.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
        Ok(Self {
            reader: Box::new(File::from(stdin)),
            writer: Box::new(File::from(stdout)),
        })
    }
}

/// What a pipe may hold without anybody's leave (`pipe(7)`).
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(body) {
        tracing::error!(%error, "no thread for {name} can be started");
    }
}
