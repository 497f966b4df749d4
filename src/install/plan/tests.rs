//! Files of clients as people have them, and everything that may go wrong while one is written.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use tempfile::TempDir;

use super::apply::Step;
use super::*;
use crate::client_config::clients::{CLIENTS, Format};
use crate::client_config::entry::Launch;
use crate::files::SwapStep;

const NAME: &str = "sentinel";

fn entry(client: &Client) -> Node {
    Launch {
        command: "/opt/sentinel-gateway".to_owned(),
        args: vec!["--config".to_owned(), "/home/me/sentinel.toml".to_owned()],
        env: vec![("TOKEN".to_owned(), "t".to_owned())],
        passed: vec![],
    }
    .entry(client.shape, NAME)
}

/// A client's file in a folder with a state folder.
struct Home {
    folder: TempDir,
    client: &'static Client,
}

impl Home {
    fn new(client: &'static Client, text: Option<&str>) -> Self {
        // In memory where there is such a place: each case waits for the disk a dozen times.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let home = Self { folder, client };
        if let Some(text) = text {
            fs::write(home.file(), text).unwrap();
        }
        home
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.file()).ok()
    }

    fn place(&self) -> Place {
        let state = self.folder.path().join("state");
        Place::read(self.client, &self.file(), &state).unwrap()
    }

    fn install(&self, remove: &[String]) -> Result<Plan, String> {
        let entry = entry(self.client);
        plan_install(
            self.place(),
            &Wanted {
                name: NAME,
                entry: &entry,
                remove,
            },
        )
    }

    fn uninstall(&self, restore: bool, force: bool) -> Result<Plan, String> {
        self.uninstall_named(None, restore, force)
    }

    fn uninstall_named(
        &self,
        name: Option<&str>,
        restore: bool,
        force: bool,
    ) -> Result<Plan, String> {
        let unwanted = Unwanted {
            name,
            restore,
            force,
        };
        plan_uninstall(self.place(), &unwanted)
    }

    fn names(&self) -> Vec<String> {
        let entries = self.place().entries().unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

fn client(id: &str) -> &'static Client {
    Client::named(id).unwrap()
}

/// Files of every client that is edited.
fn fixtures() -> Vec<(&'static Client, String)> {
    let mut all = Vec::new();
    for client in CLIENTS
        .iter()
        .filter(|client| client.format == Format::Json)
    {
        let key = client.key;
        for text in [
            format!(
                "{{\n  \"{key}\": {{\n    \"a\": {{ \"command\": \"x\" }},\n    \"b\": {{\"url\": \"http://b\"}}\n  }},\n  \"other\": [1, 2.50, null]\n}}\n"
            ),
            format!(
                "{{\r\n\t// mine\r\n\t\"{key}\": {{\r\n\t\t\"a\": {{}}, // the first\r\n\t\t/* b */ \"b\": {{\r\n\t\t}},\r\n\t}},\r\n}}\r\n"
            ),
            format!("\u{feff}{{\"{key}\":{{\"a\":{{}},\"b\":{{}}}},\"z\":\"\\u00e4\"}}"),
            "{}".to_owned(),
            String::new(),
        ] {
            all.push((client, text));
        }
    }
    for text in [
        "# mine\nmodel = \"o\"\n\n[mcp_servers.a]\ncommand = \"x\" # first\n\n[mcp_servers.b]\nurl = \"http://b\"\n[mcp_servers.b.http_headers]\nX = \"y\"\n# tail",
        "\u{feff}[mcp_servers.a]\r\ncommand = \"x\"\r\n\r\n[mcp_servers.b]\r\nurl = \"http://b\"\r\n",
        "",
    ] {
        all.push((client("codex"), text.to_owned()));
    }
    all
}

#[test]
fn an_entry_comes_and_goes_and_the_file_is_what_it_was() {
    for (client, text) in fixtures() {
        let home = Home::new(client, Some(&text));
        let others = home.names();
        for _ in 0..2 {
            home.install(&[]).unwrap().apply().unwrap();
            assert_eq!(home.names().len(), others.len() + 1);
        }
        assert!(home.install(&[]).unwrap().changes_nothing());
        home.uninstall(false, false).unwrap().apply().unwrap();
        assert_eq!(home.text().as_deref(), Some(&*text), "{}", client.id);
        assert!(home.uninstall(false, false).is_err(), "it is out");
    }
}

