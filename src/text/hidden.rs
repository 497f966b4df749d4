//! Characters that a person does not see but a model reads.
//!
//! Owns the set of them, and the few places where one of them is part of ordinary writing. The
//! properties are those of the Unicode Character Database, as `icu_properties` has them (Unicode
//! 18.0.0). It must not know where a text is shown.

use std::borrow::Cow;

use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier, ExtendedPictographic,
    Ideographic, JoiningType,
};
use icu_properties::{CodePointMapData, CodePointSetData};

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';

/// Whether a character hides, reorders or disguises the text around it.
///
/// These are the control characters but `\n` and `\t`; the property
/// `Default_Ignorable_Code_Point`, which has the zero-width and bidirectional characters, tags,
/// variation selectors, fillers and what is reserved for more of them; and the format characters
/// that this property leaves out though nothing is seen of them (interlinear annotations, joiners
/// of hieroglyphs).
pub(crate) fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' | ' '..='~' => false,
        '\0'..='\u{9f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{13440}' => true,
        _ => c >= '\u{ad}' && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c),
    }
}

/// Whether the character at `at`, one of those that [`is_hidden`], is needed where it stands:
///
/// - a variation selector right after the emoji or ideograph that it selects a form of;
/// - the joiner between two pictographs of one emoji;
/// - a joiner or non-joiner that changes the shape of the letters beside it, as RFC 5892
///   (appendix A.1 and A.2) has it for domain names; and a joiner before a virama, as Bengali
///   writes it.
///
/// Each needs a visible neighbour of its own, so that a run of them hides nothing.
fn is_needed(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| text[before]);
    let after = text.get(at + 1).copied();
    match text[at] {
        TEXT_STYLE | EMOJI_STYLE => before.is_some_and(|c| match c {
            '0'..='9' | '#' | '*' => text[at] == EMOJI_STYLE && after == Some(KEYCAP),
            c => is_emoji(c),
        }),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => before.is_some_and(is_ideograph),
        ZWJ => joins_pictographs(text, at) || is_virama(before) || before_virama(before, after),
        ZWNJ => is_virama(before) || breaks_a_join(text, at),
        _ => false,
    }
}

/// Whether the character at `at` is removed from a definition.
pub(super) fn is_removed(text: &[char], at: usize) -> bool {
    is_hidden(text[at]) && !is_needed(text, at)
}

/// Whether version 1 of the lock removes the character at `at` from a definition.
pub(super) fn was_removed_in_version_1(text: &[char], at: usize) -> bool {
    matches!(text[at],
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e01ef}')
}

/// A text without hidden characters; not copied where there are none.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let all: Vec<char> = text.chars().collect();
    let shown = (0..all.len()).filter(|&at| !is_removed(&all, at));
    Cow::Owned(shown.map(|at| all[at]).collect())
}

fn is_emoji(c: char) -> bool {
    CodePointSetData::new::<Emoji>().contains(c)
}

fn is_pictograph(c: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(c)
}

fn is_ideograph(c: char) -> bool {
    CodePointSetData::new::<Ideographic>().contains(c)
}

/// Pictograph, its style or skin tone if any, joiner, pictograph (Unicode TS #51, ED-16).
fn joins_pictographs(text: &[char], at: usize) -> bool {
    let base = match at.checked_sub(1).map(|before| text[before]) {
        Some(c) if c == EMOJI_STYLE || CodePointSetData::new::<EmojiModifier>().contains(c) => {
            at.checked_sub(2).map(|before| text[before])
        }
        other => other,
    };
    let next = text.get(at + 1).copied();
    base.is_some_and(is_pictograph) && next.is_some_and(is_pictograph)
}

fn is_virama(c: Option<char>) -> bool {
    let class = CodePointMapData::<CanonicalCombiningClass>::new();
    c.is_some_and(|c| class.get(c) == CanonicalCombiningClass::Virama)
}

fn before_virama(before: Option<char>, after: Option<char>) -> bool {
    is_virama(after) && before.is_some_and(char::is_alphabetic)
}

