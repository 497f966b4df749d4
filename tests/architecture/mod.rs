//! The structure that ARCHITECTURE.md describes, held by reading the paths in `src/`.
//!
//! Every failure names the import, file or function that breaks a rule. Code under `#[cfg(test)]`
//! and files named `tests.rs` are exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod described;
mod source;

use source::{Source, read_all};

/// The floors, from the ground up. A room imports only from floors below its own; rooms of one
/// floor don't import each other.
const FLOORS: [&[&str]; 15] = [
    &["clock", "hex", "nearest", "shell", "sync", "tasks"],
    &["budget", "files"],
    &["protocol"],
    &["call_report", "client_config", "text"],
    &["config", "transport"],
    &["telemetry"],
    &["governance", "install", "observe", "state"],
    &["auth", "reload"],
    &["backend", "catalog", "collector"],
    &["snapshot"],
    &["client", "status"],
    &["dispatch", "publish"],
    &["gateway"],
    &["lib"],
    &["cli"],
];

/// What a part of the source must not know: paths that may not occur in its code.
const MUST_NOT_KNOW: [(&str, &[&str], &str); 16] = [
    ("protocol", &["tokio::", "reqwest::"], "it is pure"),
    ("text", &["tokio::", "reqwest::"], "it is pure"),
    (
        "client_config",
        &["tokio::", "files::", "std::fs", "Command"],
        "it is pure",
    ),
    (
        "auth/oauth",
        &["tokio::", "reqwest::", "files::"],
        "it is pure",
    ),
    ("catalog", &["tokio::", "reqwest::"], "it is pure"),
    ("config", &["tokio::"], "it is read before the runtime"),
    (
        "transport",
        &["serde_json", "\"tools/", "backend::"],
        "it knows no methods",
    ),
    (
        "telemetry",
        &["files::", "SecretSource", "Client::builder"],
        "it is given its connection",
    ),
    (
        "governance",
        &["backend::", "reqwest::"],
        "it decides by id",
    ),
    (
        "backend",
        &["catalog::", "dispatch::", "RequestKey", "println"],
        "it knows one server",
    ),
    (
        "backend/retry",
        &["reqwest::Client", "tokio::net"],
        "no I/O",
    ),
    (
        "backend/stream/sse",
        &["tokio::", "crate::"],
        "pure decoder",
    ),
    (
        "gateway",
        &["\"tools/", "backend::http", "reqwest::"],
        "no methods",
    ),
    ("dispatch", &["stdin", "Outbox"], "it does not write"),
    (
        "publish",
        &["protocol::Request", "RequestKey"],
        "it knows no requests",
    ),
    (
        "snapshot",
        &["Exchange", "RequestKey"],
        "it knows no requests",
    ),
];

/// Names of std that are banned outside the file beside them, with what to use instead.
const ONE_PLACE: [(&str, &str); 3] = [
    ("SystemTime::now", "clock"),
    ("PoisonError", "sync"),
    ("Client::builder", "transport/http"),
];

const MAX_LINES: usize = 400;
const MAX_FUNCTION: usize = 60;
const MAX_MODULES: usize = 10;

#[test]
fn rooms_import_only_from_floors_below() {
    let floor_of = |room: &str| FLOORS.iter().position(|floor| floor.contains(&room));
    let mut wrong = Vec::new();
    for source in read_all() {
        let room = source.room();
        if room == "main" {
            continue;
        }
        let Some(own) = floor_of(room) else {
            wrong.push(format!("{}: {room} has no floor", source.module));
            continue;
        };
        for import in &source.imports {
            let other = import.split("::").next().unwrap_or_default();
            match floor_of(other) {
                Some(floor) if other == room || floor < own => {}
                // The library's own `run` and `ExitReason`.
                None if own > floor_of("lib").unwrap() => {}
                _ => wrong.push(format!("{} imports {import}", source.module)),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that run up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_files_and_no_modules_of_a_folder_import_each_other_in_a_circle() {
    let wrong = circles(&read_all());
    assert!(wrong.is_empty(), "circles:\n{}", wrong.join("\n"));
}

/// A circle among all files, then one among the modules of each folder, each where there is one.
fn circles(sources: &[Source]) -> Vec<String> {
    let modules: BTreeMap<&str, &Source> = sources
        .iter()
        .map(|source| (&*source.module, source))
        .collect();
    let imports: BTreeMap<&str, BTreeSet<&str>> = sources
        .iter()
        .map(|source| (&*source.module, source.imported_files(&modules)))
        .collect();
    let mut found = Vec::new();
    let of_files = circle(&imports);
    if !of_files.is_empty() {
        found.push(format!("files: {}", of_files.join(" -> ")));
    }
    for folder in modules.keys().copied().chain([""]) {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (file, imported) in &imports {
            let Some(from) = part_of(file, folder) else {
                continue;
            };
            let to = imported.iter().filter_map(|file| part_of(file, folder));
            edges
                .entry(from)
                .or_default()
                .extend(to.filter(|to| *to != from));
        }
        let circle = circle(&edges);
        if !circle.is_empty() {
            found.push(format!("{folder}: {}", circle.join(" -> ")));
        }
    }
    found
}

/// The module directly inside `folder` that a file belongs to: the folder itself for its own file.
fn part_of<'a>(file: &'a str, folder: &str) -> Option<&'a str> {
    if file == folder || folder.is_empty() {
        return Some(file.split("::").next().unwrap())
            .filter(|_| folder.is_empty())
            .or(Some(file));
    }
    let inner = file.strip_prefix(folder)?.strip_prefix("::")?;
    let name = inner.split("::").next().unwrap();
    Some(&file[..folder.len() + 2 + name.len()])
}

/// A circle of the graph, or nothing.
fn circle<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<&'a str> {
    let (mut done, mut path) = (BTreeSet::new(), Vec::new());
    for start in edges.keys() {
        if let Some(found) = visit(start, edges, &mut done, &mut path) {
            return found;
        }
    }
    Vec::new()
}

fn visit<'a>(
    node: &'a str,
    edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    done: &mut BTreeSet<&'a str>,
    path: &mut Vec<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(at) = path.iter().position(|seen| *seen == node) {
        let mut found = path[at..].to_vec();
        found.push(node);
        return Some(found);
    }
    if !done.insert(node) {
        return None;
    }
    path.push(node);
    for next in edges.get(node).into_iter().flatten() {
        if let Some(found) = visit(next, edges, done, path) {
            return Some(found);
        }
    }
    path.pop();
    None
}