#[test]
fn a_file_that_was_made_for_the_entry_goes_with_it() {
    for client in CLIENTS
        .iter()
        .filter(|client| client.format != Format::Yaml)
    {
        let home = Home::new(client, None);
        home.install(&[]).unwrap().apply().unwrap();
        assert_eq!(home.names(), [NAME]);
        home.uninstall(false, false).unwrap().apply().unwrap();
        assert_eq!(home.text(), None);
    }
}

#[test]
fn entries_that_became_backends_come_back_also_after_an_edit_by_hand() {
    for (client, text) in fixtures() {
        let home = Home::new(client, Some(&text));
        let others = home.names();
        home.install(&others).unwrap().apply().unwrap();
        assert_eq!(home.names(), [NAME], "{}", client.id);
        // The user adds a server of their own.
        let by_hand = entry(client);
        let edited = edit::set(
            client,
            &home.text().unwrap(),
            "mine",
            &Content::Node(&by_hand),
        );
        fs::write(home.file(), edited.unwrap()).unwrap();

        let refused = home.uninstall(true, false).map(|_| ()).unwrap_err();
        assert!(refused.contains("--force"), "{refused}");
        home.uninstall(false, false).unwrap().apply().unwrap();
        let mut names = home.names();
        names.sort();
        let mut expected = others.clone();
        expected.push("mine".to_owned());
        expected.sort();
        assert_eq!(names, expected, "{}", client.id);
    }
}

/// What a user may write by hand: a comment at the beginning, one at the end, and another value.
fn by_hand(client: &Client, text: &str, at: usize) -> String {
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(text) => ("\u{feff}", text),
        None => ("", text),
    };
    let sign = if client.format == Format::Toml {
        "#"
    } else {
        "//"
    };
    let edited = match at {
        0 => format!("{sign} by hand\n{text}"),
        1 if text.is_empty() || text.ends_with('\n') => format!("{text}{sign} by hand\n"),
        1 => format!("{text}\n{sign} by hand\n"),
        _ => text
            .replace("http://b", "http://by-hand")
            .replace("\"x\"", "\"y\""),
    };
    format!("{mark}{edited}")
}

#[test]
fn every_byte_outside_of_the_entry_stays_after_an_edit_by_hand() {
    let more = [
        ("vscode", "{\n  \"inputs\": [],\n  // b\n}\n"),
        ("codex", "model = \"x\""),
        ("codex", "model = \"x\"\r\n\r\n\r\n"),
        (
            "codex",
            "[mcp_servers.b]\nurl = \"http://b\"\n\n[tui]\nk = \"x\" # x\n\n",
        ),
    ];
    let more = more.map(|(id, text)| (client(id), text.to_owned()));
    for (client, text) in fixtures().into_iter().chain(more) {
        // A file that was made for the entry has nothing else.
        let is_made = text.is_empty() && client.format == Format::Json;
        for at in (0..3).filter(|_| !is_made) {
            let home = Home::new(client, Some(&text));
            home.install(&[]).unwrap().apply().unwrap();
            let installed = home.text().unwrap();
            let edited = by_hand(client, &installed, at);
            fs::write(home.file(), &edited).unwrap();
            home.uninstall(false, false).unwrap().apply().unwrap();
            let expected = by_hand(client, &text, at);
            let mut found = home.text().unwrap();
            if text == "{}" {
                // An object without members may have got a line for its end.
                found = found.replace("{\n}", "{}");
            }
            assert_eq!(found, expected, "{}: {installed:?}", client.id);
        }
    }
}

