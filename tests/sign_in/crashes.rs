//! A gateway that is killed while it renews a token: the next one has the newest token, or says that a
//! person has to sign in.
//!
//! `SIGN_IN_CRASHES` is how often it is killed at a random moment.

use std::time::Instant;

use super::*;
use crate::common::rng::Rng;

/// How often in `cargo test`.
const CRASHES: u32 = 12;

/// Where it is killed, in the order of a renewal.
#[derive(Debug, Clone, Copy)]
enum At {
    /// A file is being written, which holds that a renewal has begun, or the new token.
    Writing,
    /// It is written that a renewal has begun; the server may have been asked.
    Begun,
    /// The server has issued a token, and its answer is on the way.
    Issued,
    /// The new token is written.
    Kept,
    After(Duration),
}

/// Which token the file has after the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The old one. The server may have issued another meanwhile, whose answer is lost.
    Old,
    New,
}

impl Machine {
    /// Starts a gateway whose token has ended, and kills it there.
    fn kill(&self, at: At) -> Left {
        self.expire_token();
        let generation = self.record()["generation"].clone();
        let asked = self.server.state().token_requests.len();
        let issued = || self.server.state().token_requests.len() > asked;
        let begun = Instant::now();
        let mut gateway = self
            .command(&[])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let limit = Duration::from_secs(20);
        let is_there = || match at {
            At::Writing => self.is_writing() || self.record()["generation"] != generation,
            At::Begun => self.record()["refreshing"] != Value::Null || issued(),
            At::Issued => issued(),
            At::Kept => self.record()["generation"] != generation,
            At::After(time) => begun.elapsed() >= time,
        };
        while !is_there() {
            assert!(begun.elapsed() < limit, "it doesn't come to {at:?}");
            std::thread::yield_now();
        }
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        // The file is whole, whatever was going on.
        match self.record()["generation"] != generation {
            true => Left::New,
            false => Left::Old,
        }
    }

    /// A file beside the one that is to be replaced.
    fn is_writing(&self) -> bool {
        let folder = self.folder.path().join("sentinel/auth");
        let mut entries = std::fs::read_dir(folder).unwrap();
        entries.any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().starts_with(".sentinel-")
        })
    }

    /// The next process is signed in, or says what to type: only where the server had issued a token
    /// that was lost, so that the old one is refused. Returns whether it was lost.
    fn recovers(&self, left: Left) -> bool {
        let reused = self.server.state().reused;
        let check = self.run(&["check", "--json"]);
        let report: Value = serde_json::from_str(&check.out).unwrap();
        let auth = &report["backends"][0]["auth"];
        match auth["state"].as_str().unwrap() {
            "ok" => assert_eq!(self.record()["refreshing"], Value::Null, "{left:?}"),
            "sign_in" => {
                assert_eq!(left, Left::Old, "{}", check.out);
                assert_eq!(self.server.state().reused, reused + 1, "{}", check.out);
                let command = auth["command"].as_str().unwrap();
                assert!(command.ends_with(" login notes"), "{command}");
                self.sign_in();
            }
            other => panic!("{other} after {left:?}: {}", check.out),
        }
        self.remove_leftovers();
        self.server.state().reused > reused
    }

    /// A killed process can't remove its file: that is done when a later one writes. Here at once, so
    /// that the next kill sees its own.
    fn remove_leftovers(&self) {
        let folder = self.folder.path().join("sentinel/auth");
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(".sentinel-")
            {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}

#[test]
fn a_kill_at_each_step_of_a_renewal_leaves_the_newest_token_or_a_sign_in() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    for at in [At::Writing, At::Begun, At::Issued, At::Kept] {
        for _ in 0..2 {
            let left = machine.kill(at);
            if let At::Kept = at {
                assert_eq!(left, Left::New);
            }
            machine.recovers(left);
        }
    }
}

#[test]
fn a_kill_at_any_moment_of_a_renewal_leaves_the_newest_token_or_a_sign_in() {
    let times = std::env::var("SIGN_IN_CRASHES");
    let times = times.map_or(CRASHES, |times| times.parse().unwrap());
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    // The time of a renewal on this machine.
    let begun = Instant::now();
    machine.kill(At::Kept);
    let whole = begun.elapsed();
    machine.recovers(Left::New);
    let mut rng = Rng(7);
    let (mut old, mut lost, mut new) = (0, 0, 0);
    for _ in 0..times {
        let left = machine.kill(At::After(whole.mul_f64(rng.below(1300) as f64 / 1000.0)));
        match (machine.recovers(left), left) {
            (true, _) => lost += 1,
            (false, Left::Old) => old += 1,
            (false, Left::New) => new += 1,
        }
    }
    eprintln!("killed with the old token: {old}, a lost one: {lost}, the new one: {new}");
    assert!(old > 0 && old + lost + new == times);
}
