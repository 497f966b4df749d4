//! The schema of a tool's arguments as every model's API takes it: `schemas = "portable"`.
//!
//! An API that refuses the schema of one tool refuses the request with all tools. Owns what is
//! listed instead: a schema in the words that all three APIs have, and in a description the rules
//! that can't be said in them. Only the listing changes: calls go out as they come, and the backend
//! checks them by its own schema. Pure.
//!
//! The limits, each from what the API itself says of it:
//!
//! - Anthropic, Messages API, errors of `tools`: "input_schema does not support oneOf, allOf, or anyOf
//!   at the top level"; "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"; the schema must
//!   be JSON Schema draft 2020-12 (anthropics/claude-code issues 27337 and 79418).
//! - OpenAI, function calling, errors of `tools[].function.parameters`: "schema must have type 'object'
//!   and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'const'/'not' at the top level"; "array schema missing
//!   items"; "object schema missing properties" (nspady/google-calendar-mcp issue 39,
//!   PrefectHQ/fastmcp issue 2464).
//! - Gemini, `FunctionDeclaration.parameters`: the fields of `Schema` (Gemini API reference, "Schema"),
//!   which has no `$ref`, `allOf`, `oneOf`, `not`, `const`, `additionalProperties` or exclusive limits,
//!   one `type` with `nullable`, `enum` for strings that aren't empty, `format` of strings only as
//!   `enum` and `date-time`, `required` of known properties; and Vertex AI: "When using any_of, it must
//!   be the only field set", and each field must name its type.

mod form;
mod node;
mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::protocol::RawJson;
use node::Node;
use read::Reader;

/// An `inputSchema` as every API takes it.
#[derive(Debug)]
pub(super) struct Portable {
    pub(super) schema: RawJson,
    /// What the tool's description must say too.
    pub(super) rules: Option<String>,
}

/// How many schemas may still be read and written for one listing. References and alternatives
/// multiply them, so that a small text can stand for many.
#[derive(Debug)]
pub(super) struct SchemaBudget(usize);

impl Default for SchemaBudget {
    /// Some hundred milliseconds.
    fn default() -> Self {
        Self(100_000)
    }
}

/// Rewrites the schema of a tool's arguments; `None` for one that can't be read, or once the budget
/// is spent.
pub(super) fn portable(schema: &RawJson, budget: &mut SchemaBudget) -> Option<Portable> {
    if budget.0 == 0 {
        return None;
    }
    let read: Node = schema.read().ok()?;
    let mut reader = Reader::new(&read);
    let form = reader.read(&read);
    let (schema, rules, written) = write::root(form);
    budget.0 = budget.0.saturating_sub(reader.forms() + written);
    Some(Portable {
        schema: RawJson::of(&schema),
        rules,
    })
}
