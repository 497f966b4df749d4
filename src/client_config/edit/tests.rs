use super::*;
use crate::client_config::entry::{Launch, Node, Shape};

fn entry(shape: Shape) -> Node {
    Launch {
        command: "/opt/s".to_owned(),
        args: vec!["--config".to_owned(), "/c.toml".to_owned()],
        env: vec![],
        passed: vec![],
    }
    .entry(shape, "sentinel")
}

fn added(id: &str, text: &str) -> Result<String, String> {
    let client = Client::named(id).unwrap();
    set(
        client,
        text,
        "sentinel",
        &Content::Node(&entry(client.shape)),
    )
}

fn removed(id: &str, text: &str) -> Result<String, String> {
    remove(Client::named(id).unwrap(), text, "sentinel")
}

/// Adds the entry and removes it again; the text with it.
fn there_and_back(id: &str, text: &str) -> String {
    let with = added(id, text).unwrap();
    assert_eq!(removed(id, &with).unwrap(), text, "{with}");
    with
}

#[test]
fn an_entry_follows_the_others_in_their_layout() {
    let with = there_and_back(
        "cursor",
        "{\n\t\"mcpServers\": {\n\t\t\"a\": {\"url\": \"http://a\"}\n\t}\n}\n",
    );
    assert_eq!(
        with,
        "{\n\t\"mcpServers\": {\n\t\t\"a\": {\"url\": \"http://a\"},\n\t\t\"sentinel\": {\n\
         \t\t\t\"command\": \"/opt/s\",\n\t\t\t\"args\": [\"--config\", \"/c.toml\"]\n\t\t}\n\t}\n}\n"
    );
}

#[test]
fn comments_trailing_commas_line_ends_and_the_mark_at_the_beginning_stay() {
    for text in [
        "// head\n{\n  \"servers\": {\n    \"a\": {}, // one\n    /* two */ \"b\": {} // three\n    // four\n  },\n  \"inputs\": [],\n}\n// tail",
        "{\n  \"servers\": {\n    \"a\": {},\n  },\n}\n",
        "{\r\n  \"servers\": {\r\n    \"a\": {} /* x */\r\n  }\r\n}\r\n",
        "\u{feff}{\n    \"servers\": {\n        \"a\": {}\n    }\n}",
        "{\"servers\": {\"a\": {\"url\": \"http://a\"}}, \"inputs\": []}",
        "{\"servers\":{\"a\":1}}\n",
        "{\"x\": {\"servers\": 1}, \"servers\": {\"a\": \"// no comment, }\" }}",
        "{\n  \"servers\": {\n    \"sentinel-2\": {\n    }\n  }, \"z\": 1e400, \"z\": 1\n}",
        "{\n  \"servers\": {\n    \"a\": {} // ends with a comma ,\n  }\n}",
    ] {
        there_and_back("vscode", text);
    }
}

#[test]
fn a_file_without_servers_gets_them() {
    for (text, with) in [
        (
            "",
            "{\n  \"servers\": {\n    \"sentinel\": {\n      \"type\": \"stdio\",\n      \
             \"command\": \"/opt/s\",\n      \"args\": [\"--config\", \"/c.toml\"]\n    }\n  }\n}\n",
        ),
        (
            "{}",
            "{\n  \"servers\": {\n    \"sentinel\": {\n      \"type\": \"stdio\",\n      \
             \"command\": \"/opt/s\",\n      \"args\": [\"--config\", \"/c.toml\"]\n    }\n  }\n}",
        ),
    ] {
        assert_eq!(added("vscode", text).unwrap(), with);
    }
    let vscode = Client::named("vscode").unwrap();
    for text in [
        "{\n  // a comment\n}\n",
        "{\n  \"a\": 1\n}",
        "{\"a\":1}",
        "// only a comment\n",
        "{\n  \"servers\": {}\n}",
        "{\n  \"servers\": { // none yet\n  }\n}",
        "{ \"servers\" : { } }",
        "\u{feff}",
    ] {
        let with = added("vscode", text).unwrap();
        let names: Vec<String> = entries(vscode, &with)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["sentinel"], "{with}");
        let without = removed("vscode", &with).unwrap();
        assert_eq!(entries(vscode, &without).unwrap(), [], "{without}");
        let bare = remove_empty(vscode, &without).unwrap();
        assert_eq!(entries(vscode, &bare).unwrap(), [], "{bare}");
    }
}

