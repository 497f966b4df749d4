//! Tool parameters that modern HTTP repeats in headers (MCP 2026-07-28,
//! basic/transports/streamable-http, "Custom Headers from Tool Parameters" and "Value Encoding").
//!
//! Owns finding and checking the `x-mcp-header` annotations of a tool, and encoding a value for a
//! header. It must not know HTTP.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::protocol::RawJson;

const ANNOTATION: &str = "x-mcp-header";
/// Keywords of JSON Schema whose values are not schemas.
const DATA: [&str; 4] = ["default", "const", "enum", "examples"];

/// A parameter that is also sent as a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    /// `Mcp-Param-…`, in lower case.
    pub(crate) header: String,
    /// Path of member names through the arguments.
    path: Vec<String>,
}

impl ParamHeader {
    /// The annotated parameters of a tool.
    ///
    /// # Errors
    /// What is wrong with an annotation. Such a tool must not be listed.
    pub(crate) fn of_tool(definition: &RawJson) -> Result<Vec<Self>, String> {
        let Some(schema) = definition.get("inputSchema") else {
            return Ok(Vec::new());
        };
        // Few tools have one: skip the parsing of the schema.
        if memchr::memmem::find(schema.as_bytes(), ANNOTATION.as_bytes()).is_none() {
            return Ok(Vec::new());
        }
        let schema: Map<String, Value> = schema
            .read()
            .map_err(|_| "its inputSchema is not an object".to_owned())?;
        let mut search = Search::default();
        search.schema(&schema, &mut Vec::new())?;
        Ok(search.found)
    }

    /// The header's value for these arguments; `None` if the parameter is missing, null or not a
    /// string, an integer or a boolean.
    pub(crate) fn value(&self, arguments: &RawJson) -> Option<String> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let value = arguments.at(&path)?;
        let plain = match value.as_str() {
            text if text.starts_with('"') => value.text()?,
            word @ ("true" | "false") => word.to_owned(),
            number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                integer(number)?
            }
            _ => return None,
        };
        Some(encoded(&plain))
    }
}

/// A header value for this text: the text itself if it is printable ASCII, else in base64 as
/// `=?base64?…?=`.
pub(crate) fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| (0x20..=0x7E).contains(&byte));
    let padded = text.starts_with(' ') || text.ends_with(' ');
    let looks_encoded = text.starts_with("=?base64?") && text.ends_with("?=");
    if plain && !padded && !looks_encoded {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

/// A JSON number as a plain decimal integer: `42.0` and `4.2e1` are 42.
fn integer(number: &str) -> Option<String> {
    /// The largest integer up to which a double represents every integer.
    const SAFE: f64 = 9_007_199_254_740_991.0;
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(number.to_owned());
    }
    let value: f64 = number.parse().ok()?;
    (value.fract() == 0.0 && value.abs() <= SAFE).then(|| format!("{value:.0}"))
}

#[derive(Default)]
struct Search {
    found: Vec<ParamHeader>,
    names: HashSet<String>,
}

impl Search {
    /// Searches a schema that is reached only through `properties`.
    fn schema(
        &mut self,
        schema: &Map<String, Value>,
        path: &mut Vec<String>,
    ) -> Result<(), String> {
        if let Some(annotation) = schema.get(ANNOTATION) {
            self.annotation(annotation, schema, path)?;
        }
        for (keyword, value) in schema {
            match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        if let Value::Object(property) = property {
                            path.push(name.clone());
                            self.schema(property, path)?;
                            path.pop();
                        }
                    }
                }
                (keyword, _) if DATA.contains(&keyword) || keyword == ANNOTATION => {}
                (keyword, value) if is_annotated(value) => {
                    return Err(format!("{ANNOTATION} is under {keyword:?}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn annotation(
        &mut self,
        annotation: &Value,
        schema: &Map<String, Value>,
        path: &[String],
    ) -> Result<(), String> {
        let name = annotation
            .as_str()
            .ok_or_else(|| format!("{ANNOTATION} is not a string"))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("{ANNOTATION} {name:?} is not a header name"));
        }
        if path.is_empty() || !is_primitive(schema.get("type")) {
            let why = "is on something other than a string, an integer or a boolean";
            return Err(format!("{ANNOTATION} {name:?} {why}"));
        }
        let header = format!("mcp-param-{}", name.to_ascii_lowercase());
        if !self.names.insert(header.clone()) {
            return Err(format!("{ANNOTATION} {name:?} occurs twice"));
        }
        self.found.push(ParamHeader {
            header,
            path: path.to_vec(),
        });
        Ok(())
    }
}

