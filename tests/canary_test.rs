//! Hostile servers that say back every secret they are sent, in every way that ends in a message
//! of the gateway's own, and gateways that can't reach where they are sent: nothing shows.
//!
//! What every other test plants and looks through is told in `tests/common/canary.rs`.
//!
//! A binary of its own: it counts the lines that this process looked through and says that no
//! secret was among them, which must be about what it does alone.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Stdio;

use common::canary::{self, ScannedPipe};
use common::fake::FakeBackend;
use common::message;
use common::process;
use common::reply::Reply;
use common::wire::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Variables that a config fills into a URL's path and query and into a header.
const PATH: &str = "CANARY_ENV";
const TEXT: &str = "CANARY_TEXT";
const BEARER: &str = "CANARY_BEARER";

/// All that a server was sent which is a secret, in every spelling.
fn sent(request: &Request) -> String {
    let named = |(name, _): &&(String, String)| {
        name.starts_with("x-canary") || ["authorization", "cookie"].contains(&name.as_str())
    };
    let headers = request.headers.iter().filter(named);
    let headers = headers.map(|(_, value)| value.as_str());
    let mut said: Vec<String> = headers
        .chain([request.target.as_str()])
        .map(str::to_owned)
        .collect();
    for name in canary::VARIABLES.iter().chain(&["file"]) {
        let secret = match *name {
            "file" => canary::secret("file"),
            name => canary::secret(name),
        };
        said.extend(canary::encodings(&secret));
    }
    said.join(" ")
}

/// A way to say it back. None of these answers is passed on as it is.
type Echo = (&'static str, fn(&str) -> Reply);

fn plain(status: u16, said: &str) -> Reply {
    Reply::status(status)
        .header("content-type", "text/plain")
        .body(said)
}

/// One header's worth: a header has no line ends.
fn redirect(said: &str) -> Reply {
    let said = said.replace(['"', ' '], "");
    Reply::status(307).header(
        "location",
        &format!("https://elsewhere.example/{said}?t={said}"),
    )
}

const ECHOES: [Echo; 17] = [
    ("401", |said| plain(401, said)),
    ("403", |said| plain(403, said)),
    ("404", |said| plain(404, said)),
    ("400", |said| plain(400, said)),
    ("413", |said| plain(413, said)),
    ("429", |said| plain(429, said)),
    ("500", |said| plain(500, said)),
    ("503", |said| plain(503, said)),
    ("json", |said| {
        Reply::status(401).body(json!({ "error": said }).to_string())
    }),
    ("redirect", redirect),
    ("text", |said| plain(200, said)),
    ("html", |said| {
        Reply::status(200)
            .header("content-type", &said.replace('"', "'"))
            .body("…")
    }),
    ("garbage", |said| {
        Reply::status(200)
            .header("content-type", "application/json")
            .body(said)
    }),
    ("events", |said| {
        Reply::sse().body(format!("event: {said}\nid: {said}\ndata: {said}\n\n"))
    }),
    ("not-http", |said| {
        Reply::raw(format!("{said}\r\n\r\n")).then_hang_up()
    }),
    ("long", |said| plain(500, &said.repeat(200))),
    ("question", |said| {
        let question = message::request(json!(said), &format!("no/{said}"), json!({ "a": said }));
        Reply::sse().event(question).then_hang_up()
    }),
];

/// Ways that concern a handshake alone.
const GREETINGS: [Echo; 4] = [
    ("refusal", |said| Reply::json(&message::error(-32000, said))),
    ("version", |said| {
        Reply::result(json!({ "protocolVersion": said, "capabilities": {}, "serverInfo": {} }))
    }),
    ("server", |said| {
        let info = json!({ "name": said, "version": said });
        Reply::result(json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": info,
        }))
    }),
    ("unsupported", |said| {
        let error = message::error_with(-32022, said, &json!({ "supported": [said] }));
        Reply::json_as(400, &error)
    }),
];

/// A backend that says it back to what `is_meant`, and its entry in a config.
fn hostile((name, echo): Echo, is_meant: fn(&Request) -> bool) -> (FakeBackend, String) {
    let fake = FakeBackend::start().tool("echo").without_sessions();
    let fake = fake.respond_with(move |request| {
        let has_answer = !request.message["id"].is_null();
        (has_answer && is_meant(request)).then(|| echo(&sent(request)))
    });
    let url = fake
        .url()
        .replace("/mcp", &format!("/${{{PATH}}}/mcp?key=${{{TEXT}}}"));
    let entry = format!(
        "[[backends]]\nname = \"{name}\"\nurl = \"{url}\"\nretries = 1\ntimeout_secs = 3\n\
         headers = {{ Authorization = \"Token ${{{BEARER}}}\", X-Canary-File = {{ file = 'canary' }} }}\n"
    );
    (fake, entry)
}

