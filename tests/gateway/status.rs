//! `status`: what running gateways show of themselves, and to whom.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sentinel_gateway::config::Overrides;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::authorization_server::AuthorizationServer;
use crate::common::canary;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{TestGateway, save, save_administrators};
use crate::common::process::{self, Process};
use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};
use crate::common::reply::Reply;

/// What `status` is asked in: a home, and a runtime folder where it has one.
struct Place {
    home: TempDir,
    runtime: Option<PathBuf>,
}

impl Place {
    fn with_runtime_folder() -> Self {
        let home = TempDir::new().unwrap();
        let runtime = home.path().join("runtime");
        std::fs::create_dir(&runtime).unwrap();
        Self {
            home,
            runtime: Some(runtime),
        }
    }

    fn without_runtime_folder() -> Self {
        Self {
            home: TempDir::new().unwrap(),
            runtime: None,
        }
    }

    /// The folder where sockets are.
    fn sockets(&self) -> PathBuf {
        match &self.runtime {
            Some(runtime) => runtime.join("sentinel-gateway"),
            None => self.home.path().join("sentinel/run"),
        }
    }

    fn count_sockets(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.sockets()) else {
            return 0;
        };
        entries.count()
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(runtime) = &self.runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        command.env("XDG_STATE_HOME", self.home.path())
    }

    /// A gateway with this config, initialized.
    fn gateway(&self, toml: &str) -> Process {
        let folder = TempDir::new().unwrap();
        let mut command = process::gateway(&folder, toml);
        self.environment(&mut command);
        let mut gateway = Process::start(command, folder, PATIENCE);
        gateway.client.initialize();
        gateway
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(process::executable());
        command.args(arguments).env_clear();
        self.environment(&mut command)
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        let output = command.output().unwrap();
        canary::scan("stdout", &output.stdout);
        canary::scan("stderr", &output.stderr);
        canary::assert_no_leaks();
        output
    }

    fn text(&self) -> String {
        String::from_utf8(self.run(&["status"]).stdout).unwrap()
    }

    /// All gateways that are seen.
    fn gateways(&self) -> Vec<Value> {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Asks until that many are seen and the condition holds.
    fn until(&self, count: usize, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let gateways = self.gateways();
            if gateways.len() == count && holds(&gateways) {
                return gateways;
            }
            assert!(begun.elapsed() < PATIENCE, "{gateways:#?}");
        }
    }
}

