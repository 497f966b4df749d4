//! `install` and `uninstall` with the real binary, in a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::process::{self, Ended};

mod import;
mod import_again;
mod people;

/// A user's home with the folders of clients.
struct Home {
    folder: TempDir,
}

const CONFIG: &str = "[[backends]]\nname = \"notes\"\nurl = \"http://127.0.0.1:9/mcp\"\n";

impl Home {
    /// With a sentinel.toml in the user's config folder, which is the home itself.
    fn new() -> Self {
        let home = Self::empty();
        home.write("sentinel/sentinel.toml", CONFIG);
        home
    }

    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = process::bare_gateway(&self.folder);
        command.args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// The same, which must succeed.
    fn does(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.out, ended.err);
        ended.out
    }
}

/// The clients whose files are edited, each with its file and one as a user has it.
const FILES: [(&str, &str, &str); 10] = [
    (
        "claude-desktop",
        "Claude/claude_desktop_config.json",
        "{\n  \"globalShortcut\": \"\",\n  \"mcpServers\": {\n    \"files\": { \"command\": \"npx\", \"env\": { \"KEY\": \"hidden-1\" } }\n  }\n}\n",
    ),
    (
        "claude-code",
        ".claude.json",
        "{\"numStartups\":7,\"mcpServers\":{},\"projects\":{\"/a\":{\"mcpServers\":{}}}}",
    ),
    (
        "cursor",
        ".cursor/mcp.json",
        "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": { \"url\": \"http://a\", \"headers\": { \"X\": \"hidden-2\" } }\r\n\t}\r\n}",
    ),
    (
        "vscode",
        "Code/User/mcp.json",
        "// mine\n{\n  \"inputs\": [],\n  \"servers\": {\n    \"a\": { \"type\": \"http\", \"url\": \"http://a\" }, // one\n  },\n}\n",
    ),
    (
        "codex",
        ".codex/config.toml",
        "model = \"o\" # mine\n\n[mcp_servers.a]\ncommand = \"x\"\n[mcp_servers.a.env]\nK = \"hidden-3\"\n",
    ),
    ("windsurf", ".codeium/windsurf/mcp_config.json", ""),
    (
        "zed",
        "zed/settings.json",
        "{\n  // theme\n  \"theme\": \"One\",\n}\n",
    ),
    (
        "gemini",
        ".gemini/settings.json",
        "\u{feff}{\n    \"security\": {}\n}",
    ),
    (
        "opencode",
        "opencode/opencode.jsonc",
        "{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"mcp\": {},\n}\n",
    ),
    (
        "copilot",
        ".copilot/mcp-config.json",
        "{ \"mcpServers\": { } }",
    ),
];

#[test]
fn every_client_gets_an_entry_and_its_file_comes_back_byte_for_byte() {
    let home = Home::new();
    for (_, file, text) in FILES {
        home.write(file, text);
    }
    let clients: Vec<&str> = FILES.iter().map(|(client, ..)| *client).collect();
    let shown = home.does(&[&["install", "--yes"], &*clients].concat());
    assert!(!shown.contains("hidden-"), "{shown}");
    for (client, file, _) in FILES {
        let text = home.read(file);
        assert!(text.contains("sentinel"), "{client}: {text}");
        assert!(text.contains("sentinel.toml"), "{client}: {text}");
    }
    let again = home.does(&[&["install", "--yes"], &*clients].concat());
    assert_eq!(
        again.matches("has this entry already").count(),
        10,
        "{again}"
    );
    let listed = home.does(&["install"]);
    assert_eq!(listed.matches("has sentinel").count(), 10, "{listed}");

    home.does(&[&["uninstall", "--yes"], &*clients].concat());
    for (client, file, text) in FILES {
        assert_eq!(home.read(file), text, "{client}");
    }
}

#[test]
fn the_entry_starts_a_copy_that_stays_and_names_the_config() {
    let home = Home::new();
    let profile = "[profiles.work]\nbackends = [\"notes\"]\n";
    home.write("sentinel/sentinel.toml", &format!("{CONFIG}{profile}"));
    let flags = ["--only", "notes", "--profile", "work", "--yes"];
    home.does(&[&["install", "claude-desktop"], &flags[..]].concat());
    let entry: Value =
        serde_json::from_str(&home.read("Claude/claude_desktop_config.json")).unwrap();
    let entry = &entry["mcpServers"]["sentinel"];
    let command = Path::new(entry["command"].as_str().unwrap());
    assert!(command.is_absolute());
    let built = process::executable();
    assert!(
        !command.starts_with(built.parent().unwrap()),
        "a build is no place to stay"
    );
    let config = home.path("sentinel/sentinel.toml");
    assert_eq!(
        entry["args"],
        serde_json::json!(["--config", config, "--only", "notes", "--profile", "work"])
    );
    let version = Command::new(command).arg("--version").output().unwrap();
    assert!(version.status.success());
}

/// An entry of ours with members and comments that the gateway does not write, and the client's file.
const OWN: [(&str, &str, &str); 2] = [
    (
        "cursor",
        ".cursor/mcp.json",
        r#"{ "mcpServers": { "sentinel": {
  "command": "/old/sentinel-gateway", "args": ["--profile", "work", "--header", "a:X=hidden-1"],
  "env": { "TOKEN": "hidden-2" }, // TOKEN: "hidden-3"
  "cwd": "/work", "apiKey": "hidden-4", "nested": { "key": ["hidden-5", 1.50, null] } } } }"#,
    ),
    (
        "codex",
        ".codex/config.toml",
        r#"[mcp_servers.sentinel]
command = "/old/sentinel-gateway" # hidden-1
args = ["--profile", "work", "--header=hidden-2"]
cwd = "/work"
since = 2026-01-02
env_vars = ["MINE"]
[mcp_servers.sentinel.env]
TOKEN = 'hidden"3\hidden'
[mcp_servers.sentinel.tools.note]
approval_mode = "approve"
"#,
    ),
];

