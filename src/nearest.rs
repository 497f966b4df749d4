//! Which of the known names a misspelt one means.
//!
//! Owns how alike two names must be, among a few choices and among the tools of servers, and how many names are
//! compared. Pure.

/// Most names that [`nearest_name`] compares, since servers decide how many there are.
const MAX_COMPARED: usize = 10_000;
/// Most of them that are compared letter by letter, which takes some microseconds each.
const MAX_CLOSE: usize = 1_000;
/// Most bytes of a name that is compared.
const MAX_BYTES: usize = 256;

/// The item of `known` that `name` is probably a misspelling of, where people choose among a few.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        // One edit in a short name lowers its similarity below the threshold.
        .filter(|(similarity, candidate)| {
            *similarity >= 0.75 || strsim::damerau_levenshtein(name, candidate) == 1
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The name of a tool or prompt that `name` is probably a misspelling of. Many may be alike, so
/// only another spelling of its words, a name with or without a prefix, or one with an edit in five
/// characters counts.
pub(crate) fn nearest_name<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let words = letters(name).filter(|_| name.len() <= MAX_BYTES)?;
    let edits = words.len().div_ceil(5).min(4);
    let counted = Letters::of(&words);
    let mut close = 0;
    let mut rank = |candidate: &&str| {
        let other = letters(candidate)?;
        if other == words {
            return Some(0);
        }
        if is_suffix(name, candidate) || is_suffix(candidate, name) {
            return Some(1);
        }
        if counted.least_edits(&Letters::of(&other)) > edits || close == MAX_CLOSE {
            return None;
        }
        close += 1;
        let distance = strsim::damerau_levenshtein(&words, &other);
        (distance <= edits && distance < words.len().min(other.len())).then_some(1 + distance)
    };
    (known.into_iter().take(MAX_COMPARED))
        .filter(|candidate| candidate.len() <= MAX_BYTES)
        .filter_map(|candidate| Some((rank(&candidate)?, candidate)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

/// Letters and digits of a name, in lower case; `None` where it has none.
fn letters(name: &str) -> Option<String> {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    let letters: String = letters.flat_map(char::to_lowercase).collect();
    (!letters.is_empty()).then_some(letters)
}

/// How often each letter is in a name, whatever their order.
struct Letters([u16; 32]);

impl Letters {
    fn of(name: &str) -> Self {
        let mut counts = [0; 32];
        for byte in name.bytes() {
            counts[usize::from(byte % 32)] += 1;
        }
        Self(counts)
    }

    /// No fewer edits turn one name into the other: each adds or removes one letter, or both.
    fn least_edits(&self, other: &Self) -> usize {
        let (mut more, mut fewer) = (0_u16, 0_u16);
        for (own, other) in self.0.iter().zip(&other.0) {
            more += own.saturating_sub(*other);
            fewer += other.saturating_sub(*own);
        }
        // A letter beyond ASCII is several bytes, so one edit may differ in up to four.
        usize::from(more.max(fewer)).div_ceil(if more.max(fewer) > 16 { 4 } else { 1 })
    }
}

/// Whether `long` is `short` with a prefix that ends in a separator, as in `sqlite__read_query`.
fn is_suffix(short: &str, long: &str) -> bool {
    long.strip_suffix(short).is_some_and(|prefix| {
        short.len() >= 3 && (prefix.ends_with("__") || prefix.ends_with(['.', ':', '/']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_what_people_and_models_get_wrong() {
        let known = ["read_query", "write_query", "n8n__run", "list_tables", "a"];
        for (typo, meant) in [
            ("read_qurey", Some("read_query")),
            ("readQuery", Some("read_query")),
            ("READ-QUERY", Some("read_query")),
            ("mcp__sentinel__read_query", Some("read_query")),
            ("sqlite.list_tables", Some("list_tables")),
            ("run", Some("n8n__run")),
            ("list_table", Some("list_tables")),
            ("writequery2", Some("write_query")),
            ("query", None),
            ("send_report", None),
            ("b", None),
            ("", None),
            ("__", None),
        ] {
            assert_eq!(nearest_name(typo, known), meant, "{typo}");
        }
    }

    #[test]
    fn the_best_of_several_counts_and_the_first_of_equals() {
        let known = ["get_user", "get_users", "other__get_usres"];
        assert_eq!(nearest_name("get_userz", known), Some("get_user"));
        assert_eq!(nearest_name("get_usres", known), Some("other__get_usres"));
        assert_eq!(nearest_name("getUsers", known), Some("get_users"));
    }

    #[test]
    fn long_and_many_names_are_not_compared() {
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(nearest_name(&long, [long.as_str()]), None);
        assert_eq!(nearest_name("ab", [long.as_str()]), None);
        let many = std::iter::repeat_n("other", MAX_COMPARED).chain(["read_query"]);
        assert_eq!(nearest_name("read_querz", many), None);
    }
}
