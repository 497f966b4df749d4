//! Switching off while a gateway runs: by the config, and by `disable` and `enable`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::canary;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::process::{self, Process};
use crate::common::reply::Reply;

const LIST_CHANGED: &str = "notifications/tools/list_changed";
/// A switch takes effect within this time.
const SOON: Duration = Duration::from_secs(1);

/// Checks that a call came too late, with this reason.
fn assert_too_late(gateway: &mut TestGateway, tool: &str, why: &str) {
    let answer = gateway.call(tool, json!({}));
    assert_eq!(answer.code(), -32603);
    assert_eq!(answer.gateway_error(), ("refused", "no", 0));
    let message = answer.message();
    assert!(message.contains(why), "{message}");
    assert!(message.ends_with("the tool did not run"), "{message}");
}

#[test]
fn a_call_that_comes_too_late_is_refused_with_the_reason() {
    let (one, two) = (
        FakeBackend::start().tool("a").tool("z"),
        FakeBackend::start().tool("b"),
    );
    let config = |gateway: &str, of_one: &str, of_two: &str| {
        format!("[gateway]\n{gateway}\n") + &one.entry("one", of_one) + &two.entry("two", of_two)
    };
    let mut gateway = TestGateway::with_config(&config("", "", ""));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a", "z", "b"]);
    let mut switch = |config: &str, left: &[&str], late: &str, why: &str| {
        gateway.save_config(config);
        gateway.next_notification(LIST_CHANGED);
        assert_eq!(gateway.tool_names(), left);
        assert_too_late(&mut gateway, late, why);
    };
    let tool = config("", "tools.deny = [\"z\"]", "");
    switch(
        &tool,
        &["a", "b"],
        "z",
        "one: the tool z is switched off by the user",
    );
    let backend = config("", "", "enabled = false");
    switch(
        &backend,
        &["a", "z"],
        "b",
        "two: this backend is switched off by the user",
    );
    let removed = format!("[gateway]\n{}", one.entry("one", ""));
    gateway.save_config(&config("", "", ""));
    gateway.wait_for_tool("b");
    let mut switch = |config: &str, left: &[&str], late: &str, why: &str| {
        gateway.save_config(config);
        while gateway.tool_names() != left {
            gateway.next_notification(LIST_CHANGED);
        }
        assert_too_late(&mut gateway, late, why);
    };
    switch(
        &removed,
        &["a", "z"],
        "b",
        "two: this backend was removed from the config",
    );
    let all = config("enabled = false", "", "");
    switch(
        &all,
        &[],
        "a",
        "one: everything is switched off by the user",
    );
    assert_eq!(gateway.call("never", json!({})).code(), -32602);
    gateway.save_config(&config("", "", ""));
    gateway.wait_for_tool("a");
    assert_eq!(gateway.call_until_success("a").text(), "a {}");
    assert_eq!((one.runs("a"), one.runs("z"), two.runs("b")), (1, 0, 0));
}

/// A switch holds though its backend answers nothing any more.
#[test]
fn a_backend_that_hangs_is_switched_off_all_the_same() {
    let fake = FakeBackend::start().tool("a").tool("z");
    let mut gateway = TestGateway::with_config(&fake.entry("one", ""));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["a", "z"]);
    let gate = Gate::new();
    for kind in ["tools/list", "initialize", "DELETE"] {
        fake.always(kind, Reply::text("").after(&gate));
    }
    gateway.save_config(&fake.entry("one", "tools.deny = [\"z\"]"));
    gateway.next_notification(LIST_CHANGED);
    assert_eq!(gateway.tool_names(), ["a"]);
    assert_too_late(&mut gateway, "z", "switched off");
    gateway.save_config(&fake.entry("one", "enabled = false"));
    gateway.next_notification(LIST_CHANGED);
    assert!(gateway.tool_names().is_empty());
    gate.open();
}

/// Runs a command with the config in this folder. Its exit status and what it says.
fn command(folder: &Path, config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(process::executable());
    command.arg("--config").arg(config).args(arguments);
    command.env_clear().env("HOME", folder).current_dir(folder);
    command.env("XDG_STATE_HOME", folder.join("state"));
    command.envs(canary::VARIABLES.map(|name| (name, canary::secret(name))));
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn disable_and_enable_take_effect_in_every_gateway_of_the_file() {
    let fake = FakeBackend::start().tool("a").tool("z");
    let folder = TempDir::new().unwrap();
    let toml = fake.entry("one", "tools.pin = \"off\" # no lock");
    let serve = process::gateway(&folder, &toml);
    let (home, file) = (
        folder.path().to_owned(),
        folder.path().join("sentinel.toml"),
    );
    let mut first = Process::start(serve, folder, PATIENCE);
    let mut second = TestGateway::in_folder(&home, &toml);
    for gateway in [&mut first.client, &mut second] {
        gateway.initialize();
        assert_eq!(gateway.tool_names(), ["a", "z"]);
    }
    let before = std::fs::read_to_string(&file).unwrap();
    // Through a link, which stays one.
    let link = home.join("link.toml");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let link = if cfg!(unix) { &link } else { &file };
    let mut times = Vec::new();
    for (arguments, left) in [
        (&["disable", "one/z"][..], &["a"][..]),
        (&["disable", "one"], &[]),
        (&["enable", "one"], &["a"]),
        (&["enable", "one/z"], &["a", "z"]),
        (&["disable", "--all"], &[]),
        (&["enable", "--all"], &["a", "z"]),
    ] {
        let (status, said) = command(&home, link, arguments);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("within a second"), "{said}");
        let begun = Instant::now();
        for gateway in [&mut first.client, &mut second] {
            while gateway.tool_names() != left {
                gateway.next_notification(LIST_CHANGED);
            }
        }
        times.push(begun.elapsed());
        let (status, said) = command(&home, link, arguments);
        assert_eq!(
            (status, said.contains("already")),
            (Some(0), true),
            "{said}"
        );
    }
    // Any of them may be slow on a busy machine.
    assert!(times.iter().min().unwrap() < &SOON, "{times:?}");
    let after = std::fs::read_to_string(&file).unwrap();
    let added = "\n[gateway]\nenabled = true\n";
    let after = after.strip_suffix(added).expect("the table was added");
    assert!(after.contains("tools.pin = \"off\" # no lock"));
    let lines = before.lines().filter(|line| !after.contains(line));
    assert_eq!(lines.count(), 0, "{before}\nbecame\n{after}");
    #[cfg(unix)]
    assert!(std::fs::symlink_metadata(link).unwrap().is_symlink());
    drop(second);
    assert_eq!(first.end().status.code(), Some(0));
}

