//! What a client starts, in the shape that it takes, as JSON, TOML or YAML.
//!
//! Owns the members of each [`Shape`], and [`Node`], a value whose members stay in the order in which they are
//! written.

/// A value of an entry, its members in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A text.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// Any other value, as its format spells it.
    Literal(String),
    /// A list.
    List(Vec<Node>),
    /// An object or table.
    Map(Vec<(String, Node)>),
}

/// How a client starts the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Absolute path of the executable.
    pub(crate) command: String,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Variables with their values.
    pub(crate) env: Vec<(String, String)>,
    /// Names of variables that the client passes on from its own environment, where it is able to.
    pub(crate) passed: Vec<String>,
}

/// The members that a client wants in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `command`, `args`, `env`.
    Plain,
    /// `command`, `args`, `env`, with `type: "stdio"` and `alwaysLoad`, without which its tool
    /// search may hide all tools in the first turn.
    ClaudeCode,
    /// `command`, `args`, `env`, with `type: "stdio"`.
    VsCode,
    /// `type: "local"` with `tools`, and `deferTools: "never"` against the same in its tool search.
    Copilot,
    /// `source: "custom"`.
    Zed,
    /// Codex: variables of its own environment are passed on by name alone, and a call may take as
    /// long as the gateway allows.
    Codex,
    /// `command` is a list, and variables are `environment`.
    OpenCode,
    /// `cmd`, `envs`.
    Goose,
    /// An item of a list, with its name inside.
    Continue,
}

/// Seconds of one call: the default deadline of a backend.
const CALL_SECS: u64 = 300;

/// The member of Codex with the variables that it passes on.
const PASSED: &str = "env_vars";

impl Launch {
    /// The entry in a client's shape.
    pub(crate) fn entry(&self, shape: Shape, name: &str) -> Node {
        let mut members: Vec<(&str, Node)> = Vec::new();
        match shape {
            Shape::Plain | Shape::Codex => {}
            Shape::ClaudeCode | Shape::VsCode => members.push(("type", text("stdio"))),
            Shape::Copilot => members.push(("type", text("local"))),
            Shape::Zed => members.push(("source", text("custom"))),
            Shape::OpenCode => members.push(("type", text("local"))),
            Shape::Goose => members.extend([("name", text(name)), ("type", text("stdio"))]),
            Shape::Continue => members.push(("name", text(name))),
        }
        let args = self.args.iter().map(|arg| text(arg));
        if shape == Shape::OpenCode {
            let words = std::iter::once(text(&self.command)).chain(args);
            members.push(("command", Node::List(words.collect())));
        } else {
            let command = if shape == Shape::Goose {
                "cmd"
            } else {
                "command"
            };
            members.push((command, text(&self.command)));
            members.push(("args", Node::List(args.collect())));
        }
        if !self.env.is_empty() {
            let env = self.env.iter();
            let env = env.map(|(name, value)| (name.clone(), text(value)));
            let key = match shape {
                Shape::OpenCode => "environment",
                Shape::Goose => "envs",
                _ => "env",
            };
            members.push((key, Node::Map(env.collect())));
        }
        match shape {
            Shape::ClaudeCode => members.push(("alwaysLoad", Node::Flag(true))),
            Shape::Copilot => members.extend([
                ("tools", Node::List(vec![text("*")])),
                ("deferTools", text("never")),
            ]),
            Shape::Codex => {
                if !self.passed.is_empty() {
                    let passed = self.passed.iter().map(|name| text(name));
                    members.push((PASSED, Node::List(passed.collect())));
                }
                members.push(("tool_timeout_sec", Node::Number(CALL_SECS)));
            }
            Shape::OpenCode => members.push(("enabled", Node::Flag(true))),
            Shape::Goose => members.extend([
                ("enabled", Node::Flag(true)),
                ("timeout", Node::Number(CALL_SECS)),
            ]),
            _ => {}
        }
        let members = members.into_iter();
        Node::Map(members.map(|(key, node)| (key.to_owned(), node)).collect())
    }
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

/// How JSON is laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What stands before each line.
    pub(crate) indent: String,
    /// The indent of one level.
    pub(crate) unit: String,
    /// `\n` or `\r\n`.
    pub(crate) newline: &'static str,
    /// All on one line.
    pub(crate) compact: bool,
}

