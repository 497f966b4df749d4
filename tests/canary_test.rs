//! The gateway's output shows no secret: not with hostile servers that echo every secret in every
//! response that becomes one of the gateway's own messages or is kept, and not with unreachable
//! servers.
//!
//! `tests/common/canary.rs` plants and scans for secrets in all tests.
//!
//! A separate binary: it reports how many lines its process has scanned, which must not include
//! lines of other tests.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use common::canary::{self, ScannedPipe};
use common::fake::FakeBackend;
use common::gateway::TestGateway;
use common::message;
use common::process;
use common::reply::Reply;
use common::wire::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Variables that the config uses in a URL's path and query and in a header.
const PATH: &str = "CANARY_ENV";
const TEXT: &str = "CANARY_TEXT";
const BEARER: &str = "CANARY_BEARER";

/// Every secret that the server was sent, in every encoding.
fn sent(request: &Request) -> String {
    let named = |(name, _): &&(String, String)| {
        name.starts_with("x-canary") || ["authorization", "cookie"].contains(&name.as_str())
    };
    let headers = request.headers.iter().filter(named);
    let headers = headers.map(|(_, value)| value.as_str());
    let mut secrets: Vec<String> = headers
        .chain([request.target.as_str()])
        .map(str::to_owned)
        .collect();
    for name in canary::VARIABLES.iter().chain(&["file"]) {
        let secret = match *name {
            "file" => canary::secret("file"),
            name => canary::secret(name),
        };
        secrets.extend(canary::encodings(&secret));
    }
    secrets.join(" ")
}

/// A way to echo the secrets. The gateway passes none of these responses on unchanged.
type Echo = (&'static str, fn(&str) -> Reply);

fn plain(status: u16, output: &str) -> Reply {
    Reply::status(status)
        .header("content-type", "text/plain")
        .body(output)
}

/// The secrets without characters that a header can't have.
fn redirect(output: &str) -> Reply {
    let output = output.replace(['"', ' '], "");
    Reply::status(307).header(
        "location",
        &format!("https://elsewhere.example/{output}?t={output}"),
    )
}

const ECHOES: [Echo; 17] = [
    ("401", |output| plain(401, output)),
    ("403", |output| plain(403, output)),
    ("404", |output| plain(404, output)),
    ("400", |output| plain(400, output)),
    ("413", |output| plain(413, output)),
    ("429", |output| plain(429, output)),
    ("500", |output| plain(500, output)),
    ("503", |output| plain(503, output)),
    ("json", |output| {
        Reply::status(401).body(json!({ "error": output }).to_string())
    }),
    ("redirect", redirect),
    ("text", |output| plain(200, output)),
    ("html", |output| {
        Reply::status(200)
            .header("content-type", &output.replace('"', "'"))
            .body("…")
    }),
    ("garbage", |output| {
        Reply::status(200)
            .header("content-type", "application/json")
            .body(output)
    }),
    ("events", |output| {
        Reply::sse().body(format!("event: {output}\nid: {output}\ndata: {output}\n\n"))
    }),
    ("not-http", |output| {
        Reply::raw(format!("{output}\r\n\r\n")).then_hang_up()
    }),
    ("long", |output| plain(500, &output.repeat(200))),
    ("question", |output| {
        let question = message::request(
            json!(output),
            &format!("no/{output}"),
            json!({ "a": output }),
        );
        Reply::sse().event(question).then_hang_up()
    }),
];

/// Echoes that apply only to a handshake.
const HANDSHAKE_ECHOES: [Echo; 4] = [
    ("refusal", |output| {
        Reply::json(&message::error(-32000, output))
    }),
    ("version", |output| {
        Reply::result(json!({ "protocolVersion": output, "capabilities": {}, "serverInfo": {} }))
    }),
    ("server", |output| {
        let info = json!({ "name": output, "version": output });
        Reply::result(json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": info,
        }))
    }),
    ("unsupported", |output| {
        let error = message::error_with(-32022, output, &json!({ "supported": [output] }));
        Reply::json_as(400, &error)
    }),
];

/// A backend that answers requests for which `is_meant` holds with this echo, and its config entry.
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

/// The output of a command or a session.
struct Output {
    out: String,
    err: String,
}

