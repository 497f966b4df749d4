//! When two JSON values are the same.
//!
//! Owns that the order of members and the way a number is written make no difference. It must not
//! know what is compared.

use serde_json::{Number, Value};

/// Whether these are the same value: `1` and `1.0` are, `1` and `"1"` are not.
pub(crate) fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| same_value(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let in_other = |(name, value)| {
                let there = other.get(name);
                there.is_some_and(|there| same_value(value, there))
            };
            one.len() == other.len() && one.iter().all(in_other)
        }
        _ => one == other,
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.as_f64() == other.as_f64(),
        _ => false,
    }
}

/// The number, if it is an integer.
fn integer(number: &Number) -> Option<i128> {
    let whole = number.as_i64().map(i128::from);
    let whole = whole.or_else(|| number.as_u64().map(i128::from));
    // A double that is an integer is exact as one, unless it is too large for any.
    let double = || {
        number
            .as_f64()
            .filter(|double| *double as i128 as f64 == *double)
    };
    whole.or_else(|| double().map(|double| double as i128))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let is_same = same_value(&value(one), &value(other));
        assert_eq!(is_same, same_value(&value(other), &value(one)));
        is_same
    }

    #[test]
    fn only_the_value_counts() {
        for (one, other) in [
            ("1", "1.0"),
            ("10", "1e1"),
            ("0", "-0.0"),
            ("0.5", "5e-1"),
            (r#""a""#, r#""\u0061""#),
            (r#"{"a":1,"b":[2.0]}"#, r#"{"b":[2],"a":1.0}"#),
            ("null", "null"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("1", r#""1""#),
            ("1", "true"),
            ("0", "null"),
            ("0.5", "0"),
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993", "9007199254740992.0"),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            (r#""me""#, r#""Me""#),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