/// Whether the letters on both sides would join, marks between them aside.
fn breaks_a_join(text: &[char], at: usize) -> bool {
    let joining = CodePointMapData::<JoiningType>::new();
    let is_mark = |c: &char| joining.get(*c) == JoiningType::Transparent && !is_hidden(*c);
    let before = text[..at].iter().rev().find(|c| !is_mark(c));
    let after = text[at + 1..].iter().find(|c| !is_mark(c));
    let left = [JoiningType::LeftJoining, JoiningType::DualJoining];
    let right = [JoiningType::RightJoining, JoiningType::DualJoining];
    before.is_some_and(|c| left.contains(&joining.get(*c)))
        && after.is_some_and(|c| right.contains(&joining.get(*c)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `Default_Ignorable_Code_Point` of DerivedCoreProperties.txt, Unicode 16.0.0 to 18.0.0.
    const PROPERTY: [(u32, u32); 17] = [
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x61c, 0x61c),
        (0x115f, 0x1160),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x200b, 0x200f),
        (0x202a, 0x202e),
        (0x2060, 0x206f),
        (0x3164, 0x3164),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfff8),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe0fff),
    ];
    /// Hidden besides: controls, annotations, joiners of hieroglyphs.
    const OTHERS: [(u32, u32); 5] = [
        (0, 8),
        (0xb, 0x1f),
        (0x7f, 0x9f),
        (0xfff9, 0xfffb),
        (0x13430, 0x13440),
    ];

    #[test]
    fn row_72_every_code_point_of_the_property_is_removed_and_no_other() {
        let within = |ranges: &[(u32, u32)], code: u32| {
            ranges
                .iter()
                .any(|&(first, last)| (first..=last).contains(&code))
        };
        let mut hidden = 0;
        for c in '\0'..=char::MAX {
            let code = u32::from(c);
            let expected = within(&PROPERTY, code) || within(&OTHERS, code);
            assert_eq!(is_hidden(c), expected, "U+{code:04X}");
            hidden += usize::from(expected);
            // Between letters none of them is needed, and a run of them neither.
            let said = format!("a{c}{c}b");
            let seen = if expected { "ab" } else { &said };
            assert_eq!(visible(&said), seen, "U+{code:04X}");
        }
        assert_eq!(hidden, 4_174 + 83);
    }

    #[test]
    fn what_writing_needs_stays() {
        for text in [
            "❤️ ☎︎ 1️⃣ #️⃣",
            "👩‍💻 🏳️‍🌈 👨‍👩‍👧 👩🏽‍🚀 ❤️‍🔥",
            "葛\u{e0100}城 神\u{fe00}",
            // Persian, Devanagari, Sinhala, Bengali.
            "می‌خواهم کتاب‌ها",
            "क्‍ष क्‌ष",
            "ශ්‍රී",
            "র‍্যাব",
            "plain, tab\t and line\nend, é 日本 한국어 ⠀",
        ] {
            assert_eq!(visible(text), text, "{text:?}");
        }
    }

    #[test]
    fn what_hides_goes() {
        for (text, expected) in [
            ("a\u{fe0f}b \u{fe0f}", "ab "),
            ("❤\u{fe0f}\u{fe0f}\u{fe01}", "❤\u{fe0f}"),
            ("1\u{fe0f}2\u{fe0f}", "12"),
            ("葛\u{e0100}\u{e0101}\u{e0102}", "葛\u{e0100}"),
            ("❤\u{e0100} 葛\u{fe0f}", "❤ 葛"),
            ("👩\u{200d}\u{200d}💻 👩\u{200d} \u{200d}💻", "👩💻 👩 💻"),
            ("a\u{200c}b\u{200d}c", "abc"),
            ("م\u{200c}\u{200c}خ م\u{200d}خ", "مخ مخ"),
            ("क\u{200d}ष", "कष"),
            // The flag of England is a black flag with tags.
            (
                "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
                "🏴",
            ),
            (
                "soft\u{ad}hyphen \u{3164}\u{115f}\u{ffa0}\u{180b}",
                "softhyphen ",
            ),
            ("\u{fff9}a\u{fffa}b\u{fffb}", "ab"),
        ] {
            assert_eq!(visible(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_remove(text in "[a1❤👩💻葛مخक्\u{94d}\u{fe0f}\u{fe00}\u{e0100}\u{200b}\u{200c}\u{200d}\u{20e3}🏽]{0,12}") {
            let once = visible(&text).into_owned();
            prop_assert_eq!(&visible(&once), &once);
        }
    }
}