#[test]
fn a_restored_file_is_the_backup_byte_for_byte_and_changed_ones_need_force() {
    let text = "{ \"mcpServers\": { \"a\": {} } }";
    let home = Home::new(client("cursor"), Some(text));
    home.install(&[]).unwrap().apply().unwrap();
    fs::write(home.file(), "{ \"mcpServers\": {} }").unwrap();
    assert!(home.uninstall(true, false).is_err());
    assert_eq!(home.text().unwrap(), "{ \"mcpServers\": {} }");
    home.uninstall(true, true).unwrap().apply().unwrap();
    assert_eq!(home.text().unwrap(), text);
    // What it held when it was forced is in a backup.
    let state = home.folder.path().join("state");
    let folder = fs::read_dir(state.join("install"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let kept = fs::read_to_string(folder.join("backup-2")).unwrap();
    assert_eq!(kept, "{ \"mcpServers\": {} }");
}

#[test]
fn an_entry_of_that_name_that_starts_something_else_comes_back() {
    let text =
        "{\n  \"mcpServers\": {\n    \"sentinel\": { \"command\": \"mine\" /* c */ }\n  }\n}\n";
    let home = Home::new(client("cursor"), Some(text));
    assert!(
        home.uninstall(false, false)
            .unwrap_err()
            .contains("another program")
    );
    home.install(&[]).unwrap().apply().unwrap();
    let changed = home
        .text()
        .unwrap()
        .replace("\n}\n", ",\n  \"theme\": 1\n}\n");
    fs::write(home.file(), changed).unwrap();
    home.uninstall(false, false).unwrap().apply().unwrap();
    let expected = text.replace("\n}\n", ",\n  \"theme\": 1\n}\n");
    assert_eq!(home.text().unwrap(), expected);
}

#[test]
fn an_entry_that_is_gone_is_put_back_as_it_was_written() {
    let text = "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}\n";
    let home = Home::new(client("claude-desktop"), Some(text));
    assert!(plan_fix(home.place()).is_err());
    home.install(&[]).unwrap().apply().unwrap();
    let installed = home.text().unwrap();
    fs::write(home.file(), text).unwrap();
    plan_fix(home.place()).unwrap().apply().unwrap();
    assert_eq!(home.text().unwrap(), installed);
    home.uninstall(false, false).unwrap().apply().unwrap();
    assert_eq!(home.text().unwrap(), text);
}

#[test]
fn an_entry_that_starts_another_program_by_now_is_neither_overwritten_nor_forgotten() {
    let text = "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}\n";
    let home = Home::new(client("claude-desktop"), Some(text));
    home.install(&["a".to_owned()]).unwrap().apply().unwrap();
    let edited = home
        .text()
        .unwrap()
        .replace("/opt/sentinel-gateway", "/opt/wrapper");
    fs::write(home.file(), &edited).unwrap();
    for refused in [plan_fix(home.place()), home.uninstall(false, false)] {
        let why = refused.map(|_| ()).unwrap_err();
        assert!(why.contains("starts another program: it stays"), "{why}");
    }
    assert_eq!(home.text().unwrap(), edited);
    // Once it is out by hand, the rest comes back.
    fs::write(home.file(), "{ \"mcpServers\": {} }").unwrap();
    home.uninstall(false, false).unwrap().apply().unwrap();
    assert_eq!(home.names(), ["a"]);
}

#[test]
fn the_backup_can_be_restored_also_once_the_entry_is_out() {
    let text = "{ \"mcpServers\": { \"a\": {} } }";
    let home = Home::new(client("claude-desktop"), Some(text));
    home.install(&[]).unwrap().apply().unwrap();
    // The client writes its file anew, so the entry alone can be taken out.
    let anew = home.text().unwrap().replace(' ', "");
    fs::write(home.file(), &anew).unwrap();
    home.uninstall(false, false).unwrap().apply().unwrap();
    let without = home.text().unwrap();
    assert_ne!(without, text);
    fs::write(home.file(), &anew).unwrap();
    let changed = home.uninstall(true, false).map(|_| ()).unwrap_err();
    assert!(changed.contains("--force"), "{changed}");
    fs::write(home.file(), &without).unwrap();
    home.uninstall(true, false).unwrap().apply().unwrap();
    assert_eq!(home.text().unwrap(), text);
    assert!(home.uninstall(true, true).is_err(), "it is what it was");
    fs::write(home.file(), &anew).unwrap();
    home.uninstall(true, true).unwrap().apply().unwrap();
    assert_eq!(home.text().unwrap(), text);
}

#[test]
fn the_name_says_which_entry_is_taken_out() {
    let home = Home::new(client("cursor"), Some("{ \"mcpServers\": { \"a\": {} } }"));
    home.install(&[]).unwrap().apply().unwrap();
    let by_hand = entry(home.client);
    let with = edit::set(
        home.client,
        &home.text().unwrap(),
        "team",
        &Content::Node(&by_hand),
    );
    fs::write(home.file(), with.unwrap()).unwrap();
    assert!(home.uninstall_named(Some("other"), false, false).is_err());
    let team = || home.uninstall_named(Some("team"), false, false);
    team().unwrap().apply().unwrap();
    assert_eq!(home.names(), ["a", NAME]);
    assert!(team().is_err(), "it is out");
    // What is known of the other one is known still.
    home.uninstall(false, false).unwrap().apply().unwrap();
    assert_eq!(home.text().unwrap(), "{ \"mcpServers\": { \"a\": {} } }");
}

#[test]
fn what_does_not_parse_is_never_written() {
    for (id, text) in [
        ("claude-code", "{ \"mcpServers\": { "),
        ("zed", "{ \"context_servers\": [] }"),
        ("codex", "[mcp_servers\n"),
        ("vscode", "null"),
    ] {
        let home = Home::new(client(id), Some(text));
        assert!(home.install(&[]).is_err());
        assert_eq!(home.text().unwrap(), text);
    }
    let home = Home::new(client("cursor"), None);
    fs::write(home.file(), b"\xff\xfe{\0}\0").unwrap();
    assert!(home.install(&[]).unwrap_err().contains("UTF-8"));
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay_and_what_is_kept_is_private() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let home = Home::new(client("cursor"), None);
    let target = home.folder.path().join("dotfiles.json");
    fs::write(&target, "{}").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&target, home.file()).unwrap();
    home.install(&[]).unwrap().apply().unwrap();
    assert!(fs::symlink_metadata(home.file()).unwrap().is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains(NAME));
    assert_eq!(mode(&target), 0o640);
    let folder = fs::read_dir(home.folder.path().join("state/install")).unwrap();
    let folder = folder.flatten().next().unwrap().path();
    assert_eq!(mode(&folder), 0o700);
    for kept in ["record.json", "backup-1"] {
        assert_eq!(mode(&folder.join(kept)), 0o600);
    }
    home.uninstall(false, false).unwrap().apply().unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "{}");

    fs::remove_file(&target).unwrap();
    let state = home.folder.path().join("state");
    assert!(
        Place::read(home.client, &home.file(), &state).is_err(),
        "a dangling link"
    );
}

