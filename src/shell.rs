//! Words of command lines that messages show, to be typed into a shell.
//!
//! Owns their quoting: whatever a name holds, a shell takes it for one word and runs nothing in it. Pure.

use std::borrow::Cow;

/// `text` as one word. Names come from servers, and people paste what they read: a shell must run
/// nothing in it.
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/:=@%+,".contains(c);
    if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_it_for_one_word() {
        for (text, shown) in [
            ("n8n/search", "n8n/search"),
            ("/home/me/my files/a.toml", "'/home/me/my files/a.toml'"),
            ("a$(id)", "'a$(id)'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("=ls", "'=ls'"),
            ("~me", "'~me'"),
        ] {
            assert_eq!(word(text), shown);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_real_shell_prints_it_unchanged() {
        for text in [
            "a b",
            "$(id)`id`\\",
            "'\"'\"",
            "!x;&|<>*?[]{}#~",
            "ä\u{a0}ö",
            "-n",
        ] {
            let script = format!("printf %s {}", word(text));
            let printed = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            assert_eq!(String::from_utf8(printed.unwrap().stdout).unwrap(), text);
        }
    }
}
