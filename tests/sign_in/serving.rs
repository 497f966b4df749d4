//! A gateway that serves: it uses tokens, renews them, and says what is missing.

use std::time::Instant;

use super::*;
use crate::common::reply::Reply;

#[test]
fn a_call_without_a_sign_in_says_what_to_type_and_a_login_is_noticed() {
    let machine = Machine::new(AuthorizationServer::start());
    let mut gateway = machine.start_gateway();
    let begun = Instant::now();
    gateway.client.initialize();
    assert!(begun.elapsed() < Duration::from_secs(2), "initialize waits");
    assert!(gateway.client.tool_names().is_empty());
    let read = gateway
        .client
        .ask("resources/read", json!({ "uri": "memo://x" }));
    assert!(!read.message().is_empty());
    let check = machine.run(&["check"]);
    assert_eq!(check.code, 1);
    assert!(
        check.out.contains("needs a sign-in: in a terminal: "),
        "{}",
        check.out
    );
    let row = check
        .out
        .lines()
        .find(|line| line.starts_with("notes"))
        .unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("login"), "{row}");

    machine.sign_in();
    let signed_in = Instant::now();
    gateway
        .client
        .next_notification("notifications/tools/list_changed");
    assert!(
        signed_in.elapsed() <= Duration::from_secs(2),
        "{:?}",
        signed_in.elapsed()
    );
    assert_eq!(gateway.client.tool_names(), ["act", "write"]);
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    assert_eq!(machine.server.state().authorizations.len(), 1);
    finish(gateway);
}

#[test]
fn lists_that_need_a_sign_in_say_what_to_type_and_are_fetched_after_it() {
    let server = AuthorizationServer::start();
    server.state().open = vec!["initialize", "notifications/initialized", "GET"];
    let machine = Machine::new(server);
    let mut gateway = machine.start_gateway();
    gateway.client.initialize();
    assert!(gateway.client.tool_names().is_empty());
    let unknown = tool_call(&mut gateway, "act");
    let message = unknown.message();
    let why = "; notes: tools/list failed: needs a sign-in: in a terminal: ";
    assert!(message.contains(why), "{message}");
    machine.sign_in();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}

#[test]
fn the_end_of_a_sign_in_is_told_with_the_command_and_the_token_is_not_sent_again() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    machine.age_token(100);
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    machine.server.end_all();
    let sent = || machine.server.mcp.requests_of("tools/call").len();
    for _ in 0..3 {
        let answer = tool_call(&mut gateway, "act");
        let message = answer.message().to_owned();
        assert!(
            message.starts_with("notes: the sign-in has ended (127.0.0.1: HTTP 400 invalid_grant"),
            "{message}"
        );
        assert!(
            message.contains("; the tool did not run. In a terminal: "),
            "{message}"
        );
        let (class, executed, _) = answer.gateway_error();
        assert_eq!((class, executed), ("auth_required", "no"));
        let data = &answer.error()["data"];
        let command = data["command"].as_str().unwrap();
        assert!(
            message.ends_with(command) && command.ends_with(" login notes"),
            "{command}"
        );
    }
    assert_eq!(sent(), 1, "a refused token is sent again");
    assert_eq!(
        machine.server.grants(),
        ["authorization_code", "refresh_token"]
    );
    assert_eq!(machine.server.mcp.runs("act"), 0);

    // The command of the message is all it takes.
    let command = command_in(tool_call(&mut gateway, "act").message());
    assert!(command[0].ends_with("sentinel-gateway"), "{command:?}");
    assert_eq!(command[1], "--config");
    machine.sign_in();
    let deadline = Instant::now() + Duration::from_secs(10);
    while tool_call(&mut gateway, "act")
        .0
        .line
        .contains("auth_required")
    {
        assert!(Instant::now() < deadline, "the login is not noticed");
    }
    assert_eq!(machine.server.mcp.runs("act"), 1);
    finish(gateway);
}

#[test]
fn ten_gateways_with_an_expired_token_renew_it_once() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    machine.expire_token();
    let mut gateways: Vec<Process> = (0..10).map(|_| machine.start_gateway()).collect();
    for gateway in &mut gateways {
        gateway.client.initialize();
    }
    for gateway in &mut gateways {
        gateway.client.wait_for_tool("act");
        let calls: Vec<u64> = (0..20)
            .map(|_| gateway.client.start_call("act", json!({})))
            .collect();
        for call in calls {
            assert_eq!(gateway.client.answer(call).text(), "act {}");
        }
    }
    assert_eq!(
        machine.server.grants(),
        ["authorization_code", "refresh_token"]
    );
    assert_eq!(machine.server.state().reused, 0);
    for gateway in gateways {
        finish(gateway);
    }
}

