//! The administrator's file changes while gateways run: what it says takes effect, whatever state the user's
//! part of the config is in.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel_gateway::config::Overrides;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::{ADMINISTRATORS_FILE, TestGateway, save, save_administrators};
use crate::common::process;
use crate::common::reply::Reply;

const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// A change takes effect within this time.
const SOON: Duration = Duration::from_secs(1);

fn chosen(folder: &Path) -> Overrides {
    Overrides {
        config: Some(folder.join("sentinel.toml")),
        ..Overrides::default()
    }
}

/// A gateway of these files, initialized.
fn start(
    folder: &Path,
    administrators: &str,
    users: Option<&str>,
    flags: &Overrides,
) -> TestGateway {
    save_administrators(folder, administrators);
    if let Some(users) = users {
        save(folder, users);
    }
    let mut gateway = TestGateway::administered(folder, flags);
    gateway.initialize();
    gateway
}

/// Saves the administrator's file and waits until only these tools are listed. Returns how long that took.
fn until_listed(
    gateway: &mut TestGateway,
    folder: &Path,
    administrators: &str,
    tools: &[&str],
) -> Duration {
    save_administrators(folder, administrators);
    let begun = Instant::now();
    gateway.next_notification(LIST_CHANGED);
    let took = begun.elapsed();
    assert_eq!(gateway.tool_names(), tools);
    took
}

/// What `status --json` says of the one gateway whose state folder is there.
#[cfg(unix)]
fn status(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(process::executable());
    command.env_clear().env("HOME", folder).current_dir(folder);
    command.env("XDG_STATE_HOME", folder.join("state"));
    let output = command.arg("status").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[cfg(unix)]
fn unused(folder: &Path) -> Vec<String> {
    let gateways: Value = serde_json::from_str(&status(folder, &["--json"])).unwrap();
    assert_eq!(gateways.as_array().unwrap().len(), 1, "{gateways}");
    serde_json::from_value(gateways[0]["unused_config"].clone()).unwrap()
}

/// Waits until that holds of what is not used.
#[cfg(unix)]
fn until_unused(folder: &Path, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let unused = unused(folder);
        if holds(&unused) {
            return unused;
        }
        assert!(begun.elapsed() < PATIENCE, "{unused:?}");
    }
}

#[test]
fn fault_103_a_denial_takes_effect_while_the_users_file_has_a_problem() {
    let (team, own) = (
        FakeBackend::start().tool("act").tool("look"),
        FakeBackend::start().tool("mine"),
    );
    let free = team.entry("team", "");
    let denied = team.entry("team", "tools.deny = [\"act\"]");
    let users = own.entry("own", "");
    let mut times = Vec::new();
    for bad in [
        Some(&b"[[backends]"[..]),
        Some(b"nonsense = 1\n"),
        Some(b"[[backends]]\nname = \"own\"\n"),
        Some(b"\xff"),
        None,
    ] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        let mut gateway = start(folder, &free, Some(&users), &chosen(folder));
        assert_eq!(gateway.tool_names(), ["act", "look", "mine"]);
        let file = folder.join("sentinel.toml");
        match bad {
            Some(bad) => fs::write(&file, bad).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        #[cfg(unix)]
        {
            let said = until_unused(folder, |unused| !unused.is_empty());
            assert!(said[0].contains("sentinel.toml"), "{said:?}");
        }
        times.push(until_listed(
            &mut gateway,
            folder,
            &denied,
            &["look", "mine"],
        ));
        assert_eq!(gateway.call("act", json!({})).code(), -32603);
        assert_eq!(gateway.call("mine", json!({})).text(), "mine {}");
        // The whole file takes effect once it is mended.
        save(
            folder,
            &own.entry("own", "tools.rename = { mine = \"ours\" }"),
        );
        gateway.next_notification(LIST_CHANGED);
        assert_eq!(gateway.tool_names(), ["look", "ours"]);
        #[cfg(unix)]
        until_unused(folder, <[String]>::is_empty);
    }
    // Any of them may be slow on a busy machine.
    assert!(times.iter().min().unwrap() < &SOON, "{times:?}");
}

