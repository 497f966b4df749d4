//! `check --client`, `init`, and the first start by a person.

use std::fs;

use super::Home;
use crate::common::fake::FakeBackend;
use crate::common::process::Ended;

const DESKTOP: &str = "Claude/claude_desktop_config.json";

#[test]
fn a_client_is_checked_as_it_starts_the_gateway() {
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    let toml = fake.entry("notes", "headers = { \"X-Key\" = \"${NOTES_KEY}\" }");
    home.write("sentinel/sentinel.toml", &toml);
    let none = home.run(&["check", "--client", "claude-desktop"]);
    assert_eq!(none.code, 1);
    assert!(
        none.err
            .contains("`sentinel-gateway install claude-desktop` writes one"),
        "{}",
        none.err
    );

    home.does(&["install", "claude-desktop", "--yes"]);
    let check = |variable: &str| {
        let mut command = home.command(&["check", "--client", "claude-desktop"]);
        let output = command.env("NOTES_KEY", variable).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    // A shell has the variable, a program with a window doesn't.
    let (code, shown) = check("hidden");
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("NOTES_KEY is not set"), "{shown}");
    assert!(
        shown.contains("client: Claude Desktop, entry sentinel"),
        "{shown}"
    );
    let entry = home.read(DESKTOP).replace(
        "\"args\"",
        "\"env\": { \"NOTES_KEY\": \"hidden\" },\n      \"args\"",
    );
    home.write(DESKTOP, &entry);
    let (code, shown) = check("");
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn codex_gets_the_variables_of_the_config_by_name() {
    const FILE: &str = ".codex/config.toml";
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    let more = "headers = { \"X-Key\" = \"${NOTES_KEY}\", \"X-Home\" = \"${HOME}\" }";
    home.write("sentinel/sentinel.toml", &fake.entry("notes", more));
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        Ended::of(command.env("NOTES_KEY", "hidden").output().unwrap())
    };
    assert_eq!(run(&["install", "codex", "--yes"]).code, 0);
    let written = home.read(FILE);
    assert!(
        written.contains("env_vars = [\"NOTES_KEY\"]\n"),
        "{written}"
    );
    let whole = run(&["check", "--client", "codex"]);
    assert_eq!(whole.code, 0, "{}{}", whole.out, whole.err);
    // Codex passes nothing else on, whatever its shell has.
    home.write(FILE, &written.replace("env_vars = [\"NOTES_KEY\"]\n", ""));
    let without = run(&["check", "--client", "codex"]);
    assert_eq!(without.code, 1, "{}{}", without.out, without.err);
    let said = without.out + &without.err;
    assert!(said.contains("NOTES_KEY is not set"), "{said}");
    // Where it is written otherwise, too.
    let named = "env_vars = [{ name = \"NOTES_KEY\", source = \"local\" }]\n";
    home.write(
        FILE,
        &written.replace("env_vars = [\"NOTES_KEY\"]\n", named),
    );
    assert_eq!(run(&["check", "--client", "codex"]).code, 0);
}

#[test]
fn an_entry_that_is_gone_is_told_and_put_back() {
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    home.write("sentinel/sentinel.toml", &fake.entry("notes", ""));
    home.write(DESKTOP, "{ \"mcpServers\": { \"a\": {} } }");
    home.does(&["install", "claude-desktop", "--yes"]);
    // What Claude Desktop does while it runs.
    home.write(DESKTOP, "{ \"theme\": 1 }");
    let gone = home.run(&["check", "--client", "claude-desktop"]);
    assert_eq!(gone.code, 1);
    assert!(
        gone.err.contains("is gone from") && gone.err.contains("--fix"),
        "{}",
        gone.err
    );
    home.does(&["check", "--client", "claude-desktop", "--fix"]);
    let back = home.read(DESKTOP);
    assert!(
        back.contains("sentinel") && back.contains("theme"),
        "{back}"
    );
    fs::remove_file(home.path(".local/share/sentinel/bin/sentinel-gateway")).unwrap();
    let program = home.run(&["check", "--client", "claude-desktop"]);
    assert!(program.err.contains("is gone"), "{}", program.err);
}

#[test]
fn an_entry_of_a_project_is_checked_and_put_back() {
    const FILE: &str = ".vscode/mcp.json";
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    home.write("sentinel/sentinel.toml", &fake.entry("notes", ""));
    home.does(&["install", "vscode", "--project", "--yes"]);
    let check = ["check", "--client", "vscode"];
    // That of the user has none.
    assert_eq!(home.run(&check).code, 1);
    let of_project = [&check[..], &["--project"]].concat();
    home.does(&of_project);
    let ended = home.run(&of_project);
    assert!(ended.err.contains(FILE), "{}", ended.err);
    home.write(FILE, "{}");
    let gone = home.run(&of_project);
    assert_eq!(gone.code, 1);
    let fix = "`sentinel-gateway check --client vscode --project --fix`";
    assert!(gone.err.contains(fix), "{}", gone.err);
    home.does(&[&of_project[..], &["--fix"]].concat());
    assert!(home.read(FILE).contains("sentinel"));
}

