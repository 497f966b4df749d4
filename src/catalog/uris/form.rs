//! How a URI becomes an alias, and an alias the URI again.
//!
//! Owns the form of an alias: it keeps the scheme, and has the backend's name in it. The same change
//! applies to a template and to what it expands to. It must not know which URIs are taken.

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// The beginning and the end of a URI that an alias changes. The rest stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    own_head: Box<str>,
    head: Box<str>,
    tail: Box<str>,
}

impl Form {
    /// The alias of a backend's URI or template. `attempt` counts from 0; each gives another alias.
    pub(crate) fn new(uri: &str, backend: &str, attempt: u32) -> Self {
        // Clients that parse URIs write the host of some schemes in lower case.
        let mut name = backend.to_ascii_lowercase();
        if attempt > 0 {
            name = format!("{name}-{}", hash(backend, uri, attempt));
        }
        let scheme = scheme(uri);
        if ["http:", "https:"].contains(&&*scheme.to_ascii_lowercase()) {
            // A client may fetch it itself, so that it has to name the same host.
            let separator = if uri.contains('#') { '&' } else { '#' };
            return Self {
                own_head: scheme.into(),
                head: scheme.into(),
                tail: format!("{separator}{name}").into(),
            };
        }
        let slashes = uri[scheme.len()..].bytes().take(3);
        let slashes = slashes.take_while(|byte| *byte == b'/').count();
        let authority = if slashes >= 2 { "//" } else { "" };
        Self {
            own_head: uri[..scheme.len() + slashes].into(),
            head: format!("{scheme}{authority}{name}/").into(),
            tail: "".into(),
        }
    }

    /// The change that makes this URI or template into this alias; `None` if none does.
    pub(super) fn between(uri: &str, alias: &str, backend: &str) -> Option<Self> {
        let first = Self::new(uri, backend, 0);
        let rest = uri.strip_prefix(&*first.own_head)?;
        let at = alias.rfind(rest)?;
        let (head, tail) = (&alias[..at], &alias[at + rest.len()..]);
        Some(Self {
            own_head: first.own_head,
            head: head.into(),
            tail: tail.into(),
        })
    }

    /// The alias of a URI; `None` where it doesn't begin like the one that the form is of.
    pub(crate) fn alias(&self, own: &str) -> Option<String> {
        let rest = own.strip_prefix(&*self.own_head)?;
        Some(format!("{}{rest}{}", self.head, self.tail))
    }

    /// The URI of an alias in this form.
    pub(super) fn own(&self, alias: &str) -> Option<String> {
        let rest = alias.strip_prefix(&*self.head)?;
        let rest = rest.strip_suffix(&*self.tail)?;
        Some(format!("{}{rest}", self.own_head))
    }
}

/// The scheme with its colon (RFC 3986, 3.1); empty if there is none.
fn scheme(uri: &str) -> &str {
    let end = uri.bytes().position(|byte| byte == b':');
    let is_scheme = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match end {
        Some(end) if is_scheme(&uri[..end]) => &uri[..=end],
        _ => "",
    }
}

/// Eight hex digits: the same on every machine.
fn hash(backend: &str, uri: &str, attempt: u32) -> String {
    let mut hasher = Sha256::new();
    hasher.update(backend.as_bytes());
    hasher.update([0]);
    hasher.update(uri.as_bytes());
    hasher.update([0]);
    hasher.update(attempt.to_be_bytes());
    hex(&hasher.finalize()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_keeps_the_scheme_names_its_backend_and_leads_back() {
        for (own, alias) in [
            ("ui://app", "ui://b/app"),
            ("ui://app/a?x#y", "ui://b/app/a?x#y"),
            ("file:///a/b.txt", "file://b/a/b.txt"),
            ("note:1", "note:b/1"),
            ("note:/1", "note:b/1"),
            ("note", "b/note"),
            ("{+path}", "b/{+path}"),
            ("note://{id}", "note://b/{id}"),
            ("https://x.example/a", "https://x.example/a#b"),
            ("HTTP://x.example/a#c", "HTTP://x.example/a#c&b"),
            ("ü:1", "b/ü:1"),
            ("", "b/"),
        ] {
            let form = Form::new(own, "b", 0);
            assert_eq!(form.alias(own).as_deref(), Some(alias));
            assert_eq!(form.own(alias).as_deref(), Some(own));
            assert_eq!(Form::between(own, alias, "b"), Some(form));
        }
        let second = Form::new("ui://app", "b", 1).alias("ui://app").unwrap();
        assert!(second.starts_with("ui://b-") && second.ends_with("/app"));
        let form = Form::between("ui://app", &second, "b").unwrap();
        assert_eq!(form.own(&second).as_deref(), Some("ui://app"));
    }

    #[test]
    fn what_a_template_expands_to_has_the_form_of_the_template() {
        let form = Form::new("note://{id}", "b", 0);
        assert_eq!(form.alias("note://7").as_deref(), Some("note://b/7"));
        assert_eq!(form.own("note://b/7").as_deref(), Some("note://7"));
        assert_eq!(form.own("note://c/7"), None);
        let form = Form::new("https://x.example/{id}", "b", 0);
        assert_eq!(
            form.own("https://x.example/7#b").as_deref(),
            Some("https://x.example/7")
        );
        assert_eq!(form.own("https://x.example/7"), None);
    }
}