/// Runs the binary in this folder, with `input` on its stdin.
fn output_of(folder: &TempDir, arguments: &[&str], input: &str, more: &[(&str, &str)]) -> Output {
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
    // A command that reads no input may have exited.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let mut out = String::new();
    stdout.read_to_string(&mut out).unwrap();
    child.wait().unwrap();
    let err = log.join().unwrap().unwrap();
    Output { out, err }
}

fn folder_with(toml: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sentinel.toml"), toml).unwrap();
    fs::write(folder.path().join("canary"), canary::secret("file")).unwrap();
    folder
}

/// The input of a client's session: the handshake, the list, and a call of each of these tools.
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

fn assert_none_shown() {
    canary::assert_no_leaks();
    eprintln!("secrets found: 0 in {} lines", canary::scanned_lines());
}

/// Runs every command, and a client's session with the log as text and as JSON, with hostile
/// servers. Returns the messages of the sessions.
fn run_with_echoes(echoes: &[Echo], is_meant: fn(&Request) -> bool) -> Vec<Value> {
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
            scope.spawn(move || output_of(folder, &with(arguments), "", &[]));
        }
        let sessions = ["text", "json"].map(|format| {
            let (folder, tools) = (&folder, &tools);
            scope.spawn(move || {
                let flags = with(&["--log-format", format]);
                output_of(folder, &flags, &session(tools), &[]).out
            })
        });
        let output = sessions.map(|output| output.join().unwrap());
        let lines = output.iter().flat_map(|out| out.lines());
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    })
}

/// Asserts that every request of both sessions got a response.
fn assert_all_answered(output: &[Value], calls: usize) {
    let answers = output.iter().filter(|message| !message["id"].is_null());
    assert_eq!(answers.count(), 2 * (calls + 2), "{output:#?}");
}

#[test]
fn secrets_echoed_in_a_handshake_are_not_shown() {
    let echoes = [&ECHOES[..], &HANDSHAKE_ECHOES].concat();
    assert_all_answered(&run_with_echoes(&echoes, at_handshake), echoes.len());
    assert_none_shown();
}

#[test]
fn secrets_echoed_in_a_list_are_not_shown() {
    assert_all_answered(&run_with_echoes(&ECHOES, at_list), ECHOES.len());
    assert_none_shown();
}

#[test]
fn secrets_echoed_in_a_call_are_not_shown() {
    let output = run_with_echoes(&ECHOES, at_call);
    assert_all_answered(&output, ECHOES.len());
    let ours = |message: &&Value| message["error"]["data"]["source"] == "gateway";
    let ours = output.iter().filter(ours).count();
    assert_eq!(ours, 2 * ECHOES.len(), "not every call reached its server");
    assert_none_shown();
}