#[cfg(unix)]
#[test]
fn a_read_only_file_is_refused_and_a_new_one_is_private() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::new(client("cursor"), Some("{}"));
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o444)).unwrap();
    let why = home.install(&[]).unwrap().apply().map(|_| ()).unwrap_err();
    assert!(why.contains("read-only"), "{why}");
    assert_eq!(home.text().unwrap(), "{}");

    let home = Home::new(client("cursor"), None);
    home.install(&[]).unwrap().apply().unwrap();
    assert_eq!(mode(&home.file()), 0o600);
}
#[test]
fn only_the_newest_backups_are_kept_and_the_first_one() {
    let home = Home::new(client("cursor"), Some("{\"a\": 0}"));
    home.install(&[]).unwrap().apply().unwrap();
    for n in 1..20 {
        let text = home
            .text()
            .unwrap()
            .replace(&format!("\"a\": {}", n - 1), &format!("\"a\": {n}"));
        fs::write(home.file(), text.replace("gateway", "gatewax")).unwrap();
        home.install(&[]).unwrap().apply().unwrap();
    }
    let folder = fs::read_dir(home.folder.path().join("state/install")).unwrap();
    let folder = folder.flatten().next().unwrap().path();
    let backups = fs::read_dir(&folder).unwrap().flatten();
    let backups = backups.filter(|file| file.file_name().to_string_lossy().starts_with("backup"));
    assert_eq!(backups.count(), 10);
    assert_eq!(
        fs::read_to_string(folder.join("backup-1")).unwrap(),
        "{\"a\": 0}"
    );
}

