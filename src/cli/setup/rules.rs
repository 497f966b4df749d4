//! A client's own rules about tools of a server: what may be called, unasked or at all.
//!
//! Owns in which files they are looked for. What they mean for the gateway is said elsewhere.

use std::path::{Path, PathBuf};

use super::Machine;
use crate::client_config::clients::Client;
use crate::client_config::servers::tool_rules;
use crate::files;

/// Most bytes of a file with rules of a client.
const MAX_SETTINGS: u64 = 64 << 20;
/// Most of a client's rules that are named.
const MAX_NAMED: usize = 5;

/// A rule of the client about a tool, or `*`, and the file that it stands in.
pub(super) type Rule = (String, String);

/// The client's rules about tools of the server of this name, in `file` and the further files of settings.
pub(super) fn rules(machine: &Machine, client: &Client, server: &str, file: &Path) -> Vec<Rule> {
    let further = machine.with_places(|places| places.rule_files(client));
    let folder = machine.env.working_folder();
    let further = further.into_iter().map(|path| folder.join(path));
    // The working folder may be the home.
    let mut paths = vec![PathBuf::from(file)];
    for path in further {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let mut rules = Vec::new();
    for path in paths {
        let text = files::read_up_to(&path, MAX_SETTINGS).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let tools = tool_rules::in_text(client, server, &text).into_iter();
        let shown = path.display().to_string();
        rules.extend(tools.map(|tool| (tool, shown.clone())));
    }
    rules
}

/// The tools of some rules, and the file of the first, as `read, write in FILE`; `None` where there are none.
pub(super) fn shown(rules: &[Rule]) -> Option<String> {
    let (_, file) = rules.first()?;
    let mut tools: Vec<&str> = Vec::new();
    for (tool, _) in rules {
        if !tools.contains(&tool.as_str()) {
            tools.push(tool);
        }
    }
    let named = tools[..tools.len().min(MAX_NAMED)].join(", ");
    Some(match tools.len().saturating_sub(MAX_NAMED) {
        0 => format!("{named} in {file}"),
        more => format!("{named} and {more} more in {file}"),
    })
}