#[test]
fn an_entry_is_replaced_in_its_place_and_comes_back_as_it_was() {
    let text = "{\n  \"mcpServers\": {\n    \"sentinel\": {\n      \"command\": \"old\" // mine\n    },\n    \"b\": {}\n  }\n}\n";
    let cursor = Client::named("cursor").unwrap();
    let with = added("cursor", text).unwrap();
    assert!(with.find("/opt/s").unwrap() < with.find("\"b\"").unwrap());
    let before = &entries(cursor, text).unwrap()[0].raw;
    let back = set(cursor, &with, "sentinel", &Content::Raw(before)).unwrap();
    assert_eq!(back, text);
}

#[test]
fn servers_of_the_second_opencode_stand_one_level_deeper() {
    let with = there_and_back(
        "opencode",
        "{\n  \"mcp\": {\n    \"servers\": {\n      \"a\": { \"type\": \"local\" }\n    }\n  }\n}\n",
    );
    let read: serde_json::Value = serde_json::from_str(&with).unwrap();
    assert_eq!(read["mcp"]["servers"]["sentinel"]["type"], "local");
    let with = there_and_back(
        "opencode",
        "{\n  \"mcp\": {\n    \"servers\": { \"type\": \"remote\" }\n  }\n}\n",
    );
    let read: serde_json::Value = serde_json::from_str(&with).unwrap();
    assert_eq!(read["mcp"]["sentinel"]["type"], "local");
}

#[test]
fn what_cannot_be_read_is_refused_without_its_text() {
    for (id, text) in [
        ("cursor", "{ \"mcpServers\": { \"a\": \"hidden\" "),
        ("cursor", "hidden"),
        ("cursor", "{ 'hidden': 1 }"),
        ("cursor", "[\"hidden\"]"),
        ("cursor", "{ \"mcpServers\": \"hidden\" }"),
        ("cursor", "{ \"mcpServers\": null }"),
        ("cursor", "{} {}"),
        ("codex", "hidden"),
        ("codex", "mcp_servers = \"hidden\""),
        ("codex", "mcp_servers = { a = { command = \"hidden\" } }"),
        ("codex", "[mcp_servers]\nsentinel.command = \"hidden\"\n"),
        ("goose", "extensions: {}"),
    ] {
        let why = added(id, text).unwrap_err();
        assert!(!why.contains("hidden"), "{text}: {why}");
    }
}

#[test]
fn a_table_of_toml_is_added_at_the_end() {
    let with = there_and_back(
        "codex",
        "# mine\r\nmodel = \"o\" # x\r\n\r\n[mcp_servers.a]\r\nargs = [\r\n  \"1\", # one\r\n]\r\n",
    );
    assert!(
        with.ends_with("]\r\n\r\n[mcp_servers.sentinel]\r\ncommand = \"/opt/s\"\r\nargs = [\"--config\", \"/c.toml\"]\r\ntool_timeout_sec = 300\r\n"),
        "{with:?}"
    );
    there_and_back("codex", "");
    there_and_back("codex", "\u{feff}a = '''\n[mcp_servers.sentinel]\n'''\n");
    there_and_back(
        "codex",
        "[mcp_servers]\n\n[mcp_servers.a.env]\nX = \"y\"\n# tail\n",
    );
}

#[test]
fn a_table_of_toml_is_replaced_with_the_tables_in_it() {
    let text = "[mcp_servers.sentinel]\ncommand = \"old\" # mine\n\n[mcp_servers.sentinel.env]\nA = \"b\"\n\n# of the next\n[mcp_servers.z]\nurl = \"http://z\"\n";
    let codex = Client::named("codex").unwrap();
    let with = added("codex", text).unwrap();
    assert!(!with.contains("[mcp_servers.sentinel.env]"), "{with}");
    assert!(
        with.ends_with("\n\n# of the next\n[mcp_servers.z]\nurl = \"http://z\"\n"),
        "{with}"
    );
    let before = &entries(codex, text).unwrap()[0];
    let back = set(codex, &with, "sentinel", &Content::Raw(&before.raw)).unwrap();
    assert_eq!(entries(codex, &back).unwrap()[0].value, before.value);
    let without = removed("codex", text).unwrap();
    assert_eq!(
        without,
        "\n# of the next\n[mcp_servers.z]\nurl = \"http://z\"\n"
    );
    let inline = "[mcp_servers]\nsentinel = { command = \"old\" }\nz = { url = \"http://z\" }\n";
    let with = added("codex", inline).unwrap();
    assert!(with.ends_with(" }\nz = { url = \"http://z\" }\n"), "{with}");
    assert_eq!(
        removed("codex", &with).unwrap(),
        "[mcp_servers]\nz = { url = \"http://z\" }\n"
    );
}
