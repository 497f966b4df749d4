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
    for (url, expected) in [
        ("https://h/", "https://h/"),
        ("https://h?k=v/w", "https://h/?k=v/w"),
        ("https://h?k=${K}", "https://h/?k=${K}"),
        ("https://h/mcp?k=v", "https://h/mcp?k=v"),
        ("https://${H}", "https://${H}"),
        ("https://${H:-h?k}?k=v", "https://${H:-h?k}?k=v"),
        ("${BASE:-https://h}", "${BASE:-https://h}"),
    ] {
        assert_eq!(remote_of(json!({ "url": url })).0, expected);
    }
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
fn limits_on_tools_and_what_signing_in_takes_come_along() {
    let url = "https://h/mcp";
    let read_all = |value: Value| match read(value.clone()) {
        Server::Remote(remote) => *remote,
        other => panic!("{value}: {other:?}"),
    };
    for (value, allow, deny) in [
        (
            json!({ "url": url, "enabled_tools": ["a*"], "disabled_tools": ["b"] }),
            Some(vec!["a[*]"]),
            vec!["b"],
        ),
        (
            json!({ "httpUrl": url, "includeTools": [], "excludeTools": ["b"] }),
            Some(vec![]),
            vec!["b"],
        ),
        (
            json!({ "serverUrl": url, "disabledTools": ["b", "c"] }),
            None,
            vec!["b", "c"],
        ),
        (json!({ "url": url, "tools": ["*"] }), None, vec![]),
        (
            json!({ "url": url, "tools": ["a"] }),
            Some(vec!["a"]),
            vec![],
        ),
        (
            json!({ "command": "npx", "args": ["mcp-remote", url, "--ignore-tool", "Rm*", "--ignore-tool=b"], "disabledTools": ["c"] }),
            None,
            vec!["[rR][mM]*", "[bB]", "c"],
        ),
    ] {
        let remote = read_all(value.clone());
        let own = |globs: Vec<&str>| globs.into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(remote.tools.allow, allow.map(own), "{value}");
        assert_eq!(remote.tools.deny, own(deny), "{value}");
    }
    let oauth = |value: Value| match read_all(value).sign_in {
        Some(SignIn::OAuth(oauth)) => oauth,
        other => panic!("{other:?}"),
    };
    let claude = oauth(
        json!({ "url": url, "oauth": { "clientId": "c", "callbackPort": 3118, "scopes": "a b" } }),
    );
    assert_eq!(claude.client_id.as_deref(), Some("c"));
    assert_eq!(claude.callback_port, Some(3118));
    assert_eq!(claude.scopes, ["a", "b"]);
    let codex = oauth(
        json!({ "url": url, "oauth": { "client_id": "c" }, "scopes": ["a"], "oauth_resource": "r" }),
    );
    assert_eq!(codex.scopes, ["a"]);
    assert_eq!(codex.resource, Some(Some("r".to_owned())));
    let secret =
        oauth(json!({ "url": url, "oauth": { "clientId": "c", "clientSecret": "{env:S}" } }));
    assert_eq!(secret.client_secret.as_deref(), Some("${S}"));
    let remote = oauth(
        json!({ "command": "npx", "args": ["mcp-remote", url, "--disable-resource-parameter"] }),
    );
    assert_eq!(remote.resource, Some(None));
    let never = read_all(json!({ "url": url, "oauth": false }));
    assert_eq!(never.sign_in, Some(SignIn::Never));
}

#[test]
fn what_only_the_client_can_use_stays_with_a_reason() {
    for (value, reason) in [
        (
            json!({ "command": "npx", "args": ["mcp-remote", "https://h", "--static-oauth-client-info", "{\"client_id\":\"hidden\"}"] }),
            "\"--static-oauth-client-info\"",
        ),
        (
            json!({ "command": "npx", "args": ["mcp-remote", "https://h", "hidden"] }),
            "an argument",
        ),
        (
            json!({ "url": "https://h", "default_tools_approval_mode": "prompt" }),
            "\"default_tools_approval_mode\" would be lost",
        ),
        (
            json!({ "url": "https://h", "tools": { "a": { "approval_mode": "prompt" } } }),
            "\"tools\" would be lost",
        ),
        (
            json!({ "url": "https://h", "auth": { "CLIENT_ID": "hidden" } }),
            "\"auth\" would be lost",
        ),
        (
            json!({ "url": "https://h", "oauth": { "authServerMetadataUrl": "hidden" } }),
            "\"authServerMetadataUrl\"",
        ),
        (
            json!({ "url": "https://h", "headers": { "Authorization": "Bearer hidden" }, "oauth": { "clientId": "c" } }),
            "leave one of them out",
        ),
        (
            json!({ "url": "https://h", "includeTools": ["a(hidden)"] }),
            "no list of tools",
        ),
        (
            json!({ "url": "https://h", "tools": ["a"], "includeTools": ["b"] }),
            "twice",
        ),
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
            Server::Stays(why) => {
                assert!(why.contains(reason), "{value}: {why}");
                assert!(!why.contains("hidden"), "{why}");
            }
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