/// The client itself gets results unchanged, so that its side isn't scanned.
#[test]
fn secrets_in_arguments_and_results_are_in_neither_audit_file_nor_log_file() {
    use std::io::Write;

    let echo: Echo = ("result", |output| Reply::text(output));
    let (_fake, entry) = hostile(echo, at_call);
    let outputs = "[gateway]\ndrain_ms = 4000\n[audit]\nfile = \"logs/audit.jsonl\"\narguments = \"all\"\n\
                   [log]\nfile = \"logs/gateway.log\"\nlevel = \"trace\"\n";
    let folder = folder_with(&(outputs.to_owned() + &entry));
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let mut lines = session(&["echo".into()]);
    for name in [PATH, TEXT, BEARER] {
        let arguments =
            json!({ "a": canary::secret(name), canary::secret(name): [canary::secret("file")] });
        let params = json!({ "name": "echo", "arguments": arguments });
        lines += &json!({ "jsonrpc": "2.0", "id": name, "method": "tools/call", "params": params })
            .to_string();
        lines.push('\n');
    }
    let mut child = process::spawn(
        process::bare_gateway(&folder)
            .args(CONFIG)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let audit = fs::read_to_string(logs.join("audit.jsonl")).unwrap();
    let records: Vec<Value> = (audit.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 4);
    for record in &records {
        assert!(record["result"].to_string().contains("***"), "{record}");
    }
    // Calls end in any order; one has no arguments.
    let hidden = records
        .iter()
        .filter(|record| record["arguments"].to_string().contains("***"));
    assert_eq!(hidden.count(), 3, "{audit}");
    assert!(
        fs::read_to_string(logs.join("gateway.log"))
            .unwrap()
            .contains("tool=\"echo\"")
    );
    assert_eq!(scan_files(&logs), 2);
    assert_none_shown();
}

/// A server that writes every secret into everything that it says of itself and lists.
fn boaster(era: &'static str, more: &Arc<Mutex<String>>) -> (FakeBackend, String) {
    let more = Arc::clone(more);
    let fake = FakeBackend::start().without_sessions();
    let fake = match era {
        "modern" => fake.modern(),
        _ => fake,
    };
    let fake = fake.respond_with(move |request| {
        let said = sent(request) + &more.lock().unwrap();
        let secret = canary::secret("file");
        let capabilities = json!({
            "tools": {}, "prompts": {}, "resources": {},
            "extensions": { "example/x": { "said": secret }, "example/y": { secret.clone(): 1 } },
        });
        let info = json!({ "name": said, "version": said, "title": said });
        let schema = json!({
            "type": "object", "description": said,
            "properties": { "a": { "description": said, "enum": [said], "default": said } },
        });
        let result = match request.kind() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": capabilities,
                "serverInfo": info, "instructions": said,
            }),
            "server/discover" if era == "modern" => json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": capabilities, "instructions": said,
                "_meta": { "io.modelcontextprotocol/serverInfo": info },
            }),
            "tools/list" => json!({ "tools": [
                { "name": "shown", "title": said, "description": said, "inputSchema": schema,
                  "outputSchema": schema, "annotations": { "title": said }, "_meta": { "m": said },
                  "icons": [{ "src": said }], "other": [said] },
                { "name": secret, "inputSchema": { "type": "object" } },
                { "name": "keyed", "inputSchema": { "type": "object", "properties": { said.clone(): {} } } },
                { "name": "header", "inputSchema": { "type": "object", "properties": {
                    "a": { "type": "string", "x-mcp-header": said } } } },
            ] }),
            "prompts/list" => json!({ "prompts": [
                { "name": "shown", "description": said, "arguments": [{ "name": said, "description": said }] },
                { "name": secret },
            ] }),
            "resources/list" => json!({ "resources": [
                { "uri": "file:///shown", "name": said, "description": said, "mimeType": said },
                { "uri": format!("file:///{secret}"), "name": "named" },
            ] }),
            "resources/templates/list" => json!({ "resourceTemplates": [
                { "uriTemplate": format!("file:///{{x}}/{secret}"), "name": said },
            ] }),
            _ => return None,
        };
        Some(Reply::result(result))
    });
    let url = fake
        .url()
        .replace("/mcp", &format!("/${{{PATH}}}/mcp?key=${{{TEXT}}}"));
    let entry = format!(
        "[[backends]]\nname = \"{era}\"\nurl = \"{url}\"\n\
         headers = {{ Authorization = \"Token ${{{BEARER}}}\", X-Canary-File = {{ file = 'canary' }} }}\n"
    );
    (fake, entry)
}

/// Scans every file below a folder, and returns how many there are.
fn scan_files(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => scan_files(&entry.path()),
            false => {
                let (path, text) = (entry.path(), fs::read(entry.path()).unwrap());
                canary::scan("a file", path.as_os_str().as_encoded_bytes());
                canary::scan("a file", &text);
                1
            }
        })
        .sum()
}

