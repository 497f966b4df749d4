//! The clients that are known.
//!
//! Owns the table of them: id, name, format of the file, key of the servers, shape of an entry, and which
//! variables of its environment a client passes on.

use super::entry::Shape;
use crate::nearest::nearest;

/// The format of a client's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON, with or without comments and trailing commas: what stands in a file is kept.
    Json,
    /// TOML.
    Toml,
    /// YAML, which is not edited: the entry is shown.
    Yaml,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// The name as it is typed.
    pub(crate) id: &'static str,
    /// The name as its maker writes it.
    pub(crate) name: &'static str,
    /// The format of its file.
    pub(crate) format: Format,
    /// The key of its servers.
    pub(crate) key: &'static str,
    /// The shape of an entry.
    pub(crate) shape: Shape,
    /// The files that it may have in a project, from the project's folder, best first.
    pub(crate) project: &'static [&'static str],
    /// Whether it is a program with a window, which gets few of a shell's variables.
    pub(crate) is_desktop: bool,
    /// Whether no tool can join its list while it runs: it lists once, or speaks revision 2026-07-28, in
    /// which a list may not depend on earlier calls.
    pub(crate) list_is_fixed: bool,
}

/// All clients, in the order in which they are shown.
pub(crate) const CLIENTS: [Client; 12] = [
    client(
        "claude-desktop",
        "Claude Desktop",
        "mcpServers",
        Shape::Plain,
        &[],
    )
    .desktop(),
    client(
        "claude-code",
        "Claude Code",
        "mcpServers",
        Shape::ClaudeCode,
        &[".mcp.json"],
    )
    .with_fixed_list(),
    client(
        "cursor",
        "Cursor",
        "mcpServers",
        Shape::Plain,
        &[".cursor/mcp.json"],
    )
    .desktop(),
    client(
        "vscode",
        "VS Code",
        "servers",
        Shape::VsCode,
        &[".vscode/mcp.json"],
    )
    .desktop(),
    client(
        "codex",
        "Codex",
        "mcp_servers",
        Shape::Codex,
        &[".codex/config.toml"],
    )
    .in_format(Format::Toml)
    .with_fixed_list(),
    client("windsurf", "Windsurf", "mcpServers", Shape::Plain, &[]).desktop(),
    client(
        "zed",
        "Zed",
        "context_servers",
        Shape::Zed,
        &[".zed/settings.json"],
    )
    .desktop(),
    client(
        "gemini",
        "Gemini CLI",
        "mcpServers",
        Shape::Plain,
        &[".gemini/settings.json"],
    ),
    client(
        "opencode",
        "OpenCode",
        "mcp",
        Shape::OpenCode,
        // As for the user, the first shadows the second.
        &["opencode.jsonc", "opencode.json"],
    ),
    client(
        "copilot",
        "Copilot CLI",
        "mcpServers",
        Shape::Copilot,
        &[".github/mcp.json"],
    )
    .with_fixed_list(),
    client(
        "goose",
        "Goose",
        "extensions",
        Shape::Goose,
        &[".goose/config.yaml"],
    )
    .in_format(Format::Yaml),
    client(
        "continue",
        "Continue",
        "mcpServers",
        Shape::Continue,
        &[".continue/mcpServers/sentinel.yaml"],
    )
    .in_format(Format::Yaml),
];

/// What a client with a window passes on of the user's environment, as far as is known.
const OF_DESKTOP: [&str; 11] = [
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "LANG",
    "TMPDIR",
    "APPDATA",
    "LOCALAPPDATA",
    "USERPROFILE",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

/// What Codex passes on, on any system, besides the `env_vars` of an entry.
const OF_CODEX: [&str; 30] = [
    "HOME",
    "LOGNAME",
    "PATH",
    "SHELL",
    "USER",
    "__CF_USER_TEXT_ENCODING",
    "LANG",
    "LC_ALL",
    "TERM",
    "TMPDIR",
    "TZ",
    "PATHEXT",
    "COMSPEC",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "USERNAME",
    "USERDOMAIN",
    "USERPROFILE",
    "HOMEDRIVE",
    "HOMEPATH",
    "PROGRAMFILES",
    "PROGRAMFILES(X86)",
    "PROGRAMW6432",
    "PROGRAMDATA",
    "LOCALAPPDATA",
    "APPDATA",
    "TEMP",
    "TMP",
    "POWERSHELL",
    "PWSH",
];

const fn client(
    id: &'static str,
    name: &'static str,
    key: &'static str,
    shape: Shape,
    project: &'static [&'static str],
) -> Client {
    Client {
        id,
        name,
        format: Format::Json,
        key,
        shape,
        project,
        is_desktop: false,
        list_is_fixed: false,
    }
}

impl Client {
    const fn desktop(mut self) -> Self {
        self.is_desktop = true;
        self
    }

    const fn with_fixed_list(mut self) -> Self {
        self.list_is_fixed = true;
        self
    }

    const fn in_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// The variables of its own environment that servers get besides those that their entries name; `None`
    /// is all of them.
    pub(crate) fn passes(&self) -> Option<&'static [&'static str]> {
        match self.shape {
            Shape::Codex => Some(&OF_CODEX),
            _ if self.is_desktop => Some(&OF_DESKTOP),
            _ => None,
        }
    }

    /// The client of this id.
    ///
    /// # Errors
    /// A message that names the nearest one, or all.
    pub(crate) fn named(id: &str) -> Result<&'static Self, String> {
        let mut clients = CLIENTS.iter();
        clients.find(|client| client.id == id).ok_or_else(|| {
            let ids = || CLIENTS.iter().map(|client| client.id);
            match nearest(id, ids()) {
                Some(meant) => format!("there is no client {id:?}; did you mean {meant}?"),
                None => {
                    let all: Vec<&str> = ids().collect();
                    format!("there is no client {id:?}; there are {}", all.join(", "))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_by_its_id_and_a_misspelt_one_is_explained() {
        assert_eq!(Client::named("zed").unwrap().name, "Zed");
        let wrong = Client::named("claude-destop").unwrap_err();
        assert!(wrong.ends_with("did you mean claude-desktop?"), "{wrong}");
        let wrong = Client::named("emacs").unwrap_err();
        assert!(
            wrong.contains("claude-desktop, claude-code, cursor"),
            "{wrong}"
        );
    }
}
