//! `auth_store` with a key: what is kept is sealed, and what can't be opened asks for a sign-in.

use super::*;

const KEY: &str = "a-key-of-more-than-thirty-two-letters";

/// A machine whose tokens are sealed with the key in its file `key`.
fn sealed() -> Machine {
    let machine = Machine::new(AuthorizationServer::start());
    write_key(&machine, KEY);
    seal(&machine);
    machine
}

fn write_key(machine: &Machine, key: &str) {
    std::fs::write(machine.folder.path().join("key"), format!("{key}\n")).unwrap();
}

/// From now on, its tokens are sealed.
fn seal(machine: &Machine) {
    let key = machine.folder.path().join("key");
    let key = key.to_str().unwrap();
    configure(
        machine,
        &format!("[gateway]\nauth_store = {{ key_command = [\"cat\", '{key}'] }}\n"),
    );
}

fn configure(machine: &Machine, gateway: &str) {
    let url = machine.server.mcp.url();
    let toml = format!("{gateway}\n[[backends]]\nname = \"notes\"\nurl = \"{url}\"\n");
    std::fs::write(machine.folder.path().join("sentinel.toml"), toml).unwrap();
}

fn auth(machine: &Machine) -> Value {
    let check = machine.run(&["check", "--json"]);
    let report: Value = serde_json::from_str(&check.out).unwrap();
    report["backends"][0]["auth"].clone()
}

/// A call through a gateway that starts for it.
fn call(machine: &Machine) {
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}

/// What is kept shows nothing but the address of the backend.
fn assert_sealed(machine: &Machine) {
    let kept = std::fs::read_to_string(machine.token_file()).unwrap();
    assert_no_token(&kept);
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let members: Vec<&String> = kept.as_object().unwrap().keys().collect();
    assert_eq!(members, ["sealed", "url", "version"]);
}

#[test]
fn a_sealed_sign_in_shows_no_token_and_is_renewed() {
    let machine = sealed();
    machine.sign_in();
    assert_sealed(&machine);
    assert_eq!(auth(&machine)["store"], "sealed");
    let check = machine.run(&["check"]);
    assert!(
        check.out.contains("renewed by itself, sealed"),
        "{}",
        check.out
    );
    call(&machine);
    let before = std::fs::read(machine.token_file()).unwrap();
    machine.server.expire_all();
    // The token is older than those that are not renewed at once.
    machine.server.state().life = Some(3600);
    let out = machine.run(&["logout", "notes"]);
    assert_eq!(out.code, 0, "{}", out.err);
    assert_ne!(std::fs::read(machine.token_file()).unwrap(), before);
    assert_eq!(machine.server.state().revoked.len(), 2);
    assert_sealed(&machine);
}

#[test]
fn a_file_from_before_is_read_and_sealed_when_it_is_written() {
    let machine = Machine::new(AuthorizationServer::start());
    machine.sign_in();
    machine.expire_token();
    write_key(&machine, KEY);
    seal(&machine);
    call(&machine);
    assert_eq!(machine.server.grants().last().unwrap(), "refresh_token");
    assert_sealed(&machine);
    call(&machine);
    assert_eq!(machine.server.state().authorizations.len(), 1);
}

#[test]
fn another_key_or_none_asks_for_a_sign_in_which_replaces_the_file() {
    for without_key in [false, true] {
        let machine = sealed();
        machine.sign_in();
        let why = match without_key {
            true => {
                configure(&machine, "");
                "gateway.auth_store names no key"
            }
            false => {
                write_key(&machine, "another-key-of-more-than-thirty-two-letters");
                "sealed with another key"
            }
        };
        let auth = auth(&machine);
        assert_eq!(auth["state"], "sign_in", "{auth}");
        assert!(auth["why"].as_str().unwrap().contains(why), "{auth}");
        let mut gateway = machine.gateway();
        let answer = tool_call(&mut gateway, "act");
        let message = answer.error()["message"].as_str().unwrap();
        assert!(message.contains("login notes"), "{message}");
        finish(gateway);
        machine.sign_in();
        call(&machine);
    }
}

#[test]
fn a_file_that_stays_closed_is_replaced_by_a_sign_in_alone() {
    let machine = sealed();
    machine.sign_in();
    write_key(&machine, "another-key-of-more-than-thirty-two-letters");
    let kept = std::fs::read(machine.token_file()).unwrap();
    let logout = machine.run(&["logout", "notes"]);
    assert_eq!(logout.code, 1);
    assert!(
        logout.err.contains("sealed with another key"),
        "{}",
        logout.err
    );
    // A registration of mcp-remote is noted before a browser is sent there.
    mcp_remote::sign_in(machine.folder.path(), &machine.server);
    let mut login = machine.start_login(&[]);
    assert!(login.url.contains("client-of-mcp-remote"), "{}", login.url);
    login.child.kill().unwrap();
    login.child.wait().unwrap();
    assert_eq!(std::fs::read(machine.token_file()).unwrap(), kept);
    write_key(&machine, KEY);
    call(&machine);
    assert_eq!(machine.server.state().revoked, [""; 0]);
    write_key(&machine, "another-key-of-more-than-thirty-two-letters");
    let logout = machine.run(&["logout", "notes", "--forget"]);
    assert_eq!(logout.code, 0, "{}", logout.err);
    assert!(logout.err.contains("may live on"), "{}", logout.err);
}

#[test]
fn a_key_that_is_not_to_be_had_is_told_and_nothing_is_lost() {
    let machine = sealed();
    machine.sign_in();
    let kept = std::fs::read(machine.token_file()).unwrap();
    for (key, why) in [
        (None, "the command cat failed"),
        (Some("short"), "prints less than 32 characters"),
    ] {
        match key {
            Some(key) => write_key(&machine, key),
            None => std::fs::remove_file(machine.folder.path().join("key")).unwrap(),
        }
        let auth = auth(&machine);
        assert_eq!(auth["state"], "unavailable", "{auth}");
        assert!(auth["why"].as_str().unwrap().contains(why), "{auth}");
        // Before a person is sent to a browser.
        let login = machine.run(&["login", "notes"]);
        assert_eq!(login.code, 1);
        assert!(
            login.err.contains("gateway.auth_store gives no key"),
            "{}",
            login.err
        );
        assert!(login.err.contains(why), "{}", login.err);
        assert_eq!(std::fs::read(machine.token_file()).unwrap(), kept);
    }
    write_key(&machine, KEY);
    call(&machine);
    assert_eq!(machine.server.state().authorizations.len(), 1);
}

/// A gateway that had no key a moment ago asks again when somebody who had one has signed in.
#[test]
fn a_login_is_noticed_though_there_was_no_key_before() {
    let machine = sealed();
    machine.sign_in();
    std::fs::remove_file(machine.folder.path().join("key")).unwrap();
    let mut gateway = machine.gateway();
    let refused = tool_call(&mut gateway, "act");
    let message = refused.message();
    assert!(message.contains("gives no key"), "{message}");
    write_key(&machine, KEY);
    machine.sign_in();
    let begun = std::time::Instant::now();
    gateway.client.wait_for_tool("act");
    let time = begun.elapsed();
    assert!(time < Duration::from_secs(10), "{time:?}");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}