#[test]
fn after_a_401_the_token_is_renewed_once_and_an_unsafe_tool_runs_once() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    machine.age_token(100);
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    machine.server.expire_all();
    let calls: Vec<u64> = (0..10)
        .map(|_| gateway.client.start_call("act", json!({})))
        .collect();
    for call in calls {
        assert_eq!(gateway.client.answer(call).text(), "act {}");
    }
    assert_eq!(machine.server.mcp.runs("act"), 10);
    assert_eq!(
        machine.server.grants(),
        ["authorization_code", "refresh_token"]
    );
    let form = machine.server.state().token_requests[1].clone();
    assert!(!form.contains_key("scope"), "a refresh names no scope");
    assert_eq!(form["resource"], machine.server.mcp.url());
    assert_eq!(machine.record()["generation"], 2);
    finish(gateway);
}

#[test]
fn a_passing_fault_of_the_token_endpoint_ends_no_sign_in() {
    for fault in [
        Reply::status(503),
        Reply::status(429),
        Reply::status(200).body("<html>"),
        Reply::json_as(400, &json!({ "error": "temporarily_unavailable" })),
        Reply::hang_up(),
    ] {
        let server = AuthorizationServer::start();
        let machine = Machine::new(server);
        machine.sign_in();
        machine.expire_token();
        machine.server.state().token_faults.push_back(fault);
        let mut gateway = machine.gateway();
        gateway.client.ignore("notifications/tools/list_changed");
        gateway.client.wait_for_tool("act");
        assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
        assert_eq!(
            machine.server.grants(),
            ["authorization_code", "refresh_token", "refresh_token"]
        );
        assert_eq!(machine.record()["sign_in"], Value::Null);
        finish(gateway);
    }
}

#[test]
fn a_token_that_is_refused_right_after_it_was_issued_is_not_renewed_for_ever() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    machine.server.expire_all();
    for _ in 0..3 {
        let answer = tool_call(&mut gateway, "act");
        let message = answer.message();
        assert!(
            message.contains("refuses a token that has just been issued"),
            "{message}"
        );
    }
    assert_eq!(machine.server.grants(), ["authorization_code"]);
    assert_eq!(machine.server.mcp.requests_of("tools/call").len(), 1);
    finish(gateway);
}

#[test]
fn missing_scopes_are_named_and_the_next_login_asks_for_them_too() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    let machine = Machine::new(server);
    machine.sign_in();
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("write");
    let answer = tool_call(&mut gateway, "write");
    let message = answer.message().to_owned();
    assert!(
        message.starts_with("notes: this wants more rights (notes:write); the tool MAY HAVE RUN"),
        "{message}"
    );
    assert!(message.contains("In a terminal: "), "{message}");
    assert_eq!(answer.error()["data"]["scopes"], json!(["notes:write"]));
    assert_eq!(machine.record()["pending"], json!(["notes:write"]));
    assert_eq!(
        machine.server.grants(),
        ["authorization_code"],
        "a refresh widens nothing"
    );
    machine.sign_in();
    let scope = machine.server.state().authorizations[1]["scope"].clone();
    assert_eq!(scope, "notes:read notes:write");
    assert_eq!(machine.record()["pending"], json!([]));
    assert_eq!(tool_call(&mut gateway, "write").text(), "write {}");
    finish(gateway);
    // The first registration was for fewer scopes; the second is used again.
    assert_eq!(machine.server.state().registrations.len(), 2);
    machine.sign_in();
    assert_eq!(machine.server.state().registrations.len(), 2);
}

/// Files of earlier releases don't say what a client was registered for.
#[test]
fn a_registration_that_is_refused_for_its_scopes_stops_one_sign_in_at_most() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    let mut record = machine.record();
    record["client"]["scope"] = Value::Null;
    std::fs::write(machine.token_file(), record.to_string()).unwrap();
    let more = ["--scope", "notes:write"];
    let refused = machine.login(&more);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("refused: invalid_scope"),
        "{}",
        refused.err
    );
    // The sign-in that there is stays.
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    finish(gateway);
    let ended = machine.login(&more);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert_eq!(machine.server.state().registrations.len(), 2);
}

