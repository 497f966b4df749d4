//! From a client's file of many servers to a first call through the gateway.

use std::fs;
use std::process::Command;
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::Home;
use crate::common::fake::FakeBackend;
use crate::common::process::Process;

const DESKTOP: &str = "Claude/claude_desktop_config.json";

/// Two servers by mcp-remote, one with a token, one by mcp-proxy, two programs, and one of another kind.
fn six_servers(notes: &FakeBackend, docs: &FakeBackend, tasks: &FakeBackend) -> String {
    let [notes, docs, tasks] = [notes, docs, tasks].map(FakeBackend::url);
    format!(
        r#"{{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {{
    "notes": {{ "command": "npx", "args": ["-y", "mcp-remote", "{notes}"] }},
    "Context7 Docs": {{
      "command": "npx",
      "args": ["mcp-remote@latest", "{docs}", "--header", "Authorization:${{AUTH}}"],
      "env": {{ "AUTH": "Bearer hidden-token-1" }}
    }},
    "files": {{ "command": "npx", "args": ["-y", "server-files", "/"], "env": {{ "KEY": "hidden-key" }} }},
    "tasks": {{ "command": "mcp-proxy", "args": ["-H", "X-Api-Key", "hidden-key-2", "{tasks}"] }},
    "memory": {{ "command": "uvx", "args": ["memory"] }},
    "old": {{ "command": "touch", "args": ["ran"], "disabled": true }}
  }}
}}
"#
    )
}

fn entry(home: &Home) -> Value {
    let file: Value = serde_json::from_str(&home.read(DESKTOP)).unwrap();
    file["mcpServers"]["sentinel"].clone()
}

/// Starts what the written entry says, as the client would.
fn start(home: &Home) -> Process {
    let entry = entry(home);
    let mut command = Command::new(entry["command"].as_str().unwrap());
    let args = entry["args"].as_array().unwrap();
    command.args(args.iter().map(|arg| arg.as_str().unwrap()));
    command
        .env_clear()
        .env("HOME", home.folder.path())
        .current_dir("/");
    for (name, value) in entry["env"].as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap());
    }
    Process::start(
        command,
        tempfile::tempdir().unwrap(),
        Duration::from_secs(20),
    )
}

