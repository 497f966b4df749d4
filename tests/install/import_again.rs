//! What comes along with an entry besides its URL: settings of a server that is a backend already, secrets
//! in a URL, and variables of the environment.

use serde_json::{Value, json};

use super::Home;
use crate::common::fake::FakeBackend;
use crate::common::process::{Ended, Process};

const CURSOR: &str = ".cursor/mcp.json";
const DESKTOP: &str = "Claude/claude_desktop_config.json";
const CONFIG: &str = "sentinel/sentinel.toml";

/// Writes the servers of a client.
fn write(home: &Home, file: &str, servers: &Value) {
    home.write(file, &json!({ "mcpServers": servers }).to_string());
}

/// The variables of the gateway's entry.
fn env(home: &Home, file: &str) -> Value {
    let file: Value = serde_json::from_str(&home.read(file)).unwrap();
    file["mcpServers"]["sentinel"]["env"].clone()
}

fn says(shown: &str, lines: &[&str]) {
    for line in lines {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn what_a_backend_has_not_is_added_and_what_it_keeps_is_told() {
    const URL: &str = "http://127.0.0.1:9/";
    let home = Home::empty();
    let backend = |name: &str, more: &str| {
        format!("[[backends]]\nname = \"{name}\" # mine\nurl = \"{URL}{name}\"\n{more}\n")
    };
    let before = backend("notes", "headers = { X-Team = \"core\" }")
        + &backend("docs", "")
        + &backend("tasks", "oauth = { client_id = \"mine\" }")
        + &backend("same", "bearer = { file = \"token\" }\n");
    home.write(CONFIG, &before);
    home.write("sentinel/token", "hidden-2\n");
    home.write("ca.pem", "");
    let ca = home.path("ca.pem").display().to_string();
    let servers = json!({
        "notes": { "url": format!("{URL}notes"), "headers": {
            "Authorization": "Bearer hidden-1", "x-team": "other", "X-Tenant": "acme",
        } },
        "docs": {
            "command": "npx", "args": ["mcp-remote", format!("{URL}docs"), "--resource", "r"],
            "env": { "NODE_EXTRA_CA_CERTS": ca },
        },
        "tasks": { "url": format!("{URL}tasks"), "oauth": { "clientId": "c", "scopes": "a" } },
        "same": { "url": format!("{URL}same"), "headers": { "Authorization": "Bearer hidden-2" } },
    });
    write(&home, CURSOR, &servers);
    let import = ["install", "cursor", "--import", "--keep"];
    let run = |how: &str| home.does(&[&import[..], &[how]].concat());
    let lines = [
        "    not taken over: x-team. The backend has its own value",
        "    added to notes: bearer, X-Tenant\n",
        "    added to docs: ca_file, oauth\n",
        "    not taken over: oauth. The backend has its own value",
        "  tokens go into 1 files",
    ];
    let shown = run("--dry-run");
    says(&shown, &lines);
    assert_eq!(shown.matches("not taken over").count(), 2, "{shown}");
    assert_eq!(home.read(CONFIG), before);
    says(&run("--yes"), &lines);
    let now = home.read(CONFIG);
    let read: toml::Table = now.parse().unwrap();
    let [notes, docs, tasks, _] = read["backends"].as_array().unwrap().as_slice() else {
        panic!("{now}");
    };
    assert_eq!(notes["headers"]["X-Team"].as_str(), Some("core"));
    assert_eq!(notes["headers"]["X-Tenant"].as_str(), Some("acme"));
    let file = notes["bearer"]["file"].as_str().unwrap();
    assert_eq!(home.read(&format!("sentinel/{file}")), "hidden-1\n");
    assert_eq!(docs["ca_file"].as_str(), Some(&*ca));
    assert_eq!(docs["oauth"]["resource"].as_str(), Some("r"));
    assert_eq!(tasks["oauth"]["client_id"].as_str(), Some("mine"));
    assert_eq!(now.matches("# mine").count(), 4, "{now}");
    // It has all of it now.
    let again = run("--yes");
    assert!(!again.contains("added to"), "{again}");
    assert_eq!(home.read(CONFIG), now);
}

#[test]
fn a_header_that_would_travel_unencrypted_is_not_added() {
    let home = Home::empty();
    let before = "[[backends]]\nname = \"lan\"\nurl = \"http://192.0.2.1/mcp\"\n";
    home.write(CONFIG, before);
    let entry = json!({ "url": "http://192.0.2.1/mcp", "headers": { "X-Key": "hidden" } });
    write(&home, CURSOR, &json!({ "lan": entry }));
    let shown = home.does(&["install", "cursor", "--import", "--yes"]);
    says(&shown, &["not taken over: X-Key.", "unencrypted"]);
    assert_eq!(home.read(CONFIG), before);
}

#[test]
fn each_client_sets_its_own_token_once() {
    let home = Home::empty();
    let url = "http://127.0.0.1:9/mcp";
    home.write(
        CONFIG,
        &format!(
            "[[backends]]\nname = \"notes\"\nurl = \"{url}\"\nbearer = {{ env = \"NOTES_AUTHORIZATION\" }}\n"
        ),
    );
    let entry = |token: &str| {
        let token = format!("Bearer hidden-{token}");
        json!({ "url": url, "headers": { "Authorization": token } })
    };
    write(&home, DESKTOP, &json!({ "notes": entry("1") }));
    // Two accounts of one client.
    write(
        &home,
        CURSOR,
        &json!({ "notes": entry("2"), "notes!": entry("3") }),
    );
    home.write(".gemini/settings.json", "{}");
    let clients = ["claude-desktop", "cursor", "gemini"];
    let flags = ["--import", "--tokens", "env", "--yes"];
    let shown = home.does(&[&["install"], &clients[..], &flags].concat());
    says(
        &shown,
        &[
            "tokens go into 1 variables",
            "notes! stays: its server is the backend notes already: another entry has another value for NOTES_AUTHORIZATION",
        ],
    );
    for (file, token) in [
        (DESKTOP, "hidden-1"),
        (CURSOR, "hidden-2"),
        // It has to set what the config names, too.
        (".gemini/settings.json", "hidden-1"),
    ] {
        let set = json!({ "NOTES_AUTHORIZATION": token });
        assert_eq!(env(&home, file), set, "{file}");
        let count = home.read(file).matches("NOTES_AUTHORIZATION").count();
        assert_eq!(count, 1, "{file}");
    }
    assert!(home.read(CURSOR).contains("hidden-3"));
}

#[test]
fn a_secret_in_a_url_goes_into_a_variable_of_each_entry() {
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    let url = format!("{}?mode=all&api_key=hidden-key-1", fake.url());
    let entry = json!({ "command": "npx", "args": ["-y", "mcp-remote", url] });
    for (client, file) in [("claude-desktop", DESKTOP), ("cursor", CURSOR)] {
        write(&home, file, &json!({ "my docs": entry }));
        let shown = home.does(&["install", client, "--import", "--yes"]);
        says(&shown, &["tokens go into 1 variables"]);
        if client == "claude-desktop" {
            let moved = "my-docs: api_key of its URL goes into the variable MY_DOCS_API_KEY";
            says(&shown, &[moved]);
        }
        let set = json!({ "MY_DOCS_API_KEY": "hidden-key-1" });
        assert_eq!(env(&home, file), set, "{client}");
    }
    let config = home.read(CONFIG);
    assert!(!config.contains("hidden"), "{config}");
    assert!(config.contains("?mode=all&api_key=${MY_DOCS_API_KEY}\""));
    assert_eq!(config.matches("[[backends]]").count(), 1, "{config}");
    let mut command = home.command(&[]);
    command.env("MY_DOCS_API_KEY", "hidden-key-1");
    let (folder, patience) = (tempfile::tempdir().unwrap(), crate::common::PATIENCE);
    let mut gateway = Process::start(command, folder, patience);
    gateway.client.initialize();
    gateway.client.call_until_success("note");
    gateway.end();
}

#[test]
fn what_an_entry_sets_for_its_program_comes_along_or_is_told() {
    let home = Home::empty();
    home.write("ca.pem", "");
    let entry = |name: &str, env: Value| {
        let url = format!("http://127.0.0.1:9/{name}");
        json!({ "command": "npx", "args": ["mcp-remote", url, "--enable-proxy"], "env": env })
    };
    let ca = home.path("ca.pem").display().to_string();
    let servers = json!({
        "a": entry("a", json!({
            "NODE_EXTRA_CA_CERTS": ca, "HTTPS_PROXY": "http://me:hidden@p:1", "no_proxy": "h",
        })),
        "b": entry("b", json!({
            "NODE_EXTRA_CA_CERTS": "/none/ca.pem", "HTTPS_PROXY": "http://other:1",
            "NODE_TLS_REJECT_UNAUTHORIZED": "0",
        })),
    });
    write(&home, CURSOR, &servers);
    let shown = home.does(&["install", "cursor", "--import", "--yes"]);
    says(
        &shown,
        &[
            "    NODE_EXTRA_CA_CERTS is its ca_file\n",
            "    HTTPS_PROXY goes into the env of the gateway's entry",
            "    no_proxy goes into the env",
            "    NODE_EXTRA_CA_CERTS is not taken over: it is not the absolute path of a file\n",
            "    HTTPS_PROXY is not taken over: another entry has another value",
            "    NODE_TLS_REJECT_UNAUTHORIZED is not taken over",
            "in ca_file of the backend",
        ],
    );
    assert!(!shown.contains("tokens go into"), "{shown}");
    let set = json!({ "HTTPS_PROXY": "http://me:hidden@p:1", "no_proxy": "h" });
    assert_eq!(env(&home, CURSOR), set);
    let config: toml::Table = home.read(CONFIG).parse().unwrap();
    let [a, b] = config["backends"].as_array().unwrap().as_slice() else {
        panic!("{config}");
    };
    assert_eq!(a["ca_file"].as_str(), Some(&*ca));
    assert_eq!(b.get("ca_file"), None);
}

#[test]
fn codex_passes_on_what_says_where_a_proxy_is() {
    let home = Home::new();
    home.write(
        ".codex/config.toml",
        "[mcp_servers.a]\ncommand = \"npx\"\nargs = [\"mcp-remote\", \"http://127.0.0.1:9/a\"]\nenv_vars = [\"ALL_PROXY\", \"OTHER\"]\n",
    );
    let mut command = home.command(&["install", "codex", "--import", "--yes"]);
    command.env("https_proxy", "http://p:1");
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let written = home.read(".codex/config.toml");
    let expected = "env_vars = [\"ALL_PROXY\", \"https_proxy\"]\n";
    assert!(written.contains(expected), "{written}");
}

#[test]
fn two_accounts_of_one_server_stay_apart_when_they_are_imported_again() {
    let home = Home::empty();
    for (file, key) in [(DESKTOP, "hidden-alice-1"), (CURSOR, "hidden-bob-1")] {
        let url = format!("http://127.0.0.1:9/docs?api_key={key}");
        write(&home, file, &json!({ "docs": { "url": url } }));
    }
    let both = ["install", "claude-desktop", "cursor", "--import", "--keep"];
    let import = || home.does(&[&both[..], &["--yes"]].concat());
    import();
    let config = home.read(CONFIG);
    assert_eq!(config.matches("[[backends]]").count(), 2, "{config}");
    let set = || [DESKTOP, CURSOR].map(|file| env(&home, file));
    let before = set();
    assert_eq!(before[0]["DOCS_API_KEY"], "hidden-alice-1");
    let shown = import();
    assert_eq!(home.read(CONFIG), config, "{shown}");
    assert_eq!(set(), before, "{shown}");
}

#[test]
fn a_variable_that_another_backend_has_too_gets_no_value_of_a_server() {
    let home = Home::empty();
    let url = |key: &str| format!("http://127.0.0.1:9/docs?key={key}");
    let config = format!(
        "[[backends]]\nname = \"docs\"\nurl = \"{}\"\n[[backends]]\nname = \"wiki\"\nurl = \"http://127.0.0.1:9/wiki\"\nbearer = {{ env = \"TEAM_KEY\" }}\n",
        url("${TEAM_KEY}")
    );
    home.write(CONFIG, &config);
    write(
        &home,
        CURSOR,
        &json!({ "docs": { "url": url("hidden-mine-1") } }),
    );
    let mut command = home.command(&["install", "cursor", "--import", "--keep", "--yes"]);
    command.env("TEAM_KEY", "hidden-team-1");
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let set = env(&home, CURSOR);
    assert_eq!(set.get("TEAM_KEY"), None, "{set}");
    assert_eq!(set["DOCS_2_KEY"], "hidden-mine-1", "{set}");
}

#[test]
fn a_proxy_is_brought_by_each_entry_whose_program_takes_it() {
    let home = Home::empty();
    let entry = |url: &str, more: &[&str], env: Value| {
        let args = [&["mcp-remote", url][..], more].concat();
        json!({ "command": "npx", "args": args, "env": env })
    };
    let proxy = json!({ "HTTPS_PROXY": "http://p:1" });
    let header = ["--enable-proxy", "--header", "X-Key: hidden-1"];
    let servers = json!({
        // It stays: its header would travel unencrypted.
        "a": entry("http://intranet.example/mcp", &header, proxy.clone()),
        "b": entry("http://127.0.0.1:9/b", &["--enable-proxy"], proxy),
        // That is for npx alone.
        "c": entry("http://127.0.0.1:9/c", &[], json!({ "ALL_PROXY": "http://p:2" })),
    });
    write(&home, CURSOR, &servers);
    home.does(&["install", "cursor", "--import", "--yes"]);
    assert_eq!(env(&home, CURSOR), json!({ "HTTPS_PROXY": "http://p:1" }));
}