/// A file of a client with what people write into it: other members, comments, white space.
fn file_of(client: &'static Client) -> impl Strategy<Value = String> {
    let server = (0..4_u8, "[a-z]{1,6}", any::<bool>());
    let servers = prop::collection::vec(server, 0..5);
    let ours = (Just(OURS), Just(NAME.to_owned()), any::<bool>());
    let with_ours = (servers.clone(), ours).prop_map(|(mut servers, ours)| {
        let middle = servers.len() / 2;
        servers.insert(middle, ours);
        servers
    });
    let servers = prop_oneof![servers, with_ours];
    let style = (0..4_u8, any::<bool>(), any::<bool>(), any::<bool>());
    (servers, style).prop_map(move |(servers, style)| match client.format {
        Format::Toml => toml_file(&servers, style),
        _ => json_file(client.key, &servers, style),
    })
}

/// The kind of a server that is an entry of ours, with members that the gateway does not write.
const OURS: u8 = 4;

type Style = (u8, bool, bool, bool);

fn json_file(key: &str, servers: &[(u8, String, bool)], style: Style) -> String {
    let (indent, crlf, comments, trailing) = style;
    let unit = ["", "  ", "    ", "\t"][usize::from(indent)];
    let nl = if indent == 0 { "" } else { "\n" };
    let comments = comments && indent > 0;
    let mut text = format!("{{{nl}{unit}\"ü\": [1.0, \"}}//\"],{nl}{unit}\"{key}\": {{");
    let mut seen = Vec::new();
    for (kind, name, comment) in servers {
        if seen.contains(name) {
            continue;
        }
        if !seen.is_empty() {
            text.push(',');
        }
        seen.push(name.clone());
        let value = [
            "{}",
            "{\"url\":\"http://h/?k=1\"}",
            "{ \"command\" : \"npx\", \"args\": [ ] }",
            "{\"a\":{\"b\":\"\\\"\\u0041\"}}",
            r#"{"command": "/old/sentinel-gateway", "args": [], "env": {"TOKEN": "old", "MINE": "a\"b"}, "environment": {"MINE": "c"}, "cwd": "/w", "odd": [1.50, null, {"k": []}], "timeout": 2.5}"#,
        ][usize::from(*kind)];
        let before = if comments && *comment {
            "/* b, */ "
        } else {
            ""
        };
        let _ = write!(text, "{nl}{unit}{unit}{before}\"{name}\": {value}");
        if comments && !*comment {
            text.push_str(" // c } ,");
            text.push_str(nl);
        }
    }
    if trailing && !seen.is_empty() {
        text.push(',');
    }
    let tail = if comments { "\n// tail" } else { "" };
    let _ = write!(text, "{nl}{unit}}}{nl}}}{tail}");
    if crlf {
        text.replace('\n', "\r\n")
    } else {
        text
    }
}

fn toml_file(servers: &[(u8, String, bool)], style: Style) -> String {
    let (kind, crlf, comments, trailing) = style;
    let mut text = String::new();
    if comments {
        text.push_str("# head\nmodel = '''\n[mcp_servers.sentinel]\n'''\n");
    }
    if kind == 1 {
        text.push_str("[mcp_servers]\n");
    }
    let mut seen = Vec::new();
    for (kind, name, comment) in servers {
        if seen.contains(name) {
            continue;
        }
        seen.push(name.clone());
        if *kind == OURS {
            text.push_str(
                r#"
[mcp_servers.sentinel] # ours
command = "/old/sentinel-gateway"
since = 2026-01-02
startup_timeout_sec = 2.5
env_vars = ["MINE"]
[mcp_servers.sentinel.env]
TOKEN = "old"
MINE = 'a"b\c'
[mcp_servers.sentinel.tools.note]
approval_mode = "approve"
"#,
            );
            continue;
        }
        let _ = write!(
            text,
            "\n[mcp_servers.{name}] # {kind}\nargs = [\n  \"1\",\n]\n"
        );
        if *comment {
            let _ = write!(text, "[mcp_servers.{name}.env]\nA = \"b\" # c\n# after\n");
        }
    }
    text.push_str("[tui]\nx = { y = 1 }");
    if trailing {
        text.push('\n');
    }
    if crlf {
        text.replace('\n', "\r\n")
    } else {
        text
    }
}

