//! `ask_client`: the sign-in is offered through the client, in both eras.

use super::*;
use crate::common::gate::Gate;
use crate::common::gateway::Answer;
use crate::common::protocol_checker::Message;

const ASK: &str = "oauth = { ask_client = true }";
const COMPLETE: &str = "notifications/elicitation/complete";

/// A server whose lists need no token.
fn server() -> AuthorizationServer {
    let server = AuthorizationServer::start();
    server.state().open = vec![
        "initialize",
        "notifications/initialized",
        "GET",
        "tools/list",
    ];
    server
}

fn urls() -> Value {
    json!({ "elicitation": { "url": {} } })
}

fn legacy(machine: &Machine) -> Process {
    let mut gateway = machine.start_gateway();
    gateway.client.initialize_with("2025-11-25", urls());
    gateway.client.wait_for_tool("act");
    gateway
}

fn modern(machine: &Machine) -> Process {
    let mut gateway = machine.start_gateway();
    gateway.client.modern(urls()).wait_for_tool("act");
    gateway
}

/// The address that a legacy client is to show, and the id of the elicitation.
fn shown(request: &Message) -> (String, String) {
    let params = request.params();
    assert_eq!(params["mode"], "url");
    let message = params["message"].as_str().unwrap();
    assert!(
        message.starts_with("notes: sign in at 127.0.0.1."),
        "{message}"
    );
    let text = |key: &str| params[key].as_str().unwrap().to_owned();
    (text("url"), text("elicitationId"))
}

fn accept(gateway: &mut Process, request: &Message) {
    gateway
        .client
        .respond(request, json!({ "action": "accept" }));
}

/// No sign-in: the class, and the command at the end of the message.
fn assert_wants_sign_in(answer: &Answer) {
    let (class, executed, _) = answer.gateway_error();
    assert_eq!((class, executed), ("auth_required", "no"));
    let command = answer.error()["data"]["command"].as_str().unwrap();
    assert!(answer.message().ends_with(command), "{}", answer.message());
}

#[test]
fn a_legacy_client_shows_the_address_and_its_calls_go_on() {
    let machine = Machine::with(server(), ASK);
    let mut gateway = legacy(&machine);
    let calls: Vec<u64> = (0..5)
        .map(|_| gateway.client.start_call("act", json!({})))
        .collect();
    let request = gateway.client.next_request("elicitation/create");
    let (url, id) = shown(&request);
    accept(&mut gateway, &request);
    assert!(visit(&url).contains("Signed in"));
    for call in calls {
        assert_eq!(gateway.client.answer(call).text(), "act {}");
    }
    let complete = gateway.client.next_notification(COMPLETE);
    assert_eq!(complete.params()["elicitationId"], *id);
    assert_eq!(machine.server.mcp.runs("act"), 5);
    assert_eq!(machine.server.state().authorizations.len(), 1);
    assert_eq!(machine.record()["generation"], 1);
    finish(gateway);
}

#[test]
fn a_modern_client_shows_the_address_and_its_retry_goes_on() {
    let machine = Machine::with(server(), ASK);
    let mut gateway = modern(&machine);
    let params = json!({ "name": "act", "arguments": {} });
    let first = gateway.client.request("tools/call", params.clone());
    let required = gateway.client.answer(first);
    // It waits for what comes of the first.
    let second = gateway.client.request("tools/call", params.clone());
    let (key, request) = required.input_request();
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(request["params"]["mode"], "url");
    assert_eq!(request["params"].get("elicitationId"), None);
    let url = request["params"]["url"].as_str().unwrap().to_owned();
    let responses = json!({ key: { "action": "accept" } });
    let retry = gateway
        .client
        .retry("tools/call", &params, &required, responses.clone());
    visit(&url);
    assert_eq!(gateway.client.answer(retry).text(), "act {}");
    assert_eq!(gateway.client.answer(second).text(), "act {}");
    assert_eq!(machine.server.mcp.runs("act"), 2);
    assert_eq!(machine.server.state().authorizations.len(), 1);
    // A state is good for one retry.
    let again = gateway
        .client
        .retry("tools/call", &params, &required, responses);
    assert_eq!(gateway.client.answer(again).error()["code"], -32602);
    assert_eq!(machine.server.mcp.runs("act"), 2);
    finish(gateway);
}

