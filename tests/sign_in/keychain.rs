//! `auth_store = "keychain"`, with a stand-in for `secret-tool`: the key is made once and never replaced.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// Keeps each secret in a file of the folder `keychain`, named by its attributes. The file `locked` locks it: nothing
/// is found then, and nothing taken. Every run is noted without what it reads.
const SECRET_TOOL: &str = r#"#!/bin/sh
cd "${0%/*}/../keychain" || exit 9
echo "$*" >> runs
case $1 in
lookup)
    shift
    [ -e locked ] && exit 1
    [ -e "$*" ] || exit 1
    read -r key < "$*" || [ -n "$key" ]
    printf %s "$key"
    ;;
store)
    shift 2
    if [ -e locked ]; then
        echo "secret-tool: Cannot create an item in a locked collection" >&2
        exit 1
    fi
    read -r key
    printf %s "$key" > "$*"
    ;;
esac
"#;

fn machine(more: &str) -> Machine {
    let server = AuthorizationServer::start();
    server.put_client("robot", Some("canary-robot-secret"));
    let machine = Machine::new(server);
    let folder = machine.folder.path();
    for name in ["bin", "keychain"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    let (text, tool) = (folder.join("text"), folder.join("bin/secret-tool"));
    std::fs::write(&text, SECRET_TOOL).unwrap();
    // By another program: one that this process has open for writing can't be run.
    let mut install = Command::new("install");
    let installed = install.arg("-m755").args([&text, &tool]).status();
    assert!(installed.unwrap().success());
    let url = machine.server.mcp.url();
    let toml = format!(
        "[gateway]\nauth_store = \"keychain\"\n\n[[backends]]\nname = \"notes\"\nurl = \"{url}\"\n{more}\n"
    );
    std::fs::write(folder.join("sentinel.toml"), toml).unwrap();
    machine
}

/// The runs of the tool that begin so.
fn runs(machine: &Machine, word: &str) -> usize {
    let runs = std::fs::read_to_string(machine.folder.path().join("keychain/runs"));
    let runs = runs.unwrap_or_default();
    runs.lines().filter(|line| line.starts_with(word)).count()
}

/// The keys in the keychain.
fn keys(machine: &Machine) -> Vec<String> {
    let files = std::fs::read_dir(machine.folder.path().join("keychain")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let entries = paths.filter(|path| {
        path.to_str()
            .unwrap()
            .contains("service sentinel-gateway name ")
    });
    entries
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

fn lock(machine: &Machine) {
    std::fs::write(machine.folder.path().join("keychain/locked"), "").unwrap();
}

fn unlock(machine: &Machine) {
    std::fs::remove_file(machine.folder.path().join("keychain/locked")).unwrap();
}

fn note(machine: &Machine) -> PathBuf {
    machine.folder.path().join("sentinel/auth/keychain")
}

fn assert_sealed(machine: &Machine) {
    let members = machine.record();
    let members: Vec<&String> = members.as_object().unwrap().keys().collect();
    assert_eq!(members, ["sealed", "url", "version"]);
}

fn call(machine: &Machine) {
    let mut gateway = machine.gateway();
    gateway.client.wait_for_tool("act");
    assert_eq!(tool_call(&mut gateway, "act").text(), "act {}");
    finish(gateway);
}

#[test]
fn the_key_is_made_once_and_is_on_no_command_line() {
    let machine = machine("");
    machine.sign_in();
    call(&machine);
    call(&machine);
    assert_sealed(&machine);
    assert_eq!(runs(&machine, "store"), 1);
    let [key] = &keys(&machine)[..] else {
        panic!("one key");
    };
    assert_eq!(key.len(), 44, "32 bytes in Base64");
    let seen = std::fs::read_to_string(machine.folder.path().join("keychain/runs")).unwrap();
    assert!(!seen.contains(&**key));
    let note = note(&machine);
    assert_eq!(
        std::fs::metadata(&note).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!std::fs::read_to_string(note).unwrap().contains(&**key));
    let check = machine.run(&["check", "--json"]);
    assert!(
        check.out.contains("\"store\":\"sealed\"") || check.out.contains("\"store\": \"sealed\""),
        "{}",
        check.out
    );
}

#[test]
fn gateways_that_start_at_once_make_one_key() {
    let machine = machine(
        "oauth = { grant = \"client_credentials\", client_id = \"robot\", client_secret = { file = \"secret\" } }",
    );
    std::fs::write(machine.folder.path().join("secret"), "canary-robot-secret").unwrap();
    let gateways: Vec<Process> = (0..4).map(|_| machine.start_gateway()).collect();
    for mut gateway in gateways {
        gateway.client.initialize();
        gateway.client.wait_for_tool("act");
        finish(gateway);
    }
    assert_eq!((runs(&machine, "store"), keys(&machine).len()), (1, 1));
    assert_sealed(&machine);
}

#[test]
fn a_locked_keychain_is_told_and_its_key_is_not_replaced() {
    let machine = machine("");
    machine.sign_in();
    let (kept, key) = (std::fs::read(machine.token_file()).unwrap(), keys(&machine));
    lock(&machine);
    let check = machine.run(&["check", "--json"]);
    let report: Value = serde_json::from_str(&check.out).unwrap();
    let auth = &report["backends"][0]["auth"];
    assert_eq!(auth["state"], "unavailable", "{auth}");
    let why = auth["why"].as_str().unwrap();
    assert!(
        why.contains("the keychain is locked, or no longer has the key"),
        "{why}"
    );
    // Before a person is sent to a browser.
    let login = machine.run(&["login", "notes"]);
    assert_eq!(login.code, 1);
    assert!(
        login.err.contains("gateway.auth_store gives no key"),
        "{}",
        login.err
    );
    assert!(
        login.err.contains(note(&machine).to_str().unwrap()),
        "{}",
        login.err
    );
    assert_eq!(runs(&machine, "store"), 1);
    assert_eq!(std::fs::read(machine.token_file()).unwrap(), kept);
    unlock(&machine);
    assert_eq!(keys(&machine), key);
    call(&machine);
    assert_eq!(machine.server.state().authorizations.len(), 1);
}

#[test]
fn a_key_that_the_keychain_does_not_take_is_not_noted() {
    let machine = machine("");
    lock(&machine);
    let login = machine.run(&["login", "notes"]);
    assert_eq!(login.code, 1);
    let why =
        "the keychain takes no key (secret-tool: Cannot create an item in a locked collection)";
    assert!(login.err.contains(why), "{}", login.err);
    assert!(!note(&machine).exists());
    unlock(&machine);
    machine.sign_in();
    assert_sealed(&machine);
}

#[test]
fn without_the_tool_nothing_is_kept_and_the_package_is_named() {
    let machine = machine("");
    std::fs::remove_file(machine.folder.path().join("bin/secret-tool")).unwrap();
    let login = machine.run(&["login", "notes"]);
    assert_eq!(login.code, 1);
    let why = "secret-tool is not there, which speaks to the keychain; install it";
    assert!(login.err.contains(why), "{}", login.err);
    assert!(login.err.contains("libsecret-tools"), "{}", login.err);
    let files = std::fs::read_dir(machine.folder.path().join("sentinel/auth")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(
        names
            .iter()
            .all(|name| name.to_str().unwrap().ends_with(".lock")),
        "{names:?}"
    );
    assert_eq!(machine.server.state().authorizations.len(), 0);
}

#[test]
fn a_key_that_is_gone_is_replaced_when_a_person_removes_the_note() {
    let machine = machine("");
    machine.sign_in();
    for entry in std::fs::read_dir(machine.folder.path().join("keychain")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(machine.run(&["login", "notes"]).code, 1);
    assert_eq!(keys(&machine).len(), 0);
    std::fs::remove_file(note(&machine)).unwrap();
    machine.sign_in();
    call(&machine);
    assert_eq!(keys(&machine).len(), 1);
}
