//! `search` and `tools --tokens`.

use super::*;

fn shell() -> (Shell, [FakeBackend; 2]) {
    let described = |text: &str| json!({ "description": text });
    let fakes = [
        FakeBackend::start()
            .tool_with(
                "move_document",
                described("Moves a document to another folder."),
            )
            .tool_with("trash", described("Throws a document away.")),
        FakeBackend::start().tool_with("send_mail", described("Sends a mail.")),
    ];
    let shell = Shell::over(&[("drive", &fakes[0]), ("mail", &fakes[1])]);
    (shell, fakes)
}

#[test]
fn search_ranks_the_tools_of_all_backends() {
    let (shell, _fakes) = shell();
    let out = shell
        .run(&["search", "put a file", "elsewhere,", "move it"])
        .success();
    let rows: Vec<&str> = out.lines().collect();
    assert!(
        rows[0].contains("SCORE") && rows[0].contains("BACKEND"),
        "{out}"
    );
    let first: Vec<&str> = rows[1].split_whitespace().collect();
    assert_eq!(first[1..3], ["move_document", "drive"], "{out}");

    let found = shell.run(&["search", "email", "--json"]).success();
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found[0]["name"], "send_mail");
    assert!(found[0]["score"].as_f64().unwrap() > 0.0);

    let one = shell
        .run(&["search", "document", "--limit", "1", "--json"])
        .success();
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one.as_array().unwrap().len(), 1);
}

#[test]
fn search_shows_what_a_model_finds() {
    let many = (0..9).fold(FakeBackend::start(), |fake, at| {
        fake.tool(&format!("note_{at}"))
    });
    let few = FakeBackend::start().tool("read_note").tool("write_note");
    let shell = Shell::over(&[("many", &many), ("few", &few)]);
    let of_few = |words: &str| {
        let found = shell.run(&["search", words, "--limit", "5", "--json"]);
        let found: Value = serde_json::from_str(&found.success()).unwrap();
        let found = found.as_array().unwrap().iter();
        found.filter(|tool| tool["backend"] == "few").count()
    };
    assert_eq!(of_few("note"), 2);
}

#[test]
fn a_search_that_finds_nothing_says_so() {
    let (shell, _fakes) = shell();
    let ended = shell.run(&["search", "zebra"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(
        ended.err.contains("\"zebra\"") && ended.err.contains("`tools`"),
        "{}",
        ended.err
    );
}

#[test]
fn tools_with_tokens_shows_the_largest_first_and_the_total() {
    let (shell, _fakes) = shell();
    let out = shell.run(&["tools", "--tokens"]).success();
    let names: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|word| ["move_document", "trash", "send_mail"].contains(word))
        .collect();
    assert_eq!(names[0], "move_document", "{out}");
    assert_eq!(names.len(), 3, "{out}");

    let costs = shell.run(&["tools", "--tokens", "--json"]).success();
    let costs: Value = serde_json::from_str(&costs).unwrap();
    let sum = |list: &str| -> u64 {
        let list = costs[list].as_array().unwrap();
        list.iter().map(|one| one["tokens"].as_u64().unwrap()).sum()
    };
    assert!(sum("tools") > 30, "{costs}");
    assert_eq!(costs["total"], sum("tools"));
    assert_eq!(costs["total"], sum("backends"));
    assert_eq!(costs["backends"][0]["name"], "drive");
    assert!(
        out.contains(&format!("about {} tokens for 3 tools", costs["total"])),
        "{out}"
    );
}

#[test]
fn check_says_what_the_tools_cost_and_what_searching_would_save() {
    let long = json!({ "description": "word ".repeat(6_000) });
    let fake = FakeBackend::start().tool_with("long", long);
    let shell = Shell::over(&[("one", &fake)]);
    let ended = shell.run(&["check"]);
    let note = ended
        .out
        .lines()
        .find(|line| line.contains("tokens; with tool_mode"))
        .unwrap();
    assert!(note.contains("take about 60"), "{note}");
    let report = shell.run(&["check", "--json"]).json();
    assert!(report["tokens"]["all"].as_u64().unwrap() > 6_000);
    assert!(report["tokens"]["search"].as_u64().unwrap() < 400);
}

#[test]
fn a_command_calls_a_tool_by_its_name_in_any_mode() {
    let fake = FakeBackend::start().tool("echo");
    let shell = Shell::with(&format!(
        "[gateway]\ntool_mode = \"search\"\n{}",
        fake.entry("one", "")
    ));
    let out = shell.run(&["call", "echo", "a=1"]).success();
    assert_eq!(out.trim(), r#"echo {"a":1}"#);
}

/// A person reads a result whole, and has no second call in the same process.
#[test]
fn a_command_shows_a_result_whole_whatever_its_limit() {
    let fake = FakeBackend::start().tool("log");
    let text = "one line of many\n".repeat(500);
    fake.always_tool("log", Reply::text(&text));
    let limit = "tools.max_result_tokens = { \"*\" = 256 }\n";
    let shell = Shell::with(&fake.entry("one", limit));
    let out = shell.run(&["call", "log"]).success();
    assert_eq!(out.trim(), text.trim());
}
