//! Whose a URI is that nobody has named, by the files around it.
//!
//! Owns what a directory is, and when its files show whose another is: only where all are one
//! backend's, since a backend lists and names what it likes. It must not know how they became known.

use crate::call_report::BackendId;

/// Whose the files around a URI are: what is below it, and the files directly in a directory that it is
/// in, since a file refers to those beside it and below by relative paths.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    uri: &'a str,
    /// What everything around it begins with.
    top: &'a str,
    backend: Option<BackendId>,
    are_several: bool,
    is_shown: bool,
}

impl<'a> Around<'a> {
    pub(crate) fn new(uri: &'a str) -> Self {
        Self {
            uri,
            top: top(uri),
            backend: None,
            are_several: false,
            is_shown: false,
        }
    }

    /// Looks at a URI as clients see it. `shows`: it can show whose others are. Any can make that unclear.
    pub(crate) fn see(&mut self, exposed: &str, backend: BackendId, shows: bool) {
        if self.are_several || !exposed.starts_with(self.top) {
            return;
        }
        let Some(shared) = self.shared_directory(exposed) else {
            return;
        };
        self.are_several = self.backend.is_some_and(|other| other != backend);
        self.backend = Some(backend);
        self.is_shown |= shows && !is_web_host(shared);
    }

    /// The only backend that has files around the URI, if they show that.
    pub(crate) fn owner(&self) -> Option<BackendId> {
        self.backend.filter(|_| self.is_shown && !self.are_several)
    }

    fn shared_directory<'b>(&self, exposed: &'b str) -> Option<&'b str>
    where
        'a: 'b,
    {
        if is_in(exposed, self.uri) {
            return Some(self.uri);
        }
        directory(exposed).filter(|directory| is_in(self.uri, directory))
    }
}

/// A backend's own URI of a directory that clients see as `directory`, by a file in it that they see as
/// `exposed`; `None` if that is not in it. That of a root ends with a slash, as `skill://` does: without it
/// there would be no URI left.
pub(crate) fn own_directory(directory: &str, exposed: &str, own: &str) -> Option<String> {
    let rest = exposed
        .strip_prefix(directory)
        .filter(|rest| rest.starts_with('/'))?;
    let above = own.strip_suffix(rest)?;
    let is_root = above.ends_with([':', '/']);
    Some(own[..above.len() + usize::from(is_root)].to_owned())
}

/// The file in a directory that `rest`, which begins with a slash, leads to.
pub(crate) fn in_directory(directory: &str, rest: &str) -> String {
    format!("{}{rest}", directory.strip_suffix('/').unwrap_or(directory))
}