#[test]
fn a_running_gateway_shows_its_client_and_what_its_backends_do() {
    let (one, gone) = (
        FakeBackend::start().tool("a").tool("hangs"),
        FakeBackend::down(),
    );
    let gate = Gate::new();
    one.on_tool("hangs", Reply::text("").after(&gate));
    one.on_tool("hangs", Reply::text("").after(&gate));
    let toml = one.entry("one", "max_in_flight = 1\nretries = 0")
        + &gone.entry("gone", "")
        + &gone.entry("off", "enabled = false");
    let place = Place::with_runtime_folder();
    let mut gateway = place.gateway(&toml);
    assert_eq!(gateway.client.tool_names(), ["a", "hangs"]);
    for _ in 0..3 {
        gateway.client.call("a", json!({ "hidden": "argument" }));
    }
    one.on_tool("a", Reply::status(500));
    gateway.client.call("a", json!({}));
    let hanging = [(); 2].map(|()| gateway.client.start_call("hangs", json!({})));

    let shown = place.until(1, |gateways| {
        let one = &gateways[0]["backends"][0];
        let gone = &gateways[0]["backends"][1];
        one["in_flight"] == 1 && one["queued"] == 1 && gone["state"] == "down"
    });
    let shown = &shown[0];
    assert_eq!(shown["pid"], gateway.pid());
    let file = gateway.folder().join("sentinel.toml");
    assert_eq!(shown["config"], file.to_str().unwrap());
    assert_eq!(shown["client"]["era"], "legacy");
    assert!(!shown["client"]["name"].as_str().unwrap().is_empty());
    assert_eq!(shown["max_buffered_bytes"], 256 * 1024 * 1024);
    let names = ["one", "gone", "off"];
    let backends = shown["backends"].as_array().unwrap();
    assert!(backends.iter().map(|b| &b["name"]).eq(names.iter()));

    let up = &backends[0];
    assert_eq!((&up["state"], &up["era"]), (&json!("up"), &json!("legacy")));
    assert_eq!((&up["tools"], &up["max_in_flight"]), (&json!(2), &json!(1)));
    assert_eq!((&up["calls"], &up["errors"]), (&json!(4), &json!(1)));
    assert!(up["calls_per_minute"].as_f64().unwrap() > 3.0, "{up}");
    let times = ["p50_ms", "p99_ms"].map(|key| up[key].as_f64().unwrap());
    assert!(0.0 < times[0] && times[0] <= times[1], "{up}");
    let error = &up["last_error"];
    assert!(
        error["message"].as_str().unwrap().contains("500"),
        "{error}"
    );
    assert!(error["at"].as_u64() >= shown["started_at"].as_u64());
    let why = backends[1]["why"].as_str().unwrap();
    assert!(why.contains("is the server running?"), "{why}");
    assert_eq!(backends[2]["state"], "disabled");
    let why = backends[2]["why"].as_str().unwrap();
    assert!(why.contains("sentinel-gateway enable off"), "{why}");

    let text = place.text();
    let begins = |line: &str| text.lines().any(|shown| shown.starts_with(line));
    assert!(begins(&format!("gateway {}: ", gateway.pid())), "{text}");
    for line in ["one      up  ", "gone     down", "off      off "] {
        assert!(begins(line), "{line:?} in {text}");
    }
    for line in [
        "note: one: calls that wait for a place: 1 (max_in_flight = 1,",
        "note: one: last error ",
    ] {
        assert!(begins(line), "{line:?} in {text}");
    }
    assert!(
        !text.contains("argument") && !text.contains("hangs"),
        "{text}"
    );

    gate.open();
    for call in hanging {
        gateway.client.answer(call);
    }
    let folder = std::fs::symlink_metadata(place.sockets()).unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
    gateway.end();
    assert_eq!(place.count_sockets(), 0);
}

#[test]
fn sign_in_and_changed_definitions_are_shown_and_modern_clients_named() {
    let server = AuthorizationServer::start();
    let one = FakeBackend::start().tool("a");
    let toml = one.entry("one", "") + &server.mcp.entry("notes", "");
    let place = Place::with_runtime_folder();
    // Without planted secrets, which would be sent instead of a token.
    let folder = TempDir::new().unwrap();
    save(folder.path(), &toml);
    let mut command = process::bare_gateway(&folder);
    command
        .arg("--config")
        .arg(folder.path().join("sentinel.toml"));
    place.environment(&mut command);
    let mut gateway = Process::start(command, folder, PATIENCE);
    gateway.client.initialize();
    assert_eq!(gateway.client.tool_names(), ["a"]);
    one.put_tool("a", json!({ "description": "another" }));
    one.forget_sessions();
    gateway.client.call("a", json!({}));
    gateway
        .client
        .next_notification("notifications/tools/list_changed");
    let shown = place.until(1, |gateways| {
        let backends = &gateways[0]["backends"];
        backends[0]["pins_changed"] == 1 && backends[1]["awaits_sign_in"] == true
    });
    let notes = &shown[0]["backends"][1];
    assert_eq!(
        (&notes["state"], &notes["sign_in"]["state"]),
        (&json!("down"), &json!("sign_in"))
    );
    let text = place.text();
    let has = |beginning: &str, end: &str| {
        let mut lines = text.lines();
        assert!(
            lines.any(|line| line.starts_with(beginning) && line.ends_with(end)),
            "{beginning} … {end} in {text}"
        );
    };
    has("notes    login  ", "login notes");
    has(
        "note: one: definitions that have changed since they were accepted: 1; ",
        "pin one --dry-run",
    );
    gateway.end();

    let folder = TempDir::new().unwrap();
    let mut command = process::gateway(&folder, &one.entry("one", "tools.pin = \"off\""));
    place.environment(&mut command);
    let mut gateway = Process::start(command, folder, PATIENCE);
    let shown = place.until(1, |_| true);
    assert_eq!(shown[0]["client"], Value::Null);
    gateway.client.modern(json!({}));
    assert_eq!(gateway.client.tool_names(), ["a"]);
    let shown = place.until(1, |_| true);
    let client = &shown[0]["client"];
    assert_eq!(
        (&client["era"], &client["protocol"]),
        (&json!("modern"), &json!("2026-07-28"))
    );
    assert_eq!(client["name"], "test");
    gateway.end();
}