#[test]
fn a_circle_is_noticed() {
    let edges = [("a", ["b"]), ("b", ["c"]), ("c", ["a"])]
        .map(|(from, to)| (from, BTreeSet::from(to)))
        .into();
    assert_eq!(circle(&edges), ["a", "b", "c", "a"]);
}

#[test]
fn a_circle_of_files_is_noticed_also_through_a_module_in_scope() {
    let found = |files: &[(&str, &str)]| {
        let files = files.iter();
        circles(&Vec::from_iter(files.map(|(module, text)| {
            let parts = module.split("::").map(str::to_owned);
            Source::of(parts.collect(), (*text).to_owned())
        })))
    };
    let in_one_folder = [
        ("a", "mod b;\nmod x;\n"),
        ("a::b", "use super::x::f;\n"),
        ("a::x", "use crate::a;\nfn f() {\n    a::b::g();\n}\n"),
    ];
    let circle = "a::b -> a::x -> a::b";
    let expected = [format!("files: {circle}"), format!("a: {circle}")];
    assert_eq!(found(&in_one_folder), expected);
    let of_two_folders = [
        ("a", "pub use x::f;\nmod x;\n"),
        ("a::x", "use crate::b::y;\nfn f() {\n    y::g();\n}\n"),
        ("b", "mod y;\nmod z;\n"),
        ("b::y", "use super::z;\n"),
        ("b::z", "use crate::a::f;\n"),
    ];
    let expected = ["files: a::x -> b::y -> b::z -> a::x", ": a -> b -> a"];
    assert_eq!(found(&of_two_folders), expected);
    assert_eq!(found(&of_two_folders[..4]), [""; 0]);
}

#[test]
fn no_module_names_what_it_must_not_know() {
    let mut wrong = Vec::new();
    for source in read_all() {
        let path = source.module.replace("::", "/");
        for (part, names, why) in MUST_NOT_KNOW {
            if path == part || path.starts_with(&format!("{part}/")) {
                let named = names.iter().filter(|name| source.code.contains(**name));
                wrong.extend(named.map(|name| format!("{path} names {name}: {why}")));
            }
        }
        for (name, place) in ONE_PLACE {
            if path != place && source.code.contains(name) {
                wrong.push(format!("{path} names {name}: use {place}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_functions_and_folders_stay_small() {
    let mut wrong = Vec::new();
    let mut folders: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for source in read_all() {
        let lines = source.lines_without_tests();
        if lines > MAX_LINES {
            wrong.push(format!("{} has {lines} lines", source.module));
        }
        for (function, lines) in source.functions() {
            if lines > MAX_FUNCTION {
                wrong.push(format!("{}: {function} has {lines} lines", source.module));
            }
        }
        let file = Path::new(&source.module.replace("::", "/")).to_owned();
        if let Some(folder) = file.parent().filter(|folder| *folder != Path::new("")) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            folders.entry(folder.to_owned()).or_default().insert(name);
        }
    }
    for (folder, modules) in folders {
        if modules.len() > MAX_MODULES {
            wrong.push(format!(
                "{} has {} modules",
                folder.display(),
                modules.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The one `mod.rs`: users of the project know `src/backend/mod.rs` by this path.
const MOD_RS: &str = "backend";

/// The roots of the library and of the binary own nothing: the head of the first is the list of rooms.
const ROOTS: [&str; 2] = ["lib", "main"];

#[test]
fn modules_are_files_beside_their_folder_and_say_what_they_own() {
    let mut wrong = Vec::new();
    for source in read_all() {
        if source.is_mod_rs && source.module != MOD_RS {
            wrong.push(format!("{}: mod.rs", source.module));
        }
        let head = source.head().to_lowercase();
        if head.is_empty() {
            wrong.push(format!("{} has no head", source.module));
        } else if !head.contains("owns") && !ROOTS.contains(&&*source.module) {
            wrong.push(format!(
                "{}: its head does not say what it owns",
                source.module
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rooms whose lines a backend can cause, at any rate.
const ABOUT_A_BACKEND: [&str; 3] = ["backend", "governance", "publish"];

#[test]
fn every_log_line_about_a_backend_names_it() {
    let mut lines = 0;
    let mut wrong = Vec::new();
    for source in read_all() {
        if !ABOUT_A_BACKEND.contains(&source.room()) {
            continue;
        }
        for (at, _) in source.code.match_indices("tracing::") {
            let call = &source.code[at..];
            let Some(open) = call.find("!(").filter(|open| *open < 15) else {
                continue;
            };
            let mut depth = 0;
            let end = call[open..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0 && c == ')'
            });
            let arguments = &call[..open + end.unwrap()];
            lines += 1;
            if !arguments.contains("backend") {
                wrong.push(format!("{}: {arguments}", source.module));
            }
        }
    }
    assert!(lines > 20, "only {lines} log lines were read");
    assert!(
        wrong.is_empty(),
        "the number of lines is limited for each backend: name it\n{}",
        wrong.join("\n")
    );
}