#[test]
fn an_entry_of_ours_keeps_what_it_has_and_shows_no_secret() {
    let home = Home::new();
    for (client, file, text) in OWN {
        home.write(file, text);
        let shown = home.does(&["install", client, "--yes"]);
        assert!(!shown.contains("hidden"), "{client}: {shown}");
        for line in [
            "~ sentinel",
            "- command: ",
            "- args: [\"--profile\", \"work\", ",
        ] {
            assert!(shown.contains(line), "{client}: {line} in {shown}");
        }
        let written = home.read(file);
        for kept in ["TOKEN", "cwd", "/work", "hidden"] {
            assert!(written.contains(kept), "{client}: {kept} in {written}");
        }
        assert!(!written.contains("--profile"), "{client}: {written}");
        let again = home.does(&["install", client, "--yes"]);
        assert!(
            again.contains("has this entry already"),
            "{client}: {again}"
        );
        assert_eq!(home.read(file), written);
    }
    let json: Value = serde_json::from_str(&home.read(OWN[0].1)).unwrap();
    let entry = &json["mcpServers"]["sentinel"];
    assert_eq!(entry["env"]["TOKEN"], "hidden-2");
    assert_eq!(
        entry["nested"],
        serde_json::json!({ "key": ["hidden-5", 1.5, null] })
    );
    let toml = home.read(OWN[1].1).parse::<toml::Table>().unwrap();
    let entry = &toml["mcp_servers"]["sentinel"];
    assert_eq!(entry["env"]["TOKEN"].as_str(), Some("hidden\"3\\hidden"));
    assert_eq!(entry["env_vars"][0].as_str(), Some("MINE"));
    assert!(entry["since"].is_datetime());
    assert_eq!(
        entry["tools"]["note"]["approval_mode"].as_str(),
        Some("approve")
    );
    // What the entry was comes back.
    for (client, file, text) in OWN {
        home.does(&["uninstall", client, "--yes"]);
        assert_eq!(home.read(file), text);
    }
}

