//! The commands of the command line, with the real binary.

use std::process::Command;

use crate::common::fake::FakeBackend;
use crate::common::message;
use crate::common::process::Ended;
use crate::common::reply::Reply;
use crate::common::{canary, process};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) mod one;
mod search;
#[cfg(unix)]
pub(crate) mod terminal;
pub(crate) mod words;

/// The binary with its own config and none of the machine's settings.
struct Shell {
    folder: TempDir,
    toml: String,
}

impl Shell {
    fn with(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            toml: toml.to_owned(),
        }
    }

    fn over(fakes: &[(&str, &FakeBackend)]) -> Self {
        let entries = fakes
            .iter()
            .map(|(name, fake)| fake.entry(name, "retries = 0"));
        Self::with(&entries.collect::<String>())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = process::gateway(&self.folder, &self.toml);
        command.args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap();
        canary::scan("stdout", &output.stdout);
        canary::scan("stderr", &output.stderr);
        canary::assert_no_leaks();
        Ended::of(output)
    }
}

#[test]
fn check_shows_the_state_of_a_backend_and_ends_its_session() {
    let fake = FakeBackend::start().tool("a").tool("b").prompt("p");
    let shell = Shell::over(&[("one", &fake)]);
    let out = shell.run(&["check"]).success();
    let row = out.lines().find(|line| line.starts_with("one")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        words[..5],
        ["one", "up", &fake.url(), "legacy", "2025-11-25"],
        "{out}"
    );
    assert!(
        out.starts_with("config: ") && out.contains("sentinel.toml\n"),
        "{out}"
    );
    assert!(!out.contains('\u{1b}'), "no colours into a pipe: {out:?}");
    assert_eq!(fake.requests_of("DELETE").len(), 1);

    let report = shell.run(&["check", "--json"]).success();
    let report: Value = serde_json::from_str(&report).unwrap();
    let row = &report["backends"][0];
    assert_eq!(row["up"], true);
    assert_eq!((&row["tools"], &row["prompts"]), (&json!(2), &json!(1)));
    assert!(row["latency_ms"].as_f64().unwrap() > 0.0, "{row}");
    assert_eq!(row["error"], Value::Null);
}