#[test]
fn the_command_that_comes_next_can_be_typed_with_a_config_and_without() {
    let home = Home::empty();
    let server = "{ \"mcpServers\": { \"notes\": { \"url\": \"http://127.0.0.1:9/mcp\" } } }";
    home.write(".cursor/mcp.json", server);
    let shown = home.does(&["install"]);
    let next = "next: sentinel-gateway install cursor --import --dry-run\n";
    assert!(shown.contains(next), "{shown}");
    home.does(&["install", "cursor", "--import", "--dry-run"]);
    home.does(&["install", "cursor", "--import", "--yes"]);
    let shown = home.does(&["install"]);
    let next = "next: sentinel-gateway install cursor --dry-run\n";
    assert!(shown.contains(next), "{shown}");
    home.does(&["install", "cursor", "--dry-run"]);
}

#[test]
fn an_entry_that_was_changed_by_hand_is_not_called_gone_and_stays() {
    let home = Home::new();
    home.write(DESKTOP, "{ \"mcpServers\": { \"a\": {} } }");
    home.does(&["install", "claude-desktop", "--yes"]);
    let mut file: serde_json::Value = serde_json::from_str(&home.read(DESKTOP)).unwrap();
    file["mcpServers"]["sentinel"]["command"] = "/usr/local/bin/wrapper".into();
    let edited = file.to_string();
    home.write(DESKTOP, &edited);
    for args in [
        &["check", "--client", "claude-desktop"][..],
        &["check", "--client", "claude-desktop", "--fix"],
        &["uninstall", "claude-desktop", "--yes"],
    ] {
        let refused = home.run(args);
        assert_eq!(refused.code, 1, "{args:?}: {}{}", refused.out, refused.err);
        let said = &refused.err;
        assert!(said.contains("starts another program"), "{args:?}: {said}");
        assert!(!said.contains("is gone"), "{said}");
        assert_eq!(home.read(DESKTOP), edited, "{args:?}");
    }
    // The record is kept, so the way back is open.
    home.does(&[
        "uninstall",
        "claude-desktop",
        "--restore",
        "--force",
        "--yes",
    ]);
    assert_eq!(home.read(DESKTOP), "{ \"mcpServers\": { \"a\": {} } }");
}

#[test]
fn a_first_config_is_written_from_arguments_and_tried() {
    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    let notes = format!("notes={}", fake.url());
    let shown = home.does(&["init", &notes, "--header", "notes:X-Tenant=acme", "--yes"]);
    assert!(shown.contains("notes is up"), "{shown}");
    let written = home.read("sentinel/sentinel.toml");
    assert!(written.contains("X-Tenant = \"acme\""), "{written}");
    assert!(written.starts_with("# "), "{written}");
    home.does(&["check"]);

    let again = home.run(&["init", &notes, "--yes"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("is there already"), "{}", again.err);
    assert_eq!(home.read("sentinel/sentinel.toml"), written);
    let down = home.run(&[
        "--config",
        "other.toml",
        "init",
        "a=http://127.0.0.1:9/mcp",
        "--yes",
    ]);
    assert_eq!(down.code, 1);
    assert!(down.out.contains("a is down"), "{}{}", down.out, down.err);
    for wrong in ["a=ftp://h", "A b=http://h", "a=nonsense"] {
        let wrong = home.run(&["--config", "third.toml", "init", wrong, "--yes"]);
        assert_eq!(wrong.code, 2, "{}", wrong.err);
    }
    assert_eq!(
        home.run(&["--config", "third.toml", "init", "--yes"]).code,
        2
    );
    assert!(!home.path("third.toml").exists());
}

#[cfg(unix)]
#[test]
fn a_person_without_a_config_is_told_what_to_type() {
    use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};

    let home = Home::empty();
    let terminal = PseudoTerminal::start(&mut home.command(&[]), 120, OnTerminal::All);
    let (code, said) = terminal.end();
    assert_eq!(code, 2);
    assert_eq!(said.trim_end().lines().count(), 5, "{said}");
    assert!(
        said.contains("install") && said.contains("--import"),
        "{said}"
    );
    // A client gets an answer instead.
    let piped = home.run(&[]);
    assert!(piped.err.contains("no configuration"), "{}", piped.err);
}