fn is_in(uri: &str, directory: &str) -> bool {
    let rest = uri.strip_prefix(directory);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// A URI without its query and fragment, in which a slash is none of the path.
fn path(uri: &str) -> &str {
    uri.find(['?', '#']).map_or(uri, |end| &uri[..end])
}

/// The directory that a file is directly in. A scheme alone is none.
fn directory(uri: &str) -> Option<&str> {
    let path = path(uri);
    let directory = &path[..path.rfind('/')?];
    (!directory.ends_with([':', '/'])).then_some(directory)
}

/// The beginning of a URI that every directory of it has: the scheme with the authority, where it has
/// one, else what is before the first slash.
fn top(uri: &str) -> &str {
    let path = path(uri);
    let scheme = path.find([':', '/']).unwrap_or_default();
    let start = match path[scheme..].starts_with("://") {
        true => scheme + 3,
        false => 0,
    };
    let end = path[start..].find('/');
    end.map_or(path, |end| &path[..start + end])
}

/// Whether it is no more than a host of the web, which says nothing: a page of it that one server lists
/// makes no other its own.
fn is_web_host(directory: &str) -> bool {
    directory.split_once("://").is_some_and(|(scheme, rest)| {
        let is = |web: &str| scheme.eq_ignore_ascii_case(web);
        (is("http") || is("https")) && !rest.contains('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BackendId = BackendId::new(0);
    const B: BackendId = BackendId::new(1);

    /// The owner of `uri` among URIs that show it, and others.
    fn owner(
        uri: &str,
        shown: &[(&str, BackendId)],
        others: &[(&str, BackendId)],
    ) -> Option<BackendId> {
        let mut around = Around::new(uri);
        let all = shown.iter().map(|seen| (seen, true));
        for ((exposed, backend), shows) in all.chain(others.iter().map(|seen| (seen, false))) {
            around.see(exposed, *backend, shows);
        }
        around.owner()
    }

    #[test]
    fn a_file_beside_those_of_one_backend_is_its_own() {
        for (uri, listed) in [
            ("s://git/a/c.md", "s://git/SKILL.md"),
            ("s://git/c.md", "s://git/SKILL.md"),
            ("s://git/c.md?x=/y", "s://git/SKILL.md#z/"),
            ("s://git/1/2/3/4/5/6/7/8/9/c", "s://git/SKILL.md"),
            // Directories, with what is directly in them or further below.
            ("s://git", "s://git/SKILL.md"),
            ("s://git", "s://git/a/b/c"),
            ("file:///home/a", "file:///home/b"),
            ("https://x.example/a/1", "https://x.example/a/2"),
            ("a/b", "a/c"),
        ] {
            assert_eq!(owner(uri, &[(listed, A)], &[]), Some(A), "{uri}");
            let elsewhere = [("s://other/SKILL.md", B), ("s://git2/c.md", B), ("t:1", B)];
            assert_eq!(owner(uri, &[(listed, A)], &elsewhere), Some(A), "{uri}");
            assert_eq!(owner(uri, &[], &[(listed, A)]), None, "{uri}");
        }
        for (uri, listed) in [
            ("s://git2/a", "s://git/SKILL.md"),
            ("s://git", "s://git"),
            ("s:1", "s:2"),
            ("s:/1", "s:/2"),
            ("file:///a", "file:///b"),
            // A file says nothing of what is above its directory.
            ("s://git/c.md", "s://git/a/b.md"),
            // The web has many pages on a host.
            ("https://x.example/a/1", "https://x.example/2"),
            ("HTTP://x.example/1", "HTTP://x.example/2"),
            ("https://x.example", "https://x.example/2"),
        ] {
            assert_eq!(owner(uri, &[(listed, A)], &[]), None, "{uri}");
        }
    }

    #[test]
    fn a_directory_of_aliases_is_one_of_the_backend_and_its_root_a_whole_uri() {
        for (directory, exposed, own, expected) in [
            ("s://b/git", "s://b/git/a/x", "s://git/a/x", Some("s://git")),
            ("s://b", "s://b/git/x", "s://git/x", Some("s://")),
            ("s://b", "s://b/x", "s://x", Some("s://")),
            (
                "file://b",
                "file://b/home/x",
                "file:///home/x",
                Some("file:///"),
            ),
            ("s:b", "s:b/x", "s:/x", Some("s:/")),
            ("s:b", "s:b/x", "s:x", None),
            ("s://b", "s://b2/x", "s://x", None),
        ] {
            let found = own_directory(directory, exposed, own);
            assert_eq!(found.as_deref(), expected, "{directory} {exposed}");
            if let Some(found) = found {
                let rest = &exposed[directory.len()..];
                assert_eq!(in_directory(&found, rest), own);
            }
        }
    }

    /// No backend catches the reads of another by listing or naming something beside or below its files.
    #[test]
    fn where_several_have_files_around_nobody_has_it() {
        let of_a = [("s://git/SKILL.md", A), ("s://git/a/b.md", A)];
        for (uri, other) in [
            ("s://git/a/c.md", "s://git/a/d.md"),
            ("s://git/a/c.md", "s://git/d.md"),
            ("s://git/a/x/c.md", "s://git/a/x/d.md"),
            ("s://git/a/c.md", "s://git/a/c.md/d"),
            ("s://git", "s://git/a/d.md"),
        ] {
            assert_eq!(owner(uri, &of_a, &[]), Some(A), "{uri}");
            let all = [&of_a[..], &[(other, B)]].concat();
            assert_eq!(owner(uri, &all, &[]), None, "{uri}");
            assert_eq!(owner(uri, &of_a, &[(other, B)]), None, "{uri}");
            let first = [&[(other, B)], &of_a[..]].concat();
            assert_eq!(owner(uri, &first, &[]), None, "{uri}");
        }
        // The alias of a page that two have is on the same host.
        let page = [("https://x.example/a/1", A)];
        let alias = [("https://x.example/a/1#b", B)];
        assert_eq!(owner("https://x.example/a/2", &page, &alias), None);
        let query = [("https://x.example/a/1?at=/2", B)];
        assert_eq!(owner("https://x.example/a/2", &page, &query), None);
        let host = [("https://x.example/index", B)];
        assert_eq!(owner("https://x.example/a/2", &page, &host), None);
    }
}