/// Whether a schema, or one anywhere inside it, has the annotation.
fn is_annotated(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_annotated),
        Value::Object(members) => {
            members
                .iter()
                .any(|(keyword, value)| match (keyword.as_str(), value) {
                    (ANNOTATION, _) => true,
                    // A parameter may have the annotation's name.
                    (
                        "properties" | "$defs" | "definitions" | "patternProperties",
                        Value::Object(named),
                    ) => named.values().any(is_annotated),
                    (keyword, value) => !DATA.contains(&keyword) && is_annotated(value),
                })
        }
        _ => false,
    }
}

fn is_primitive(kind: Option<&Value>) -> bool {
    matches!(
        kind.and_then(Value::as_str),
        Some("string" | "integer" | "boolean")
    )
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(schema: &Value) -> Result<Vec<ParamHeader>, String> {
        ParamHeader::of_tool(&RawJson::of(
            &serde_json::json!({ "name": "t", "inputSchema": schema }),
        ))
    }

    #[test]
    fn annotated_parameters_are_found_at_their_depth() {
        let param_headers = tool(&serde_json::json!({ "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "where": { "type": "object", "properties": {
                "row": { "type": "integer", "x-mcp-header": "Row" },
                "x-mcp-header": { "type": "string" },
            } },
            "plain": { "type": "object", "default": { "x-mcp-header": 1 } },
        } }))
        .unwrap();
        let values = |arguments: &'static str| -> Vec<Option<String>> {
            let arguments = RawJson::trusted(arguments);
            param_headers
                .iter()
                .map(|param_header| param_header.value(&arguments))
                .collect()
        };
        let headers: Vec<_> = param_headers
            .iter()
            .map(|param_header| param_header.header.as_str())
            .collect();
        assert_eq!(headers, ["mcp-param-region", "mcp-param-row"]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            values(r#"{"region":"us-west1","where":{"row":42.0}}"#),
            [some("us-west1"), some("42")]
        );
        assert_eq!(values(r#"{"region":null,"where":7}"#), [None, None]);
        assert_eq!(
            values(r#"{"region":"","where":{"row":-7}}"#),
            [some(""), some("-7")]
        );
    }

    #[test]
    fn a_tool_with_an_invalid_annotation_is_refused() {
        let of = |property: Value| tool(&serde_json::json!({ "properties": { "p": property } }));
        for name in ["", "a b", "ü", "a\r\nb", "a:b"] {
            let property = serde_json::json!({ "type": "string", "x-mcp-header": name });
            assert!(of(property).is_err(), "{name:?}");
        }
        for kind in ["number", "object", "array", "null"] {
            let property = serde_json::json!({ "type": kind, "x-mcp-header": "A" });
            assert!(of(property).is_err(), "{kind}");
        }
        let inner = serde_json::json!({ "type": "string", "x-mcp-header": "A" });
        for keyword in ["items", "not", "if", "additionalProperties"] {
            assert!(
                of(serde_json::json!({ keyword: inner })).is_err(),
                "{keyword}"
            );
        }
        for keyword in ["oneOf", "anyOf", "allOf", "prefixItems"] {
            assert!(
                of(serde_json::json!({ keyword: [inner] })).is_err(),
                "{keyword}"
            );
        }
        assert!(tool(&serde_json::json!({ "$defs": { "d": inner } })).is_err());
        let other = serde_json::json!({ "type": "string", "x-mcp-header": "a" });
        assert!(tool(&serde_json::json!({ "properties": { "p": inner, "q": other } })).is_err());
    }

    #[test]
    fn values_are_encoded_as_the_specification_shows() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("a\tb", "=?base64?YQli?="),
            ("", ""),
        ] {
            assert_eq!(encoded(value), header, "{value:?}");
        }
    }
}