#[cfg(unix)]
#[test]
fn a_person_is_asked_for_a_first_config_and_before_a_file_is_written() {
    use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};

    let fake = FakeBackend::start().tool("note");
    let home = Home::empty();
    let mut terminal = PseudoTerminal::start(&mut home.command(&["init"]), 120, OnTerminal::All);
    let url = fake.url();
    for (question, answer) in [
        ("URL of an MCP server", ""),
        ("type a URL, such as https://example.com/mcp", &*url),
        ("Name (empty: server)", "notes"),
        ("Token, if it wants one", "hidden-token"),
        ("URL of another one", ""),
        ("Write it?", "y"),
    ] {
        terminal.wait_for(question);
        terminal.type_line(answer);
    }
    let (code, said) = terminal.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("notes is up"), "{said}");
    assert!(!said.contains("hidden-token"), "{said}");
    assert_eq!(
        home.read("sentinel/secrets/notes-authorization"),
        "hidden-token\n"
    );

    let mut terminal = PseudoTerminal::start(
        &mut home.command(&["install", "cursor"]),
        120,
        OnTerminal::All,
    );
    terminal.wait_for("Write it?");
    terminal.type_line("n");
    assert_eq!(terminal.end().0, 1);
    assert!(!home.path(".cursor/mcp.json").exists());
}

#[cfg(unix)]
#[test]
fn a_token_that_is_not_typed_to_the_end_leaves_the_terminal_as_it_was() {
    use crate::common::pseudo_terminal::{OnTerminal, PseudoTerminal};

    let home = Home::empty();
    // A shell that shows afterwards what the terminal does.
    let init = home.command(&["init"]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "\"$0\" init; stty -a"])
        .arg(init.get_program())
        .current_dir(home.folder.path())
        .env_clear();
    for (name, value) in init.get_envs() {
        shell.envs(value.map(|value| (name, value)));
    }
    let mut terminal = PseudoTerminal::start(&mut shell, 120, OnTerminal::All);
    terminal.wait_for("URL of an MCP server");
    terminal.type_line("http://127.0.0.1:9/mcp");
    terminal.wait_for("Name (empty");
    terminal.type_line("notes");
    terminal.wait_for("Token, if it wants one");
    terminal.type_keys("hidden\u{3}");
    let (_, said) = terminal.end();
    assert!(said.contains("nothing was written"), "{said}");
    assert!(
        !said.contains("-echo ") && !said.contains("-isig"),
        "{said}"
    );
    assert!(said.contains("isig"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
    assert!(!home.path("sentinel/sentinel.toml").exists());
}

#[test]
fn rules_of_a_client_that_call_tool_goes_past_are_told() {
    let fake = FakeBackend::start().tool("drop_all");
    let home = Home::empty();
    let config = |gateway: &str| {
        let toml = format!("[gateway]\n{gateway}\n{}", fake.entry("notes", ""));
        home.write("sentinel/sentinel.toml", &toml);
    };
    config("tool_mode = \"search\"");
    home.does(&["install", "claude-code", "codex", "cursor", "--yes"]);
    let warning = |client: &str| {
        let ended = home.run(&["check", "--client", client]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let shown = ended.out + &ended.err;
        let mut lines = shown.lines();
        lines
            .find(|line| line.contains("rules of its own"))
            .map(str::to_owned)
    };
    assert_eq!(warning("claude-code"), None);
    home.write(
        ".claude/settings.json",
        r#"{"permissions":{"deny":["mcp__sentinel__drop_all"],"allow":["mcp__sentinel__call_tool","mcp__other__x"]}}"#,
    );
    let told = warning("claude-code").unwrap();
    for words in [
        "(drop_all, call_tool in ",
        ".claude/settings.json",
        "tools.deny",
        "tool_mode = \"all\"",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let codex = home.read(".codex/config.toml");
    let limited = codex.replace("args =", "enabled_tools = [\"note\"]\nargs =");
    assert_ne!(limited, codex);
    home.write(".codex/config.toml", &limited);
    let told = warning("codex").unwrap();
    assert!(told.contains("(note in "), "{told}");
    home.write(
        ".cursor/cli.json",
        r#"{"permissions":{"deny":["Mcp(sentinel:drop_all)"]}}"#,
    );
    let told = warning("cursor").unwrap();
    assert!(told.contains("search_exposes = \"activate\""), "{told}");
    // With "activate" they get call_tool all the same: one lists once, the other is of revision 2026-07-28.
    config("tool_mode = \"search\"\nsearch_exposes = \"activate\"");
    for client in ["claude-code", "codex"] {
        let told = warning(client).unwrap();
        assert!(!told.contains("search_exposes"), "{client}: {told}");
    }
    // Where tools are called by their own names, rules hold.
    assert_eq!(warning("cursor"), None);
    for holds in ["tool_mode = \"all\"", "tool_mode = \"auto\""] {
        config(holds);
        assert_eq!(warning("claude-code"), None, "{holds}");
    }
}
