//! Coerces JSON values to shapes.
//!
//! Owns what a shape is, and the rule for optional members: one that doesn't fit can't be read by
//! anybody and is left out. It must not know which members there are.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::mends::Mends;
use crate::protocol::message::elements;
use crate::protocol::{RawJson, json_scan};

/// The largest integer up to which doubles hold each one (2^53). Python reads a much larger one as
/// no integer at all.
const MAX_INTEGER: f64 = 9_007_199_254_740_992.0;
/// A number with fewer digits, and without an exponent, is one that doubles hold.
const SURE_DIGITS: usize = 300;

/// What a value must be.
pub(super) enum Shape {
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// `true` or `false`, or one of the strings `"true"` and `"false"`, which mean them. Never of
    /// what a call's safety depends on.
    Flag,
    /// A number without a fraction, that a double holds exactly.
    Integer,
    /// A number from 0 to 1.
    UnitInterval,
    /// A date and time with an offset, as in RFC 3339.
    Timestamp,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// An array of such values.
    List(&'static Shape),
    /// An object, whatever is in it.
    Object,
    /// An object with these members, and any others.
    Record(&'static [Member]),
}

/// A member of an object.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// The object means nothing without it.
    pub(super) required: bool,
}

/// How a value compares with its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    /// It fits.
    Yes,
    /// This is what it means.
    As(RawJson),
    /// It can't be read: what it is not, for a message.
    No(String),
}

/// Changes of the members of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    set: Vec<(&'static str, Bytes)>,
    without: Vec<&'static str>,
}

impl Changes {
    pub(super) fn set(&mut self, name: &'static str, value: Bytes) {
        self.set.push((name, value));
    }

    pub(super) fn remove(&mut self, name: &'static str) {
        self.without.push(name);
    }

    /// Takes over how a member fits.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn apply(&mut self, name: &'static str, fit: Fit) -> Result<(), String> {
        match fit {
            Fit::Yes => Ok(()),
            Fit::As(value) => {
                self.set(name, value.into_bytes());
                Ok(())
            }
            Fit::No(why) => Err(why),
        }
    }

    /// Takes over how an optional member fits: one that doesn't fit is removed.
    pub(super) fn apply_optional(&mut self, name: &'static str, fit: Fit) {
        if self.apply(name, fit).is_err() {
            self.remove(name);
        }
    }

    pub(super) fn apply_to(&self, object: &RawJson) -> RawJson {
        object.with_members(&self.set, &self.without)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.without.is_empty()
    }
}

/// Holds a value against a shape.
pub(super) fn fit(shape: &Shape, value: &RawJson, mends: &mut Mends) -> Fit {
    let text = value.as_str();
    if let (Shape::Flag, "\"true\"" | "\"false\"") = (shape, text) {
        mends.add("", "is a word: the value of it is listed");
        return Fit::As(RawJson::trusted(text.trim_matches('"').to_owned()));
    }
    let (fits, wanted) = match shape {
        Shape::Text => (text.starts_with('"'), "a string"),
        Shape::Bool | Shape::Flag => (matches!(text, "true" | "false"), "true or false"),
        Shape::Integer => (
            number(text).is_some_and(|n| n.fract() == 0.0 && n.abs() <= MAX_INTEGER),
            "an integer",
        ),
        Shape::UnitInterval => (
            number(text).is_some_and(|n| (0.0..=1.0).contains(&n)),
            "a number from 0 to 1",
        ),
        Shape::Timestamp => (
            value.text().is_some_and(|text| is_timestamp(&text)),
            "a date and time of ISO 8601 with an offset",
        ),
        Shape::OneOf(known) => (
            value.text().is_some_and(|text| known.contains(&&*text)),
            "one of the values that exist for it",
        ),
        Shape::Object => (value.is_object(), "an object"),
        Shape::List(of) => return fit_list(of, value, mends),
        Shape::Record(members) => return coerce_record(members, value, mends),
    };
    match fits {
        true => Fit::Yes,
        false => Fit::No(isnt(value, wanted)),
    }
}

/// Holds an object against its members.
pub(super) fn coerce_record(members: &[Member], value: &RawJson, mends: &mut Mends) -> Fit {
    let Some(present) = value.members() else {
        return Fit::No(isnt(value, "a readable object"));
    };
    match coerce_members(members, value, &present, mends) {
        Ok(changes) if changes.is_empty() => Fit::Yes,
        Ok(changes) => Fit::As(changes.apply_to(value)),
        Err(why) => Fit::No(why),
    }
}