#[test]
fn a_sign_in_that_has_ended_is_offered_and_one_that_was_declined_is_not_offered_again() {
    for action in ["decline", "cancel"] {
        let machine = Machine::with(AuthorizationServer::start(), ASK);
        machine.sign_in();
        machine.age_token(100);
        let mut gateway = legacy(&machine);
        machine.server.end_all();
        let call = gateway.client.start_call("act", json!({}));
        let request = gateway.client.next_request("elicitation/create");
        let port = Url::parse(&shown(&request).0).unwrap();
        let redirect = port.query_pairs().find(|(key, _)| key == "redirect_uri");
        let redirect = Url::parse(&redirect.unwrap().1).unwrap();
        gateway
            .client
            .respond(&request, json!({ "action": action }));
        assert_wants_sign_in(&gateway.client.answer(call));
        assert_wants_sign_in(&tool_call(&mut gateway, "act"));
        let port = ("127.0.0.1", redirect.port().unwrap());
        assert!(TcpStream::connect(port).is_err(), "the port stays open");
        // The login in a terminal is not locked out.
        machine.sign_in();
        assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
        assert_eq!(machine.server.mcp.runs("act"), 1);
        finish(gateway);
    }
}

/// A renewed token lacks the same rights, and the person has said no to them.
#[test]
fn a_renewal_is_no_reason_to_ask_again_after_a_decline() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    let machine = Machine::with(server, ASK);
    machine.sign_in();
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("write", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    let decline = json!({ "action": "decline" });
    gateway.client.respond(&request, decline);
    let declined = gateway.client.answer(call);
    assert_eq!(declined.gateway_error().0, "auth_required");
    machine.expire_token();
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    assert_eq!(machine.server.grants().last().unwrap(), "refresh_token");
    let again = tool_call(&mut gateway, "write");
    assert_eq!(again.gateway_error().0, "auth_required");
    // What the person does in a terminal counts.
    machine.sign_in();
    assert_eq!(tool_call(&mut gateway, "write").text(), "write {}");
    finish(gateway);
}

#[test]
fn a_modern_client_that_declines_gets_the_command() {
    let machine = Machine::with(server(), ASK);
    let mut gateway = modern(&machine);
    let params = json!({ "name": "act", "arguments": {} });
    let required = gateway.client.ask("tools/call", params.clone());
    let (key, _) = required.input_request();
    let responses = json!({ key: { "action": "decline" } });
    let retry = gateway
        .client
        .retry("tools/call", &params, &required, responses);
    assert_wants_sign_in(&gateway.client.answer(retry));
    assert_wants_sign_in(&gateway.client.ask("tools/call", params));
    assert!(machine.server.state().authorizations.is_empty());
    finish(gateway);
}

#[test]
fn nothing_is_offered_without_the_key_nor_to_a_client_that_shows_no_urls() {
    let unable = json!({ "elicitation": {} });
    let cases = [
        ("", "2025-11-25", urls()),
        (ASK, "2025-11-25", unable),
        (ASK, "2025-06-18", urls()),
    ];
    for (more, version, capabilities) in cases {
        let machine = Machine::with(server(), more);
        let mut gateway = machine.start_gateway();
        gateway.client.initialize_with(version, capabilities);
        gateway.client.wait_for_tool("act");
        assert_wants_sign_in(&tool_call(&mut gateway, "act"));
        assert!(machine.server.state().registrations.is_empty());
        finish(gateway);
    }
}