#[test]
fn only_a_program_with_a_path_is_called_gone() {
    let home = Home::new();
    let cursor = |command: &str| {
        let text = format!(r#"{{ "mcpServers": {{ "sentinel": {{ "command": "{command}" }} }} }}"#);
        home.write(".cursor/mcp.json", &text);
        home.does(&["install"])
    };
    assert!(!cursor("sentinel-gateway").contains("is gone"));
    assert!(cursor("/none/sentinel-gateway").contains("whose program is gone"));
    home.write(
        "opencode/opencode.json",
        r#"{ "mcp": { "sentinel": { "type": "local", "command": ["/none/sentinel-gateway"] } } }"#,
    );
    assert_eq!(home.does(&["install"]).matches("is gone").count(), 2);
}

#[test]
fn nothing_is_written_without_a_yes() {
    let home = Home::new();
    let (client, file, text) = FILES[0];
    home.write(file, text);
    let shown = home.does(&["install", client, "--dry-run"]);
    assert!(shown.contains("+ sentinel"), "{shown}");
    let asked = home.run(&["install", client]);
    assert_eq!(asked.code, 1);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(home.read(file), text);
    assert!(!home.path("sentinel/install").exists());
    assert!(!home.path(".local").exists(), "no executable was copied");
}

#[test]
fn what_cannot_be_installed_is_explained() {
    let home = Home::new();
    let unknown = home.run(&["install", "claude-destop"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("did you mean claude-desktop?"),
        "{}",
        unknown.err
    );
    home.write(".cursor/mcp.json", "{ \"mcpServers\": { \"a\": \"hidden\" ");
    let broken = home.run(&["install", "cursor", "--yes"]);
    assert_eq!(broken.code, 1);
    assert!(
        broken.err.contains("not valid JSON: line 1"),
        "{}",
        broken.err
    );
    assert!(!broken.err.contains("hidden"));
    let flags = home.run(&["install", "cursor", "--backend", "a=http://127.0.0.1:9/mcp"]);
    assert_eq!(flags.code, 2);
    assert!(flags.err.contains("sentinel.toml"), "{}", flags.err);
    home.write("sentinel/sentinel.toml", "backend = 1\n");
    assert_eq!(
        home.run(&["install", "zed", "--yes"]).code,
        2,
        "the config doesn't run"
    );
    let none = home.run(&["uninstall", "zed", "--yes"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("has no entry"), "{}", none.err);
}

#[cfg(unix)]
#[test]
fn a_config_of_the_working_folder_is_not_made_trusted() {
    let home = Home::empty();
    let toml = format!(
        "{CONFIG}bearer = {{ command = [\"touch\", \"{}\"] }}\n",
        home.path("ran").display()
    );
    home.write("project/sentinel.toml", &toml);
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        let output = command.current_dir(home.path("project")).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for args in [&["--yes"][..], &["--dry-run"], &["--yes", "--project"]] {
        let (code, said) = run(&[&["install", "cursor"], args].concat());
        assert_eq!(code, 2, "{said}");
        let path = home.path("project/sentinel.toml").canonicalize().unwrap();
        let fix = format!(
            "if it is yours: sentinel-gateway install cursor --config {}",
            path.display()
        );
        assert!(
            said.contains("was only found in the working folder"),
            "{said}"
        );
        assert!(said.contains(&fix), "{said}");
    }
    for file in [".cursor", "project/.cursor", "ran"] {
        assert!(!home.path(file).exists(), "{file}");
    }
    // Named, it is the user's choice.
    let (code, said) = run(&["install", "cursor", "--yes", "--config", "sentinel.toml"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        home.read(".cursor/mcp.json")
            .contains("project/sentinel.toml")
    );
    assert!(!home.path("ran").exists());
}

/// Runs the gateway with this text as the administrator's file. `None` where a folder can't be mounted for
/// one process.
#[cfg(target_os = "linux")]
fn run_administered(home: &Home, administrators: &str, args: &[&str]) -> Option<Ended> {
    let etc = tempfile::tempdir().unwrap();
    fs::create_dir(etc.path().join("sentinel")).unwrap();
    fs::write(etc.path().join("sentinel/sentinel.toml"), administrators).unwrap();
    let mount = format!(
        "mount --bind '{}' /etc && exec \"$@\"",
        etc.path().display()
    );
    let launched = |program: &std::ffi::OsStr| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &mount, "sh"]).arg(program);
        command
    };
    let tried = launched("true".as_ref()).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a folder can't be mounted for one process");
        return None;
    }
    let command = home.command(args);
    let mut whole = launched(command.get_program());
    whole.args(command.get_args()).env_clear();
    whole.current_dir(home.folder.path()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        whole.envs(value.map(|value| (name, value)));
    }
    Some(Ended::of(whole.output().unwrap()))
}