#[test]
fn from_an_empty_home_with_six_servers_to_a_first_call() {
    let (notes, docs, tasks) = (
        FakeBackend::start().tool("note"),
        FakeBackend::start().tool("look_up"),
        FakeBackend::start().tool("do"),
    );
    let home = Home::empty();
    let before = six_servers(&notes, &docs, &tasks);
    home.write(DESKTOP, &before);
    let digest = Md5::digest(notes.url());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    for (what, text) in [
        (
            "client_info",
            r#"{"client_id":"c","issuer":"https://login.example/"}"#,
        ),
        (
            "tokens",
            r#"{"access_token":"hidden","refresh_token":"hidden"}"#,
        ),
    ] {
        let path = format!(".mcp-auth/mcp-remote-v1/{digest}_{what}.json");
        let path = home.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    let shown = home.does(&["install", "claude-desktop", "--import", "--yes"]);
    assert!(!shown.contains("hidden"), "{shown}");
    for said in [
        "notes: mcp-remote is signed in to it.",
        "login notes --take-tokens",
        "+ notes",
        "+ context7-docs",
        " (Context7 Docs is not a valid name of a backend)",
        "+ tasks",
        "files stays",
        "memory stays",
        "old stays",
        "- Context7 Docs",
        "+ sentinel",
    ] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    let left: Value = serde_json::from_str(&home.read(DESKTOP)).unwrap();
    let mut names: Vec<&String> = left["mcpServers"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["files", "memory", "old", "sentinel"]);
    let config = home.read("sentinel/sentinel.toml");
    assert!(!config.contains("hidden"), "{config}");
    assert!(config.contains("tool_name_max = 49"), "{config}");

    let mut gateway = start(&home);
    gateway.client.initialize();
    assert_eq!(gateway.client.tool_names(), ["note", "look_up", "do"]);
    for tool in ["note", "look_up", "do"] {
        gateway.client.call(tool, json!({})).result();
    }
    gateway.end();
    let sent = |fake: &FakeBackend, name: &str| {
        let call = fake.requests_of("tools/call").remove(0);
        call.header(name).map(str::to_owned)
    };
    assert_eq!(
        sent(&docs, "authorization").as_deref(),
        Some("Bearer hidden-token-1")
    );
    assert_eq!(sent(&tasks, "x-api-key").as_deref(), Some("hidden-key-2"));
    assert!(
        !home.path("ran").exists(),
        "nothing of a client's file is run"
    );

    // The same command again takes nothing twice.
    home.does(&["install", "claude-desktop", "--import", "--yes"]);
    assert_eq!(home.read("sentinel/sentinel.toml"), config);
    home.does(&["uninstall", "claude-desktop", "--yes"]);
    assert_eq!(home.read(DESKTOP), before);
}

#[cfg(unix)]
#[test]
fn tokens_are_for_the_user_alone_or_in_the_entry() {
    use std::os::unix::fs::PermissionsExt;

    let (notes, docs, tasks) = (
        FakeBackend::start().tool("note"),
        FakeBackend::start().tool("look_up"),
        FakeBackend::start().tool("do"),
    );
    let home = Home::empty();
    home.write(DESKTOP, &six_servers(&notes, &docs, &tasks));
    home.does(&["install", "claude-desktop", "--import", "--keep", "--yes"]);
    let mode = |name: &str| fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("sentinel/sentinel.toml"), 0o600);
    assert_eq!(mode("sentinel/secrets"), 0o700);
    assert_eq!(mode("sentinel/secrets/context7-docs-authorization"), 0o600);
    assert_eq!(
        home.read("sentinel/secrets/context7-docs-authorization"),
        "hidden-token-1\n"
    );
    assert!(
        home.read(DESKTOP).contains("Context7 Docs"),
        "--keep leaves the entries"
    );

    let home = Home::empty();
    home.write(DESKTOP, &six_servers(&notes, &docs, &tasks));
    let shown = home.does(&[
        "install",
        "claude-desktop",
        "--import",
        "--tokens",
        "env",
        "--yes",
    ]);
    assert!(!shown.contains("hidden"), "{shown}");
    assert_eq!(
        entry(&home)["env"]["CONTEXT7_DOCS_AUTHORIZATION"],
        "hidden-token-1"
    );
    assert!(!home.path("sentinel/secrets").exists());
    // Also after the same command again.
    home.does(&[
        "install",
        "claude-desktop",
        "--import",
        "--tokens",
        "env",
        "--yes",
    ]);
    let mut gateway = start(&home);
    gateway.client.initialize();
    gateway.client.call_until_success("look_up");
    gateway.end();
}

#[test]
fn a_second_client_gets_the_token_that_the_config_has_in_a_variable() {
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    let server = format!(
        r#"{{ "mcpServers": {{ "notes": {{ "url": "{}", "headers": {{ "Authorization": "Bearer hidden-token" }} }} }} }}"#,
        fake.url()
    );
    for (client, file) in [("claude-desktop", DESKTOP), ("cursor", ".cursor/mcp.json")] {
        home.write(file, &server);
        let shown = home.does(&["install", client, "--import", "--tokens", "env", "--yes"]);
        assert!(!shown.contains("hidden"), "{shown}");
        let file: Value = serde_json::from_str(&home.read(file)).unwrap();
        let servers = &file["mcpServers"];
        assert!(servers["notes"].is_null(), "{client}: {servers}");
        let token = &servers["sentinel"]["env"]["NOTES_AUTHORIZATION"];
        assert_eq!(token, "hidden-token", "{client}: {servers}");
    }
    let config = home.read("sentinel/sentinel.toml");
    assert_eq!(config.matches("[[backends]]").count(), 1, "{config}");
}