fn at_handshake(request: &Request) -> bool {
    ["initialize", "server/discover"].contains(&request.kind())
}

fn at_call(request: &Request) -> bool {
    request.kind() == "tools/call"
}

fn at_list(request: &Request) -> bool {
    request.kind() == "tools/list"
}

/// What a command or a session said.
struct Said {
    out: String,
    err: String,
}

/// Runs the binary in this folder, with `input` on its stdin.
fn said_by(folder: &TempDir, arguments: &[&str], input: &str, more: &[(&str, &str)]) -> Said {
    use std::io::{Read, Write};
    let mut child = process::spawn(
        process::bare_gateway(folder)
            .args(arguments)
            .envs(more.iter().copied())
            .env("RUST_LOG", "trace")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = ScannedPipe::new("stdout", child.stdout.take().unwrap());
    let mut stderr = ScannedPipe::new("stderr", child.stderr.take().unwrap());
    let log = std::thread::spawn(move || {
        let mut err = String::new();
        stderr.read_to_string(&mut err).map(|_| err)
    });
    // A command that wants no input may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let mut out = String::new();
    stdout.read_to_string(&mut out).unwrap();
    child.wait().unwrap();
    let err = log.join().unwrap().unwrap();
    Said { out, err }
}

fn folder_with(toml: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sentinel.toml"), toml).unwrap();
    fs::write(folder.path().join("canary"), canary::secret("file")).unwrap();
    folder
}

/// A client's session: the handshake, the list, and a call of each of these tools.
fn session(tools: &[String]) -> String {
    let mut lines = String::new();
    let mut ask = |id: usize, method: &str, params: Value| {
        lines +=
            &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        lines.push('\n');
    };
    ask(
        0,
        "initialize",
        json!({
            "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "test", "version": "1" },
        }),
    );
    ask(1, "tools/list", json!({}));
    for (number, tool) in tools.iter().enumerate() {
        ask(
            number + 2,
            "tools/call",
            json!({ "name": tool, "arguments": {} }),
        );
    }
    lines
}

const CONFIG: [&str; 2] = ["--config", "sentinel.toml"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&CONFIG[..], more].concat()
}

fn assert_none_shows() {
    canary::assert_no_leaks();
    eprintln!("canary hits: 0 of {} lines", canary::scanned_lines());
}

/// Every command, and a client's session with the log as text and as JSON, before servers that
/// say back what they are sent where `is_meant`.
fn say_back(echoes: &[Echo], is_meant: fn(&Request) -> bool) -> Vec<Value> {
    let hostile: Vec<_> = echoes.iter().map(|echo| hostile(*echo, is_meant)).collect();
    let entries = hostile.iter().map(|(_, entry)| entry.as_str());
    let gateway = "[gateway]\ntool_names = \"prefixed\"\ndrain_ms = 4000\n";
    let folder = folder_with(&(gateway.to_owned() + &entries.collect::<String>()));
    let tools: Vec<String> = echoes
        .iter()
        .map(|(name, _)| format!("{name}__echo"))
        .collect();
    let commands: [&[&str]; 7] = [
        &["check"],
        &["check", "--json"],
        &["tools"],
        &["tools", "--json"],
        &["resources", "--json"],
        &["call", &tools[0]],
        &["call", &tools[0], "--json"],
    ];
    std::thread::scope(|scope| {
        for arguments in commands {
            let folder = &folder;
            scope.spawn(move || said_by(folder, &with(arguments), "", &[]));
        }
        let sessions = ["text", "json"].map(|format| {
            let (folder, tools) = (&folder, &tools);
            scope.spawn(move || {
                let flags = with(&["--log-format", format]);
                said_by(folder, &flags, &session(tools), &[]).out
            })
        });
        let said = sessions.map(|said| said.join().unwrap());
        let lines = said.iter().flat_map(|out| out.lines());
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    })
}

/// Every call has had its answer.
fn all_answered(said: &[Value], calls: usize) {
    let answers = said.iter().filter(|message| !message["id"].is_null());
    assert_eq!(answers.count(), 2 * (calls + 2), "{said:#?}");
}