#[test]
fn secrets_in_definitions_are_neither_shown_nor_kept() {
    let more = Arc::default();
    let boasters = ["legacy", "modern"].map(|era| boaster(era, &more));
    let entries: String = boasters.iter().map(|(_, entry)| entry.as_str()).collect();
    let folder = folder_with(&entries);
    let state = folder.path().join("state").display().to_string();
    let run = |arguments: &[&str], input: &str| {
        output_of(
            &folder,
            &with(arguments),
            input,
            &[("XDG_STATE_HOME", &state)],
        )
    };
    let mut lines = session(&["shown".into()]);
    for (id, method) in [
        ("p", "prompts/list"),
        ("r", "resources/list"),
        ("t", "resources/templates/list"),
    ] {
        lines += &json!({ "jsonrpc": "2.0", "id": id, "method": method }).to_string();
        lines.push('\n');
    }
    // A call waits for the lists, which are then kept.
    run(&["call", "shown"], "");
    let served = run(&[], &lines);
    assert!(served.out.contains("\"shown\""), "{}", served.out);
    assert!(served.out.contains("***"), "{}", served.out);
    run(&["--log-format", "json"], &lines);
    for arguments in [
        &["check"][..],
        &["check", "--json"],
        &["tools"],
        &["tools", "--json"],
        &["prompts"],
        &["prompts", "--json"],
        &["resources"],
        &["resources", "--json"],
        &["call", "shown"],
        &["pin", "--dry-run", "--json"],
        &["pin"],
    ] {
        run(arguments, "");
    }
    // The definitions change, so that the difference is shown.
    *more.lock().unwrap() = canary::secret("more");
    for arguments in [
        &["pin", "--dry-run"][..],
        &["pin", "--dry-run", "--json"],
        &["check"],
    ] {
        let shown = run(arguments, "");
        assert!(shown.out.contains("changed"), "{}", shown.out);
    }
    run(&[], &lines);

    fs::remove_file(folder.path().join("canary")).unwrap();
    assert!(
        scan_files(folder.path()) >= 4,
        "config, lock and two cached listings"
    );
    assert_none_shown();
}

#[test]
fn secrets_in_definitions_do_not_reach_the_client() {
    let more = Arc::default();
    let boasters = ["legacy", "modern"].map(|era| boaster(era, &more));
    let entries: String = boasters.iter().map(|(_, entry)| entry.as_str()).collect();
    let mut gateway = TestGateway::with_config(&entries);
    gateway.initialize();
    let mut lists = String::new();
    for method in [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        lists += &gateway.ask(method, json!({})).result().to_string();
    }
    gateway.modern(json!({}));
    lists += &gateway
        .ask("server/discover", json!({}))
        .result()
        .to_string();
    for shown in ["\"shown\"", "\"modern__shown\"", "example/x", "***"] {
        assert!(lists.contains(shown), "{shown} in {lists}");
    }
    drop(gateway);
    assert_none_shown();
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
        // Through an unreachable proxy, whose password is a secret.
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
        output_of(&folder, &with(arguments), "", &proxies);
    }
    let output = output_of(&folder, &with(&[]), &session(&["x".into()]), &proxies);
    for name in ["tls", "refused", "proxied"] {
        assert!(
            output.out.contains(&format!("{name} (con")),
            "{name}: {}",
            output.out
        );
    }
    assert_none_shown();
}

#[test]
fn secrets_of_an_invalid_config_are_not_shown() {
    let secret = canary::secret("literal").replace(['"', '/'], "");
    for toml in [
        format!(
            "[[backends]]\nname = '{secret}'\nurl = '{secret}'\nbearer = '{secret}'\nprotocol = '{secret}'"
        ),
        format!(
            "[[backends]]\nname = 'a'\nurl = 'ftp://{secret}@h/{secret}'\nheaders = ['{secret}']"
        ),
        format!("[[backends]]\nname = 'a'\nurl = 'http://{secret}:{secret}@127.0.0.1/'"),
        format!(
            "[[backends]]\nname = 'a'\nurl = 'http://127.0.0.1/'\nheaders = {{ 'X Y' = '{secret}', X = \"{secret}\\n\" }}"
        ),
        format!("bearer = {secret}"),
        format!("[gateway\n'{secret}"),
    ] {
        let folder = folder_with(&toml);
        let output = output_of(&folder, &with(&["check"]), "", &[]);
        assert!(output.err.contains("sentinel.toml"), "{}", output.err);
        output_of(&folder, &with(&[]), &session(&[]), &[]);
    }
    assert_none_shown();
}

#[test]
fn the_scan_finds_every_encoding_of_a_secret() {
    let found_in = |output: &str| canary::contains_secret(output.as_bytes());
    for spelling in canary::encodings(&canary::secret("any")) {
        assert!(found_in(&format!("so: {spelling}!")), "{spelling}");
    }
    assert!(!found_in("canary"));
}