#[test]
fn fault_103_a_users_switch_takes_effect_while_the_administrators_file_has_a_problem() {
    let (team, own) = (
        FakeBackend::start().tool("act").tool("look"),
        FakeBackend::start().tool("mine"),
    );
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let denied = team.entry("team", "tools.deny = [\"act\"]");
    let mut gateway = start(
        folder,
        &denied,
        Some(&own.entry("own", "")),
        &chosen(folder),
    );
    assert_eq!(gateway.tool_names(), ["look", "mine"]);
    save_administrators(folder, "[[backends]");
    #[cfg(unix)]
    {
        let said = until_unused(folder, |unused| !unused.is_empty());
        assert!(said[0].contains(ADMINISTRATORS_FILE), "{said:?}");
    }
    save(folder, &own.entry("own", "enabled = false"));
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(
        gateway.tool_names(),
        ["look"],
        "what was denied stays denied"
    );
    let more = team.entry("team", "tools.deny = [\"*\"]");
    until_listed(&mut gateway, folder, &more, &[]);
    #[cfg(unix)]
    until_unused(folder, <[String]>::is_empty);
}

#[test]
fn fault_103_a_denial_takes_effect_though_flags_no_longer_fit() {
    let [team, own, more, x, theirs] = [
        &["act", "look"][..],
        &["mine"],
        &["more"],
        &["x"],
        &["theirs"],
    ]
    .map(|tools| {
        let fake = FakeBackend::start();
        fake.set_tools(tools);
        fake
    });
    let text = |text: &str| text.to_owned();
    let administrators = team.entry("team", "") + &more.entry("more", "");
    let users = own.entry("own", "");
    let denial = "tools.deny = [\"act\"]";
    let mine = Overrides {
        backends: vec![(text("x"), x.url())],
        ..Overrides::default()
    };
    let only = Overrides {
        only: Some(vec![text("team"), text("more")]),
        ..Overrides::default()
    };
    let header = Overrides {
        headers: vec![(text("own"), text("X-Team"), text("mine"))],
        ..Overrides::default()
    };
    let token = Overrides {
        bearer_env: vec![(text("own"), text("UNSET"))],
        ..Overrides::default()
    };
    let own_url = own.url();
    let taken = format!("[[backends]]\nname = \"own\"\nurl = \"{own_url}\"\n");
    for (flag, flags, users, changed, before, after) in [
        // The administrator's `x` is another server, or none at all.
        (
            "--backend",
            mine.clone(),
            None,
            team.entry("team", denial) + &theirs.entry("x", ""),
            &["act", "look", "more", "x"][..],
            &["look", "theirs"][..],
        ),
        (
            "--backend",
            mine,
            Some(&users),
            team.entry("team", denial) + &theirs.entry("x", "enabled = false"),
            &["act", "look", "more", "mine", "x"],
            &["look", "mine"],
        ),
        (
            "--only",
            only,
            Some(&users),
            team.entry("team", denial),
            &["act", "look", "more"],
            &["look"],
        ),
        (
            "--header",
            header,
            Some(&users),
            team.entry("team", denial) + &taken,
            &["act", "look", "more", "mine"],
            &["look", "mine"],
        ),
        (
            "--bearer-env",
            token,
            Some(&users),
            team.entry("team", denial) + &taken,
            &["act", "look", "more"],
            &["look", "mine"],
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        let mut flags = flags;
        flags.config = users.map(|_| folder.join("sentinel.toml"));
        let users = users.map(String::as_str);
        let mut gateway = start(folder, &administrators, users, &flags);
        gateway.list_until(before);
        save_administrators(folder, &changed);
        gateway.list_until(after);
        assert_eq!(gateway.call("act", json!({})).code(), -32603);
        #[cfg(unix)]
        {
            let said = until_unused(folder, |unused| !unused.is_empty());
            assert!(said[0].starts_with(flag), "{said:?}");
        }
        // It fits again.
        save_administrators(folder, &administrators);
        gateway.wait_for_tool("act");
        #[cfg(unix)]
        until_unused(folder, <[String]>::is_empty);
    }
}

/// A switch in the user's own file is a denial, too.
#[test]
fn a_backend_that_a_flag_names_is_switched_off_while_it_runs() {
    let (one, two) = (
        FakeBackend::start().tool("a"),
        FakeBackend::start().tool("b"),
    );
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let flags = Overrides {
        only: Some(vec!["one".to_owned()]),
        ..chosen(folder)
    };
    let config = |more: &str| one.entry("one", more) + &two.entry("two", "");
    let mut gateway = start(folder, "", Some(&config("")), &flags);
    assert_eq!(gateway.tool_names(), ["a"]);
    save(folder, &config("enabled = false"));
    gateway.list_until(&[]);
    save(folder, &config(""));
    gateway.list_until(&["a"]);
}

/// Who has no config file when the gateway starts can switch something off all the same.
#[test]
fn a_users_file_that_comes_later_is_taken() {
    let team = FakeBackend::start().tool("act");
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut gateway = start(folder, &team.entry("team", ""), None, &Overrides::default());
    assert_eq!(gateway.tool_names(), ["act"]);
    let file = folder.join("config/sentinel/sentinel.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    let switch = |command: &str| {
        let mut program = Command::new(process::executable());
        program.arg("--config").arg(&file).args([command, "--all"]);
        let output = program.env_clear().env("HOME", folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    switch("disable");
    gateway.list_until(&[]);
    #[cfg(unix)]
    until_unused(folder, <[String]>::is_empty);
    // Once it was there, what it said stays where it can't be read.
    fs::remove_file(&file).unwrap();
    #[cfg(unix)]
    {
        let said = until_unused(folder, |unused| !unused.is_empty());
        // Nobody has named it.
        let why =
            "there is no such file any more; until it is there again, what it said last holds";
        assert!(said[0].ends_with(why), "{said:?}");
    }
    assert_eq!(gateway.tool_names(), [""; 0]);
    save(file.parent().unwrap(), "");
    gateway.list_until(&["act"]);
}

#[test]
fn what_the_administrator_has_switched_off_is_told_as_theirs() {
    let force = json!({ "inputSchema": { "properties": { "force": { "type": "boolean" } } } });
    let team = FakeBackend::start().tool("act").tool("look");
    let team = team.tool_with("set", force);
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let entry = |more: &str| team.entry("team", more);
    let users = |more: &str| save(folder, &entry(more));
    let mut gateway = start(folder, &entry(""), Some(&entry("")), &chosen(folder));
    assert_eq!(gateway.tool_names(), ["act", "look", "set"]);
    let file = folder.join(ADMINISTRATORS_FILE);
    let theirs = format!(
        "the administrator's file {}, which only an administrator can change",
        file.display()
    );
    let late = |gateway: &mut TestGateway, tool: &str, what: &str, who: &str| {
        let answer = gateway.call(tool, json!({}));
        let expected = format!("team: {what} is switched off by {who}; the tool did not run");
        assert_eq!(answer.message(), expected);
    };
    // A denial, and an allow list that leaves it out; beside one of the user's own.
    users("tools.deny = [\"look\", \"act\"]");
    gateway.list_until(&["set"]);
    late(&mut gateway, "act", "the tool act", "the user");
    save_administrators(
        folder,
        &entry("tools.deny = [\"act\"]\ntools.args = { set = { force = [] } }"),
    );
    users("");
    gateway.list_until(&["look", "set"]);
    late(&mut gateway, "act", "the tool act", &theirs);
    let refused = gateway.call("set", json!({ "force": true }));
    let expected = "the administrator's file does not allow the argument \"force\"";
    assert!(
        refused.message().contains(expected),
        "{}",
        refused.message()
    );
    save_administrators(folder, &entry("tools.allow = [\"set\"]"));
    gateway.list_until(&["set"]);
    late(&mut gateway, "look", "the tool look", &theirs);
    save_administrators(folder, &entry("enabled = false"));
    gateway.list_until(&[]);
    late(&mut gateway, "act", "this backend", &theirs);
    let off = format!("[gateway]\nenabled = false\n{}", entry(""));
    save_administrators(folder, &off);
    #[cfg(unix)]
    {
        let all_off = |shown: &str| shown.contains("has switched everything off");
        let begun = Instant::now();
        let mut shown = status(folder, &[]);
        while !all_off(&shown) {
            assert!(begun.elapsed() < PATIENCE, "{shown}");
            shown = status(folder, &[]);
        }
        assert!(!shown.contains("enable --all"), "{shown}");
        late(&mut gateway, "act", "everything", &theirs);
    }
}

#[test]
fn a_profile_that_is_gone_shows_no_more_than_before() {
    let (team, own) = (
        FakeBackend::start().tool("act").tool("look"),
        FakeBackend::start().tool("mine").tool("other"),
    );
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let flags = Overrides {
        profile: Some("work".to_owned()),
        ..chosen(folder)
    };
    let profile =
        "[profiles.work]\nbackends = [\"own\", \"team\"]\nallow = [\"mine\", \"act\", \"look\"]\n";
    let users = own.entry("own", "");
    let mut gateway = start(
        folder,
        &team.entry("team", ""),
        Some(&(users.clone() + profile)),
        &flags,
    );
    assert_eq!(gateway.tool_names(), ["act", "look", "mine"]);
    save(folder, &users);
    #[cfg(unix)]
    until_unused(folder, |unused| !unused.is_empty());
    until_listed(
        &mut gateway,
        folder,
        &team.entry("team", "tools.deny = [\"act\"]"),
        &["look", "mine"],
    );
    // A backend that the profile names is gone.
    save(folder, &(users + profile));
    until_listed(&mut gateway, folder, "", &["mine"]);
}

#[test]
fn fault_103_a_denial_takes_effect_with_flags_alone_and_with_a_config_that_was_found() {
    let (team, own) = (
        FakeBackend::start().tool("act").tool("look"),
        FakeBackend::start().tool("mine"),
    );
    let flags = Overrides {
        backends: vec![("own".to_owned(), own.url())],
        ..Overrides::default()
    };
    let (users, free) = (own.entry("own", ""), team.entry("team", ""));
    // A found file is none where the administrator's has backends at the start.
    for (users, flags, free, listed) in [
        (None, flags, &*free, &["act", "look", "mine"][..]),
        (Some(&*users), Overrides::default(), "", &["mine"]),
    ] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        let mut gateway = start(folder, free, users, &flags);
        assert_eq!(gateway.tool_names(), listed);
        let denied = team.entry("team", "tools.deny = [\"act\"]");
        until_listed(&mut gateway, folder, &denied, &["look", "mine"]);
        // The found file is kept as it was, also where it is gone.
        let _ = fs::remove_file(folder.join("sentinel.toml"));
        let none = team.entry("team", "enabled = false");
        until_listed(&mut gateway, folder, &none, &["mine"]);
        #[cfg(unix)]
        {
            let shown = status(folder, &[]);
            let file = folder.join(ADMINISTRATORS_FILE);
            let line = format!("\nadministrator's file: {}\n", file.display());
            assert!(shown.contains(&line), "{shown}");
            assert_eq!(unused(folder), [""; 0]);
        }
        fs::remove_file(folder.join(ADMINISTRATORS_FILE)).unwrap();
        assert_eq!(gateway.call("mine", json!({})).text(), "mine {}");
    }
}

/// What was accepted in one run holds in the next, though the user has no file to keep it beside.
#[test]
fn what_the_administrator_pins_is_kept_for_users_without_a_file() {
    let (team, own) = (
        FakeBackend::start().tool("act").tool("look"),
        FakeBackend::start().tool("mine"),
    );
    let flags = Overrides {
        backends: vec![("own".to_owned(), own.url())],
        ..Overrides::default()
    };
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let pinned = team.entry("team", "tools.pin = \"block\"");
    let mut gateway = start(folder, &pinned, None, &flags);
    assert_eq!(gateway.tool_names(), ["act", "look", "mine"]);
    gateway.eof();
    gateway.exit();
    let lock = folder.join("state/sentinel/administrator.lock");
    let text = fs::read_to_string(lock).unwrap();
    assert!(text.contains("\"act\"") && !text.contains("mine"), "{text}");
    // Another definition of both, and of the user's.
    team.set_tools(&["act", "look", "new"]);
    own.set_tools(&["mine"]);
    let mut gateway = start(folder, &pinned, None, &flags);
    assert_eq!(gateway.tool_names(), ["new", "mine"]);
    assert_eq!(gateway.call("act", json!({})).code(), -32602);
    // A file of the user's that comes later accepts nothing, now or after a restart.
    let users = folder.join("config/sentinel");
    fs::create_dir_all(&users).unwrap();
    save(&users, &team.entry("team", "tools.deny = [\"new\"]"));
    gateway.list_until(&["mine"]);
    drop(gateway);
    save(&users, "");
    let mut gateway = start(folder, &pinned, None, &flags);
    assert_eq!(gateway.tool_names(), ["new", "mine"]);
}

/// A server at one path of a host sends its requests on to another path, which the administrator has for themselves.
#[test]
fn fault_103_a_redirect_leads_to_no_server_of_the_administrators_file() {
    for administrators in ["enabled = false", "tools.deny = [\"act\"]"] {
        for taken in ["/team", "/x/..//TEAM/?x", "/away"] {
            let server = FakeBackend::start().tool("act").behind(move |request| {
                let is_asked = request.target == "/mcp";
                is_asked.then(|| Reply::status(307).header("location", taken).runs(false))
            });
            let folder = TempDir::new().unwrap();
            let folder = folder.path();
            let team = server.url().replace("/mcp", "/team");
            let team =
                format!("[[backends]]\nname = \"team\"\nurl = \"{team}\"\n{administrators}\n");
            let users = server.entry("mine", "");
            let mut gateway = start(folder, &team, Some(&users), &chosen(folder));
            let names = gateway.tool_names();
            let is_there = names.iter().any(|name| name.ends_with("act"));
            // Another path is the server's own matter.
            assert_eq!(is_there, taken == "/away", "{taken}: {names:?}");
        }
    }
}

/// What the administrator says of another server at the same host changes where redirects may lead, and nothing else.
#[test]
fn a_denial_of_another_server_at_the_same_host_is_no_new_connection() {
    let leads = Arc::new(AtomicBool::new(false));
    let leading = Arc::clone(&leads);
    let server = FakeBackend::start().tool("act").behind(move |request| {
        let leads = leading.load(Ordering::Relaxed) && request.target == "/mcp";
        leads.then(|| Reply::status(307).header("location", "/two").runs(false))
    });
    let mark = FakeBackend::start().tool("mark");
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let [one, two] = ["one", "two"].map(|name| denied_beside(&server, name));
    let users = server.entry("mine", "");
    let mut gateway = start(folder, &one, Some(&users), &chosen(folder));
    assert_eq!(gateway.tool_names(), ["act"]);
    let marked = mark.entry("mark", "");
    save_administrators(folder, &format!("{marked}{one}{two}"));
    gateway.list_until(&["mark", "act"]);
    save_administrators(folder, &format!("{two}{one}"));
    gateway.list_until(&["act"]);
    assert_eq!(gateway.call("act", json!({})).text(), "act {}");
    assert_eq!(server.requests_of("initialize").len(), 1);
    // The denial holds for the connection that was there before it.
    leads.store(true, Ordering::Relaxed);
    let answer = gateway.call("act", json!({}));
    let message = answer.message();
    assert!(message.contains("administrator's file"), "{message}");
    assert_eq!(
        (server.runs("act"), server.requests_of("initialize").len()),
        (1, 1)
    );
}

/// It may be there that its session is.
#[test]
fn fault_103_a_server_that_has_led_elsewhere_is_connected_anew_under_a_denial() {
    let server = FakeBackend::start().tool("act").behind(|request| {
        let is_asked = request.target == "/mcp";
        is_asked.then(|| Reply::status(307).header("location", "/away").runs(false))
    });
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let users = server.entry("mine", "");
    let mut gateway = start(folder, "", Some(&users), &chosen(folder));
    assert_eq!(gateway.tool_names(), ["act"]);
    assert_eq!(gateway.call("act", json!({})).text(), "act {}");
    save_administrators(folder, &denied_beside(&server, "away"));
    let begun = Instant::now();
    loop {
        let answer = gateway.call("act", json!({}));
        if answer.0.json.get("error").is_some() {
            let message = answer.message();
            assert!(message.contains("administrator's file"), "{message}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is called all the same");
    }
}

/// A server at another path of the same host that the administrator has switched off.
fn denied_beside(server: &FakeBackend, name: &str) -> String {
    let url = server.url().replace("/mcp", &format!("/{name}"));
    format!("[[backends]]\nname = \"{name}\"\nurl = \"{url}\"\nenabled = false\n")
}