#[test]
fn secrets_echoed_in_a_handshake_are_not_shown() {
    let echoes = [&ECHOES[..], &GREETINGS].concat();
    all_answered(&say_back(&echoes, at_handshake), echoes.len());
    assert_none_shows();
}

#[test]
fn secrets_echoed_in_a_list_are_not_shown() {
    all_answered(&say_back(&ECHOES, at_list), ECHOES.len());
    assert_none_shows();
}

#[test]
fn secrets_echoed_in_a_call_are_not_shown() {
    let said = say_back(&ECHOES, at_call);
    all_answered(&said, ECHOES.len());
    let ours = |message: &&Value| message["error"]["data"]["source"] == "gateway";
    let ours = said.iter().filter(ours).count();
    assert_eq!(
        ours,
        2 * ECHOES.len(),
        "not each call got as far as the server"
    );
    assert_none_shows();
}

#[test]
fn secrets_of_unreachable_backends_are_not_shown() {
    let (fake, down) = (FakeBackend::start(), FakeBackend::down());
    let port = |fake: &FakeBackend| fake.url().split([':', '/']).nth(4).unwrap().to_owned();
    let (up, down) = (port(&fake), port(&down));
    let tail = format!(
        "${{{PATH}}}/mcp?key=${{{TEXT}}}&literal={}",
        canary::secret("l").replace('"', "%22")
    );
    let keys = format!(
        "allow_insecure = true\nretries = 0\nconnect_timeout_secs = 1\nbearer = {{ env = \"{BEARER}\" }}"
    );
    let toml: String = [
        ("tls", format!("https://127.0.0.1:{up}/{tail}")),
        ("refused", format!("http://127.0.0.1:{down}/{tail}")),
        // Through a proxy that isn't there, whose own password is a secret.
        ("proxied", format!("http://192.0.2.1/{tail}")),
        ("host", format!("http://${{{PATH}}}.invalid/mcp")),
        ("port", format!("http://127.0.0.1:${{{PATH}}}/mcp")),
    ]
    .iter()
    .map(|(name, url)| format!("[[backends]]\nname = \"{name}\"\nurl = '{url}'\n{keys}\n"))
    .collect();
    let folder = folder_with(&toml);
    let proxy = format!(
        "http://user:{}@127.0.0.1:{down}",
        canary::secret("proxy").replace(['"', '/'], "")
    );
    let proxies = [
        ("http_proxy", proxy.as_str()),
        ("https_proxy", proxy.as_str()),
    ];
    for arguments in [
        &["check"][..],
        &["check", "--json"],
        &["tools"],
        &["call", "x"],
    ] {
        said_by(&folder, &with(arguments), "", &proxies);
    }
    let said = said_by(&folder, &with(&[]), &session(&["x".into()]), &proxies);
    for name in ["tls", "refused", "proxied", "host", "port"] {
        assert!(
            said.out.contains(&format!("{name} is down")),
            "{name}: {}",
            said.out
        );
    }
    assert_none_shows();
}

#[test]
fn secrets_of_an_invalid_config_are_not_shown() {
    let word = canary::secret("literal").replace(['"', '/'], "");
    for toml in [
        format!(
            "[[backends]]\nname = '{word}'\nurl = '{word}'\nbearer = '{word}'\nprotocol = '{word}'"
        ),
        format!("[[backends]]\nname = 'a'\nurl = 'ftp://{word}@h/{word}'\nheaders = ['{word}']"),
        format!("[[backends]]\nname = 'a'\nurl = 'http://{word}:{word}@127.0.0.1/'"),
        format!(
            "[[backends]]\nname = 'a'\nurl = 'http://127.0.0.1/'\nheaders = {{ 'X Y' = '{word}', X = \"{word}\\n\" }}"
        ),
        format!("bearer = {word}"),
        format!("[gateway\n'{word}"),
    ] {
        let folder = folder_with(&toml);
        let said = said_by(&folder, &with(&["check"]), "", &[]);
        assert!(said.err.contains("sentinel.toml"), "{}", said.err);
        said_by(&folder, &with(&[]), &session(&[]), &[]);
    }
    assert_none_shows();
}

/// The looking itself: what it would find if it were there.
#[test]
fn the_scan_finds_every_encoding_of_a_secret() {
    let found_in = |said: &str| canary::contains_secret(said.as_bytes());
    for spelling in canary::encodings(&canary::secret("any")) {
        assert!(found_in(&format!("so: {spelling}!")), "{spelling}");
    }
    assert!(!found_in("canary"));
}
