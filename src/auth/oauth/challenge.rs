//! The `Bearer` challenge of a server that wants a token (RFC 9110, section 11.6.1; RFC 6750,
//! section 3).
//!
//! Owns the reading of `WWW-Authenticate`: several challenges in one value or in several, quoted
//! strings, tokens. What can't be read is left out, never an error.

/// Most bytes of one header value that are read.
const MAX_VALUE: usize = 8 << 10;

/// What a server says with a 401 or 403.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// The URL of the protected resource metadata (RFC 9728, section 5.1).
    pub resource_metadata: Option<String>,
    /// The scopes that the request needs.
    pub scope: Option<Vec<String>>,
    /// The `error` of RFC 6750, section 3.1: `invalid_token`, `insufficient_scope`.
    pub error: Option<String>,
}

impl BearerChallenge {
    /// The first `Bearer` challenge of these header values.
    pub fn first<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        values.into_iter().find_map(Self::in_value)
    }

    /// Whether the token lacks scopes, so that a refresh changes nothing.
    pub fn is_insufficient_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }

    fn in_value(value: &[u8]) -> Option<Self> {
        let value = &value[..value.len().min(MAX_VALUE)];
        let mut reader = Reader(value);
        let mut found: Option<Self> = None;
        while let Some(name) = reader.name() {
            match reader.value() {
                Some(value) => {
                    if let Some(challenge) = &mut found {
                        challenge.set(name, value);
                    }
                }
                None if found.is_some() => break,
                None => {
                    found = name.eq_ignore_ascii_case(b"bearer").then(Self::default);
                    reader.skip_token68();
                }
            }
        }
        found
    }

    /// The first of several parameters of one name counts.
    fn set(&mut self, name: &[u8], value: String) {
        let name = name.to_ascii_lowercase();
        match &*name {
            b"resource_metadata" if self.resource_metadata.is_none() => {
                self.resource_metadata = Some(value);
            }
            b"scope" if self.scope.is_none() => self.scope = Some(super::scopes::split(&value)),
            b"error" if self.error.is_none() => self.error = Some(value),
            _ => {}
        }
    }
}

/// What is left of a value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next name of a scheme or parameter; skips what can't be one.
    fn name(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| is_token(*byte))?;
        let rest = &self.0[start..];
        let end = rest.iter().position(|byte| !is_token(*byte));
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        Some(name)
    }

    /// What follows `=`; `None` if no `=` is next. The value may be empty.
    fn value(&mut self) -> Option<String> {
        let rest = self.0.trim_ascii_start().strip_prefix(b"=")?;
        let rest = rest.trim_ascii_start();
        let (value, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted),
            // Some servers don't quote URLs.
            None => {
                let end = rest
                    .iter()
                    .position(|byte| matches!(byte, b',' | b' ' | b'\t'));
                let (value, rest) = rest.split_at(end.unwrap_or(rest.len()));
                (value.to_vec(), rest)
            }
        };
        self.0 = rest;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Skips credentials like those of `Negotiate`, which end in `=` or are one word before a comma.
    fn skip_token68(&mut self) {
        let rest = self.0.trim_ascii_start();
        let is_68 = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        let end = rest
            .iter()
            .position(|byte| !is_68(byte))
            .unwrap_or(rest.len());
        let padding = rest[end..].iter().take_while(|byte| **byte == b'=').count();
        let after = rest[end + padding..].trim_ascii_start();
        if end > 0 && (after.is_empty() || after.starts_with(b",")) {
            self.0 = after;
        }
    }
}

/// A quoted string without its quotes and escapes, and what follows it. One without an end is empty.
fn unquoted(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return (value, &quoted[at + 1..]),
            b'\\' => value.extend(bytes.next().map(|(_, byte)| *byte)),
            byte => value.push(*byte),
        }
    }
    (Vec::new(), &[])
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<BearerChallenge> {
        BearerChallenge::first(values.iter().map(|value| value.as_bytes()))
    }

    fn challenge(metadata: Option<&str>, scope: Option<&[&str]>) -> Option<BearerChallenge> {
        Some(BearerChallenge {
            resource_metadata: metadata.map(str::to_owned),
            scope: scope.map(|scope| scope.iter().map(ToString::to_string).collect()),
            error: None,
        })
    }

    #[test]
    fn the_bearer_challenge_is_found_in_every_form() {
        let url = "https://a.example/.well-known/oauth-protected-resource";
        let full = challenge(Some(url), Some(&["a", "b:c"]));
        for (value, expected) in [
            ("Bearer", challenge(None, None)),
            ("bearer ", challenge(None, None)),
            ("BEARER realm=\"x\"", challenge(None, None)),
            (
                &format!("Bearer resource_metadata=\"{url}\", scope=\"a b:c\""),
                full.clone(),
            ),
            (
                &format!("Bearer scope = \"a  b:c\" ,resource_metadata={url}"),
                full.clone(),
            ),
            (
                &format!(
                    "Basic realm=\"a, Bearer scope=x\", Bearer scope=\"a b:c\",resource_metadata=\"{url}\""
                ),
                full.clone(),
            ),
            (
                &format!(
                    "Negotiate YWJjPT0=, Bearer resource_metadata=\"{url}\", scope=\"a b:c\", Digest scope=z"
                ),
                full.clone(),
            ),
            (
                &format!(
                    "Negotiate, Bearer Resource_Metadata=\"{url}\", Scope=\"a b:c\", scope=twice"
                ),
                full.clone(),
            ),
            (
                r#"Bearer scope="a\"b\\c""#,
                challenge(None, Some(&["a\"b\\c"])),
            ),
            ("Bearer scope=\"\"", challenge(None, Some(&[]))),
            ("Bearer scope=\"a b", challenge(None, Some(&[]))),
            ("Bearer abc==", challenge(None, None)),
            ("Basic realm=x", None),
            ("NotBearer scope=x", None),
            ("", None),
            (",,\"\u{7f}", None),
        ] {
            assert_eq!(read(&[value]), expected, "{value}");
        }
    }

    #[test]
    fn a_challenge_in_a_later_value_is_found() {
        let expected = challenge(None, Some(&["a"]));
        assert_eq!(read(&["Basic realm=x", "Bearer scope=a"]), expected);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn insufficient_scope_is_told_from_an_invalid_token() {
        for (error, expected) in [("insufficient_scope", true), ("invalid_token", false)] {
            let value = format!("Bearer error=\"{error}\", scope=\"a\"");
            let challenge = read(&[&value]).unwrap();
            assert_eq!(challenge.is_insufficient_scope(), expected);
        }
    }
}
