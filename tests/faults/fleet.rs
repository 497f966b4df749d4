//! Section J: what others of the same machine and fleet do: the administrator, a collector, users.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::collector::{Answer, Collector};
use crate::common::gateway::save;
use crate::common::process;
use crate::fixture::{Fixture, default_backend, launched, plan, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "103" Config "an administrator's file that a user tries to lift" => "its backends, denials and limits hold, by name and by URL, against the user's file, flags and changes of both while it runs; a file that a user may write is an error", fault_103_administrator;
    "104" Config "a collector of telemetry that refuses, lies, hangs or is gone" => "no call notices, and the end comes in time", fault_104_collector;
    "105" Config "a folder or a socket of somebody else where the gateway's own would be" => "it is neither used nor asked; calls go on, and `status` finds the gateway elsewhere", fault_105_foreign_socket;
    "106" Config "a config file that is replaced half-written" => "the one before stays until the file is whole", fault_106_half_a_file;
};

const LIST_CHANGED: &str = "notifications/tools/list_changed";

fn fault_103_administrator(run: &Run<'_>) {
    let etc = TempDir::new().unwrap();
    fs::create_dir(etc.path().join("sentinel")).unwrap();
    let file = etc.path().join("sentinel/sentinel.toml");
    let backend = std::sync::Arc::new(default_backend().tool("drop"));
    let of_administrator = |rules: &str| {
        let rules = format!("tools.deny = [\"drop\", {rules}]\nheaders = {{ X-Team = \"core\" }}");
        fs::write(&file, backend.entry("team", &rules)).unwrap();
    };
    of_administrator("");
    // The gateway sees this folder as /etc, and nothing else does.
    let mount = format!(
        "mount --bind '{}' /etc && exec \"$@\"",
        etc.path().display()
    );
    let launcher = ["unshare", "-m", "sh", "-c", &mount, "sh"];
    let tried = Command::new(launcher[0])
        .args(&launcher[1..])
        .arg("true")
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return run.note_skipped("a folder can't be mounted for one process");
    }

    run.set_variant("an entry of its name and one of its URL");
    let url = backend.url();
    let entries = |url: &str| {
        format!(
            "[[backends]]\nname = \"team\"\nurl = \"http://127.0.0.1:9/mcp\"\nheaders = {{ X-Team = \"mine\" }}\n\
             [[backends]]\nname = \"mine\"\nurl = \"{url}\"\nheaders = {{ X-Team = \"mine\" }}\n"
        )
    };
    let mut fixture = plan_with(run, std::sync::Arc::clone(&backend))
        .through(&launcher)
        .gateway(&format!("name = \"g\"\n{}", entries(&url)))
        .start();
    if !fixture.is_gateway() {
        fixture.end();
        return;
    }
    assert_eq!(
        fixture.client().tool_names(),
        ["act", "look", "other", "held"]
    );
    fixture.expect_success("act");
    assert_eq!(fixture.client().call("drop", json!({})).code(), -32602);

    run.set_variant("a change of the user's file while it runs");
    let folder = fixture.process().folder().to_owned();
    let before = fs::read_to_string(folder.join("sentinel.toml")).unwrap();
    let tricks = before.replace(
        &url,
        &url.replace("127.0.0.1", "LOCALHOST")
            .replace("/mcp", "//mcp/?x"),
    );
    save(&folder, &(tricks + "\n[profiles.seen]\n"));
    fixture.process().signal("HUP");
    call_until_noticed(&mut fixture);
    assert_eq!(fixture.client().call("drop", json!({})).code(), -32602);

    run.set_variant("a denial that comes while it runs");
    of_administrator("\"act\"");
    fixture.client().next_notification(LIST_CHANGED);
    let before = fixture.sent("act");
    let answer = fixture.client().call("act", json!({}));
    assert_eq!(answer.gateway_error().1, "no");
    assert!(
        answer.message().contains("switched off"),
        "{}",
        answer.message()
    );
    assert_eq!(fixture.sent("act"), before);

    run.set_variant("a file that others may write");
    chmod(&file, 0o666);
    fixture.process().signal("HUP");
    fixture.check_good_backend();
    let checked = |more: &[&str]| -> Output {
        let folder = TempDir::new().unwrap();
        let command = process::gateway(&folder, "");
        let launcher = launcher.map(str::to_owned);
        let mut whole = launched(&launcher, &command);
        whole.args(more).arg("check").output().unwrap()
    };
    let output = checked(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("`sudo chmod go-w /etc/sentinel/sentinel.toml`"),
        "{said}"
    );
    chmod(&file, 0o644);

    run.set_variant("flags");
    let output = checked(&["--header", "team:X-Team=mine"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no flag changes its URL and headers"),
        "{said}"
    );
    let output = checked(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("administrator: /etc/sentinel/sentinel.toml, which has team"),
        "{said}"
    );

    let calls = fixture.bad.requests_of("tools/call");
    assert!(
        calls
            .iter()
            .all(|call| call.header("x-team") == Some("core"))
    );
    assert_eq!(fixture.bad.runs("drop"), 0);
    let log = fixture.end().log;
    assert!(
        log.contains("mine is left out") && log.contains("the changed config is not used"),
        "{log}"
    );
}

