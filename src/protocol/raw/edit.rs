//! Edits of JSON text: a few places change, every other byte stays.
//!
//! Owns how members are set, added and removed. It must not know what they mean.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{RawJson, put_quoted};

impl RawJson {
    /// The object with some members set (in place, else appended) and others removed. Every other
    /// byte stays. Anything but an object is returned unchanged.
    pub fn with_members(&self, set: &[(&str, Bytes)], without: &[&str]) -> Self {
        self.with_members_and_defaults(set, &[], without)
    }

    /// The object with some members set and others removed, as [`with_members`](Self::with_members)
    /// does; `defaults` are members that are added only if they are missing.
    pub(crate) fn with_members_and_defaults(
        &self,
        set: &[(&str, Bytes)],
        defaults: &[(&str, Bytes)],
        without: &[&str],
    ) -> Self {
        if !self.is_object() || (set.is_empty() && defaults.is_empty() && without.is_empty()) {
            return self.clone();
        }
        let wanted = || set.iter().chain(defaults);
        let grown: usize = wanted()
            .map(|(key, value)| key.len() + value.len() + 4)
            .sum();
        let mut out = Members(Vec::with_capacity(self.as_bytes().len() + grown));
        let mut present = vec![false; set.len() + defaults.len()];
        let mut changed = false;
        for member in self.scan() {
            if without.iter().any(|key| self.is_named(&member, key)) {
                changed = true;
                continue;
            }
            let known = wanted().position(|(key, _)| self.is_named(&member, key));
            known.inspect(|at| present[*at] = true);
            match known.and_then(|at| set.get(at)) {
                Some((_, value)) => {
                    changed = true;
                    out.push(&[
                        &self.0[member.start..member.value.start],
                        value,
                        &self.0[member.value.end..member.end],
                    ]);
                }
                None => out.push(&[&self.0[member.start..member.end]]),
            }
        }
        for ((key, value), _) in wanted().zip(present).filter(|(_, present)| !present) {
            changed = true;
            out.push_new(key, value);
        }
        if changed {
            Self(out.end())
        } else {
            self.clone()
        }
    }

    /// The text with these byte ranges replaced. Every other byte stays.
    ///
    /// The result must be valid JSON; ranges must not overlap.
    pub fn with_edits(&self, mut edits: Vec<(Range<usize>, Bytes)>) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        edits.sort_by_key(|(range, _)| range.start);
        let grown: usize = edits.iter().map(|(_, text)| text.len()).sum();
        let mut out = BytesMut::with_capacity(self.0.len() + grown);
        let mut at = 0;
        for (range, text) in edits {
            out.extend_from_slice(&self.0[at..range.start]);
            out.extend_from_slice(&text);
            at = range.end;
        }
        out.extend_from_slice(&self.0[at..]);
        Self(out.freeze())
    }
}

/// The text of an object, written member by member.
struct Members(Vec<u8>);

impl Members {
    /// Adds one member, given in parts.
    fn push(&mut self, parts: &[&[u8]]) {
        self.begin();
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    fn push_new(&mut self, key: &str, value: &[u8]) {
        self.begin();
        put_quoted(&mut self.0, key);
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    fn begin(&mut self) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
    }

    fn end(mut self) -> Bytes {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::raw::quoted;

    #[test]
    fn edits_keep_every_other_byte() {
        let text = br#"{ "n" : 1.10, "name":"a", "n": 2e400 ,"big":123456789012345678901234567890,"s":"\ud800"}"#;
        let raw = RawJson::parse(Bytes::from_static(text)).unwrap();
        let [name] = raw.locate_members(["name"]).unwrap();
        let edited = raw.with_edits(vec![(name.unwrap(), quoted("b"))]);
        assert_eq!(
            edited.as_str(),
            r#"{ "n" : 1.10, "name":"b", "n": 2e400 ,"big":123456789012345678901234567890,"s":"\ud800"}"#
        );
        assert_eq!(raw.locate_members(["s", "n"]), Err("n"));
    }

    fn raw(text: &'static str) -> RawJson {
        RawJson::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn pairs<'a>(members: &[(&'a str, &'static str)]) -> Vec<(&'a str, Bytes)> {
        let pair =
            |(key, value): &(&'a str, &'static str)| (*key, Bytes::from_static(value.as_bytes()));
        members.iter().map(pair).collect()
    }

    #[test]
    fn members_are_set_and_removed_and_the_rest_stays() {
        let set = |text, set: &[(&str, &'static str)], without: &[&str]| {
            raw(text)
                .with_members(&pairs(set), without)
                .as_str()
                .to_owned()
        };
        let text = r#"{ "a" : 1.10, "b":[ 2 ] , "c":"\ud800" }"#;
        assert_eq!(
            set(text, &[("b", "3")], &[]),
            r#"{ "a" : 1.10, "b":3 , "c":"\ud800" }"#
        );
        assert_eq!(
            set(text, &[("d", "4")], &["a"]),
            r#"{ "b":[ 2 ] , "c":"\ud800" ,"d":4}"#
        );
        assert_eq!(set(text, &[], &["a", "b", "c"]), "{}");
        assert_eq!(set(text, &[], &["x"]), text);
        assert_eq!(set("{}", &[("a", "1")], &[]), r#"{"a":1}"#);
        assert_eq!(set("[1]", &[("a", "1")], &[]), "[1]");
        assert_eq!(
            raw(r#"{"a":1,"\u0061":{"b":"\u0062"}}"#)
                .at(&["a", "b"])
                .unwrap()
                .text()
                .unwrap(),
            "b"
        );
        assert!(raw("{}").get("a").is_none());
    }

    #[test]
    fn defaults_are_added_only_where_a_member_is_missing() {
        let with = |text, set: &[(&str, &'static str)], defaults: &[(&str, &'static str)]| {
            let (set, defaults) = (pairs(set), pairs(defaults));
            let edited = raw(text).with_members_and_defaults(&set, &defaults, &["x"]);
            edited.as_str().to_owned()
        };
        assert_eq!(
            with(
                r#"{"a":1,"x":0,"s":1}"#,
                &[("s", "2")],
                &[("a", "9"), ("b", "9")]
            ),
            r#"{"a":1,"s":2,"b":9}"#
        );
        assert_eq!(with(r#"{"a":1 }"#, &[], &[("a", "9")]), r#"{"a":1 }"#);
    }
}