/// What goes wrong, at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The process is killed: nothing that would follow is done.
    Crash,
    /// The disk is full, or the file is on one that fails.
    Full,
    /// Another program writes the file.
    Edit,
    /// Another program removes the file.
    Remove,
}

/// The steps at which something goes wrong. `TakeBack` follows on another fault.
const STEPS: [Step; 9] = [
    Step::BackUp,
    Step::Record,
    Step::Swap(SwapStep::Write),
    Step::Swap(SwapStep::Sync),
    Step::Swap(SwapStep::Verify),
    Step::Swap(SwapStep::Compare),
    RENAME,
    READ_BACK,
    Step::Settle,
];
const RENAME: Step = Step::Swap(SwapStep::Rename);
const READ_BACK: Step = Step::Swap(SwapStep::ReadBack);

fn fault() -> impl Strategy<Value = (Fault, Step)> {
    let kind = prop_oneof![
        Just(Fault::None),
        Just(Fault::Crash),
        Just(Fault::Full),
        Just(Fault::Edit),
        Just(Fault::Remove)
    ];
    (kind, prop::sample::select(STEPS.to_vec()))
}

fn case() -> impl Strategy<Value = (&'static Client, String, (Fault, Step), (Fault, Step), bool)> {
    let clients: Vec<&Client> = CLIENTS
        .iter()
        .filter(|client| client.format != Format::Yaml)
        .collect();
    prop::sample::select(clients).prop_flat_map(|client| {
        (
            Just(client),
            file_of(client),
            fault(),
            fault(),
            any::<bool>(),
        )
    })
}

/// The entry of ours; null where there is none.
fn ours_in(client: &Client, text: &str) -> serde_json::Value {
    let entries = edit::entries(client, text).unwrap().into_iter();
    let mut ours = entries.filter(|entry| entry.name == NAME);
    ours.next().map(|entry| entry.value).unwrap_or_default()
}

/// The members of both, of which `own` count.
fn merged(old: &serde_json::Value, own: &serde_json::Value) -> serde_json::Value {
    let (Some(members), Some(own_members)) = (old.as_object(), own.as_object()) else {
        return own.clone();
    };
    let mut merged_members = members.clone();
    for (key, value) in own_members {
        let old = members.get(key).unwrap_or(&serde_json::Value::Null);
        merged_members.insert(key.clone(), merged(old, value));
    }
    merged_members.into()
}

/// What came of a plan that was applied with a fault.
struct Applied {
    /// What another program has written, if it has; `None` in it is a file that it removed.
    edited: Option<Option<String>>,
    /// The step of the fault came.
    happened: bool,
    went_well: bool,
}