fn chmod(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

fn fault_104_collector(run: &Run<'_>) {
    let variants = [
        (
            "refuses",
            vec![Answer::With("HTTP/1.1 403 Forbidden", Vec::new()); 200],
        ),
        (
            "lies",
            vec![Answer::With("HTTP/1.1 200 OK", vec![b'{'; 200_000]); 200],
        ),
        (
            "sends elsewhere",
            vec![
                Answer::With(
                    "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/",
                    Vec::new()
                );
                200
            ],
        ),
        ("hangs", vec![Answer::Hang; 200]),
    ];
    for (variant, answers) in variants {
        run.set_variant(variant);
        let collector = Collector::start(answers);
        let mut fixture = with_collector(run, &collector.url());
        fixture.expect_success("act");
        collector.wait_for(|exports| (!exports.is_empty()).then_some(()));
        for _ in 0..20 {
            fixture.expect_success("act");
        }
        fixture.end();
    }
    run.set_variant("is gone");
    let mut fixture = with_collector(run, "http://127.0.0.1:9");
    for _ in 0..20 {
        fixture.expect_success("act");
    }
    fixture.end();
}

fn with_collector<'a>(run: &'a Run<'a>, url: &str) -> Fixture<'a> {
    plan(run)
        .gateway(&format!(
            "drain_ms = 500\n[telemetry]\notlp_endpoint = '{url}'\ninterval_secs = 1"
        ))
        .start()
}

/// What `status --json` says, with the environment of this fixture's gateway.
fn status(home: &Path, runtime: &Path) -> (Vec<Value>, String) {
    let output = Command::new(process::executable())
        .args(["status", "--json"])
        .env_clear()
        .env("HOME", home)
        .env("XDG_STATE_HOME", home)
        .env("XDG_RUNTIME_DIR", runtime)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        said,
    )
}

#[cfg(not(unix))]
fn fault_105_foreign_socket(run: &Run<'_>) {
    run.note("there are no sockets here");
}

#[cfg(unix)]
fn fault_105_foreign_socket(run: &Run<'_>) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    const NOBODY: u32 = 65_534;
    for variant in [
        "a link to a folder of somebody else",
        "a folder of somebody else",
    ] {
        run.set_variant(variant);
        let runtime = TempDir::new().unwrap();
        let is_root = fs::metadata(runtime.path()).unwrap().uid() == 0;
        let place = runtime.path().join("sentinel-gateway");
        let foreign = runtime.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        if variant.starts_with("a link") {
            symlink(&foreign, &place).unwrap();
        } else if is_root {
            fs::rename(&foreign, &place).unwrap();
            std::os::unix::fs::chown(&place, Some(NOBODY), None).unwrap();
        } else {
            run.note_skipped("a folder of another user needs root");
            continue;
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        let listener = UnixListener::bind(place.join("1-foreign.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut fixture = plan(run)
            .gateway("status = true")
            .variable("XDG_RUNTIME_DIR", &runtime.path().display().to_string())
            .start();
        fixture.expect_success("act");
        if fixture.is_gateway() {
            let home = fixture.process().folder().to_owned();
            let begun = Instant::now();
            let said = loop {
                let (gateways, said) = status(&home, runtime.path());
                if !gateways.is_empty() {
                    assert_eq!(gateways[0]["pid"], fixture.process().pid());
                    break said;
                }
                assert!(begun.elapsed() < PATIENCE, "{said}");
            };
            assert!(
                said.contains("sentinel-gateway"),
                "nothing is said of it: {said}"
            );
            let inside = fs::read_dir(&place).unwrap().count();
            assert_eq!(inside, 1, "a socket was put into it");
            let asked = listener.accept();
            assert!(asked.is_err(), "its socket was asked");
        }
        fixture.expect_success("act");
        fixture.end();
    }
}

fn fault_106_half_a_file(run: &Run<'_>) {
    /// How long a file must stay the same.
    const QUIET: Duration = Duration::from_millis(200);

    let mut fixture = plan(run).start();
    if !fixture.is_gateway() {
        fixture.end();
        return;
    }
    let folder = fixture.process().folder().to_owned();
    let file = folder.join("sentinel.toml");
    let whole = fs::read_to_string(&file).unwrap();
    // A half that can be read: it has one backend less.
    let half = &whole[..whole.rfind("[[backends]]").unwrap()];
    assert!(half.contains("[[backends]]"));

    run.set_variant("in place, in pieces");
    let (mut count, begun) = (0, Instant::now());
    while begun.elapsed() < 8 * QUIET {
        let written = Instant::now();
        fs::write(&file, half).unwrap();
        fixture.check_good_backend();
        fs::write(&file, &whole).unwrap();
        if written.elapsed() >= QUIET {
            run.note("the machine was too busy to write a file in time");
            break;
        }
        assert_eq!(fixture.client().tool_names().len(), 4);
        count += 1;
    }
    run.note(format!("{count} halves"));

    run.set_variant("by another one that breaks off");
    let torn = folder.join("torn");
    fs::write(&torn, &whole[..whole.len() - 12]).unwrap();
    fs::rename(&torn, &file).unwrap();
    fixture.process().signal("HUP");
    call_until_noticed(&mut fixture);
    assert_eq!(fixture.client().tool_names().len(), 4);

    run.set_variant("whole at last");
    fs::write(
        &torn,
        format!("{whole}tools.rename = {{ look = \"watch\" }}\n"),
    )
    .unwrap();
    fs::rename(&torn, &file).unwrap();
    fixture.client().wait_for_tool("watch");
    fixture.expect_success("act");
    let log = fixture.end().log;
    assert!(log.contains("the changed config is not used"), "{log}");
}

/// Calls for longer than a change of a file takes to be noticed.
fn call_until_noticed(fixture: &mut Fixture<'_>) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        fixture.check_good_backend();
        fixture.expect_success("look");
    }
}
