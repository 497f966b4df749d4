//! Texts with variables, as clients spell them.
//!
//! Owns the conversion to `${VAR}` and `${VAR:-default}`. What only the client itself can expand is an error.

use serde_json::Value;

/// The variables that an entry sets.
pub(crate) fn variables(entry: &Value) -> Vec<(String, String)> {
    let blocks = ["env", "environment", "envs"]
        .iter()
        .filter_map(|key| entry[key].as_object());
    blocks
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The variables that an entry of Codex passes on from the client's own environment.
pub(crate) fn passed(entry: &Value) -> Vec<String> {
    let named = entry["env_vars"].as_array().into_iter().flatten();
    let of_here = named.filter(|named| named["source"] != "remote");
    let names = of_here.filter_map(|named| named.as_str().or_else(|| named["name"].as_str()));
    names.map(str::to_owned).collect()
}

/// Whether a text, as converted, has a variable.
pub(crate) fn has_variables(text: &str) -> bool {
    text.contains("${")
}

/// The variable that is the whole text, as converted.
pub(crate) fn only_variable(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("${")?.strip_suffix('}')?;
    (!inside.contains(['$', '{', ':'])).then_some(inside)
}

/// The text in our spelling. A variable that the entry itself sets is its value.
///
/// # Errors
/// If it needs something that only the client has, or can't be meant as text.
pub(super) fn converted(text: &str, variables: &[(String, String)]) -> Result<String, String> {
    let mut converted = String::new();
    let mut rest = text;
    // OpenCode writes {env:VAR}; all others put a dollar before the brace.
    while let Some(at) = rest
        .find("${")
        .into_iter()
        .chain(rest.find("{env:"))
        .chain(rest.find("{file:"))
        .min()
    {
        converted.push_str(&rest[..at]);
        let inside = rest[at..].trim_start_matches('$');
        let (inside, after) = inside[1..]
            .split_once('}')
            .ok_or("a variable in it has no closing brace")?;
        let (name, default) = match inside
            .strip_prefix("env:")
            .unwrap_or(inside)
            .split_once(":-")
        {
            Some((name, default)) => (name, Some(default)),
            None => (inside.strip_prefix("env:").unwrap_or(inside), None),
        };
        if !is_variable(name) {
            return Err(match inside.split_once(':') {
                Some(("input", _)) => "it asks for a value when it starts".to_owned(),
                _ => "it has a variable that only the client knows".to_owned(),
            });
        }
        let own = variables.iter().find(|(known, _)| known == name);
        match (own, default) {
            // Else it would be taken for a variable.
            (Some((_, value)), _) if has_variables(value) => {
                return Err("a variable in it holds another one".to_owned());
            }
            (Some((_, value)), _) => converted.push_str(value),
            (None, Some(default)) => converted.push_str(&format!("${{{name}:-{default}}}")),
            (None, None) => converted.push_str(&format!("${{{name}}}")),
        }
        rest = after;
    }
    converted.push_str(rest);
    Ok(converted)
}

fn is_variable(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)
}
