//! A terminal of a chosen width, on which a program is started.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::PATIENCE;

/// Which streams of the program are the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnTerminal {
    Stdout,
    Stderr,
    Both,
    /// Its input, too.
    All,
}

/// A program whose output is a terminal.
pub struct PseudoTerminal {
    pub child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    input: File,
}

impl PseudoTerminal {
    /// Starts the command on a terminal of so many columns. Other streams are closed or discarded.
    pub fn start(command: &mut Command, columns: u16, on: OnTerminal) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let stream = |is_terminal: bool| match is_terminal {
            true => Stdio::from(terminal.try_clone().unwrap()),
            false => Stdio::null(),
        };
        let child = command
            .stdin(stream(on == OnTerminal::All))
            .stdout(stream(on != OnTerminal::Stderr))
            .stderr(stream(on != OnTerminal::Stdout))
            .env("TERM", "xterm-256color")
            .spawn()
            .unwrap();
        // The command keeps copies of the terminal, which would keep it open.
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        drop(terminal);
        Self {
            child,
            input: File::from(controller.try_clone().unwrap()),
            output: read(controller),
            seen: String::new(),
        }
    }

    /// Waits until this has been written.
    pub fn wait_for(&mut self, text: &str) {
        self.read_until(|seen| seen.contains(text));
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Types keys, as a program gets them that reads each at once.
    pub fn type_keys(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end; returns its exit code, and what it wrote without colours.
    pub fn end(self) -> (i32, String) {
        let (code, written) = self.end_with_controls();
        let plain = anstream::adapter::strip_str(&written).to_string();
        (code, plain.replace("\r\n", "\n"))
    }

    /// The same, with control sequences.
    pub fn end_with_controls(mut self) -> (i32, String) {
        self.read_until(|_| false);
        let code = self.child.wait().unwrap().code().unwrap();
        (code, self.seen)
    }

    /// What it has written, with control sequences.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Reads until the condition holds or the terminal is closed.
    fn read_until(&mut self, done: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE * 3;
        while !done(&self.seen) {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("still running after {:?}: {:?}", PATIENCE * 3, self.seen);
                }
            }
        }
    }
}

fn read(controller: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, received) = channel();
    thread::spawn(move || {
        let mut terminal = File::from(controller);
        let mut buffer = [0; 4096];
        // When the program has ended, reading fails.
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            // A character may be divided, which a longer line than the buffer alone makes happen.
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    received
}