#[test]
fn a_client_signs_in_for_itself_and_again_when_its_token_ends() {
    let server = AuthorizationServer::start().with(|state| state.refreshes = false);
    server.put_client("robot", Some("canary-robot-secret"));
    let more = "oauth = { grant = \"client_credentials\", client_id = \"robot\", client_secret = { file = \"secret\" } }";
    let machine = Machine::with(server, more);
    std::fs::write(machine.folder.path().join("secret"), "canary-robot-secret").unwrap();
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
    machine.expire_token();
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    assert_eq!(machine.server.grants(), ["client_credentials"; 2]);
    let login = machine.run(&["login", "notes"]);
    assert!(login.err.contains("it signs in by itself"), "{}", login.err);
    finish(gateway);
}

#[test]
fn a_client_signs_in_for_itself_with_its_key() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let server = AuthorizationServer::start().with(|state| state.refreshes = false);
    server.put_client_with_key("robot", pair.public_key_raw());
    let more = "oauth = { grant = \"client_credentials\", client_id = \"robot\", client_key_file = \"key.pem\", client_key_id = \"k1\" }";
    let machine = Machine::with(server, more);
    let check = machine.run(&["check"]);
    let expected = format!(
        "oauth.client_key_file: the file {} can't be read",
        machine.folder.path().join("key.pem").display()
    );
    assert!(check.out.contains(&expected), "{}", check.out);
    std::fs::write(machine.folder.path().join("key.pem"), pair.serialize_pem()).unwrap();
    for _ in 0..2 {
        let mut gateway = machine.gateway();
        gateway.client.wait_for_tool("act");
        assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
        finish(gateway);
        machine.expire_token();
    }
    let state = machine.server.state();
    assert_eq!(state.token_requests.len(), 2);
    for form in &state.token_requests {
        assert_eq!(form.get("client_id"), None, "the assertion says who it is");
        assert_eq!(form.get("client_secret"), None);
    }
}

/// An authorization server that quotes the assertion in its refusal shows it to nobody.
#[test]
fn an_assertion_that_is_refused_is_in_no_output() {
    let (own, other) = (
        rcgen::KeyPair::generate().unwrap(),
        rcgen::KeyPair::generate().unwrap(),
    );
    let server = AuthorizationServer::start();
    server.put_client_with_key("robot", other.public_key_raw());
    let more = "oauth = { grant = \"client_credentials\", client_id = \"robot\", client_key_file = \"key.pem\" }";
    let machine = Machine::with(server, more);
    std::fs::write(machine.folder.path().join("key.pem"), own.serialize_pem()).unwrap();
    let check = machine.run(&["check"]);
    let shown = check.out + &check.err;
    assert!(shown.contains("unknown: ***"), "{shown}");
    let state = machine.server.state();
    assert!(!state.token_requests.is_empty());
    for form in &state.token_requests {
        assert!(!shown.contains(&form["client_assertion"]), "{shown}");
    }
}

#[test]
fn a_gateway_killed_while_it_renews_leaves_a_file_that_the_next_one_reads() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    machine.expire_token();
    machine
        .server
        .state()
        .token_faults
        .push_back(Reply::stall());
    let stuck = machine.start_gateway();
    machine.server.mcp.wait_for_requests("POST", 2); // the code, and the refresh
    let pid = stuck.pid();
    assert_eq!(machine.record()["refreshing"]["pid"], pid);
    stuck.signal("KILL");
    // The lock is free, and the old refresh token, which was never taken, still holds.
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    assert_eq!(machine.record()["refreshing"], Value::Null);
    finish(gateway);
}

/// The bound is for a build without optimization on a busy machine; the time is printed.
#[test]
fn initialize_waits_for_none_of_eight_backends_that_nobody_has_signed_in_to() {
    let machine = Machine::new(AuthorizationServer::start());
    let url = machine.server.mcp.url();
    let entry = |at| format!("[[backends]]\nname = \"notes{at}\"\nurl = \"{url}\"\n");
    let toml: String = (0..8).map(entry).collect();
    std::fs::write(machine.folder.path().join("sentinel.toml"), toml).unwrap();
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let mut gateway = machine.start_gateway();
            gateway.client.ask("ping", json!({}));
            let begun = Instant::now();
            gateway.client.initialize();
            let time = begun.elapsed();
            finish(gateway);
            time
        })
        .collect();
    times.sort_unstable();
    eprintln!("initialize takes {:?} to {:?}", times[0], times[4]);
    assert!(times[0] < Duration::from_millis(500), "{times:?}");
    assert!(machine.server.state().authorizations.is_empty());
}