#[test]
fn a_person_who_takes_longer_than_a_call_finishes_and_the_client_calls_again() {
    // The call and its repetition are one to the limits.
    let limits = "rate_per_minute = 1\ntools.repeat_limit = { act = 1 }";
    let machine = Machine::with(server(), &format!("{ASK}\ntimeout_secs = 2\n{limits}"));
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("act", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    let (url, id) = shown(&request);
    accept(&mut gateway, &request);
    let answer = gateway.client.answer(call);
    let error = answer.error();
    assert_eq!(error["code"], -32042);
    let asked = &error["data"]["elicitations"][0];
    assert_eq!(
        (&asked["elicitationId"], &asked["url"]),
        (&json!(id), &json!(url))
    );
    assert_eq!(asked["mode"], "url");
    visit(&url);
    let complete = gateway.client.next_notification(COMPLETE);
    assert_eq!(complete.params()["elicitationId"], *id);
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    assert_eq!(machine.server.state().authorizations.len(), 1);
    finish(gateway);
}

#[test]
fn two_gateways_offer_one_sign_in() {
    let machine = Machine::with(server(), ASK);
    let (mut first, mut second) = (legacy(&machine), legacy(&machine));
    let call = first.client.start_call("act", json!({}));
    let request = first.client.next_request("elicitation/create");
    let other = second.client.start_call("act", json!({}));
    machine.server.mcp.wait_for_requests("tools/call", 2);
    accept(&mut first, &request);
    visit(&shown(&request).0);
    assert_eq!(first.client.answer(call).text(), "act {}");
    assert_eq!(second.client.answer(other).text(), "act {}");
    first.client.next_notification(COMPLETE);
    assert_eq!(machine.server.state().authorizations.len(), 1);
    finish(first);
    finish(second);
}

#[test]
fn more_rights_are_offered_and_a_call_that_may_have_run_is_not_repeated() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    let machine = Machine::with(server, ASK);
    machine.sign_in();
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("write", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    accept(&mut gateway, &request);
    visit(&shown(&request).0);
    let answer = gateway.client.answer(call);
    let message = answer.message();
    assert!(
        message.starts_with("notes: you have signed in, but the tool MAY HAVE RUN before"),
        "{message}"
    );
    gateway.client.next_notification(COMPLETE);
    let scope = machine.server.state().authorizations[1]["scope"].clone();
    assert_eq!(scope, "notes:read notes:write");
    assert_eq!(tool_call(&mut gateway, "write").text(), "write {}");
    assert_eq!(machine.server.mcp.runs("write"), 1);
    finish(gateway);
}

/// A server that grants less than it demands would have the person asked for ever.
#[test]
fn rights_that_a_sign_in_did_not_get_are_not_asked_for_again() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    server.state().grants = Some("notes:read".to_owned());
    let more = format!("{ASK}\ntools.retry = {{ write = \"always\" }}");
    let machine = Machine::with(server, &more);
    machine.sign_in();
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("write", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    accept(&mut gateway, &request);
    visit(&shown(&request).0);
    let first = gateway.client.answer(call);
    gateway.client.next_notification(COMPLETE);
    let why =
        "this wants more rights (notes:write), which the last sign-in asked for and did not get";
    for answer in [first, tool_call(&mut gateway, "write")] {
        assert_eq!(answer.gateway_error().0, "auth_required");
        assert!(answer.message().contains(why), "{}", answer.message());
    }
    assert_eq!(machine.server.state().authorizations.len(), 2);
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}

/// A refusal of the token before says nothing of the one that there is now.
#[test]
fn a_late_refusal_of_an_old_token_is_no_reason_to_ask() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    let more = format!("{ASK}\ntools.retry = {{ write = \"always\" }}");
    let machine = Machine::with(server, &more);
    machine.sign_in();
    let mut gateway = legacy(&machine);
    let gate = Gate::new();
    machine.server.state().held_refusals = Some(gate.clone());
    let late = gateway.client.start_call("write", json!({}));
    gate.wait_for(1);
    machine.server.state().held_refusals = None;
    let call = gateway.client.start_call("write", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    accept(&mut gateway, &request);
    visit(&shown(&request).0);
    assert_eq!(gateway.client.answer(call).text(), "write {}");
    gateway.client.next_notification(COMPLETE);
    gate.open();
    assert_eq!(gateway.client.answer(late).text(), "write {}");
    assert_eq!(machine.server.state().authorizations.len(), 2);
    finish(gateway);
}

#[test]
fn a_call_that_may_run_twice_goes_on_after_more_rights() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    let more = format!("{ASK}\ntools.retry = {{ write = \"always\" }}");
    let machine = Machine::with(server, &more);
    machine.sign_in();
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("write", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    let message = request.params()["message"].as_str().unwrap().to_owned();
    assert!(
        message.ends_with("The call goes on afterwards."),
        "{message}"
    );
    accept(&mut gateway, &request);
    visit(&shown(&request).0);
    assert_eq!(gateway.client.answer(call).text(), "write {}");
    gateway.client.next_notification(COMPLETE);
    assert_eq!(machine.server.state().authorizations.len(), 2);
    finish(gateway);
}

/// The error -32042 invites a client to make the call again.
#[test]
fn a_client_is_not_invited_to_repeat_a_call_that_may_have_run() {
    let server = AuthorizationServer::start();
    server.state().write_scope = Some("notes:write".to_owned());
    let machine = Machine::with(server, &format!("{ASK}\ntimeout_secs = 2"));
    machine.sign_in();
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("write", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    let message = request.params()["message"].as_str().unwrap().to_owned();
    assert!(!message.contains("goes on"), "{message}");
    accept(&mut gateway, &request);
    let answer = gateway.client.answer(call);
    let (class, executed, _) = answer.gateway_error();
    assert_eq!((class, executed), ("auth_required", "unknown"));
    visit(&shown(&request).0);
    gateway.client.next_notification(COMPLETE);
    assert_eq!(tool_call(&mut gateway, "write").text(), "write {}");
    assert_eq!(machine.server.mcp.runs("write"), 1);
    finish(gateway);
}

#[test]
fn an_offer_that_can_not_be_shown_in_time_does_not_begin_later() {
    let machine = Machine::with(server(), &format!("{ASK}\ntimeout_secs = 2"));
    let mut gateway = legacy(&machine);
    let mut login = machine.start_login(&[]);
    let busy = "another program is signing in to it now";
    let answer = tool_call(&mut gateway, "act");
    assert_wants_sign_in(&answer);
    assert!(answer.message().contains(busy), "{}", answer.message());
    login.child.kill().unwrap();
    login.child.wait().unwrap();
    // No offer takes the place of the login.
    let answer = tool_call(&mut gateway, "act");
    assert!(answer.message().contains(busy), "{}", answer.message());
    machine.sign_in();
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}

#[test]
fn an_offer_ends_with_its_backend() {
    let machine = Machine::with(server(), ASK);
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("act", json!({}));
    let url = Url::parse(&shown(&gateway.client.next_request("elicitation/create")).0).unwrap();
    gateway.client.cancel(call);
    gateway.client.next_notification("notifications/cancelled");
    let redirect = url.query_pairs().find(|(key, _)| key == "redirect_uri");
    let redirect = Url::parse(&redirect.unwrap().1).unwrap();
    let port = ("127.0.0.1", redirect.port().unwrap());
    assert!(TcpStream::connect(port).is_ok());
    std::fs::write(machine.folder.path().join("sentinel.toml"), "").unwrap();
    let begun = std::time::Instant::now();
    while TcpStream::connect(port).is_ok() {
        let limit = Duration::from_secs(30);
        assert!(begun.elapsed() < limit, "the port stays open");
        std::thread::yield_now();
    }
    finish(gateway);
}

#[test]
fn what_stands_in_the_way_of_an_offer_is_told_with_the_command() {
    let server = server().with(|state| state.registers = false);
    let machine = Machine::with(server, ASK);
    let mut gateway = legacy(&machine);
    for _ in 0..2 {
        let answer = tool_call(&mut gateway, "act");
        assert_wants_sign_in(&answer);
        let message = answer.message();
        let begins = "the sign-in through the client has failed (";
        assert!(message.starts_with(begins), "{message}");
        assert!(message.contains("takes no registrations"), "{message}");
    }
    let call = "/.well-known/oauth-authorization-server";
    let asked = machine.server.mcp.requests_of("GET");
    let asked = asked.iter().filter(|request| request.target == call);
    assert_eq!(asked.count(), 1, "it is tried again at once");
    finish(gateway);
}

#[test]
fn a_call_that_its_client_cancels_leaves_the_offer_to_the_next() {
    let machine = Machine::with(server(), ASK);
    let mut gateway = legacy(&machine);
    let call = gateway.client.start_call("act", json!({}));
    let request = gateway.client.next_request("elicitation/create");
    let (url, _) = shown(&request);
    gateway.client.cancel(call);
    gateway.client.next_notification("notifications/cancelled");
    let call = gateway.client.start_call("act", json!({}));
    let again = gateway.client.next_request("elicitation/create");
    assert_eq!(shown(&again).0, url);
    accept(&mut gateway, &again);
    visit(&url);
    assert_eq!(gateway.client.answer(call).text(), "act {}");
    gateway.client.next_notification(COMPLETE);
    assert_eq!(machine.server.mcp.runs("act"), 1);
    finish(gateway);
}