#[test]
fn the_name_of_a_backend_is_explained_where_the_entry_has_another() {
    let home = Home::empty();
    let entry =
        |name: &str, port: u16| format!(r#""{name}": {{ "url": "http://127.0.0.1:{port}/mcp" }}"#);
    let file = |entries: &[String]| {
        let text = format!(r#"{{ "mcpServers": {{ {} }} }}"#, entries.join(", "));
        home.write(".cursor/mcp.json", &text);
    };
    let import = || home.does(&["install", "cursor", "--import", "--keep", "--yes"]);
    let url = |port: u16| format!("http://127.0.0.1:{port}/mcp");
    file(&[entry("notes", 1), entry("My Docs", 2)]);
    let shown = import();
    for line in [
        format!("+ notes {}\n", url(1)),
        format!(
            "+ my-docs {} (My Docs is not a valid name of a backend)\n",
            url(2)
        ),
    ] {
        assert!(shown.contains(&line), "{line} in {shown}");
    }
    file(&[entry("notes", 3), entry("MY DOCS", 4), entry("My Docs", 2)]);
    let shown = import();
    for line in [
        format!(
            "+ notes-2 {} (another backend has the name notes)\n",
            url(3)
        ),
        format!(
            "+ my-docs-2 {} (MY DOCS is not a valid name of a backend, and another backend has the name my-docs)\n",
            url(4)
        ),
        format!(
            "= my-docs {} (the server of My Docs is this backend already)\n",
            url(2)
        ),
    ] {
        assert!(shown.contains(&line), "{line} in {shown}");
    }
}

#[test]
fn no_server_gets_the_token_of_another_one() {
    let names = ["my-docs", "my_docs", "my", "my-x", "outer"];
    let headers = [
        "Authorization",
        "Authorization",
        "X-Api-Key",
        "Api-Key",
        "X-Api-Key",
    ];
    let tokens = [
        "hidden-1",
        "hidden-2",
        "hidden-3",
        "hidden-4",
        "${MY_X_API_KEY}",
    ];
    for place in ["env", "file"] {
        let fakes = names.map(|_| FakeBackend::start().tool("note"));
        let home = Home::empty();
        let entries: Vec<String> = (0..names.len())
            .map(|at| {
                let prefix = if at < 2 { "Bearer " } else { "" };
                let (name, url) = (names[at], fakes[at].url());
                let (header, token) = (headers[at], &tokens[at]);
                format!(
                    r#""{name}": {{ "url": "{url}", "headers": {{ "{header}": "{prefix}{token}" }} }}"#
                )
            })
            .collect();
        home.write(
            DESKTOP,
            &format!(r#"{{ "mcpServers": {{ {} }} }}"#, entries.join(", ")),
        );
        home.does(&[
            "install",
            "claude-desktop",
            "--import",
            "--tokens",
            place,
            "--yes",
        ]);
        let entry = entry(&home);
        let mut command = home.command(&["check"]);
        for (name, value) in entry["env"].as_object().into_iter().flatten() {
            command.env(name, value.as_str().unwrap());
        }
        let outer = entry["env"]["MY_X_API_KEY"].is_null();
        assert!(outer, "the variable is the last server's: {}", entry["env"]);
        command.env("MY_X_API_KEY", "hidden-outer");
        assert!(command.output().unwrap().status.success());
        for (at, fake) in fakes.iter().enumerate() {
            let sent = fake.requests().remove(0);
            let sent = sent.header(&headers[at].to_lowercase()).unwrap().to_owned();
            let token = tokens[at].replace("${MY_X_API_KEY}", "hidden-outer");
            assert_eq!(
                sent.trim_start_matches("Bearer "),
                token,
                "{place}: {}",
                names[at]
            );
        }
    }
}

#[test]
fn a_file_of_a_token_that_is_there_is_in_nobodys_way() {
    let home = Home::empty();
    let token = "sentinel/secrets/a-authorization";
    let server = |token: &str| {
        format!(
            r#"{{ "mcpServers": {{ "a": {{ "url": "http://127.0.0.1:9/mcp", "headers": {{ "Authorization": "Bearer {token}" }} }} }} }}"#
        )
    };
    let import = || home.does(&["install", "cursor", "--import", "--keep", "--yes"]);
    // An earlier import has left it.
    home.write(token, "hidden-1\n");
    home.write(".cursor/mcp.json", &server("hidden-1"));
    import();
    assert!(
        home.read("sentinel/sentinel.toml")
            .contains("secrets/a-authorization\"")
    );
    // Another one's stays.
    fs::remove_file(home.path("sentinel/sentinel.toml")).unwrap();
    home.write(".cursor/mcp.json", &server("hidden-2"));
    import();
    assert!(
        home.read("sentinel/sentinel.toml")
            .contains("secrets/a-authorization-2\"")
    );
    assert_eq!(home.read(token), "hidden-1\n");
    assert_eq!(
        home.read("sentinel/secrets/a-authorization-2"),
        "hidden-2\n"
    );
}

#[test]
fn a_server_that_could_never_be_reached_stays_with_its_client() {
    const FILE: &str = ".cursor/mcp.json";
    let home = Home::empty();
    let lan = r#""lan": { "url": "http://192.0.2.1/mcp", "headers": { "X-Key": "hidden-1" } }"#;
    let file = |more: &str| home.write(FILE, &format!(r#"{{ "mcpServers": {{ {lan}{more} }} }}"#));
    let stays = "lan stays: credentials would travel unencrypted to another machine";
    file("");
    let refused = home.run(&["install", "cursor", "--import", "--yes"]);
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    assert!(refused.out.contains(stays), "{}", refused.out);
    assert!(!home.path("sentinel/sentinel.toml").exists());
    // What its client was allowed to do comes along, also for a token in the URL.
    file(
        r#", "here": { "url": "http://127.0.0.1:9/mcp" },
        "remote": { "command": "npx", "args": ["mcp-remote", "http://192.0.2.2/mcp?api_key=hidden-2", "--allow-http"] },
        "unset": { "url": "https://${NOT_SET}/mcp" }"#,
    );
    let shown = home.does(&["install", "cursor", "--import", "--yes"]);
    for line in [
        stays,
        "unset stays: url: the environment variable NOT_SET is not set",
        "+ here",
        "+ remote",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(!shown.contains("hidden"), "{shown}");
    let left: Value = serde_json::from_str(&home.read(FILE)).unwrap();
    let mut names: Vec<&String> = left["mcpServers"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["lan", "sentinel", "unset"]);
    let config = home.read("sentinel/sentinel.toml");
    assert!(!config.contains("192.0.2.1"), "{config}");
    let (_, remote) = config.split_once("192.0.2.2").unwrap();
    assert!(remote.contains("allow_insecure = true"), "{config}");
    assert!(!home.path("sentinel/secrets").exists());
}

#[test]
fn what_a_client_denies_stays_denied_and_its_own_rules_are_told() {
    let fake = FakeBackend::start()
        .tool("read_it")
        .tool("drop_all")
        .tool("remove_it");
    let home = Home::empty();
    let url = fake.url();
    home.write(
        ".codex/config.toml",
        &format!("[mcp_servers.notes]\nurl = \"{url}\"\ndisabled_tools = [\"drop_all\"]\n\
                  [mcp_servers.asks]\nurl = \"{url}?asks\"\ndefault_tools_approval_mode = \"prompt\"\n"),
    );
    let shown = home.does(&["install", "codex", "--import", "--yes"]);
    assert!(
        shown.contains("asks stays: its \"default_tools_approval_mode\""),
        "{shown}"
    );
    let tools = || home.does(&["tools"]);
    assert!(
        tools().contains("remove_it") && !tools().contains("drop_all"),
        "{}",
        tools()
    );

    // The same server of a client that denies more is not the same backend.
    let entry = |args: &str| {
        format!(
            r#"{{ "mcpServers": {{ "notes": {{ "command": "npx", "args": ["mcp-remote", "{url}"{args}] }} }} }}"#
        )
    };
    home.write(DESKTOP, &entry(r#", "--ignore-tool", "REMOVE_it""#));
    let shown = home.does(&["install", "claude-desktop", "--import", "--yes"]);
    assert!(
        shown.contains("notes stays: its server is the backend notes already"),
        "{shown}"
    );
    assert!(home.read(DESKTOP).contains("--ignore-tool"));

    let home = Home::empty();
    home.write(
        DESKTOP,
        &entry(r#", "--ignore-tool", "drop*", "--ignore-tool", "REMOVE_it""#),
    );
    home.does(&["install", "claude-desktop", "--import", "--yes"]);
    let tools = home.does(&["tools"]);
    assert!(
        tools.contains("read_it") && !tools.contains("drop_all") && !tools.contains("remove_it"),
        "{tools}"
    );

    let home = Home::empty();
    home.write(
        ".claude.json",
        &format!(r#"{{ "mcpServers": {{ "my docs": {{ "type": "http", "url": "{url}" }} }} }}"#),
    );
    home.write(
        ".claude/settings.json",
        r#"{ "permissions": { "deny": ["mcp__my_docs__drop_all", "mcp__other"] } }"#,
    );
    let ended = home.run(&["install", "claude-code", "--import", "--yes"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    for said in [
        "rules of its own about tools of my docs (drop_all in ",
        "tools.deny",
    ] {
        assert!(ended.err.contains(said), "{said} in {}", ended.err);
    }
}

#[test]
fn an_import_that_cannot_be_used_changes_nothing() {
    let home = Home::empty();
    let text = "{ \"mcpServers\": { \"a\": { \"url\": \"http://127.0.0.1:9/mcp\", \"headers\": { \"Bad Name\": \"x\" } } } }";
    home.write(".cursor/mcp.json", text);
    let refused = home.run(&["install", "cursor", "--import", "--yes"]);
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("can't be used"), "{}", refused.err);
    assert_eq!(home.read(".cursor/mcp.json"), text);
    assert!(!home.path("sentinel/sentinel.toml").exists());

    let asked = home.run(&["install", "cursor", "--import"]);
    assert_eq!(asked.code, 1);
    assert!(!home.path("sentinel/sentinel.toml").exists());
    home.write(".cursor/mcp.json", "{}");
    let nothing = home.run(&["install", "cursor", "--import", "--yes"]);
    assert!(
        nothing.err.contains("no server to take over"),
        "{}",
        nothing.err
    );
}

#[test]
fn a_clients_file_is_a_config_as_it_is() {
    let (notes, docs, tasks) = (
        FakeBackend::start().tool("note"),
        FakeBackend::start().tool("look_up"),
        FakeBackend::start().tool("do"),
    );
    let home = Home::empty();
    home.write("mcp.json", &six_servers(&notes, &docs, &tasks));
    let report = home.does(&["--config", "mcp.json", "check"]);
    for said in [
        "notes",
        "context7-docs",
        "tasks",
        "\"files\" is left out: it is a program",
    ] {
        assert!(report.contains(said), "{said} in {report}");
    }
    assert!(!report.contains("hidden"), "{report}");
    home.does(&["--config", "mcp.json", "call", "look_up"]);
    assert!(!home.path("mcp.lock").exists());
    assert!(!home.path("ran").exists());

    home.write(
        "vscode.jsonc",
        "// mine\n{ \"servers\": { \"a\": { \"url\": \"ftp://h\" }, } }",
    );
    let report = home.run(&["--config", "vscode.jsonc", "check"]);
    assert!(
        report.out.contains("neither http nor https"),
        "{}{}",
        report.out,
        report.err
    );
    home.write("broken.json", "{ \"mcpServers\": { \"a\": \"hidden\" ");
    let broken = home.run(&["--config", "broken.json", "check"]);
    assert_eq!(broken.code, 2);
    assert!(broken.err.contains("not valid JSON"), "{}", broken.err);
    assert!(!broken.err.contains("hidden"));
    home.write("none.json", "{}");
    assert!(
        home.run(&["--config", "none.json", "check"])
            .err
            .contains("it has no servers")
    );
}