#[cfg(target_os = "linux")]
#[test]
fn an_administrators_file_alone_is_enough_for_an_entry() {
    const TEAM: &str = "[[backends]]\nname = \"team\"\nurl = \"http://127.0.0.1:9/mcp\"\n";
    const FILE: &str = ".cursor/mcp.json";
    let home = Home::empty();
    let args = || {
        let file: Value = serde_json::from_str(&home.read(FILE)).unwrap();
        file["mcpServers"]["sentinel"]["args"].clone()
    };
    let Some(ended) = run_administered(&home, TEAM, &["install", "cursor", "--yes"]) else {
        return;
    };
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert_eq!(args(), serde_json::json!([]));
    // A project's file is neither named nor in the way.
    home.write("sentinel.toml", CONFIG);
    let ended = run_administered(&home, TEAM, &["install", "zed", "--yes"]).unwrap();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(!home.read("zed/settings.json").contains("--config"));
    // Without backends in it there has to be another config.
    let ended = run_administered(&home, "", &["install", "vscode", "--yes"]).unwrap();
    assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
    assert!(
        ended.err.contains("only found in the working folder"),
        "{}",
        ended.err
    );

    // What is taken over makes the user's file, which the entry names then.
    let nothing = ["install", "cursor", "--import", "--yes"];
    let ended = run_administered(&home, TEAM, &nothing).unwrap();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(!home.path("sentinel/sentinel.toml").exists());
    home.write(
        FILE,
        r#"{ "mcpServers": { "notes": { "url": "http://127.0.0.1:8/mcp" } } }"#,
    );
    let ended = run_administered(&home, TEAM, &nothing).unwrap();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(
        home.read("sentinel/sentinel.toml")
            .contains("name = \"notes\"")
    );
    assert_eq!(args()[0], "--config");
}

#[test]
fn a_yaml_client_gets_the_text_to_paste() {
    let home = Home::new();
    home.write("goose/config.yaml", "extensions: {}\n");
    let shown = home.does(&["install", "goose", "continue", "--dry-run"]);
    assert!(
        shown.contains("extensions:\n  sentinel:\n    name: \"sentinel\"\n"),
        "{shown}"
    );
    assert!(
        shown.contains("mcpServers:\n  - name: \"sentinel\"\n"),
        "{shown}"
    );
    assert_eq!(home.read("goose/config.yaml"), "extensions: {}\n");
}

#[test]
fn a_project_has_its_own_file() {
    let home = Home::new();
    home.does(&["install", "vscode", "--project", "--name", "team", "--yes"]);
    let written = home.read(".vscode/mcp.json");
    assert!(written.contains("\"team\""), "{written}");
    assert!(!home.path("Code/User/mcp.json").exists());
    let none = home.run(&["install", "windsurf", "--project", "--yes"]);
    assert!(none.err.contains("no files in projects"), "{}", none.err);
    home.does(&["uninstall", "vscode", "--project", "--yes"]);
    assert!(!home.path(".vscode/mcp.json").exists());
}

#[test]
fn no_client_writes_into_the_file_of_another_one_or_beside_its_own() {
    let home = Home::new();
    home.write("opencode.json", "{}");
    home.does(&[
        "install",
        "claude-code",
        "copilot",
        "opencode",
        "--project",
        "--yes",
    ]);
    assert!(home.read(".mcp.json").contains("\"alwaysLoad\""));
    assert!(home.read(".github/mcp.json").contains("\"deferTools\""));
    assert!(home.read("opencode.json").contains("sentinel"));
    assert!(!home.path("opencode.jsonc").exists());
    home.does(&[
        "uninstall",
        "claude-code",
        "copilot",
        "opencode",
        "--project",
        "--yes",
    ]);
    assert!(!home.path(".mcp.json").exists());
    assert_eq!(home.read("opencode.json"), "{}");
    // Of several builds the one that is here gets its first file.
    let folder = home.path("Code - Insiders/User");
    fs::create_dir_all(&folder).unwrap();
    home.does(&["install", "vscode", "--yes"]);
    assert!(folder.join("mcp.json").exists());
    assert!(!home.path("Code").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_claude_desktop_is_found() {
    use std::os::unix::process::CommandExt;

    let home = Home::new();
    let mut desktop = Command::new("cat")
        .arg0("/opt/Claude/claude-desktop")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let file = "Claude/claude_desktop_config.json";
    let mut said = vec![home.run(&["install", "claude-desktop", "--yes"]).err];
    let with = home.read(file);
    home.write(file, "{}");
    said.push(
        home.run(&["check", "--client", "claude-desktop", "--fix"])
            .err,
    );
    home.write(file, &with);
    said.push(home.run(&["uninstall", "claude-desktop", "--yes"]).err);
    drop(desktop.stdin.take());
    desktop.wait().unwrap();
    for said in said {
        assert!(said.contains("quit it first"), "{said}");
    }
}