#[test]
fn commands_take_a_profile() {
    let (one, two) = (
        FakeBackend::start().tool("read").tool("write"),
        FakeBackend::start().tool("other"),
    );
    let entries = one.entry("one", "") + &two.entry("two", "");
    let profile = "[profiles.work]\nbackends = [\"one\"]\nallow = [\"one/r*\"]\n";
    let shell = Shell::with(&(entries + profile));
    let listed = shell.run(&["--profile", "work", "tools"]).success();
    assert!(listed.contains("read") && !listed.contains("write") && !listed.contains("other"));
    let report = shell
        .run(&["check", "--profile", "work", "--json"])
        .success();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["backends"].as_array().unwrap().len(), 1);
    assert_eq!(report["backends"][0]["tools"], 1);
    assert_eq!(report["profile"], "work");
    let shown = shell.run(&["check", "--profile", "work"]).success();
    assert!(shown.contains("\nprofile: work\n"), "{shown}");
    assert!(shown.contains(" --profile work tools"), "{shown}");
    let found = shell
        .run(&["search", "read write", "--profile", "work"])
        .success();
    assert!(!found.contains("write"), "{found}");
    shell.run(&["call", "read", "--profile", "work"]).success();
    let refused = shell.run(&["call", "write", "--profile", "work"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("the profile work has no tool write"),
        "{}",
        refused.err
    );
    let unknown = shell.run(&["tools", "--profile", "wrk"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("did you mean work"), "{}", unknown.err);
}

#[test]
fn check_shows_the_cause_and_a_hint_for_a_backend_that_is_down() {
    let (up, down) = (FakeBackend::start().tool("a"), FakeBackend::down());
    let shell = Shell::over(&[("up", &up), ("gone", &down)]);
    let ended = shell.run(&["check"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    let row = ended
        .out
        .lines()
        .find(|line| line.starts_with("gone"))
        .unwrap();
    let hint = format!("is the server running? try: curl -i {}", down.url());
    assert!(
        row.contains("down") && row.contains("refused") && row.ends_with(&hint),
        "{row}"
    );

    let ended = shell.run(&["check", "--json"]);
    assert_eq!(ended.code, 1);
    let backends = &ended.json()["backends"];
    assert_eq!(
        (&backends[0]["up"], &backends[1]["up"]),
        (&json!(true), &json!(false))
    );
    assert!(backends[1]["error"].as_str().unwrap().ends_with(&hint));
}

#[test]
fn check_notes_withheld_tools_and_failed_lists() {
    let fake = FakeBackend::start().tool("a").tool("a").prompt("p");
    fake.always("prompts/list", Reply::error(-32000, "no prompts today"));
    let ended = Shell::over(&[("one", &fake)]).run(&["check"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let notes: Vec<&str> = ended
        .out
        .lines()
        .filter(|line| line.starts_with("note: "))
        .collect();
    assert_eq!(notes.len(), 2, "{}", ended.out);
    assert!(notes[0].contains("one: prompts/list failed") && notes[0].contains("no prompts today"));
    assert!(
        notes[1].contains("one: tools/list: a is withheld"),
        "{}",
        notes[1]
    );
}

#[test]
fn check_shows_the_limits_on_calls() {
    let fake = FakeBackend::start().tool("send_mail");
    let keys = "rate_per_minute = 60\nburst = 10\ntools.rate_per_minute = { \"send_*\" = 5 }\n\
                tools.max_in_flight = { \"send_*\" = 1 }\ntools.repeat_limit = { send_mail = 0 }\n\
                tools.args = { send_mail = { from = [\"me@example.com\"], bcc = [] } }";
    let entries = fake.entry("mail", keys) + &fake.entry("free", "");
    let shell = Shell::with(&format!("[gateway]\nrepeat_limit = 3\n{entries}"));
    let check = shell.run(&["check", "--json"]).json();
    let tool = |glob: &str, rate: Value, in_flight: Value, repeat: Value| {
        json!({ "glob": glob, "rate_per_minute": rate, "burst": rate,
                "max_in_flight": in_flight, "repeat_limit": repeat, "args": {} })
    };
    let mut tools = [
        tool("send_*", json!(5), json!(1), Value::Null),
        tool("send_mail", Value::Null, Value::Null, json!(0)),
    ];
    tools[1]["args"] = json!({ "from": ["me@example.com"], "bcc": [] });
    let limits = json!({ "rate_per_minute": 60, "burst": 10, "max_in_flight": 256,
                         "repeat_limit": 3, "tools": tools });
    assert_eq!(check["backends"][0]["limits"], limits);
    let out = shell.run(&["check"]).success();
    let note = "note: mail: calls are limited, counted by each running gateway: 60 a minute, 10 at once; \
                3 of the same a minute; send_*: 5 a minute, 5 at once, 1 in flight; \
                send_mail: any number of the same, bcc is hidden, from is filled in";
    assert!(out.contains(note), "{out}");
    assert!(out.contains(
        "note: free: calls are limited, counted by each running gateway: 3 of the same a minute"
    ));
}

#[test]
fn check_says_which_guarded_arguments_keep_a_tool_away() {
    let schema = json!({ "type": "object", "properties": { "repo": { "$ref": "https://example.com/repo" } } });
    let fake = FakeBackend::start().tool_with("fork", json!({ "inputSchema": schema }));
    let args = "tools.args = { fork = { \"/repo/owner\" = [\"me\"] } }";
    let out = Shell::with(&fake.entry("git", args)).run(&["check"]);
    let out = out.success();
    let why = "git: tools/list: fork is withheld: `tools.args` guards its arguments, and its `inputSchema` can't be narrowed: \
               what is behind its `$ref` to https://example.com/repo is not known";
    assert!(out.contains(why), "{out}");
}

#[test]
fn uris_that_two_backends_have_are_shown_with_their_aliases() {
    let app = json!({ "_meta": { "ui": { "resourceUri": "ui://app" } } });
    let one = FakeBackend::start()
        .tool_with("a", app.clone())
        .resource("x://1");
    let two = FakeBackend::start().tool_with("b", app).resource("x://1");
    let shell = Shell::over(&[("one", &one), ("two", &two)]);
    let resources = shell.run(&["resources", "--json"]).json();
    let shown = resources
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| json!([resource["uri"], resource["backend"], resource["own_name"]]));
    let expected = json!([["x://1", "one", "x://1"], ["x://two/1", "two", "x://1"]]);
    assert_eq!(Value::from_iter(shown), expected);
    let check = shell.run(&["check", "--json"]).json();
    let expected = json!([
        { "list": "resources/list", "own": "x://1", "alias": "x://two/1" },
        { "list": "tools/list", "own": "ui://app", "alias": "ui://two/app" },
    ]);
    assert_eq!(check["backends"][0]["aliases"], json!([]));
    assert_eq!(check["backends"][1]["aliases"], expected);
    let note = "note: two: other backends have 2 of its URIs too: clients see x://1 as x://two/1, and the others likewise";
    let out = shell.run(&["check"]).out;
    assert!(out.contains(note), "{out}");
    assert_eq!(
        shell.run(&["read", "x://two/1"]).success(),
        "contents of \"x://1\""
    );
}

#[test]
fn a_bad_config_ends_every_command_with_2() {
    let shell = Shell::with("[[backends]]\nname = 'one'\nurll = 'http://127.0.0.1:1/mcp'\n");
    for args in [&["check"][..], &["tools"], &["call", "a"]] {
        let ended = shell.run(args);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""));
        assert!(
            ended.err.contains("urll") && ended.err.contains("sentinel.toml:3"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn tools_are_listed_as_a_client_sees_them() {
    let one = FakeBackend::start().tool("zebra").tool("echo");
    let two = FakeBackend::start().tool_with("echo", json!({ "description": "first\nsecond" }));
    let shell = Shell::over(&[("one", &one), ("two", &two)]);
    let tools = shell.run(&["tools", "--json"]);
    let tools = tools.json();
    let shown = tools.as_array().unwrap().iter().map(|tool| {
        assert_eq!(tool["definition"]["name"], tool["name"]);
        json!([tool["name"], tool["backend"], tool["own_name"]])
    });
    let expected = json!([
        ["zebra", "one", "zebra"],
        ["echo", "one", "echo"],
        ["two__echo", "two", "echo"],
    ]);
    assert_eq!(Value::from_iter(shown), expected);

    let expected = "\
NAME       BACKEND  OWN NAME  DESCRIPTION
zebra      one                zebra, a tool
echo       one                echo, a tool
two__echo  two      echo      first
";
    assert_eq!(shell.run(&["tools"]).success(), expected);
}

#[test]
fn prompts_and_resources_are_listed_too() {
    let fake = FakeBackend::start()
        .prompt("ask")
        .resource("file:///a")
        .template("file:///{name}");
    let shell = Shell::over(&[("one", &fake)]);
    assert_eq!(shell.run(&["prompts", "--json"]).json()[0]["name"], "ask");
    let resources = shell.run(&["resources", "--json"]).json();
    assert_eq!(resources[0]["uri"], "file:///a");
    assert_eq!(resources[1]["uriTemplate"], "file:///{name}");
    assert_eq!(resources[1]["backend"], "one");
}

#[test]
fn a_list_warns_of_a_backend_that_is_down() {
    let (up, down) = (FakeBackend::start().tool("a"), FakeBackend::down());
    let ended = Shell::over(&[("gone", &down), ("up", &up)]).run(&["tools", "--json"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json().as_array().unwrap().len(), 1);
    assert!(
        ended.err.starts_with("warning: gone is down: "),
        "{}",
        ended.err
    );
}

#[test]
fn call_prints_the_text_and_with_json_the_raw_result() {
    let fake = FakeBackend::start().tool("t");
    let result = json!({ "content": [{ "type": "text", "text": "one\ntwo" }], "n": 1 });
    fake.always_tool("t", Reply::result(result.clone()));
    let shell = Shell::over(&[("one", &fake)]);
    assert_eq!(shell.run(&["call", "t"]).success(), "one\ntwo\n");
    let raw = shell.run(&["call", "t", "--json"]).success();
    assert_eq!(raw, format!("{result}\n"));
    assert_eq!(fake.requests_of("DELETE").len(), 2);
}

#[test]
fn call_refuses_invalid_arguments_before_it_connects() {
    let fake = FakeBackend::start().tool("echo");
    let ended = Shell::over(&[("one", &fake)]).run(&["call", "echo", "{\"n\":"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(
        ended.err.starts_with("the arguments are not JSON"),
        "{}",
        ended.err
    );
    assert_eq!(fake.connections(), 0);
}

#[test]
fn call_shows_progress_and_logs_on_stderr() {
    let fake = FakeBackend::start().tool("slow");
    let log = json!({ "level": "info", "data": "half way" });
    let reply = Reply::sse()
        .event(message::progress(1.0))
        .event(message::notification("notifications/message", log))
        .event(message::text("done"));
    fake.on_tool("slow", reply);
    let ended = Shell::over(&[("one", &fake)]).run(&["call", "slow"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "done\n"));
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ended.err);
    assert_eq!(lines[0], "progress 1.0");
    assert!(
        lines[1].starts_with("info") && lines[1].ends_with(": half way"),
        "{}",
        lines[1]
    );
}

#[test]
fn call_exits_with_1_if_the_tool_or_the_gateway_reports_an_error() {
    let fake = FakeBackend::start().tool("t");
    let (shell, gone) = (Shell::over(&[("one", &fake)]), FakeBackend::down());
    let result = json!({ "content": [{ "type": "text", "text": "no such row" }], "isError": true });
    fake.on_tool("t", Reply::result(result));
    let ended = shell.run(&["call", "t"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, "no such row\n"));
    assert!(
        ended.err.contains("the tool t reports an error"),
        "{}",
        ended.err
    );

    fake.on_tool("t", Reply::error(-32000, "out of order"));
    let ended = shell.run(&["call", "t"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert_eq!(ended.err, "out of order\n");

    let ended = Shell::over(&[("gone", &gone), ("one", &fake)]).run(&["call", "nope"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(
        ended.err.contains("nope") && ended.err.contains("gone"),
        "{}",
        ended.err
    );
}

#[cfg(unix)]
#[test]
fn a_closed_stdout_is_not_an_error() {
    let fake = FakeBackend::start().tool("t");
    let shell = Shell::over(&[("one", &fake)]);
    for args in [
        &["check"][..],
        &["tools"],
        &["tools", "--json"],
        &["call", "t"],
        &["schema"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = shell.command(args).stdout(writer).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), err.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn the_log_is_written_if_a_level_is_given() {
    let fake = FakeBackend::start().tool("t");
    let ended = Shell::over(&[("one", &fake)]).run(&["check", "--log-level", "info"]);
    assert!(ended.err.contains("connected"), "{}", ended.err);
}
