//! The scopes that a sign-in asks for (MCP 2026-07-28, basic/authorization, scope selection strategy).
//!
//! Owns their order of precedence: the config, the challenge, the metadata of the resource. What is held
//! already stays, and `offline_access` is added where the server offers it.

/// What a refresh token is asked for with, where the server offers it (OpenID Connect Core, 11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes of a space-separated text, each once, in its order.
pub fn split(text: &str) -> Vec<String> {
    union(&[], text.split_ascii_whitespace())
}

/// The scopes of both, each once, in their order.
pub(crate) fn union<'a>(
    first: &[String],
    second: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let mut all = first.to_vec();
    for scope in second {
        if !all.iter().any(|known| known == scope) {
            all.push(scope.to_owned());
        }
    }
    all
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'a> {
    /// `oauth.scopes`: replaces what the server suggests.
    pub configured: &'a [String],
    /// The scopes that the challenge names.
    pub challenged: Option<&'a [String]>,
    /// `scopes_supported` of the protected resource metadata.
    pub of_resource: Option<&'a [String]>,
    /// `scopes_supported` of the authorization server.
    pub of_server: &'a [String],
    /// Asked for before, and those that calls have lacked since.
    pub held: &'a [String],
}

impl Choice<'_> {
    /// The scopes to ask for; empty: none is named.
    pub fn scopes(&self) -> Vec<String> {
        let suggested = match (self.configured, self.challenged, self.of_resource) {
            ([], Some(challenged), _) => challenged,
            ([], None, of_resource) => of_resource.unwrap_or_default(),
            (configured, _, _) => configured,
        };
        let mut scopes = union(self.held, suggested.iter().map(String::as_str));
        if self.of_server.iter().any(|scope| scope == OFFLINE_ACCESS) {
            scopes = union(&scopes, [OFFLINE_ACCESS]);
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        split(text)
    }

    #[test]
    fn the_challenge_comes_before_the_resource_and_the_user_before_both() {
        for (configured, challenged, of_resource, of_server, held, expected) in [
            ("", Some("a b"), Some("c"), "d", "", "a b"),
            ("", None, Some("c e"), "d", "", "c e"),
            ("", None, None, "d e", "", ""),
            ("x", Some("a"), Some("c"), "", "", "x"),
            ("", Some("w"), Some("c"), "", "r", "r w"),
            ("", Some("r w"), None, "", "r", "r w"),
            (
                "",
                Some("a"),
                None,
                "a offline_access",
                "",
                "a offline_access",
            ),
            ("", Some(""), Some("c"), "", "", ""),
            ("", None, None, "offline_access", "", "offline_access"),
        ] {
            let (challenged, of_resource) = (challenged.map(list), of_resource.map(list));
            let choice = Choice {
                configured: &list(configured),
                challenged: challenged.as_deref(),
                of_resource: of_resource.as_deref(),
                of_server: &list(of_server),
                held: &list(held),
            };
            assert_eq!(choice.scopes(), list(expected), "{choice:?}");
        }
    }

    #[test]
    fn a_scope_is_named_once() {
        assert_eq!(split(" a  b a\tc "), ["a", "b", "c"]);
    }
}
