//! Signing in, with the real binary against an authorization server that checks by the letter.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::common::authorization_server::{AuthorizationServer, shows_verifier};
use crate::common::canary;
use crate::common::process::{self, Ended, Process};

mod commands;
mod crashes;
#[cfg(target_os = "linux")]
mod keychain;
pub(crate) mod mcp_remote;
mod refusals;
mod refused;
mod sealed;
mod serving;
mod through_client;

/// A person's machine: a config with the backend `notes`, and the state folder that all gateways use. Where it has a
/// folder `bin`, no other programs are found.
struct Machine {
    folder: TempDir,
    server: AuthorizationServer,
}

impl Machine {
    fn new(server: AuthorizationServer) -> Self {
        Self::with(server, "")
    }

    /// `login --device`, and a person who enters the code.
    fn login_at_a_device(&self) -> Ended {
        let mut login = self
            .command(&["login", "notes", "--device"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(login.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(
            line.contains("/enter") && line.contains("ABCD-EFGH"),
            "{line}"
        );
        self.server.approve_devices();
        out.read_to_string(&mut line).unwrap();
        let mut ended = ended(login.wait_with_output().unwrap());
        ended.out = line;
        ended
    }

    /// With further lines in the backend's entry.
    fn with(server: AuthorizationServer, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = server.mcp.url();
        let toml = format!("[[backends]]\nname = \"notes\"\nurl = \"{url}\"\n{more}\n");
        std::fs::write(folder.path().join("sentinel.toml"), toml).unwrap();
        Self { folder, server }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = process::bare_gateway(&self.folder);
        command
            .arg("--config")
            .arg(self.folder.path().join("sentinel.toml"));
        let programs = self.folder.path().join("bin");
        if programs.exists() {
            command.env("PATH", programs);
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args).output().unwrap())
    }

    /// `login notes`, with a browser that consents.
    fn login(&self, args: &[&str]) -> Ended {
        let login = self.start_login(args);
        let page = visit(&login.url);
        let pages = ["sign-in", "Signed in", "bad authorization request"];
        assert!(pages.iter().any(|part| page.contains(part)), "{page}");
        login.end()
    }

    /// The same, which must succeed.
    fn sign_in(&self) {
        let ended = self.login(&[]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    }

    fn start_login(&self, args: &[&str]) -> Login {
        let mut command = self.command(&["login", "notes", "--no-browser"]);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut read = String::new();
        let url = loop {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 {
                let mut err = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut err)
                    .unwrap();
                panic!("no address was printed: {read}{err}");
            }
            read += &line;
            if line.starts_with("http://") {
                break line.trim().to_owned();
            }
        };
        Login {
            child,
            out,
            read,
            url,
        }
    }

    /// A gateway of this machine that a client has initialized.
    fn gateway(&self) -> Process {
        let mut gateway = self.start_gateway();
        gateway.client.initialize();
        gateway
    }

    fn start_gateway(&self) -> Process {
        let own = tempfile::tempdir().unwrap();
        Process::start(self.command(&[]), own, Duration::from_secs(20))
    }

    fn token_file(&self) -> PathBuf {
        let folder = self.folder.path().join("sentinel/auth");
        let mut files = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files
            .find(|path| path.extension().is_some_and(|one| one == "json"))
            .unwrap()
    }

    /// What is kept.
    fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.token_file()).unwrap()).unwrap()
    }

    /// The token was got so long ago.
    fn age_token(&self, seconds: u64) {
        let mut record = self.record();
        let obtained_at = record["token"]["obtained_at"].as_u64().unwrap();
        record["token"]["obtained_at"] = (obtained_at - seconds).into();
        std::fs::write(self.token_file(), record.to_string()).unwrap();
    }

    /// The access token has ended.
    fn expire_token(&self) {
        let mut record = self.record();
        record["token"]["expires_at"] = 1_000_000_000.into();
        record["token"]["obtained_at"] = 999_990_000.into();
        std::fs::write(self.token_file(), record.to_string()).unwrap();
        self.server.expire_all();
    }
}

/// Tokens are in their own files alone, ours and those of mcp-remote.
impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let is_for_tokens = [".mcp-auth", "sentinel/auth"];
                if path.is_dir() && !is_for_tokens.iter().any(|end| path.ends_with(end)) {
                    folders.push(path);
                } else if path.is_file() && !path.ends_with("secret") {
                    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                    assert_no_token(&text);
                }
            }
        }
    }
}

/// A `login` that waits for a person.
struct Login {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    read: String,
    url: String,
}

impl Login {
    fn end(mut self) -> Ended {
        self.out.read_to_string(&mut self.read).unwrap();
        let output = self.child.wait_with_output().unwrap();
        assert_no_token(&self.read);
        Ended {
            out: self.read,
            ..ended(output)
        }
    }
}

fn ended(output: Output) -> Ended {
    let ended = Ended::of(output);
    assert_no_token(&ended.out);
    assert_no_token(&ended.err);
    ended
}

/// Ends a gateway: neither its log nor what it told its client has a token.
fn finish(gateway: Process) {
    let told = gateway.client.transcript();
    assert_no_token(&told);
    assert_no_token(&gateway.end().log);
}

/// The server's tokens and codes begin like this, and have the canary in them.
fn assert_no_token(text: &str) {
    canary::scan("output", text.as_bytes());
    canary::assert_no_leaks();
    for beginning in [
        "access-canary",
        "refresh-canary",
        "device-canary",
        "code-canary",
    ] {
        assert!(!text.contains(beginning), "a token is shown: {text}");
    }
    assert!(!shows_verifier(text), "a verifier is shown: {text}");
    assert!(
        !text.contains("canary-"),
        "a client secret is shown: {text}"
    );
}

/// A browser: GETs the address and follows redirects. Returns the last page.
pub(super) fn visit(url: &str) -> String {
    let mut url = url.to_owned();
    loop {
        let (location, body) = get(&url);
        match location {
            Some(location) => url = location,
            None => return body,
        }
    }
}

/// GETs a page: its `Location` and its body.
fn get(url: &str) -> (Option<String>, String) {
    let url = Url::parse(url).unwrap();
    let addresses = url.socket_addrs(|| None).unwrap();
    let mut stream = TcpStream::connect(&*addresses).unwrap();
    let target = &url[url::Position::BeforePath..];
    let host = url.host_str().unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut reader = BufReader::new(stream);
    let (mut location, mut length) = (None, None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match &*name.to_ascii_lowercase() {
            "location" => location = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok(),
            _ => {}
        }
    }
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (location, String::from_utf8(body).unwrap())
}

/// The command that a message ends with, as its words.
fn command_in(message: &str) -> Vec<String> {
    let (_, command) = message.split_once("In a terminal: ").unwrap();
    command.split(' ').map(str::to_owned).collect()
}

fn tool_call(gateway: &mut Process, tool: &str) -> crate::common::gateway::Answer {
    gateway.client.call(tool, json!({}))
}