/// Applies a plan with a fault. A disk that is full stays full.
fn apply(home: &Home, plan: Plan, (fault, at): (Fault, Step)) -> Applied {
    let (edited, happened) = (RefCell::new(None), Cell::new(false));
    let mut step = |step| {
        if step != at && !(happened.get() && fault == Fault::Full) {
            return Ok(());
        }
        happened.set(true);
        match fault {
            Fault::None => {}
            Fault::Crash => std::panic::resume_unwind(Box::new("crash")),
            Fault::Full => return Err(io::Error::from(io::ErrorKind::StorageFull)),
            Fault::Edit => {
                let text = home.text().unwrap_or_default();
                // At the end, where both formats have white space.
                let text = text + "\n ";
                fs::write(home.file(), &text).unwrap();
                *edited.borrow_mut() = Some(Some(text));
            }
            Fault::Remove => {
                if fs::remove_file(home.file()).is_ok() {
                    *edited.borrow_mut() = Some(None);
                }
            }
        }
        Ok(())
    };
    let applied = catch_unwind(AssertUnwindSafe(|| plan.apply_with(&mut step)));
    Applied {
        went_well: applied.is_ok_and(|result| result.is_ok()),
        happened: happened.get() && fault != Fault::None,
        edited: edited.into_inner(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever goes wrong at whichever step: the file holds what it held, what was to be written, or
    /// what another program wrote; and a second try, without faults, leads back to the first byte.
    #[test]
    fn no_byte_of_a_users_file_is_lost_whatever_goes_wrong(
        (client, text, first, second, import) in case()
    ) {
        let home = Home::new(client, Some(&text));
        let others = home.names();
        let remove = if import { others.clone() } else { Vec::new() };
        let had_ours = others.iter().any(|name| name == NAME);
        let plan = home.install(&remove).unwrap();
        let (_, wanted) = plan.texts();
        let own = edit::set(client, "", NAME, &Content::Node(&entry(client))).unwrap();
        let (own, old) = (ours_in(client, &own), ours_in(client, &text));
        prop_assert_eq!(ours_in(client, &wanted), merged(&old, &own), "members of ours are lost");
        let Applied { edited, happened, went_well } = apply(&home, plan, first);
        let now = home.text();
        // A rename that has begun can't see what is written in between: SwapStep::Rename is the last
        // place where another program may lose the race.
        let lost_race = edited.is_some() && first.1 == RENAME;
        match &edited {
            Some(edited) if !lost_race => {
                prop_assert_eq!(&now, edited, "what another program wrote stays");
                prop_assert!(!went_well);
            }
            _ => {
                let now = now.clone().unwrap();
                prop_assert!(now == text || now == wanted, "neither old nor new: {now}");
                prop_assert_eq!(went_well, !happened || lost_race);
            }
        }
        // What stands there now is the user's text, from which the way back leads.
        let (base, is_in) = match (&now, edited.is_some() && !lost_race) {
            (now, true) => (now.clone(), first.1 == READ_BACK),
            (Some(now), false) => (Some(text.clone()), *now == wanted),
            (None, false) => unreachable!(),
        };
        if !is_in {
            // Nothing is installed, or the record is of an entry that isn't there: there is nothing to
            // take out.
            if let Ok(plan) = home.uninstall(false, false) {
                prop_assert!(plan.changes_nothing() || edited.is_some() || had_ours);
            }
            home.install(&[]).unwrap().apply().unwrap();
            home.uninstall(false, false).unwrap().apply().unwrap();
            prop_assert_eq!(home.text(), base);
            return Ok(());
        }
        let plan = home.uninstall(false, false).unwrap();
        if plan.changes_nothing() {
            return Ok(());
        }
        let before = home.text();
        let (_, wanted) = plan.texts();
        let Applied { edited, went_well, .. } = apply(&home, plan, second);
        let now = home.text();
        match &edited {
            // The file was written by then.
            Some(edited) if second.1 == Step::Settle => prop_assert_eq!(&now, edited),
            Some(edited) if second.1 != RENAME => {
                prop_assert_eq!(&now, edited);
                prop_assert!(!went_well || now == before);
            }
            _ => prop_assert!(now == before || edited.as_ref() == Some(&now) || now.as_deref() == Some(&*wanted) || now.is_none() && wanted.is_empty()),
        }
        // Once it is out, what stands there is the entry that was there before.
        if let Ok(plan) = home.uninstall(false, false)
            && !(had_ours && went_well)
        {
            plan.apply().unwrap();
        }
        if edited.is_none() && !matches!(first.0, Fault::Edit | Fault::Remove) {
            prop_assert_eq!(home.text(), Some(text));
        } else if home.text().is_some() {
            // The user's own servers are there, wherever another program has written.
            let names = home.names();
            let lost = others.iter().filter(|name| !names.contains(name)).count();
            let removed = matches!(first.0, Fault::Remove) || matches!(second.0, Fault::Remove);
            prop_assert!(lost == 0 || removed, "{names:?} of {others:?}");
        }
    }
}

/// 500, or as many as `INSTALL_CASES` says.
fn cases() -> u32 {
    let set = std::env::var("INSTALL_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(500)
}
