//! The paths of clients' files, for each system.
//!
//! Owns that table: a client's own files, best first, the files with its rules, and what shows that it is
//! installed. No path is looked at here.

use std::path::{Path, PathBuf};

use super::clients::Client;

/// The systems whose clients keep their files in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Linux, and other systems with the folders of XDG.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl System {
    /// The one that this was built for.
    pub(crate) const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::Mac
    } else {
        Self::Linux
    };
}

/// What the paths depend on.
pub(crate) struct Places<'a> {
    /// The system.
    pub(crate) system: System,
    /// The user's home.
    pub(crate) home: &'a Path,
    /// The value of an environment variable; `None` where it is not set or empty.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Places<'_> {
    /// The paths that a client's own file may have, best first. Where none exists the first one is made.
    pub(crate) fn user_files(&self, client: &Client) -> Vec<PathBuf> {
        let home = |path: &str| self.home.join(path);
        let apps = |path: &str| self.apps().join(path);
        let folder_of = |variable: &str, default: &str| {
            (self.variable)(variable).map_or_else(|| home(default), PathBuf::from)
        };
        match client.id {
            "claude-desktop" => {
                const FILE: &str = "Claude/claude_desktop_config.json";
                let store = self.store_build().map(|folder| folder.join(FILE));
                Vec::from_iter([apps(FILE)].into_iter().chain(store))
            }
            "claude-code" => match (self.variable)("CLAUDE_CONFIG_DIR") {
                Some(folder) => vec![PathBuf::from(folder).join(".claude.json")],
                None => vec![home(".claude.json")],
            },
            "cursor" => vec![home(".cursor/mcp.json")],
            "vscode" => vec![
                apps("Code/User/mcp.json"),
                apps("Code - Insiders/User/mcp.json"),
                home(".vscode-server/data/User/mcp.json"),
            ],
            "codex" => vec![folder_of("CODEX_HOME", ".codex").join("config.toml")],
            "windsurf" => vec![
                home(".codeium/windsurf/mcp_config.json"),
                home(".codeium/mcp_config.json"),
            ],
            "zed" if self.system == System::Windows => vec![apps("Zed/settings.json")],
            "zed" => {
                let xdg = self.xdg().join("zed/settings.json");
                let mac = (self.system == System::Mac).then(|| apps("Zed/settings.json"));
                Vec::from_iter([xdg].into_iter().chain(mac))
            }
            "gemini" => vec![home(".gemini/settings.json")],
            "opencode" => {
                // A .jsonc shadows a .json beside it.
                let folder = self.xdg().join("opencode");
                let file = |name: &str| folder.join(name);
                vec![file("opencode.jsonc"), file("opencode.json")]
            }
            "copilot" => vec![folder_of("COPILOT_HOME", ".copilot").join("mcp-config.json")],
            "goose" if self.system == System::Windows => {
                vec![apps("Block/goose/config/config.yaml")]
            }
            "goose" => vec![self.xdg().join("goose/config.yaml")],
            _ => vec![home(".continue/config.yaml")],
        }
    }

    /// Further files in which a client has rules about tools; those of projects are relative paths.
    pub(crate) fn rule_files(&self, client: &Client) -> Vec<PathBuf> {
        match client.id {
            "claude-code" => {
                let folder = (self.variable)("CLAUDE_CONFIG_DIR");
                let folder = folder.map_or_else(|| self.home.join(".claude"), PathBuf::from);
                let folders = [folder, PathBuf::from(".claude")];
                let files = folders.iter().flat_map(|folder| {
                    ["settings.json", "settings.local.json"].map(|file| folder.join(file))
                });
                files.collect()
            }
            "cursor" => vec![
                self.home.join(".cursor/cli-config.json"),
                PathBuf::from(".cursor/cli.json"),
            ],
            _ => Vec::new(),
        }
    }

    /// What is there if the client is: its folder, or a file that it makes by itself.
    pub(crate) fn traces(&self, client: &Client) -> Vec<PathBuf> {
        let files = self.user_files(client);
        if client.id == "claude-code" {
            return files
                .into_iter()
                .chain([self.home.join(".claude")])
                .collect();
        }
        let folders = files.iter().filter_map(|file| file.parent());
        folders.map(Path::to_owned).collect()
    }

    /// Where programs with a window keep their settings.
    fn apps(&self) -> PathBuf {
        match self.system {
            System::Linux => self.xdg(),
            System::Mac => self.home.join("Library/Application Support"),
            System::Windows => self.windows("APPDATA", "AppData/Roaming"),
        }
    }

    /// `~/.config`, also on macOS, where some clients use it.
    fn xdg(&self) -> PathBuf {
        let set = (self.variable)("XDG_CONFIG_HOME").filter(|_| self.system == System::Linux);
        set.map_or_else(|| self.home.join(".config"), PathBuf::from)
    }

    /// Where the build of Claude Desktop from the Windows Store sees `%APPDATA%`.
    fn store_build(&self) -> Option<PathBuf> {
        const PACKAGE: &str = "Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming";
        (self.system == System::Windows)
            .then(|| self.windows("LOCALAPPDATA", "AppData/Local").join(PACKAGE))
    }

    fn windows(&self, variable: &str, default: &str) -> PathBuf {
        (self.variable)(variable).map_or_else(|| self.home.join(default), PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(system: System, id: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let places = Places {
            system,
            home: Path::new("/h"),
            variable: &variable,
        };
        let files = places.user_files(Client::named(id).unwrap());
        files
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn paths_follow_the_system_and_its_variables() {
        use System::{Linux, Mac, Windows};
        let first = |system, id, variables| files(system, id, variables).remove(0);
        const DESKTOP: &str = "Claude/claude_desktop_config.json";
        assert_eq!(
            first(Linux, "claude-desktop", &[]),
            format!("/h/.config/{DESKTOP}")
        );
        let xdg = [("XDG_CONFIG_HOME", "/x")];
        assert_eq!(
            first(Linux, "claude-desktop", &xdg),
            format!("/x/{DESKTOP}")
        );
        assert_eq!(
            first(Mac, "claude-desktop", &xdg),
            format!("/h/Library/Application Support/{DESKTOP}")
        );
        let windows = [("APPDATA", "/a"), ("LOCALAPPDATA", "/l")];
        assert_eq!(
            files(Windows, "claude-desktop", &windows),
            [
                format!("/a/{DESKTOP}"),
                format!("/l/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/{DESKTOP}")
            ]
        );
        assert_eq!(first(Linux, "claude-code", &[]), "/h/.claude.json");
        let moved = [
            ("CLAUDE_CONFIG_DIR", "/c"),
            ("CODEX_HOME", "/d"),
            ("COPILOT_HOME", "/e"),
        ];
        assert_eq!(first(Linux, "claude-code", &moved), "/c/.claude.json");
        assert_eq!(first(Mac, "codex", &moved), "/d/config.toml");
        assert_eq!(first(Mac, "copilot", &moved), "/e/mcp-config.json");
        assert_eq!(
            first(Mac, "vscode", &[]),
            "/h/Library/Application Support/Code/User/mcp.json"
        );
        assert_eq!(first(Mac, "zed", &[]), "/h/.config/zed/settings.json");
        assert_eq!(first(Windows, "zed", &windows), "/a/Zed/settings.json");
        assert_eq!(
            first(Windows, "goose", &windows),
            "/a/Block/goose/config/config.yaml"
        );
        assert_eq!(files(Linux, "opencode", &[]).len(), 2);
    }
}