#[test]
fn the_exit_status_says_whether_a_gateway_runs_and_its_backends_are_connected() {
    let place = Place::with_runtime_folder();
    let none = place.run(&["status"]);
    let said = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(said.contains("sentinel-gateway install"), "{said}");
    let json = place.run(&["status", "--json"]);
    assert_eq!((json.status.code(), &*json.stdout), (Some(1), &b"[]\n"[..]));

    let one = FakeBackend::start().tool("a");
    let mut gateway = place.gateway(&one.entry("one", ""));
    assert_eq!(gateway.client.tool_names(), ["a"]);
    let seen = place.run(&["status"]);
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    assert!(seen.stderr.is_empty());
    gateway.end();
}

#[test]
fn all_gateways_of_a_user_are_shown_with_and_without_a_runtime_folder() {
    let one = FakeBackend::start().tool("a");
    let toml = one.entry("one", "");
    let mut place = Place::with_runtime_folder();
    let first = place.gateway(&toml);
    place.until(1, |_| true);
    // A client starts it without the variable, or with one that leads nowhere, or too deep.
    let runtime = place.runtime.take();
    let second = place.gateway(&toml);
    let deep = place.home.path().join("d".repeat(90));
    std::fs::create_dir(&deep).unwrap();
    place.runtime = Some(deep);
    let third = place.gateway(&toml);
    place.runtime = Some("/proc/no-such-folder".into());
    let fourth = place.gateway(&toml);
    place.runtime = runtime;
    let shown = place.until(4, |_| true);
    let started: Vec<u64> = (shown.iter())
        .map(|gateway| gateway["started_at"].as_u64().unwrap())
        .collect();
    assert!(started.is_sorted(), "{started:?}");
    assert_eq!(place.text().matches("gateway ").count(), 4);
    let mut pids: Vec<u64> = (shown.iter())
        .map(|gateway| gateway["pid"].as_u64().unwrap())
        .collect();
    let mut expected = [&first, &second, &third, &fourth].map(|run| u64::from(run.pid()));
    pids.sort();
    expected.sort();
    assert_eq!(pids, expected);
    let file = second.folder().join("sentinel.toml");
    let of_file = place.run(&["status", "--json", "--config", file.to_str().unwrap()]);
    let of_file: Vec<Value> = serde_json::from_slice(&of_file.stdout).unwrap();
    assert_eq!(of_file.len(), 1);
    assert_eq!(of_file[0]["pid"], second.pid());
    for gateway in [first, second, third, fourth] {
        gateway.end();
    }
    assert!(place.gateways().is_empty());
}

#[test]
fn the_socket_of_a_gateway_that_was_killed_is_removed() {
    let one = FakeBackend::start().tool("a");
    let toml = one.entry("one", "");
    let place = Place::without_runtime_folder();
    let kill = || {
        let gateway = place.gateway(&toml);
        place.until(1, |_| true);
        gateway.signal("KILL");
        gateway.end();
        assert_eq!(place.count_sockets(), 1);
    };
    kill();
    assert!(place.gateways().is_empty());
    assert_eq!(place.count_sockets(), 0);
    // The next gateway does it, too.
    kill();
    let gateway = place.gateway(&toml);
    let begun = Instant::now();
    while place.count_sockets() != 1 || place.gateways().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
    }
    gateway.end();
}

