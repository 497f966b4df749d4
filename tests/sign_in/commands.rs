//! `login`, `logout` and `check`.

use super::*;

#[test]
fn a_login_registers_asks_and_keeps_a_token_and_check_shows_it() {
    let machine = Machine::new(AuthorizationServer::start());
    let ended = machine.login(&[]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let last = ended.out.lines().last().unwrap();
    let expected = "signed in to notes at 127.0.0.1: notes:read, renews itself; 2 tools";
    assert_eq!(last, expected, "{}", ended.out);

    let state = machine.server.state();
    let registration = &state.registrations[0];
    assert_eq!(registration["scope"], "notes:read");
    assert_eq!(registration["client_name"], "Sentinel Gateway");
    assert_eq!(state.authorizations.len(), 1);
    let form = &state.token_requests[0];
    assert_eq!(form["resource"], machine.server.mcp.url());
    drop(state);

    let check = machine.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.out);
    assert!(
        check.out.contains("signed in at 127.0.0.1 until "),
        "{}",
        check.out
    );
    let check = machine.run(&["check", "--json"]);
    let report: Value = serde_json::from_str(&check.out).unwrap();
    let auth = &report["backends"][0]["auth"];
    assert_eq!(
        (&auth["state"], &auth["renewable"]),
        (&json!("ok"), &json!(true))
    );
    assert_eq!(auth["scopes"], json!(["notes:read"]));
    for (name, secret) in [("access", "access-"), ("refresh", "refresh-")] {
        let text = format!("{}{}", ended.out, check.out);
        assert!(!text.contains(secret), "{name} is printed: {text}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_kept_is_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    let file = machine.token_file();
    assert_eq!(mode(&file) & 0o777, 0o600);
    assert_eq!(mode(file.parent().unwrap()) & 0o777, 0o700);
}

#[test]
fn a_second_login_takes_the_registration_of_the_first() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    machine.sign_in();
    let state = machine.server.state();
    assert_eq!(state.registrations.len(), 1);
    let uris: Vec<&String> = state
        .authorizations
        .iter()
        .map(|query| &query["redirect_uri"])
        .collect();
    assert_eq!(uris[0], uris[1]);
}

#[test]
fn two_logins_at_once_make_one_authorization() {
    let machine = Machine::new(AuthorizationServer::start());
    let first = machine.start_login(&[]);
    let second = machine
        .command(&["login", "notes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut second = second;
    let mut waits = String::new();
    let mut err = BufReader::new(second.stderr.take().unwrap());
    err.read_line(&mut waits).unwrap();
    assert!(waits.contains("somebody else is signing in"), "{waits}");
    visit(&first.url);
    assert_eq!(first.end().code, 0);
    let second = ended(second.wait_with_output().unwrap());
    assert_eq!(second.code, 0, "{}", second.out);
    assert!(second.out.contains("signed in to notes"), "{}", second.out);
    assert_eq!(machine.server.state().authorizations.len(), 1);
}

#[test]
fn the_address_that_a_browser_elsewhere_ended_at_can_be_pasted() {
    let machine = Machine::new(AuthorizationServer::start());
    let mut login = machine.start_login(&[]);
    let (location, _) = get(&login.url);
    let location = location.unwrap();
    let mut stdin = login.child.stdin.take().unwrap();
    writeln!(stdin, "http://127.0.0.1/callback?code=x&state=other").unwrap();
    writeln!(stdin, "{location}").unwrap();
    let ended = login.end();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("its state is another"), "{}", ended.err);
}

#[test]
fn a_code_is_entered_at_another_device() {
    let machine = Machine::new(AuthorizationServer::start());
    let ended = machine.login_at_a_device();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("signed in to notes"), "{}", ended.out);
    let state = machine.server.state();
    assert!(state.authorizations.is_empty());
    let grants = state.registrations[0]["grant_types"].as_array().unwrap();
    assert!(grants.contains(&json!("urn:ietf:params:oauth:grant-type:device_code")));
}

#[test]
fn a_client_registered_by_hand_is_used_as_it_is() {
    let server = AuthorizationServer::start().with(|state| state.registers = false);
    server.put_client("by-hand", Some("canary-client-secret"));
    let more = "oauth = { client_id = \"by-hand\", client_secret = { file = \"secret\" } }";
    let machine = Machine::with(server, more);
    std::fs::write(
        machine.folder.path().join("secret"),
        "canary-client-secret\n",
    )
    .unwrap();
    let ended = machine.login(&[]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert_eq!(
        machine.server.state().authorizations[0]["client_id"],
        "by-hand"
    );
    let record = machine.record();
    assert_eq!(record["client"]["how"], "config");
    assert_eq!(record["client"]["secret"], Value::Null);
    let kept = std::fs::read_to_string(machine.token_file()).unwrap();
    assert!(!kept.contains("canary-client-secret"));
    // Its refresh authenticates, too.
    machine.expire_token();
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}

#[test]
fn a_client_with_a_key_signs_every_request() {
    let pair = rcgen::KeyPair::generate().unwrap();
    for is_device in [false, true] {
        let server = AuthorizationServer::start().with(|state| state.registers = false);
        server.put_client_with_key("by-hand", pair.public_key_raw());
        let more = "oauth = { client_id = \"by-hand\", client_key_file = \"key.pem\" }";
        let machine = Machine::with(server, more);
        std::fs::write(machine.folder.path().join("key.pem"), pair.serialize_pem()).unwrap();
        let ended = match is_device {
            false => machine.login(&[]),
            true => machine.login_at_a_device(),
        };
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        assert_eq!(machine.record()["client"]["auth"], "private_key_jwt");
        machine.expire_token();
        let mut gateway = machine.gateway();
        gateway.client.wait_for_tool("act");
        assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
        finish(gateway);
        let logout = machine.run(&["logout", "notes"]);
        assert_eq!(logout.code, 0, "{}{}", logout.out, logout.err);
        assert_eq!(machine.server.state().revoked.len(), 2);
    }
}

#[test]
fn what_the_person_wants_otherwise_is_sent() {
    let server = AuthorizationServer::start().with(|state| {
        state.wants_resource = false;
        state.metadata = json!({ "scopes_supported": ["offline_access"] });
    });
    let more =
        "oauth = { resource = false, scopes = [\"notes:less\"], params = { audience = \"x\" } }";
    let machine = Machine::with(server, more);
    let ended = machine.login(&["--scope", "notes:more"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let state = machine.server.state();
    let query = &state.authorizations[0];
    assert_eq!(query["scope"], "notes:less offline_access notes:more");
    assert_eq!(query["audience"], "x");
    assert_eq!(query["prompt"], "consent");
    assert!(!query.contains_key("resource"));
    assert!(!state.token_requests[0].contains_key("resource"));
}

#[test]
fn a_logout_revokes_what_it_forgets() {
    let machine = Machine::new(AuthorizationServer::start());
    assert!(
        machine
            .run(&["logout", "notes"])
            .err
            .contains("nobody was signed in")
    );
    machine.sign_in();
    let token = machine.record()["token"].clone();
    let ended = machine.run(&["logout", "--all"]);
    assert_eq!(ended.code, 0);
    assert!(
        ended
            .err
            .contains("notes: signed out; its tokens are revoked"),
        "{}",
        ended.err
    );
    let revoked = machine.server.state().revoked.clone();
    let text = |member: &str| token[member].as_str().unwrap().to_owned();
    assert_eq!(revoked, [text("refresh"), text("access")]);
    let record = machine.record();
    assert_eq!(record["token"], Value::Null);
    assert_eq!(record["client"]["how"], "dcr", "the registration is kept");
    assert_eq!(machine.run(&["check"]).code, 1);
    assert_eq!(machine.run(&["logout", "notes", "--forget"]).code, 0);
    machine.sign_in();
    assert_eq!(machine.server.state().registrations.len(), 2);
}

#[test]
fn a_misspelt_backend_is_told_and_one_without_a_sign_in_too() {
    let machine = Machine::with(AuthorizationServer::start(), "oauth = false");
    let ended = machine.run(&["login", "nots"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("did you mean \"notes\"?"),
        "{}",
        ended.err
    );
    let ended = machine.run(&["login", "notes"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("nobody can sign in to it"),
        "{}",
        ended.err
    );
}

#[test]
fn a_metadata_document_is_the_client_where_the_server_takes_one() {
    let server = AuthorizationServer::start()
        .with(|state| state.metadata = json!({ "client_id_metadata_document_supported": true }));
    let id = "https://client.example/sentinel.json";
    server.put_client(id, None);
    let machine = Machine::with(
        server,
        &format!("oauth = {{ client_metadata_url = \"{id}\" }}"),
    );
    machine.sign_in();
    let state = machine.server.state();
    assert_eq!(state.authorizations[0]["client_id"], id);
    assert!(state.registrations.is_empty());
}

#[test]
fn a_registration_that_is_refused_with_an_address_is_tried_once_with_localhost() {
    let server = AuthorizationServer::start().with(|state| state.wants_localhost = true);
    let machine = Machine::new(server);
    machine.sign_in();
    let uri = |at: usize| {
        let uri = machine.server.state().registrations[at]["redirect_uris"][0].clone();
        Url::parse(uri.as_str().unwrap()).unwrap()
    };
    assert_eq!(
        (uri(0).host_str(), uri(1).host_str()),
        (Some("127.0.0.1"), Some("localhost"))
    );
    assert_eq!(uri(0).port(), uri(1).port());
    let sent = machine.server.state().authorizations[0]["redirect_uri"].clone();
    assert_eq!(sent, uri(1).as_str());
    // The next login takes that registration, and is there on both addresses of the name.
    let login = machine.start_login(&[]);
    let (location, _) = get(&login.url);
    let location = location.unwrap();
    assert!(location.starts_with(uri(1).as_str()), "{location}");
    let by_address = |address: &str| location.replace("localhost", address);
    if TcpListener::bind("[::1]:0").is_ok() {
        let page = visit(&by_address("[::1]").replace("state=", "state=x"));
        assert!(page.contains("not an answer"), "{page}");
    }
    visit(&by_address("127.0.0.1"));
    assert_eq!(login.end().code, 0);
    assert_eq!(machine.server.state().registrations.len(), 2);
}

#[test]
fn a_refused_registration_is_not_repeated_for_ever_and_the_config_decides_the_host() {
    let server = AuthorizationServer::start().with(|state| state.wants_localhost = true);
    let machine = Machine::with(server, "oauth = { callback_host = \"127.0.0.1\" }");
    let ended = machine.run(&["login", "notes"]);
    assert_eq!(ended.code, 1);
    let expected = "refuses the registration (HTTP 400 invalid_redirect_uri";
    assert!(ended.err.contains(expected), "{}", ended.err);
    assert_eq!(machine.server.state().registrations.len(), 1);
    let server = AuthorizationServer::start();
    let machine = Machine::with(server, "oauth = { callback_host = \"localhost\" }");
    machine.sign_in();
    let sent = machine.server.state().authorizations[0]["redirect_uri"].clone();
    assert!(sent.starts_with("http://localhost:"), "{sent}");
}

#[test]
fn a_registration_that_the_server_has_forgotten_is_made_anew() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    // At a renewal the server says so.
    machine.expire_token();
    machine.server.forget_clients();
    let check = machine.run(&["check"]);
    let expected = "the sign-in has ended (127.0.0.1: HTTP 401 invalid_client";
    assert!(check.out.contains(expected), "{}", check.out);
    assert_eq!(machine.record()["client"], Value::Null);
    machine.sign_in();
    assert_eq!(machine.server.state().registrations.len(), 2);
    // At a login it shows a page, and no browser comes back.
    machine.server.forget_clients();
    let ended = machine.login(&["--wait", "2"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("within 2 s; start again"),
        "{}",
        ended.err
    );
    machine.sign_in();
    assert_eq!(machine.server.state().registrations.len(), 3);
}

#[test]
fn a_login_that_nobody_finishes_leaves_the_sign_in_that_there_is() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    let ended = machine.start_login(&["--wait", "1"]).end();
    assert!(ended.err.contains("within 1 s"), "{}", ended.err);
    machine.expire_token();
    assert_eq!(machine.run(&["check"]).code, 0);
    assert_eq!(machine.server.grants().last().unwrap(), "refresh_token");
    // The registration may have been what was wrong.
    machine.sign_in();
    assert_eq!(machine.server.state().registrations.len(), 2);
    machine.sign_in();
    assert_eq!(machine.server.state().registrations.len(), 2);
}

#[test]
fn a_logout_that_can_revoke_nothing_says_so() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    let mut record = machine.record();
    record["client"] = Value::Null;
    std::fs::write(machine.token_file(), record.to_string()).unwrap();
    let ended = machine.run(&["logout", "notes"]);
    let why = "the client that they were issued to is not known any more";
    assert!(ended.err.contains(why), "{}", ended.err);
    assert!(!ended.err.contains("are revoked"), "{}", ended.err);
    assert!(machine.server.state().revoked.is_empty());
}

#[test]
fn the_issuer_of_the_config_comes_before_what_the_backend_names() {
    let elsewhere = json!({ "authorization_servers": ["https://wrong.example"] });
    let server = AuthorizationServer::start().with(|state| state.resource_metadata = elsewhere);
    let url = server.mcp.url();
    let issuer = url.trim_end_matches("/mcp");
    let machine = Machine::with(server, &format!("oauth = {{ issuer = \"{issuer}\" }}"));
    machine.sign_in();
    assert_eq!(machine.record()["issuer"], *issuer);
}