/// Holds an object whose members are read already against the wanted ones. Of duplicates the last
/// one counts, as it does for the parsers of JavaScript and Python.
///
/// # Errors
/// What is wrong with a required member.
pub(super) fn coerce_members(
    members: &[Member],
    object: &RawJson,
    present: &[(String, &RawValue)],
    mends: &mut Mends,
) -> Result<Changes, String> {
    let mut changes = Changes::default();
    for Member {
        name,
        shape,
        required,
    } in members
    {
        let last = present.iter().rev().find(|(key, _)| key == name);
        let Some((_, value)) = last else {
            if *required {
                return Err(format!("has no {name}"));
            }
            continue;
        };
        let value = object.part(value);
        match mends.within(name, |mends| fit(shape, &value, mends)) {
            Fit::No(why) if *required => return Err(format!("has a {name} that {why}")),
            Fit::No(why) => {
                mends.add(name, format_args!("{why}: left out"));
                changes.remove(name);
            }
            fit => changes.apply(name, fit)?,
        }
    }
    Ok(changes)
}

/// A list fits if each element does, some of them mended.
fn fit_list(of: &Shape, value: &RawJson, mends: &mut Mends) -> Fit {
    let Some(listed) = elements(value) else {
        return Fit::No(isnt(value, "an array"));
    };
    let mut out = Vec::with_capacity(listed.len());
    let mut changed = false;
    for (at, element) in listed.iter().enumerate() {
        match mends.within(&at.to_string(), |mends| fit(of, element, mends)) {
            Fit::Yes => out.push(element.clone()),
            Fit::As(mended) => {
                changed = true;
                out.push(mended);
            }
            Fit::No(why) => return Fit::No(format!("has an element that {why}")),
        }
    }
    match changed {
        true => Fit::As(array(&out)),
        false => Fit::Yes,
    }
}

/// An array of these values.
pub(super) fn array(values: &[RawJson]) -> RawJson {
    let texts: Vec<&str> = values.iter().map(RawJson::as_str).collect();
    RawJson::trusted(format!("[{}]", texts.join(",")))
}

/// That a value is something else than wanted. Its text is not quoted: it may be long.
pub(super) fn isnt(value: &RawJson, wanted: &str) -> String {
    match value.as_str() {
        "null" => "is null".to_owned(),
        _ => format!("is not {wanted}"),
    }
}

/// Whether it has a number, at any depth, that is too large for a double. Parsers of Python (from 4,300
/// digits) and Rust refuse the whole message for one, so that the client's request is never answered.
pub(super) fn has_huge_number(value: &RawJson) -> bool {
    let text = value.as_str();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = json_scan::string_end(bytes, at).unwrap_or(bytes.len()),
            b'0'..=b'9' => {
                let is_part =
                    |byte: &&u8| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(is_part).count();
                let number = &text[at..at + length];
                if (length >= SURE_DIGITS || number.contains(['e', 'E']))
                    && self::number(number).is_none()
                {
                    return true;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    false
}

fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let is_written = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    (is_written && number.is_finite()).then_some(number)
}

/// Whether it is a date and time with an offset, with or without seconds, of a day that exists: the
/// TypeScript SDK refuses a list for another one.
fn is_timestamp(text: &str) -> bool {
    is_timestamp_of(text).unwrap_or(false)
}

fn is_timestamp_of(text: &str) -> Option<bool> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-');
    let [year, month, day] =
        [4, 2, 2].map(|width| date.next().and_then(|part| digits(part, width)));
    let (year, month, day) = (year?, month?, day?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let at = time.find(['Z', '+', '-'])?;
    let (clock, offset) = time.split_at(at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = parts.next();
    let has_seconds = second.is_some();
    let second = second.map_or(Some(0), |second| digits(second, 2))?;
    let offset = match offset.strip_prefix(['+', '-']) {
        Some(offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            digits(hours, 2)? < 24 && digits(minutes, 2)? < 60
        }
        None => offset == "Z",
    };
    let clock = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    let whole = has_seconds || !time.contains('.');
    Some(date.next().is_none() && (1..=days).contains(&day) && clock && fraction && whole && offset)
}

fn digits(text: &str, width: usize) -> Option<u32> {
    let is_plain = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}
