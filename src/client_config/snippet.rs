//! An entry as text, for a file that holds nothing else or is edited by hand.
//!
//! Owns what stands around the entry in each format: the key of all servers above it.

use super::clients::{Client, Format};
use super::entry::{Launch, Shape, toml_key};
use super::json;

/// The entry with the key of all servers above it.
pub(crate) fn snippet(client: &Client, launch: &Launch, name: &str) -> String {
    let entry = launch.entry(client.shape, name);
    let key = client.key;
    match (client.format, client.shape) {
        (Format::Toml, _) => {
            format!("[{key}.{}]\n{}", toml_key(name), entry.toml_lines("\n"))
        }
        (Format::Yaml, Shape::Continue) => {
            let item = entry.yaml("    ");
            format!("{key}:\n  - {}", item.trim_start())
        }
        (Format::Yaml, _) => format!("{key}:\n  {name}:\n{}", entry.yaml("    ")),
        (Format::Json, _) => json::new_file(key, name, &entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_yaml_begins_with_its_item() {
        let launch = Launch {
            command: "/s".to_owned(),
            args: vec![],
            env: vec![],
            passed: vec![],
        };
        let shown = snippet(Client::named("continue").unwrap(), &launch, "sentinel");
        assert_eq!(
            shown,
            "mcpServers:\n  - name: \"sentinel\"\n    command: \"/s\"\n    args: []\n"
        );
    }
}
