//! Where a text may be cut.
//!
//! Owns that no character is divided: lengths are bytes, and a cut is between two characters.

/// The longest beginning of a text that has at most so many bytes and ends between two characters.
pub(crate) fn beginning(text: &str, max_bytes: usize) -> &str {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_has_as_many_whole_characters_as_fit() {
        for (bytes, expected) in [
            (0, ""),
            (1, "a"),
            (2, "a"),
            (3, "aä"),
            (5, "aä"),
            (6, "aä漢"),
        ] {
            assert_eq!(beginning("aä漢", bytes), expected, "{bytes}");
        }
        assert_eq!(beginning("aä漢", usize::MAX), "aä漢");
        assert_eq!(beginning("", 3), "");
    }
}
