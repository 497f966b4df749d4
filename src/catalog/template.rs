//! Which backend a URI belongs to that no list has: URI templates (RFC 6570) read backwards.
//!
//! A match here only routes. Backends expand and check their templates themselves, so a hole
//! accepts any text its operator could have written. Time is linear in template × URI whatever
//! either says: no backtracking.

/// Bytes of a URI that templates are tried on.
const MAX_URI: usize = 2 * 1024;
/// Literals and expressions of one template.
const MAX_PARTS: usize = 32;

/// A parsed URI template.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(Box<str>),
    Hole(Hole),
}

/// What an expression can have expanded to.
#[derive(Debug)]
struct Hole {
    /// The operator's first character. With one, the whole may be missing: an undefined
    /// variable expands to nothing. Without one, at least one character is expected.
    lead: Option<u8>,
    /// Characters that end it.
    stops: &'static [u8],
}

impl Template {
    /// Reads a template; `None` where its braces don't pair up or it has too many parts.
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
                parts.push(Part::Hole(Hole::of(expression)?));
            }
            if parts.len() > MAX_PARTS {
                return None;
            }
        }
        Some(Self { parts })
    }

    /// Whether the template can have expanded to this URI.
    pub(super) fn matches(&self, uri: &str) -> bool {
        let uri = uri.as_bytes();
        if uri.len() > MAX_URI {
            return false;
        }
        // Nearly every template that doesn't match differs in its first literal.
        if let Some(Part::Literal(first)) = self.parts.first()
            && !uri.starts_with(first.as_bytes())
        {
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
            Self::Hole(hole) => {
                // Whether the hole, begun somewhere before, reaches up to here.
                let mut inside = false;
                for (at, byte) in uri.iter().enumerate() {
                    let goes_on = (inside || (reached[at] && hole.lead.is_none()))
                        && !hole.stops.contains(byte);
                    let begins = reached[at] && hole.lead == Some(*byte);
                    inside = goes_on || begins;
                    next[at + 1] = inside;
                }
                if hole.lead.is_some() {
                    next.iter_mut()
                        .zip(reached)
                        .for_each(|(next, here)| *next |= here);
                }
            }
        }
        next
    }
}

impl Hole {
    /// The hole an expression, without its braces, leaves; `None` for an empty one.
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
    fn every_operator_matches_what_it_can_have_written() {
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
    fn what_it_can_not_have_written_does_not_match() {
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
    fn a_template_made_to_be_slow_is_bounded() {
        let slow = format!("{}!", "{+a}x".repeat(MAX_PARTS / 2 - 1));
        assert!(!matches(&slow, &"x".repeat(MAX_URI)));
        assert!(Template::parse(&"{a}".repeat(MAX_PARTS + 1)).is_none());
        assert!(!matches("{+a}", &"x".repeat(MAX_URI + 1)));
    }
}
