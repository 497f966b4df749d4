use serde_json::json;

use super::*;

fn read(value: Value) -> Server {
    server(&Entry {
        name: "a".to_owned(),
        value,
        node: crate::client_config::entry::Node::Flag(false),
        raw: String::new(),
        start: 0,
    })
}

fn remote_of(value: Value) -> (String, Vec<(String, String)>) {
    match read(value.clone()) {
        Server::Remote(remote) => (remote.url, remote.headers),
        other => panic!("{value}: {other:?}"),
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn servers_over_http_are_found_in_every_spelling() {
    let url = "https://h/mcp".to_owned();
    for value in [
        json!({ "url": "https://h/mcp" }),
        json!({ "type": "http", "url": "https://h/mcp" }),
        json!({ "type": "sse", "url": "https://h/mcp" }),
        json!({ "serverUrl": "https://h/mcp" }),
        json!({ "httpUrl": "https://h/mcp" }),
        json!({ "type": "streamable_http", "uri": "https://h/mcp" }),
        json!({ "command": "npx", "args": ["mcp-remote", "https://h/mcp"] }),
        json!({ "command": "npx", "args": ["-y", "mcp-remote@latest", "https://h/mcp", "8080", "--transport", "http-only"] }),
        json!({ "command": "/usr/bin/npx", "args": ["-y", "mcp-remote@0.1.2", "https://h/mcp"] }),
        json!({ "command": "cmd", "args": ["/c", "npx", "mcp-remote", "https://h/mcp"] }),
        json!({ "type": "local", "command": ["bunx", "mcp-remote", "https://h/mcp"] }),
        json!({ "command": "node", "args": ["/x/mcp-remote", "https://h/mcp"] }),
        json!({ "command": "uvx", "args": ["mcp-proxy", "--transport", "streamablehttp", "https://h/mcp"] }),
        json!({ "command": "C:\\tools\\mcp-proxy.exe", "args": ["--transport=sse", "https://h/mcp"] }),
    ] {
        assert_eq!(remote_of(value), (url.clone(), vec![]));
    }
}

#[test]
fn a_url_without_a_path_keeps_meaning_the_root() {
    assert_eq!(remote_of(json!({ "url": "https://h" })).0, "https://h/");
    assert_eq!(remote_of(json!({ "url": "https://h/" })).0, "https://h/");
}

#[test]
fn headers_keep_their_variables_and_take_those_of_the_entry() {
    for (value, headers) in [
        (
            json!({ "url": "https://h", "headers": { "Authorization": "Bearer ${TOKEN}", "X": "${env:KEY:-k}" } }),
            vec![
                pair("Authorization", "Bearer ${TOKEN}"),
                pair("X", "${KEY:-k}"),
            ],
        ),
        (
            json!({ "type": "remote", "url": "https://h", "headers": { "X": "a{env:KEY}" } }),
            vec![pair("X", "a${KEY}")],
        ),
        (
            json!({ "url": "https://h", "bearer_token_env_var": "T", "http_headers": { "A": "b" }, "env_http_headers": { "C": "D" } }),
            vec![
                pair("A", "b"),
                pair("C", "${D}"),
                pair("Authorization", "Bearer ${T}"),
            ],
        ),
        (
            json!({ "command": "npx", "args": ["mcp-remote", "https://h", "--header", "Authorization:${AUTH}", "--header", "X: y"], "env": { "AUTH": "Bearer t" } }),
            vec![pair("Authorization", "Bearer t"), pair("X", "y")],
        ),
        (
            json!({ "command": "mcp-proxy", "args": ["-H", "X", "y", "https://h"], "env": { "API_ACCESS_TOKEN": "t" } }),
            vec![pair("X", "y"), pair("Authorization", "Bearer t")],
        ),
    ] {
        assert_eq!(remote_of(value).1, headers);
    }
}

#[test]
fn what_only_the_client_can_use_stays_with_a_reason() {
    for (value, reason) in [
        (
            json!({ "command": "npx", "args": ["server-files", "/"] }),
            "program",
        ),
        (
            json!({ "command": "mcp-proxy", "args": ["--port", "80", "uvx", "x"] }),
            "program",
        ),
        (
            json!({ "command": "mcp-proxy", "args": ["uvx", "x"] }),
            "program",
        ),
        (
            json!({ "command": "sh", "args": ["-c", "x", "mcp-remote", "https://h"] }),
            "program",
        ),
        (
            json!({ "command": "npx", "args": ["mcp-remote"] }),
            "program",
        ),
        (
            json!({ "url": "https://h", "headersHelper": "rm -rf" }),
            "not run",
        ),
        (
            json!({ "url": "https://h", "headers": { "X": "${input:key}" } }),
            "asks",
        ),
        (
            json!({ "url": "https://h", "headers": { "X": "{file:key}" } }),
            "only the client",
        ),
        (
            json!({ "url": "https://h", "headers": { "X": "${broken" } }),
            "closing",
        ),
        (json!({ "url": "https://me:pass@h" }), "password"),
        (json!({ "url": "/mcp" }), "not valid"),
        (json!({ "type": "ws", "url": "wss://h" }), "WebSocket"),
        (
            json!({ "url": "https://h", "disabled": true }),
            "switched off",
        ),
        (json!({}), "neither"),
        (json!("text"), "neither"),
    ] {
        match read(value.clone()) {
            Server::Stays(why) => assert!(why.contains(reason), "{value}: {why}"),
            other => panic!("{value}: {other:?}"),
        }
    }
}

#[test]
fn our_own_entry_is_known_wherever_it_is() {
    for command in [
        "sentinel-gateway",
        "/opt/sentinel-gateway",
        "C:\\a b\\sentinel-gateway.exe",
    ] {
        assert_eq!(read(json!({ "command": command })), Server::Ours);
        assert_eq!(
            read(json!({ "command": [command, "--config"] })),
            Server::Ours
        );
    }
}
