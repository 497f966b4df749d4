//! Matches a URI against URI templates (RFC 6570), to find the backend of an unlisted URI.
//!
//! Owns what text an expression can have expanded to. A match only selects a backend, which checks
//! the URI itself, so an expression matches any text that its operator could produce. Time is
//! bounded by template length × URI length: no backtracking.

/// Most bytes of a URI that is matched.
const MAX_URI: usize = 2 * 1024;
/// Most literals and expressions of one template.
const MAX_PARTS: usize = 32;

/// A parsed URI template.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(Box<str>),
    Expression(Expression),
}

/// The text that an expression can have expanded to.
#[derive(Debug)]
struct Expression {
    /// The first character of the expansion, if the operator has one. The expansion may then be
    /// empty, for an undefined variable; without one it has at least one character.
    lead: Option<u8>,
    /// Characters that it can't contain.
    stops: &'static [u8],
}

impl Template {
    /// Parses a template; `None` if its braces don't match or it has more than [`MAX_PARTS`] parts.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, expression) = match rest.split_once('{') {
                Some((literal, after)) => {
                    let (expression, after) = after.split_once('}')?;
                    rest = after;
                    (literal, Some(expression))
                }
                None => (std::mem::take(&mut rest), None),
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            if let Some(expression) = expression {
                parts.push(Part::Expression(Expression::of(expression)?));
            }
            if parts.len() > MAX_PARTS {
                return None;
            }
        }
        Some(Self { parts })
    }

    /// Whether the template can have expanded to this URI, while steps are left. Takes the steps
    /// that it needs; where they are not left, it takes all that are, and the answer is `false`.
    pub(super) fn matches_within(&self, uri: &str, steps: &mut usize) -> bool {
        if !self.begins(uri.as_bytes()) {
            return false;
        }
        let Some(left) = steps.checked_sub(self.parts.len() * uri.len()) else {
            *steps = 0;
            return false;
        };
        *steps = left;
        self.matches(uri)
    }

    /// Whether it can have expanded to a URI that begins like this one. Most that don't match differ
    /// in their first literal.
    fn begins(&self, uri: &[u8]) -> bool {
        match self.parts.first() {
            Some(Part::Literal(first)) => uri.starts_with(first.as_bytes()),
            _ => true,
        }
    }

    /// Whether the template can have expanded to this URI.
    pub(super) fn matches(&self, uri: &str) -> bool {
        let uri = uri.as_bytes();
        if uri.len() > MAX_URI || !self.begins(uri) {
            return false;
        }
        // reached[i]: the parts so far can have expanded to the first i bytes.
        let mut reached = vec![false; uri.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = part.advance(uri, &reached);
        }
        reached[uri.len()]
    }
}

impl Part {
    fn advance(&self, uri: &[u8], reached: &[bool]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        match self {
            Self::Literal(text) => {
                for at in (0..uri.len()).filter(|&at| reached[at]) {
                    if uri[at..].starts_with(text.as_bytes()) {
                        next[at + text.len()] = true;
                    }
                }
            }
            Self::Expression(expression) => {
                // Whether an expansion that began earlier extends to here.
                let mut inside = false;
                for (at, byte) in uri.iter().enumerate() {
                    let continues = (inside || (reached[at] && expression.lead.is_none()))
                        && !expression.stops.contains(byte);
                    let begins = reached[at] && expression.lead == Some(*byte);
                    inside = continues || begins;
                    next[at + 1] = inside;
                }
                if expression.lead.is_some() {
                    next.iter_mut()
                        .zip(reached)
                        .for_each(|(next, here)| *next |= here);
                }
            }
        }
        next
    }
}

impl Expression {
    /// Parses an expression without its braces; `None` for an empty one.
    fn of(expression: &str) -> Option<Self> {
        let (&operator, _) = expression.as_bytes().split_first()?;
        let many = expression.contains(['*', ',']);
        let (lead, stops): (_, &[u8]) = match operator {
            b'+' => (None, b""),
            b'#' => (Some(operator), b""),
            b'?' | b'&' => (Some(operator), b"#"),
            b'/' if many => (Some(operator), b"?#"),
            b'/' | b'.' | b';' => (Some(operator), b"/?#"),
            _ => (None, b"/?#"),
        };
        Some(Self { lead, stops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, uri: &str) -> bool {
        Template::parse(template).is_some_and(|parsed| parsed.matches(uri))
    }

    #[test]
    fn every_operator_matches_its_possible_expansions() {
        for (template, uri) in [
            ("note://{id}", "note://42"),
            ("note://{id}", "note://caf\u{e9} 1"),
            ("db://{table}/row/{id}.json", "db://users/row/a.b.json"),
            ("file:///{+path}", "file:///a/b/c.txt?x#y"),
            (
                "repo://{owner}/{repo}/contents{/path*}",
                "repo://me/it/contents/src/lib.rs",
            ),
            (
                "repo://{owner}/{repo}/contents{/path*}",
                "repo://me/it/contents",
            ),
            ("x://a{/b}", "x://a/1"),
            ("x://a{/b,c}", "x://a/1/2"),
            ("x://s{?q,lang}", "x://s?q=a/b&lang=en"),
            ("x://s{?q}", "x://s"),
            ("x://s?a=1{&q}", "x://s?a=1&q=2"),
            ("x://s{#part}", "x://s#a/b"),
            ("x://s{.ext}{;v}", "x://s.txt;v=1"),
            ("x://{a}{b}", "x://ab"),
            ("plain://text", "plain://text"),
        ] {
            assert!(matches(template, uri), "{template} should match {uri}");
        }
    }

    #[test]
    fn an_impossible_expansion_does_not_match() {
        for (template, uri) in [
            ("note://{id}", "note://"),
            ("note://{id}", "note://a/b"),
            ("note://{id}", "notes://a"),
            ("note://{id}", "note://a?b"),
            ("note://{id}/x", "note://a/x/"),
            ("x://a{/b}", "x://a/1/2"),
            ("x://a{/b}", "x://ab"),
            ("x://{a}{b}", "x://a"),
            ("plain://text", "plain://text2"),
            ("", "x://a"),
            ("x://{", "x://{"),
            ("x://{}", "x://"),
            ("x://{a", "x://a"),
        ] {
            assert!(!matches(template, uri), "{template} should not match {uri}");
        }
    }

    #[test]
    fn matching_is_bounded_in_template_and_uri_length() {
        let slow = format!("{}!", "{+a}x".repeat(MAX_PARTS / 2 - 1));
        assert!(!matches(&slow, &"x".repeat(MAX_URI)));
        assert!(Template::parse(&"{a}".repeat(MAX_PARTS + 1)).is_none());
        assert!(!matches("{+a}", &"x".repeat(MAX_URI + 1)));
    }
}
