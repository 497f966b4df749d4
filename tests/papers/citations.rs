//! Ids of rules and decisions: each one that is cited exists, and each rule is cited.

use std::collections::{BTreeMap, BTreeSet};

use super::{Text, papers, text_of, texts_below};

const RULES: &str = ".planning/PROTOCOL.md";
const DECISIONS: &str = ".planning/DECISIONS.md";
/// Ends the last cell of a rule that nothing cites.
const NOT_CITED: &str = "(not cited)";

/// Everything that may cite: the source, the tests and what belongs to them, the papers.
fn citing() -> Vec<Text> {
    let folders = ["src", "tests", "fuzz", "benches"];
    folders
        .into_iter()
        .flat_map(texts_below)
        .chain(papers())
        .collect()
}

/// The ids in a text: a family, which is one letter or one letter and one or two more, then two
/// digits, joined by hyphens. `A to B` within one family cites what is between as well.
fn ids(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut last: Option<(usize, &str, u32)> = None;
    for (start, token) in tokens(text) {
        let Some((family, number)) = id(token) else {
            continue;
        };
        let from = match last {
            Some((end, same, first)) if same == family && text[end..start].trim() == "to" => first,
            _ => number,
        };
        found.extend((from.min(number)..=number).map(|number| format!("{family}-{number:02}")));
        last = Some((start + token.len(), family, number));
    }
    found
}

/// The runs of letters, digits, hyphens and underscores, each with where it begins.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let separator = |c: char| !c.is_alphanumeric() && c != '-' && c != '_';
    text.split(separator)
        .map(|token| (token.as_ptr() as usize - text.as_ptr() as usize, token))
}

/// The family and the number of an id; `None` for any other token.
fn id(token: &str) -> Option<(&str, u32)> {
    let (family, digits) = token.rsplit_once('-')?;
    let upper = |part: &str| part.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_family = match family.split_once('-') {
        Some((side, eras)) => side.len() == 1 && (1..=2).contains(&eras.len()) && upper(eras),
        None => family.len() == 1,
    };
    let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let starts_upper = family.starts_with(|c: char| c.is_ascii_uppercase());
    (is_family && is_number && starts_upper).then(|| Some((family, digits.parse().ok()?)))?
}

/// The rules: id and last cell, in the order of the table.
fn rules() -> Vec<(String, String)> {
    let page = text_of(&super::root().join(RULES)).text;
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells[0] != "id")
        .map(|cells| {
            assert_eq!(cells.len(), 3, "not three cells: {cells:?}");
            assert!(id(cells[0]).is_some(), "not an id: {:?}", cells[0]);
            assert!(!cells[1].is_empty() && !cells[2].is_empty(), "{cells:?}");
            (cells[0].to_owned(), cells[2].to_owned())
        })
        .collect()
}

/// The numbers of the decisions, in order.
fn decisions() -> Vec<String> {
    let page = text_of(&super::root().join(DECISIONS)).text;
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let numbers = headings.map(|heading| heading.split(' ').next().unwrap_or_default().to_owned());
    numbers.collect()
}

#[test]
fn ids_are_told_from_other_tokens() {
    let family = |name: &str, number: u32| format!("{name}-{number:02}");
    let cited = [family("F-M", 7), family("X-ML", 1), family("D", 3)];
    assert_eq!(
        ids(&format!("({}), {}; {}", cited[0], cited[1], cited[2])),
        cited.into()
    );
    let range = format!("{} to {}", family("X-LM", 2), family("X-LM", 4));
    assert_eq!(
        ids(&range),
        [2, 3, 4].map(|number| family("X-LM", number)).into()
    );
    for other in [
        "UTF-8",
        "SHA-256",
        "PROTO-01",
        "A-1",
        "2025-11-25",
        "SEP-2640",
        "x-ml-01",
    ] {
        assert!(ids(other).is_empty(), "{other}");
    }
}

#[test]
fn every_cited_id_is_a_rule_or_a_decision() {
    let known: BTreeSet<String> = rules().into_iter().map(|rule| rule.0).collect();
    let known: BTreeSet<String> = known.into_iter().chain(decisions()).collect();
    let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Text { path, text } in citing() {
        for id in ids(&text).difference(&known) {
            unknown.entry(id.clone()).or_default().push(path.clone());
        }
    }
    assert!(
        unknown.is_empty(),
        "neither rule nor decision: {unknown:#?}"
    );
}

#[test]
fn every_rule_is_cited_or_marked_as_not_cited() {
    let others = citing().into_iter().filter(|text| text.path != RULES);
    let cited: BTreeSet<String> = others.flat_map(|text| ids(&text.text)).collect();
    let wrong: Vec<String> = rules()
        .into_iter()
        .filter(|(id, source)| cited.contains(id) == source.ends_with(NOT_CITED))
        .map(|rule| rule.0)
        .collect();
    assert!(
        wrong.is_empty(),
        "not cited, or marked although cited: {wrong:?}"
    );
}

#[test]
fn no_rule_has_two_rows_and_decisions_are_numbered_in_order() {
    let mut seen = BTreeSet::new();
    let twice: Vec<String> = rules()
        .into_iter()
        .map(|rule| rule.0)
        .filter(|id| !seen.insert(id.clone()))
        .collect();
    assert!(twice.is_empty(), "two rows: {twice:?}");
    let decisions = decisions();
    let number = |id: &String| id.trim_start_matches("D-").parse::<u32>().unwrap();
    let numbers: Vec<u32> = decisions.iter().map(number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{decisions:?}");
}

/// Revisions of the specification are written out, with the page.
#[test]
fn no_revision_is_abbreviated() {
    let codes: Vec<String> = [25, 26].map(|year| format!("S{year}")).into();
    let mut wrong = Vec::new();
    for Text { path, text } in citing() {
        for (number, line) in text.lines().enumerate() {
            if tokens(line).any(|(_, token)| codes.iter().any(|code| code == token)) {
                wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "abbreviated:\n{}", wrong.join("\n"));
}
