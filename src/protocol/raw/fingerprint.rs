//! A number that stands for a JSON value.
//!
//! Owns when two texts are the same value: white space, the order of members, escapes and the way a
//! number is written make no difference. It must not know what the value is for.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::RawJson;

impl RawJson {
    /// The number of this value. Equal values have the same with the same `keys`; others do too, but
    /// so rarely that it doesn't matter where it can't be brought about. Copies nothing.
    pub(crate) fn fingerprint(&self, keys: &RandomState) -> u64 {
        let mut reader = serde_json::Deserializer::from_slice(self.as_bytes());
        let number = Part(keys).deserialize(&mut reader);
        // Nested too deep to be read as a value: then as the text it is.
        number.unwrap_or_else(|_| keys.hash_one(self.as_bytes()))
    }
}

/// Reads one value, of which the number is all that is kept.
#[derive(Clone, Copy)]
struct Part<'a>(&'a RandomState);

impl Part<'_> {
    fn of(self, kind: u8, what: impl Hash) -> u64 {
        self.0.hash_one((kind, what))
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(self.of(0, ()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(self.of(1, value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(self.of(2, i128::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(self.of(2, i128::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        // Exact for an integer that fits; one that doesn't is no integer of the arms above.
        let integer = value as i128;
        Ok(match integer as f64 == value {
            true => self.of(2, integer),
            false => self.of(3, value.to_bits()),
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        Ok(self.of(4, value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut all = 0;
        while let Some(item) = items.next_element_seed(self)? {
            all = self.of(5, (all, item));
        }
        Ok(self.of(6, all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<u64, A::Error> {
        // A sum has no order.
        let mut all = 0_u64;
        while let Some(name) = members.next_key_seed(self)? {
            let value = members.next_value_seed(self)?;
            all = all.wrapping_add(self.of(7, (name, value)));
        }
        Ok(self.of(8, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_alike(texts: &[&str]) -> bool {
        let keys = RandomState::new();
        let number = |text: &str| {
            let raw = RawJson::parse(text.to_owned().into()).unwrap();
            raw.fingerprint(&keys)
        };
        texts.iter().all(|text| number(text) == number(texts[0]))
    }

    #[test]
    fn the_same_value_has_the_same_number_however_it_is_written() {
        for texts in [
            &[r#"{"a":1,"b":[2,3]}"#, r#"{ "b" : [2, 3], "\u0061":1.0 }"#][..],
            &["1", "1.0", "1e0", "10e-1"],
            &["0", "-0", "-0.0"],
            &["0.5", "5e-1"],
            &[r#""é""#, r#""\u00e9""#],
            &["18446744073709551615", "18446744073709551615"],
            &["{}", "{ }"],
        ] {
            assert!(all_alike(texts), "{texts:?}");
        }
    }

    #[test]
    fn different_values_have_different_numbers() {
        let texts = [
            "null",
            "false",
            "true",
            "0",
            "1",
            "-1",
            "0.1",
            "0.2",
            "1e300",
            r#""""#,
            r#""1""#,
            "[]",
            "[1]",
            "[[1]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"1":"a"}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"a":1}"#,
            "9007199254740993",
            "9007199254740992",
        ];
        for (at, one) in texts.iter().enumerate() {
            for other in &texts[at + 1..] {
                assert!(!all_alike(&[one, other]), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_value_of_any_depth_has_a_number() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(all_alike(&[&deep, &deep]));
        assert!(!all_alike(&[&deep, "[]"]));
    }
}
