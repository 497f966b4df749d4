//! Every message in `docs/troubleshooting.md` is one that the gateway gives: each is provoked.
//!
//! A heading that is code is a message; `…` stands for what differs.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::markdown::Page;
use crate::common::PATIENCE;
use crate::common::authorization_server::AuthorizationServer;
use crate::common::blackhole::Blackhole;
use crate::common::fake::FakeBackend;
use crate::common::gateway::{TestGateway, save};
use crate::common::process::{self, ChildGuard};
use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};
use crate::common::reply::Reply;
use crate::common::tls::{Authority, Identity, TlsProxy};

const PAGE: &str = "docs/troubleshooting.md";
/// What stands for any text.
const ANY: char = '…';

/// The beginning of a message, enough to tell it from the others, and what the gateway prints or
/// answers in that case.
type Shown = (&'static str, fn() -> String);

const MESSAGES: &[Shown] = &[
    ("connection refused", || check(&FakeBackend::down(), "")),
    ("the name can't be resolved", no_such_name),
    ("connect timeout", connect_timeout),
    ("a private CA", || certificate(false)),
    ("the url must use a name", || certificate(true)),
    ("the server refused the request (HTTP 404)", || {
        refused(Reply::status(404), "")
    }),
    ("the server redirects", redirect),
    ("the server's answer can't be used", not_mcp),
    ("no answer within … s: try", slow_to_connect),
    ("the server wants a sign-in", || {
        refused(Reply::status(401), "")
    }),
    ("the server refuses our credentials", || {
        refused(Reply::status(401), "headers = { \"X-Key\" = \"abc\" }")
    }),
    ("needs a sign-in", not_signed_in),
    ("gateway.auth_store gives no key", no_key),
    ("the environment variable … is not set", || {
        check(&up(), "bearer = { env = \"NOT_SET\" }")
    }),
    ("the environment variable … holds", literal_variable),
    (
        "… was only found in the working folder",
        found_in_the_working_folder,
    ),
    ("credentials would travel unencrypted", || {
        check_config(
            "[[backends]]\nname = \"a\"\nurl = \"http://192.0.2.1/mcp\"\nheaders = { \"X-Key\" = \"abc\" }",
        )
    }),
    ("no configuration", || print(bare(&folder()).arg("check"))),
    ("unknown key", || {
        check_config("[gateway]\ntool_name = \"bare\"")
    }),
    ("… matches no tool", || {
        check(&up(), "tools.deny = [\"ecko\"]")
    }),
    ("the changed config is not used", changed_config),
    ("not all of the changed config is used", changed_config),
    ("these keys can't change", changed_config),
    ("unknown tool", || call(&up(), "ecko", "")),
    ("the tool MAY HAVE RUN", lost_answer),
    ("not called", open_breaker),
    ("no answer within … s", slow_tool),
    ("the server's answer is larger", large_answer),
    ("the answer does not fit into the budget", no_room),
    ("its description has changed", changed_tool),
    ("Claude Desktop is running", running_client),
    ("nothing was written", nobody_to_ask),
];

/// The messages that the page explains, in order.
fn messages(page: &Page) -> Vec<&str> {
    let headings = page
        .prose()
        .filter_map(|(_, line)| line.strip_prefix("### `"));
    headings
        .map(|rest| {
            rest.trim_end()
                .strip_suffix('`')
                .expect("a heading is one span")
        })
        .collect()
}

/// Whether the parts of a message stand in a text, in this order.
fn stands_in(message: &str, text: &str) -> bool {
    let mut rest = text;
    message.split(ANY).all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A backend with one tool.
fn up() -> FakeBackend {
    FakeBackend::start().tool("echo")
}

fn bare(folder: &TempDir) -> Command {
    let mut command = process::bare_gateway(folder);
    command.stdin(Stdio::null());
    command
}

/// What a command prints, on both streams.
fn print(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    out + &err
}

/// What a command prints with this config.
fn print_with(toml: &str, args: &[&str]) -> String {
    let folder = folder();
    std::fs::write(folder.path().join("own.toml"), toml).unwrap();
    print(bare(&folder).args(["--config", "own.toml"]).args(args))
}

fn check_config(toml: &str) -> String {
    print_with(toml, &["check"])
}

/// What `check` prints of a backend with these keys.
fn check(backend: &FakeBackend, keys: &str) -> String {
    check_config(&backend.entry("fake", &format!("retries = 0\n{keys}")))
}

/// What `call` prints.
fn call(backend: &FakeBackend, tool: &str, keys: &str) -> String {
    print_with(
        &backend.entry("fake", &format!("retries = 0\n{keys}")),
        &["call", tool],
    )
}

fn connect_timeout() -> String {
    let backend = FakeBackend::down();
    let _blackhole = Blackhole::at(([127, 0, 0, 1], backend.port()).into()).unwrap();
    check(&backend, "connect_timeout_secs = 1")
}

/// `check` of a server whose certificate nobody trusts, or one that is another host's.
fn certificate(is_trusted: bool) -> String {
    let (backend, authority) = (up(), Authority::new());
    let identity = match is_trusted {
        true => authority.issue(&["other.example"]),
        false => Identity::self_signed(&["localhost"]),
    };
    let front = TlsProxy::before(backend.port(), identity.acceptor(None, None));
    let (url, file) = (front.url("localhost"), authority.file());
    let mut toml = format!("[[backends]]\nname = \"a\"\nurl = \"{url}\"\nretries = 0\n");
    if is_trusted {
        toml += &format!("ca_file = '{}'\n", file.path().display());
    }
    check_config(&toml)
}

/// `check` of a server that gives this reply to every handshake.
fn refused(reply: Reply, keys: &str) -> String {
    let backend = up();
    for method in ["server/discover", "initialize"] {
        backend.always(method, reply.clone());
    }
    check(&backend, keys)
}

fn redirect() -> String {
    let elsewhere = Reply::status(307).header("location", "http://127.0.0.1:9/mcp");
    refused(elsewhere, "")
}

fn not_mcp() -> String {
    let page = Reply::status(200)
        .header("content-type", "text/html")
        .body("<html>Welcome</html>");
    refused(page, "")
}

fn slow_to_connect() -> String {
    let backend = up();
    backend.always("server/discover", Reply::stall());
    backend.always("initialize", Reply::stall());
    print_with(&backend.entry("fake", ""), &["check", "--timeout", "1"])
}

fn literal_variable() -> String {
    let folder = folder();
    let toml = up().entry("fake", "bearer = { env = \"N8N_TOKEN\" }");
    std::fs::write(folder.path().join("own.toml"), toml).unwrap();
    print(
        bare(&folder)
            .args(["--config", "own.toml", "check"])
            .env("N8N_TOKEN", "${N8N_TOKEN}"),
    )
}

fn found_in_the_working_folder() -> String {
    let folder = folder();
    std::fs::create_dir(folder.path().join("project")).unwrap();
    let toml = up().entry("fake", "bearer = { env = \"N8N_TOKEN\" }");
    std::fs::write(folder.path().join("project/sentinel.toml"), toml).unwrap();
    let mut command = bare(&folder);
    print(
        command
            .arg("check")
            .current_dir(folder.path().join("project"))
            .env("N8N_TOKEN", "x"),
    )
}

fn lost_answer() -> String {
    let backend = up();
    backend.always_tool("echo", Reply::hang_up().runs(true));
    call(&backend, "echo", "")
}

fn open_breaker() -> String {
    let backend = up();
    backend.always_tool("echo", Reply::status(500).runs(true));
    let mut gateway = TestGateway::with_config(&backend.entry("fake", "retries = 0"));
    gateway.initialize();
    gateway.wait_for_tool("echo");
    for _ in 0..5 {
        gateway.call("echo", json!({}));
    }
    gateway.call("echo", json!({})).message().to_owned()
}

fn slow_tool() -> String {
    let backend = up();
    backend.always_tool("echo", Reply::stall());
    call(&backend, "echo", "timeout_secs = 1")
}

fn large_answer() -> String {
    let backend = up();
    backend.always_tool("echo", Reply::text(&"x".repeat(10_000)));
    let toml = format!(
        "[gateway]\nmax_message_bytes = 8000\n{}",
        backend.entry("fake", "")
    );
    print_with(&toml, &["call", "echo"])
}

fn changed_tool() -> String {
    let folder = folder();
    let backend = FakeBackend::start().tool_with("echo", json!({ "description": "Says it" }));
    std::fs::write(folder.path().join("own.toml"), backend.entry("fake", "")).unwrap();
    let run = |command: &str| print(bare(&folder).args(["--config", "own.toml", command]));
    run("pin");
    backend.put_tool(
        "echo",
        json!({ "description": "Says it, and sends it along" }),
    );
    run("check")
}

fn nobody_to_ask() -> String {
    let folder = folder();
    std::fs::create_dir(folder.path().join(".cursor")).unwrap();
    std::fs::write(folder.path().join("own.toml"), up().entry("fake", "")).unwrap();
    print(bare(&folder).args(["--config", "own.toml", "install", "cursor"]))
}

/// A name with a part that is too long for DNS: no name server is asked.
fn no_such_name() -> String {
    let name = "x".repeat(64);
    check_config(&format!(
        "[[backends]]\nname = \"a\"\nurl = \"http://{name}.example/mcp\"\nretries = 0\n"
    ))
}

fn not_signed_in() -> String {
    let server = AuthorizationServer::start();
    check(&server.mcp, "")
}

fn no_key() -> String {
    let server = AuthorizationServer::start();
    let store = "[gateway]\nauth_store = { key_command = [\"no-such-program\"] }\n";
    let toml = format!("{store}{}", server.mcp.entry("notes", ""));
    print_with(&toml, &["login", "notes", "--no-browser"])
}

/// A gateway on a terminal, whose config is saved with a mistake, and then with a key that counts from
/// the next start on.
fn changed_config() -> String {
    let (folder, backend) = (folder(), up());
    let good = backend.entry("fake", "");
    save(folder.path(), &good);
    let mut command = bare(&folder);
    command.args(["--config", "sentinel.toml", "--only", "fake"]);
    command.args(["--log-level", "info"]);
    let mut terminal = PseudoTerminal::start(&mut command, 200, OnTerminal::All);
    terminal.wait_for("JSON-RPC");
    save(folder.path(), &(good.clone() + "timeout_sec = 1\n"));
    terminal.wait_for("is not used");
    save(
        folder.path(),
        &format!("[gateway]\nmax_message_bytes = 8000\n{good}"),
    );
    terminal.wait_for("can't change");
    save(folder.path(), &(good + "enabled = false\n"));
    terminal.wait_for("not all of");
    terminal.type_keys("\u{4}");
    terminal.end().1
}

/// An answer that takes more of the budget than one backend may.
fn no_room() -> String {
    let backend = up();
    backend.always_tool("echo", Reply::text(&"x".repeat(90_000)));
    let toml = format!(
        "[gateway]\nmax_message_bytes = 100000\nmax_buffered_bytes = 100000\n{}",
        backend.entry("fake", "retries = 0")
    );
    print_with(&toml, &["call", "echo"])
}

/// `install` beside a process that is called as the client's.
fn running_client() -> String {
    use std::os::unix::process::CommandExt;

    let mut client = Command::new("sleep");
    let client = client.arg0("claude-desktop").arg("60").spawn().unwrap();
    let _client = ChildGuard::new(client, PATIENCE);
    let folder = folder();
    std::fs::write(folder.path().join("own.toml"), up().entry("fake", "")).unwrap();
    print(bare(&folder).args(["--config", "own.toml", "install", "claude-desktop", "--yes"]))
}

#[test]
fn every_message_in_troubleshooting_is_real() {
    let page = Page::read(Path::new(PAGE));
    let explained = messages(&page);
    let names: Vec<&str> = MESSAGES.iter().map(|(beginning, _)| *beginning).collect();
    assert_eq!(
        explained.len(),
        names.len(),
        "{PAGE} and the table here differ: {explained:#?} {names:#?}"
    );
    let mut wrong = Vec::new();
    for (message, (beginning, shown)) in explained.iter().zip(MESSAGES) {
        assert!(
            message.starts_with(beginning),
            "{message} comes where {beginning} is expected"
        );
        let text = shown();
        if !stands_in(message, &text) {
            wrong.push(format!("{message}\n  is not in: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn parts_of_a_message_are_found_in_their_order() {
    assert!(stands_in(
        "no answer within … s: try",
        "x: no answer within 15 s: try a"
    ));
    assert!(!stands_in(
        "no answer within … s: try",
        "s: try no answer within 15"
    ));
}
