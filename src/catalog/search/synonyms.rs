//! Words that stand for one another in what people ask of tools.
//!
//! Owns the table of them, which is frozen: it was written from the general vocabulary of tools and from
//! the tuning half of the set in `tests/search/`, without the queries that figures are published for. No
//! row is added because one of those fails.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::tokenize::stem;

/// One row is one meaning. A word may be in several.
const ROWS: &[&str] = &[
    "create add insert new make generate",
    "delete remove erase drop destroy purge",
    "update edit modify change alter amend adjust revise",
    "get fetch retrieve read show view display obtain",
    "list enumerate browse overview catalog",
    "search find lookup locate query discover",
    "send submit deliver post",
    "publish release deploy",
    "share invite grant",
    "run execute invoke perform launch start trigger",
    "stop cancel halt abort kill terminate end",
    "move relocate transfer rename",
    "copy duplicate clone",
    "save store write persist keep record",
    "download export",
    "upload import attach",
    "open load read",
    "convert transform translate",
    "compare diff difference differ change",
    "merge combine join",
    "revert undo restore rollback reset discard",
    "count number total",
    "check verify validate test",
    "describe explain detail information info metadata property",
    "summarize summary digest overview",
    "remember memorize memory store",
    "think reason reflect step",
    "schedule plan book reserve",
    "assign delegate owner responsible",
    "enable activate on",
    "disable deactivate off",
    "lock close protect",
    "filter restrict limit",
    "file document doc",
    "folder directory dir",
    "text content body",
    "line row",
    "row record entry item",
    "column field attribute",
    "table schema structure",
    "database db sql",
    "image picture photo screenshot",
    "video clip movie",
    "audio sound music song track",
    "web website page site url link internet online",
    "email mail message inbox",
    "chat message conversation channel",
    "comment reply note remark",
    "issue ticket bug",
    "task todo job",
    "project repository repo workspace",
    "commit revision version",
    "history log past earlier previous",
    "branch fork",
    "user person people member contact",
    "team group organization",
    "customer client account",
    "event meeting appointment",
    "calendar agenda schedule",
    "date day time",
    "time clock hour now",
    "location place address position",
    "map route direction navigate",
    "weather forecast temperature rain",
    "money payment pay charge price cost",
    "invoice bill receipt",
    "order purchase buy",
    "product item article",
    "error exception failure crash fault",
    "metric statistic measurement",
    "alert notification alarm notify warn",
    "chart graph plot dashboard diagram",
    "click press tap button",
    "restart reboot bounce",
    "build compile pipeline",
    "artifact binary package",
    "sprint iteration milestone",
    "vacation holiday absence",
    "money fund balance",
    "emoji reaction",
    "dispute chargeback",
    "status state progress",
    "size large big length bytes space",
    "tag label category",
    "entity node object",
    "relation relationship edge connection link",
    "observation fact note",
    "graph network",
    "config configuration setting preference option",
    "permission access right role",
    "secret password credential token key",
    "server machine host instance vm",
    "container pod docker",
    "light lamp bulb",
    "lower reduce decrease dim",
    "raise increase boost",
    "tree hierarchy nested recursive",
    "pattern regex match glob",
    "first beginning head top start",
    "last end tail recent latest",
    "multiple several many batch bulk",
    "stage index",
    "zone timezone region",
];

/// The other words of the rows that a word is in, as terms, without repeats; none for most words.
pub(super) fn of(term: &str) -> &'static [String] {
    static TABLE: OnceLock<HashMap<String, Vec<String>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table: HashMap<String, Vec<String>> = HashMap::new();
        for row in ROWS {
            let terms: Vec<String> = row.split(' ').map(stem).collect();
            for term in &terms {
                let known = table.entry(term.clone()).or_default();
                for other in &terms {
                    if other != term && !known.contains(other) {
                        known.push(other.clone());
                    }
                }
            }
        }
        table
    });
    table.get(term).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synonym_is_found_by_any_form_of_the_word_and_from_both_sides() {
        assert!(of(&stem("deleting")).contains(&stem("remove")));
        assert!(of(&stem("removes")).contains(&stem("delete")));
        assert!(of("zebra").is_empty());
    }
}
