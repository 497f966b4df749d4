//! What is refused, and what a person is told.

use super::*;

/// What a `login` that makes no authorization says.
fn why(server: AuthorizationServer, more: &str) -> String {
    let machine = Machine::with(server, more);
    let ended = machine.run(&["login", "notes", "--no-browser"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(machine.server.state().authorizations.is_empty());
    assert!(machine.server.state().token_requests.is_empty());
    ended.err
}

#[test]
fn what_stands_in_the_way_is_told_before_anybody_signs_in() {
    let good = AuthorizationServer::start;
    let metadata = |value: Value| good().with(|state| state.metadata = value);
    let resource = |value: Value| good().with(|state| state.resource_metadata = value);
    for (server, more, expected) in [
        (
            good().with(|state| state.registers = false),
            "",
            "takes no registrations: register a client there with the redirect URI http://127.0.0.1/callback, then set oauth.client_id",
        ),
        (
            metadata(json!({ "code_challenge_methods_supported": null })),
            "",
            "says nothing of PKCE (code_challenge_methods_supported): oauth.assume_pkce = true",
        ),
        (
            metadata(json!({ "issuer": "http://127.0.0.1:1/" })),
            "",
            "names the issuer http://127.0.0.1:1/, expected",
        ),
        (
            metadata(json!({ "issuer": "http://127.0.0.1:1/" })),
            "",
            "set oauth.issuer = \"http://127.0.0.1:1/\"",
        ),
        (
            metadata(json!({ "authorization_endpoint": "javascript:alert(1)" })),
            "",
            "authorization_endpoint is not https: javascript:alert(1)",
        ),
        (
            metadata(json!({ "token_endpoint": "http://auth.example/token" })),
            "",
            "token_endpoint is not https",
        ),
        (
            metadata(json!({ "authorization_endpoint": null })),
            "",
            "has no authorization_endpoint: try --device",
        ),
        (
            resource(json!({ "resource": "https://other.example/mcp" })),
            "",
            "it is of another server: its resource is https://other.example/mcp",
        ),
        (
            resource(json!({ "authorization_servers": [] })),
            "",
            "names no authorization server: set oauth.issuer",
        ),
        (
            good().with(|state| {
                state.resource_metadata = json!({ "authorization_servers": ["ftp://x"] })
            }),
            "",
            "the issuer is not https: ftp://x",
        ),
    ] {
        let said = why(server, more);
        assert!(said.contains(expected), "{said}");
        assert!(said.starts_with("notes: "), "{said}");
    }
}

/// What a `login` says whose authorization request is answered.
fn answered(answer: Value) -> (Machine, Ended) {
    let server = AuthorizationServer::start().with(|state| state.answer = answer);
    let machine = Machine::new(server);
    let ended = machine.login(&["--wait", "3"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(
        machine.server.state().token_requests.is_empty(),
        "nothing is sent"
    );
    (machine, ended)
}

#[test]
fn an_answer_of_another_server_is_not_used_nor_quoted() {
    let evil = "http://evil.example";
    for answer in [
        json!({ "iss": evil }),
        json!({ "iss": null }),
        json!({ "iss": evil, "code": null, "error": "hidden", "error_description": "hidden" }),
    ] {
        let (_, ended) = answered(answer);
        assert!(
            ended.err.contains("nothing was sent; start again"),
            "{}",
            ended.err
        );
        assert!(!ended.err.contains("hidden"), "{}", ended.err);
    }
}

#[test]
fn an_answer_with_another_state_is_no_answer() {
    for answer in [json!({ "state": "other" }), json!({ "state": null })] {
        let (_, ended) = answered(answer);
        assert!(
            ended.err.contains("nobody has signed in within 3 s"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn what_the_server_says_to_a_refusal_is_quoted() {
    let answer = json!({ "code": null, "error": "access_denied", "error_description": "not in this workspace" });
    let (_, ended) = answered(answer);
    let expected = "refused: access_denied \"not in this workspace\"";
    assert!(ended.err.contains(expected), "{}", ended.err);
}

#[test]
fn a_server_without_a_challenge_is_found_where_the_specification_says() {
    let server = AuthorizationServer::start().with(|state| state.challenges = false);
    let machine = Machine::new(server);
    machine.sign_in();
    let targets: Vec<String> = (machine.server.mcp.requests_of("GET").into_iter())
        .map(|request| request.target)
        .filter(|target| target.starts_with("/.well-known"))
        .collect();
    let expected = [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
    ];
    assert_eq!(targets, expected);
}

#[test]
fn what_a_server_repeats_of_secrets_is_not_shown() {
    let more = "oauth = { client_id = \"by-hand\", client_secret = { file = \"secret\" } }";
    for name in ["code", "code_verifier", "client_secret", "refresh_token"] {
        let server = AuthorizationServer::start().with(|state| {
            state.metadata =
                json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
        });
        let secret = format!("secret-{}", canary::token());
        server.put_client("by-hand", Some(&secret));
        let machine = Machine::with(server, more);
        std::fs::write(machine.folder.path().join("secret"), &secret).unwrap();
        let said = match name {
            "refresh_token" => {
                machine.sign_in();
                machine.expire_token();
                machine.server.state().repeats = Some(name);
                let mut gateway = machine.gateway();
                gateway
                    .client
                    .ask("resources/read", json!({ "uri": "memo://x" }));
                let check = machine.run(&["check"]);
                finish(gateway);
                check.out
            }
            _ => {
                machine.server.state().repeats = Some(name);
                let ended = machine.login(&[]);
                assert_eq!(ended.code, 1);
                ended.err
            }
        };
        assert!(said.contains("invalid_grant \"*** xxx"), "{name}: {said}");
        let shown = said.replace("***", "");
        assert!(!shown.contains(&canary::token()[..10]), "{name}: {said}");
    }
}
