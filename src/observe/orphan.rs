//! Notices that the client is gone though stdin stays open.
//!
//! Owns the two signs that together say so: our parent has changed, and stdout has no reader. A client that is
//! killed closes our stdin, unless a sibling of ours has inherited the other end of it. Either sign alone says
//! nothing: clients start us through wrappers that end, and may stop reading while they still write.

use std::io;
use std::time::Duration;

use crate::tasks;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getppid;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::MissedTickBehavior;

/// Time between two looks at the parent's id, the only thing that wakes an idle gateway.
const PERIOD: Duration = Duration::from_secs(5);

/// Sends a request to shut down when the client is gone. Must be called within a runtime, and while
/// the client is there.
pub(super) fn watch(requests: UnboundedSender<()>) {
    let parent = getppid();
    tasks::spawn(async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !requests.is_closed() {
            ticks.tick().await;
            if getppid() != parent && !has_reader(&io::stdout()) {
                tracing::debug!(
                    "the client is gone: its process has ended, and stdout has no reader"
                );
                let _ = requests.send(());
                return;
            }
        }
    });
}

/// Whether a pipe or socket has somebody at its other end. A file always has.
fn has_reader(stream: &impl std::os::fd::AsFd) -> bool {
    // macOS reports a closed pipe to those alone who want to write.
    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
    let no_wait = Timespec::default();
    let closed = PollFlags::ERR | PollFlags::HUP;
    match poll(&mut fds, Some(&no_wait)) {
        Ok(_) => !fds[0].revents().intersects(closed),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pipe_or_socket_has_a_reader_until_its_other_end_is_closed() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(has_reader(&writer));
        drop(reader);
        assert!(!has_reader(&writer));
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert!(has_reader(&ours));
        drop(theirs);
        assert!(!has_reader(&ours));
        assert!(has_reader(&tempfile::tempfile().unwrap()));
    }

    #[test]
    fn a_full_pipe_has_a_reader() {
        use std::io::Write;

        let (_reader, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        while writer.write(&[0; 4096]).is_ok() {}
        assert!(has_reader(&writer));
    }
}