#[test]
fn only_sockets_in_a_private_folder_are_asked() {
    let place = Place::with_runtime_folder();
    let folder = place.sockets();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("1-file.sock"), "not a socket").unwrap();
    let elsewhere = place.home.path().join("elsewhere.sock");
    let listener = UnixListener::bind(&elsewhere).unwrap();
    listener.set_nonblocking(true).unwrap();
    symlink(&elsewhere, folder.join("2-link.sock")).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
    assert!(place.gateways().is_empty());
    assert_eq!(place.count_sockets(), 2);
    // One that says something else.
    let strange = UnixListener::bind(folder.join("3-strange.sock")).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = strange.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"{\"pid\": \"four\"}").unwrap();
    });
    let output = place.run(&["status"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("3-strange.sock: what it answers is no status"),
        "{said}"
    );
    // Where others may put something, nothing is asked.
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    let output = place.run(&["status"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("other users may write to it"), "{said}");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // A gateway closes the folder to them.
    let one = FakeBackend::start().tool("a");
    let gateway = place.gateway(&one.entry("one", ""));
    place.until(1, |_| true);
    gateway.end();
}

/// Needs root, which alone can start a process of another user.
#[test]
fn another_user_neither_sees_a_gateway_nor_is_taken_for_one() {
    const NOBODY: u32 = 65_534;
    let place = Place::with_runtime_folder();
    let own = std::fs::metadata(place.home.path()).unwrap().uid();
    if own != 0 {
        eprintln!("not run: it needs root");
        return;
    }
    let one = FakeBackend::start().tool("a");
    let folder = TempDir::new().unwrap();
    let mut command = process::gateway(&folder, &one.entry("one", ""));
    let give = |path: &Path| {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let file = folder.path().join("sentinel.toml");
    for path in [
        folder.path(),
        &file,
        place.home.path(),
        place.runtime.as_ref().unwrap(),
    ] {
        give(path);
    }
    place.environment(&mut command).uid(NOBODY);
    let mut gateway = Process::start(command, folder, PATIENCE);
    gateway.client.initialize();
    assert_eq!(gateway.client.tool_names(), ["a"]);
    let begun = Instant::now();
    while place.count_sockets() == 0 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let refused = |why: &str| {
        let output = place.run(&["status", "--json"]);
        assert_eq!(output.stdout, b"[]\n");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(why), "{said}");
    };
    refused("it belongs to another user");
    std::os::unix::fs::chown(place.sockets(), Some(own), None).unwrap();
    refused("it belongs to a process of another user");
    let socket = std::fs::read_dir(place.sockets()).unwrap().next().unwrap();
    let mut stream = UnixStream::connect(socket.unwrap().path()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got.is_empty(), "{}", String::from_utf8_lossy(&got));
    std::os::unix::fs::chown(place.sockets(), Some(NOBODY), None).unwrap();
    gateway.end();
}

#[test]
fn a_reader_that_does_not_read_disturbs_neither_calls_nor_other_readers() {
    let one = FakeBackend::start().tool("a");
    let mut toml = one.entry("one", "");
    // Enough that the answer does not fit into the socket's buffer.
    for number in 0..998 {
        toml += &one.entry(&format!("off{number:03}"), "enabled = false");
    }
    let place = Place::with_runtime_folder();
    let mut gateway = place.gateway(&toml);
    place.until(1, |_| true);
    let socket = std::fs::read_dir(place.sockets()).unwrap().next().unwrap();
    let socket = socket.unwrap().path();
    let mut stuck: Vec<UnixStream> = (0..6)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    for stream in &mut stuck[..4] {
        // The answer has begun.
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(gateway.client.call("a", json!({})).text(), "a {}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    let shown = place.until(1, |_| true);
    assert_eq!(shown[0]["backends"].as_array().unwrap().len(), 999);
    assert_eq!(shown[0]["backends"][0]["calls"], 20);
    drop(stuck);
    gateway.end();
}

#[test]
fn a_gateway_is_shown_only_while_the_config_allows_it() {
    let one = FakeBackend::start().tool("a");
    let entry = one.entry("one", "");
    let hidden = format!("[gateway]\nstatus = false\n{entry}");
    let place = Place::with_runtime_folder();
    let mut gateway = place.gateway(&hidden);
    assert_eq!(gateway.client.tool_names(), ["a"]);
    assert!(place.gateways().is_empty());
    assert!(!place.sockets().exists());
    let folder = gateway.folder().to_owned();
    for (toml, count) in [(&entry, 1), (&hidden, 0), (&entry, 1)] {
        save(&folder, &canary::plant(toml, &folder));
        place.until(count, |_| true);
    }
    gateway.end();
}

impl Place {
    /// `top` on a terminal.
    fn top(&self) -> PseudoTerminal {
        let mut command = Command::new(process::executable());
        command.arg("top").env_clear().env("HOME", self.home.path());
        self.environment(&mut command);
        PseudoTerminal::start(&mut command, 80, OnTerminal::All)
    }
}

const LEAVE_SCREEN: &str = "\u{1b}[?1049l";

#[test]
fn top_shows_what_runs_and_switches_a_tool_off_and_on_again() {
    let one = FakeBackend::start().tool("a").tool("z");
    let place = Place::with_runtime_folder();
    let mut gateway = place.gateway(&one.entry("one", "# kept"));
    assert_eq!(gateway.client.tool_names(), ["a", "z"]);
    let mut terminal = place.top();
    terminal.wait_for("gateways: 1  backends up: 1 of 1");
    terminal.wait_for("legacy");
    // Details, the second tool, off, yes.
    terminal.type_keys("\rjxy");
    gateway
        .client
        .next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.client.tool_names(), ["a"]);
    let file = gateway.folder().join("sentinel.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("# kept") && text.contains("deny = [\"z\"]"),
        "{text}"
    );
    // No is no; then it is undone.
    terminal.type_keys("xnu");
    gateway
        .client
        .next_notification("notifications/tools/list_changed");
    assert_eq!(gateway.client.tool_names(), ["a", "z"]);
    terminal.type_keys("q");
    terminal.wait_for(LEAVE_SCREEN);
    let (code, _) = terminal.end();
    assert_eq!(code, 0);
    gateway.end();
}

/// Its entry is not in the user's file, so one is made there.
#[test]
fn top_switches_off_what_the_administrator_has() {
    let one = FakeBackend::start().tool("a").tool("z");
    let place = Place::without_runtime_folder();
    let folder = place.home.path();
    save_administrators(folder, &one.entry("team", ""));
    save(folder, "# mine\n");
    let flags = Overrides {
        config: Some(folder.join("sentinel.toml")),
        ..Overrides::default()
    };
    let mut gateway = TestGateway::administered(folder, &flags);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a", "z"]);
    let mut command = Command::new(process::executable());
    command.arg("top").env_clear().env("HOME", folder);
    command.env("XDG_STATE_HOME", folder.join("state"));
    let mut terminal = PseudoTerminal::start(&mut command, 80, OnTerminal::All);
    terminal.wait_for("gateways: 1  backends up: 1 of 1");
    terminal.type_keys("\rjxy");
    gateway.list_until(&["a"]);
    let text = std::fs::read_to_string(folder.join("sentinel.toml")).unwrap();
    assert!(text.starts_with("# mine\n"), "{text}");
    assert!(text.contains("name = \"team\""), "{text}");
    terminal.type_keys("u");
    gateway.list_until(&["a", "z"]);
    terminal.type_keys("q");
    terminal.wait_for(LEAVE_SCREEN);
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_gateway_that_does_not_answer_delays_no_key_of_top() {
    let place = Place::with_runtime_folder();
    let folder = place.sockets();
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
    let silent = UnixListener::bind(folder.join("1-silent.sock")).unwrap();
    let mut terminal = place.top();
    // It is asked, and takes it.
    let asked = silent.accept().unwrap();
    let begun = Instant::now();
    terminal.type_keys("q");
    assert_eq!(terminal.end().0, 0);
    assert!(begun.elapsed() < Duration::from_secs(3));
    drop(asked);
    // Others are shown, and it is named, when its time is over.
    let one = FakeBackend::start().tool("a");
    let gateway = place.gateway(&one.entry("one", ""));
    place.until(1, |_| true);
    let output = place.run(&["status"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("1-silent.sock: no answer within 5 s"),
        "{said}"
    );
    assert!(String::from_utf8(output.stdout).unwrap().contains("one"));
    gateway.end();
}

#[test]
fn top_needs_a_terminal_and_leaves_it_as_it_was() {
    let place = Place::with_runtime_folder();
    let output = place.run(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("sentinel-gateway status"), "{said}");

    let mut terminal = place.top();
    terminal.wait_for("gateways: 0  backends up: 0 of 0");
    let pid = terminal.child.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.unwrap().success());
    terminal.wait_for(LEAVE_SCREEN);
    assert_eq!(terminal.end().0, 0);
}
