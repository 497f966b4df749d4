//! A secret as written, and a header, whose value may be one.
//!
//! Owns the forms: from the environment, from a file or from a command, exactly one of the three.

use schemars::JsonSchema;
use serde::{Deserialize as Derive, Serialize};

/// A secret: from the environment, from a file, or from a command. Exactly one of the three.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    extend("minProperties" = 1, "maxProperties" = 1),
    example = SecretExample { env: "TOKEN" }
)]
pub(in crate::config) struct SecretForm {
    /// The environment variable that holds it.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"), example = &"TOKEN")]
    pub(in crate::config) env: Option<String>,
    /// The file whose first line is the secret.
    #[schemars(length(min = 1), example = &"~/.secrets/token")]
    pub(in crate::config) file: Option<String>,
    /// The command that prints it, as a list of program and arguments; run when the backend connects.
    #[schemars(length(min = 1), example = ["pass", "show", "token"])]
    pub(in crate::config) command: Option<Vec<String>>,
}

#[derive(Serialize)]
struct SecretExample {
    env: &'static str,
}

/// The value of a header.
#[derive(Derive, JsonSchema)]
#[serde(untagged)]
#[schemars(example = &"acme")]
pub(in crate::config) enum HeaderForm {
    /// Text in which `${VAR}` and `${VAR:-default}` are expanded.
    Text(String),
    /// A secret.
    Secret(SecretForm),
}
