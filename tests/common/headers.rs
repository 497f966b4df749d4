//! Checks a request's headers as a modern server must (MCP 2026-07-28,
//! basic/transports/streamable-http).

use serde_json::Value;

use super::wire::Request;

/// Why the headers contradict the body; `None` if they agree. `schema` is the input schema of the
/// called tool.
pub(super) fn mismatch(request: &Request, schema: Option<&Value>) -> Option<String> {
    let version = request.meta("protocolVersion").as_str();
    expect(request, "mcp-protocol-version", version, false)
        .or_else(|| expect(request, "mcp-method", Some(request.kind()), false))
        .or_else(|| expect(request, "mcp-name", name_of(request), true))
        .or_else(|| schema.and_then(|schema| parameters(request, schema)))
}

/// The value that `Mcp-Name` must have.
fn name_of(request: &Request) -> Option<&str> {
    let member = match request.kind() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    request.params()[member].as_str()
}

fn expect(request: &Request, header: &str, value: Option<&str>, coded: bool) -> Option<String> {
    let given = request.header(header);
    let decoded = match given {
        Some(text) if coded => decode(text),
        given => given.map(str::to_owned),
    };
    let differs = decoded.as_deref() != value;
    (differs || (given.is_some() && decoded.is_none()))
        .then(|| format!("{header} is {given:?}, but the body says {value:?}"))
}

/// Checks that a marked parameter has a header if and only if it has a value.
fn parameters(request: &Request, schema: &Value) -> Option<String> {
    let arguments = &request.params()["arguments"];
    marked(schema, "").into_iter().find_map(|(path, name)| {
        let header = format!("mcp-param-{name}");
        let given = request.header(&header);
        let decoded = given.and_then(decode);
        let fits = match arguments.pointer(&path).unwrap_or(&Value::Null) {
            Value::Null => given.is_none(),
            Value::Bool(value) => decoded == Some(value.to_string()),
            Value::Number(number) => {
                let given = decoded.and_then(|text| text.parse::<f64>().ok());
                given.is_some() && given == number.as_f64()
            }
            Value::String(text) => decoded.as_deref() == Some(text),
            _ => false,
        };
        let value = arguments.pointer(&path);
        (!fits).then(|| format!("{header} is {given:?}, but the body says {value:?}"))
    })
}

/// The JSON pointers of the parameters that the schema marks with `x-mcp-header`, and their header
/// names.
fn marked(schema: &Value, path: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        if let Some(name) = property["x-mcp-header"].as_str() {
            found.push((path.clone(), name.to_owned()));
        }
        found.extend(marked(property, &path));
    }
    found
}

/// The original value of an encoded header. `None` if the encoding is invalid.
pub fn decode(header: &str) -> Option<String> {
    let coded = header
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let Some(coded) = coded else {
        let safe = |byte: u8| (0x20..0x7f).contains(&byte);
        return header.bytes().all(safe).then(|| header.to_owned());
    };
    String::from_utf8(base64(coded)?).ok()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        buffer = buffer << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}