impl Layout {
    /// All on one line.
    pub(crate) fn line() -> Self {
        Self {
            newline: "\n",
            compact: true,
            ..Self::default()
        }
    }

    /// The layout one level deeper.
    pub(crate) fn deeper(&self) -> Self {
        Self {
            indent: format!("{}{}", self.indent, self.unit),
            ..self.clone()
        }
    }
}

impl Node {
    /// These members in the place of those of an entry that stands there: what only that one has stays,
    /// also in the maps and in the list of variables that are passed on.
    pub(crate) fn merged_into(&self, old: &Self) -> Self {
        match (self, old) {
            (Self::Map(own), Self::Map(old)) => {
                let mut members = old.clone();
                for (key, node) in own {
                    let there = members.iter_mut().find(|(known, _)| known == key);
                    match there {
                        Some((_, there)) if key == PASSED => *there = node.with_items_of(there),
                        Some((_, there)) => *there = node.merged_into(there),
                        None => members.push((key.clone(), node.clone())),
                    }
                }
                Self::Map(members)
            }
            _ => self.clone(),
        }
    }

    fn with_items_of(&self, old: &Self) -> Self {
        let (Self::List(own), Self::List(old)) = (self, old) else {
            return self.clone();
        };
        let new = own.iter().filter(|item| !old.contains(item));
        Self::List(old.iter().chain(new).cloned().collect())
    }