#[test]
fn a_tool_that_is_denied_twice_is_switched_on() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sentinel.toml");
    let toml = |denied: &str| {
        format!(
            "[[backends]]\nname = \"one\"\nurl = \"http://127.0.0.1:9/mcp\"\ntools.deny = [{denied}]\n"
        )
    };
    std::fs::write(&file, toml("\"x\", \"y\", \"x\"")).unwrap();
    let (status, said) = command(folder.path(), &file, &["enable", "one/x"]);
    assert_eq!((status, said.contains("still")), (Some(0), false), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), toml("\"y\""));
}

/// A pattern of another name would deny nothing.
#[test]
fn a_tool_is_switched_by_its_own_name() {
    let fake = FakeBackend::start().tool("read_query").tool("z");
    let folder = TempDir::new().unwrap();
    let toml = fake.entry("one", "tools.rename = { read_query = \"sql_read\" }");
    let mut gateway = TestGateway::with_state(folder.path(), &toml);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["sql_read", "z"]);
    gateway.eof();
    gateway.exit();
    let file = folder.path().join("sentinel.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    for switch in ["disable", "enable"] {
        let (status, said) = command(folder.path(), &file, &[switch, "one/sql_read"]);
        assert_eq!(status, Some(1), "{said}");
        let typed =
            format!("its own name is read_query: `sentinel-gateway {switch} one/read_query`");
        assert!(said.contains(&typed), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let (status, said) = command(folder.path(), &file, &["disable", "one/read_query"]);
    assert_eq!(
        (status, said.contains("listed")),
        (Some(0), false),
        "{said}"
    );
    // One that may come later is denied as well.
    let (status, said) = command(folder.path(), &file, &["disable", "one/reed"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("one had no tool reed when it listed its tools last"),
        "{said}"
    );
}

#[test]
fn a_clients_file_and_a_pipe_have_no_switches() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mcp.jsonc");
    let text =
        "// mine\n{ \"mcpServers\": { \"one\": { \"url\": \"http://127.0.0.1:9/mcp\" } } }\n";
    std::fs::write(&file, text).unwrap();
    for switch in ["disable", "enable"] {
        let (status, said) = command(folder.path(), &file, &[switch, "one"]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("it is a client's file"), "{said}");
        assert!(
            said.contains("sentinel-gateway install CLIENT --import"),
            "{said}"
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe.toml");
        let (here, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(here, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let written = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(written, "").unwrap());
        let (status, said) = command(folder.path(), &pipe, &["disable", "--all"]);
        writer.join().unwrap();
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("is no regular file"), "{said}");
        assert!(!said.contains("working folder"), "{said}");
    }
}

#[test]
fn what_can_not_be_switched_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sentinel.toml");
    let toml = "[[backends]]\nname = \"one\"\nurl = \"http://127.0.0.1:9/mcp\"\nenabled = false\ntools.deny = [\"z*\", \"zz\"]\n";
    std::fs::write(&file, toml).unwrap();
    let (status, said) = command(folder.path(), &file, &["disable", "two"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("no backend named \"two\""), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), toml);
    let (status, said) = command(folder.path(), &file, &["enable", "one/zz"]);
    assert_eq!(status, Some(0));
    assert!(said.contains("one is still switched off"), "{said}");
    let (_, said) = command(folder.path(), &file, &["enable", "one"]);
    assert!(!said.contains("still"), "{said}");
    let (_, said) = command(folder.path(), &file, &["enable", "one/zz"]);
    let denied = format!("still denied by \"z*\" in tools.deny of {}", file.display());
    assert!(said.contains(&denied), "{said}");

    let bare = |arguments: &[&str]| {
        let mut command = process::bare_gateway(&folder);
        let output = command.args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, said) = bare(&["disable", "one"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("only found in the working folder"), "{said}");
    std::fs::remove_file(&file).unwrap();
    let flags = ["--backend", "one=http://127.0.0.1:9/mcp", "disable", "one"];
    let (status, said) = bare(&flags);
    assert_eq!(status, Some(2));
    assert!(said.contains("there is no config file to edit"), "{said}");
}