    /// The node as JSON; the first line has no indent. Lists stay on one line.
    pub(crate) fn json(&self, layout: &Layout) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Literal(literal) => literal.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.json(layout)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(members) if layout.compact || members.is_empty() => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, node)| format!("{}: {}", quoted(key), node.json(layout)))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
            Self::Map(members) => {
                let inner = layout.deeper();
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, node)| {
                        format!("{}{}: {}", inner.indent, quoted(key), node.json(&inner))
                    })
                    .collect();
                let newline = layout.newline;
                format!(
                    "{{{newline}{}{newline}{}}}",
                    members.join(&format!(",{newline}")),
                    layout.indent
                )
            }
        }
    }

    /// The node as a value of TOML; a map is an inline table.
    pub(crate) fn toml(&self) -> String {
        match self {
            Self::Text(text) => ::toml::Value::String(text.clone()).to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Literal(literal) => literal.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::toml).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, node)| format!("{} = {}", toml_key(key), node.toml()))
                    .collect();
                format!("{{ {} }}", members.join(", "))
            }
        }
    }

    /// The lines of a table of TOML.
    pub(crate) fn toml_lines(&self, newline: &str) -> String {
        let Self::Map(members) = self else {
            return String::new();
        };
        members
            .iter()
            .map(|(key, node)| format!("{} = {}{newline}", toml_key(key), node.toml()))
            .collect()
    }

    /// As YAML in block style, each line with this indent. Texts are quoted as in JSON, which YAML reads.
    pub(crate) fn yaml(&self, indent: &str) -> String {
        let Self::Map(members) = self else {
            return String::new();
        };
        let mut lines = String::new();
        for (key, node) in members {
            match node {
                Self::Map(_) => {
                    let inner = node.yaml(&format!("{indent}  "));
                    lines.push_str(&format!("{indent}{key}:\n{inner}"));
                }
                node => {
                    let value = node.json(&Layout::line());
                    lines.push_str(&format!("{indent}{key}: {value}\n"));
                }
            }
        }
        lines
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// A key of TOML, bare where it may be.
pub(crate) fn toml_key(key: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !key.is_empty() && key.bytes().all(is_bare) {
        return key.to_owned();
    }
    quoted(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            command: "/opt/sentinel-gateway".to_owned(),
            args: vec!["--config".to_owned(), "/home/me/a \"b\".toml".to_owned()],
            env: vec![("TOKEN".to_owned(), "t".to_owned())],
            passed: vec!["KEY".to_owned()],
        }
    }

    fn json(shape: Shape) -> serde_json::Value {
        let layout = Layout {
            indent: String::new(),
            unit: "  ".to_owned(),
            newline: "\n",
            compact: false,
        };
        let entry = launch().entry(shape, "sentinel");
        serde_json::from_str(&entry.json(&layout)).unwrap()
    }

    #[test]
    fn each_client_gets_the_members_that_it_wants() {
        let args = serde_json::json!(["--config", "/home/me/a \"b\".toml"]);
        let plain = json(Shape::Plain);
        assert_eq!(plain["args"], args);
        assert_eq!(plain["env"]["TOKEN"], "t");
        assert_eq!(json(Shape::ClaudeCode)["alwaysLoad"], true);
        assert_eq!(json(Shape::VsCode)["type"], "stdio");
        assert_eq!(json(Shape::Copilot)["tools"], serde_json::json!(["*"]));
        assert_eq!(json(Shape::Copilot)["deferTools"], "never");
        assert_eq!(json(Shape::Zed)["source"], "custom");
        let open_code = json(Shape::OpenCode);
        assert_eq!(open_code["command"][0], "/opt/sentinel-gateway");
        assert_eq!(open_code["command"][2], args[1]);
        assert_eq!(open_code["environment"]["TOKEN"], "t");
    }

    #[test]
    fn an_entry_keeps_what_only_the_one_before_has() {
        let list = |items: &[&str]| Node::List(items.iter().map(|item| text(item)).collect());
        let map = |members: &[(&str, Node)]| {
            let members = members.iter();
            Node::Map(
                members
                    .map(|(key, node)| ((*key).to_owned(), node.clone()))
                    .collect(),
            )
        };
        let old = map(&[
            ("cwd", text("/work")),
            ("args", list(&["--profile", "old"])),
            ("env", map(&[("TOKEN", text("old")), ("MINE", text("m"))])),
            ("env_vars", list(&["MINE", "KEY"])),
            ("tool_timeout_sec", Node::Literal("1.5".to_owned())),
        ]);
        let mut launch = launch();
        launch.passed.push("OTHER".to_owned());
        let merged = launch.entry(Shape::Codex, "sentinel").merged_into(&old);
        let expected = map(&[
            ("cwd", text("/work")),
            ("args", list(&["--config", "/home/me/a \"b\".toml"])),
            ("env", map(&[("TOKEN", text("t")), ("MINE", text("m"))])),
            ("env_vars", list(&["MINE", "KEY", "OTHER"])),
            ("tool_timeout_sec", Node::Number(300)),
            ("command", text("/opt/sentinel-gateway")),
        ]);
        assert_eq!(merged, expected);
    }

    #[test]
    fn a_table_of_toml_reads_back() {
        let lines = launch().entry(Shape::Codex, "sentinel").toml_lines("\n");
        let read: ::toml::Table = lines.parse().unwrap();
        assert_eq!(read["args"][1].as_str(), Some("/home/me/a \"b\".toml"));
        assert_eq!(read["env"]["TOKEN"].as_str(), Some("t"));
        assert_eq!(read["env_vars"][0].as_str(), Some("KEY"));
        assert_eq!(read["tool_timeout_sec"].as_integer(), Some(300));
    }

    #[test]
    fn yaml_is_in_block_style_with_quoted_texts() {
        let yaml = launch().entry(Shape::Goose, "sentinel").yaml("  ");
        assert_eq!(
            yaml,
            "  name: \"sentinel\"\n  type: \"stdio\"\n  cmd: \"/opt/sentinel-gateway\"\n  \
             args: [\"--config\", \"/home/me/a \\\"b\\\".toml\"]\n  envs:\n    TOKEN: \"t\"\n  \
             enabled: true\n  timeout: 300\n"
        );
    }
}
