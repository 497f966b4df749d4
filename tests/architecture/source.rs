//! The source files under `src/`, read for what they import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One file.
pub struct Source {
    /// Its module path, e.g. `backend::http::endpoint`; `lib` and `main` for the two roots.
    pub module: String,
    pub is_mod_rs: bool,
    pub whole: String,
    /// Without comments and without what is compiled for tests alone.
    pub code: String,
    /// Paths within the crate that its code names, without `crate::`. Re-exports are left out.
    pub imports: BTreeSet<String>,
    /// The paths that it re-exports.
    re_exports: BTreeSet<String>,
}

/// All of them but test files, sorted by module.
pub fn read_all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut sources: Vec<Source> = files
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name != "tests.rs"))
        .filter(|path| path.components().all(|part| part.as_os_str() != "tests"))
        .map(|path| Source::read(&root, path))
        .collect();
    sources.sort_by(|a, b| a.module.cmp(&b.module));
    assert!(sources.len() > 100, "the source is not where it should be");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let whole = std::fs::read_to_string(path).unwrap();
        let relative = path.strip_prefix(root).unwrap().with_extension("");
        let mut parts: Vec<_> = relative
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let is_mod_rs = parts.last().is_some_and(|last| last == "mod");
        if is_mod_rs {
            parts.pop();
        }
        Self {
            is_mod_rs,
            ..Self::of(parts, whole)
        }
    }

    /// The file with this text, of the module with this path.
    pub fn of(parts: Vec<String>, whole: String) -> Self {
        let code = code_of(&whole);
        let (exporting, rest) = split_re_exports(&code);
        let re_exports = imports_of(&exporting, &parts);
        let mut imports = imports_of(&rest, &parts);
        let in_scope: Vec<String> = imports.union(&re_exports).cloned().collect();
        for path in in_scope {
            let name = path.rsplit("::").next().unwrap();
            if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                paths_through(name, &path, &rest, &mut imports);
            }
        }
        Self {
            module: parts.join("::"),
            is_mod_rs: false,
            imports,
            re_exports,
            whole,
            code,
        }
    }

    /// Its `//!` lines at the beginning, joined.
    pub fn head(&self) -> String {
        let lines = self
            .whole
            .lines()
            .map_while(|line| line.strip_prefix("//!"));
        lines.collect()
    }

    /// The top-level module that it belongs to.
    pub fn room(&self) -> &str {
        self.module.split("::").next().unwrap()
    }

    /// What it re-exports: the name, and the path that it stands for.
    fn re_exports(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.re_exports.iter();
        pairs.map(|path| (path.rsplit("::").next().unwrap(), path.as_str()))
    }

    /// The files that its imports lead to, its own left out. A re-export leads to the file that
    /// has the item.
    pub fn imported_files<'a>(&self, sources: &BTreeMap<&'a str, &'a Self>) -> BTreeSet<&'a str> {
        let imports = self.imports.iter();
        let resolved = imports.filter_map(|import| resolve(import, sources, 0));
        resolved.filter(|module| *module != self.module).collect()
    }

    /// How many lines it has, comments included, without its tests.
    pub fn lines_without_tests(&self) -> usize {
        without_tests(&self.whole).len()
    }

    /// Its functions, each with its number of lines, comments left out.
    pub fn functions(&self) -> Vec<(String, usize)> {
        let lines: Vec<&str> = self.code.lines().collect();
        let mut functions = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let Some(name) = function_name(line) else {
                continue;
            };
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[at..].iter().position(|line| *line == end);
            let body = lines[at..].iter().position(|line| line.ends_with('{'));
            let declared = lines[at..].iter().position(|line| line.ends_with(';'));
            // A declaration of a trait has no body.
            if let Some(length) = length
                && body.is_some_and(|body| declared.is_none_or(|end| body < end))
            {
                functions.push((name, length + 1));
            }
        }
        functions
    }
}

fn function_name(line: &str) -> Option<String> {
    let words: Vec<&str> = line.trim_start().split([' ', '(', '<']).collect();
    let at = words.iter().position(|word| *word == "fn")?;
    let before = ["pub", "async", "const", "crate)", "super)", "in"];
    let is_function = words[..at]
        .iter()
        .all(|word| before.contains(word) || word.starts_with("crate::") || word.is_empty());
    is_function.then(|| words.get(at + 1).map(|name| (*name).to_owned()))?
}

/// The text without comments and tests.
fn code_of(text: &str) -> String {
    let lines = without_tests(text).into_iter();
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| [line, "\n"]).collect()
}

/// The lines without what follows `#[cfg(test)]` up to its closing brace or semicolon.
fn without_tests(text: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        match trimmed.starts_with("#[cfg(test)]") {
            true => skip_item(&mut lines, line.len() - trimmed.len()),
            false => kept.push(line),
        }
    }
    kept
}

#[test]
fn only_test_items_are_left_out() {
    let text = "mod a;\n#[cfg(test)]\nmod tests;\n// why\nfn b() {\n}\n#[cfg(test)]\nmod more {\n    fn c() {\n    }\n}\n";
    assert_eq!(without_tests(text), ["mod a;", "// why", "fn b() {", "}"]);
    assert_eq!(code_of(text), "mod a;\nfn b() {\n}\n");
}

fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>, indent: usize) {
    let end = format!("{}}}", " ".repeat(indent));
    for line in lines {
        if line == end
            || (line.trim_end().ends_with(';') && line.len() - line.trim_start().len() == indent)
        {
            return;
        }
    }
}

/// The file that has the item of this path. Its longest prefix that is a module is asked first,
/// for a re-export.
fn resolve<'a>(
    path: &str,
    sources: &BTreeMap<&'a str, &'a Source>,
    depth: usize,
) -> Option<&'a str> {
    assert!(depth < 10, "{path} is re-exported in a circle");
    let mut module = path;
    let source = loop {
        if let Some(source) = sources.get(module) {
            break *source;
        }
        module = module.rsplit_once("::")?.0;
    };
    let rest = path[module.len()..].trim_start_matches("::");
    let name = rest.split("::").next().unwrap();
    let re_export = source.re_exports().find(|(exported, _)| *exported == name);
    match re_export {
        Some((_, target)) if !name.is_empty() => resolve(target, sources, depth + 1),
        _ => Some(&source.module),
    }
}

/// The `use` statements that a module re-exports with, as paths that begin with `self::` or
/// `crate::`, and the rest of the code.
fn split_re_exports(code: &str) -> (String, String) {
    let (mut exporting, mut rest) = (String::new(), String::new());
    let mut statement: Option<String> = None;
    for line in code.lines() {
        let is_export = ["pub use ", "pub(crate) use ", "pub(super) use ", "pub(in "]
            .iter()
            .any(|start| line.starts_with(start))
            && line.contains(" use ");
        if is_export {
            statement = Some(String::new());
        }
        match &mut statement {
            Some(text) => text.push_str(line.trim()),
            None => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
        if line.ends_with(';')
            && let Some(text) = statement.take()
        {
            let path = text.split(" use ").nth(1).unwrap();
            let is_rooted = ["crate::", "self::", "super::"]
                .iter()
                .any(|root| path.starts_with(root));
            exporting += &match is_rooted {
                true => format!("use {path}\n"),
                false => format!("use self::{path}\n"),
            };
        }
    }
    (exporting, rest)
}

/// Every path that begins with `crate::`, `super::` or `self::`, and of a parent that names a
/// child of its own without any of these, as a path from the crate's root. Braces are expanded.
fn imports_of(code: &str, parts: &[String]) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    let is_root = parts == ["lib"] || parts == ["main"];
    let own: Vec<&str> = match is_root {
        true => Vec::new(),
        false => parts.iter().map(String::as_str).collect(),
    };
    for (at, _) in code.match_indices("::") {
        let head_start = code[..at]
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |before| before + 1);
        // The reach of `pub(in crate::room)` is no import.
        if code[..head_start].ends_with("(in ") {
            continue;
        }
        let base = match &code[head_start..at] {
            "crate" => Vec::new(),
            "self" => own.clone(),
            "super" if !code[..head_start].ends_with("::") => {
                own[..own.len().saturating_sub(1)].to_vec()
            }
            _ => continue,
        };
        expand(&code[at + 2..], &base.join("::"), &mut imports);
    }
    for child in children(code) {
        let base = [own.join("::").as_str(), child].join("::");
        paths_through(child, &base, code, &mut imports);
    }
    imports
        .into_iter()
        .map(|path| path.trim_start_matches("::").to_owned())
        .collect()
}

/// Adds the paths that begin with the name of a module, which is at `base`.
fn paths_through(name: &str, base: &str, code: &str, imports: &mut BTreeSet<String>) {
    for (at, found) in code.match_indices(&format!("{name}::")) {
        let alone = !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
        if alone {
            expand(&code[at + found.len()..], base, imports);
        }
    }
}

/// The modules that it declares.
fn children(code: &str) -> impl Iterator<Item = &str> {
    let declarations = code.lines().filter_map(|line| line.strip_suffix(';'));
    declarations.filter_map(|line| match line.rsplit_once("mod ") {
        Some((before, name)) if before.is_empty() || before.starts_with("pub") => Some(name),
        _ => None,
    })
}

/// Adds the paths of a use tree that begins here.
fn expand(text: &str, base: &str, imports: &mut BTreeSet<String>) {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    // `super::super::x` goes up once more.
    if let Some(path) = path.strip_prefix("super::") {
        let up = base.rsplit_once("::").map_or("", |(up, _)| up);
        return expand(&format!("{path}{rest}"), up, imports);
    }
    let joined = format!("{base}::{}", path.trim_end_matches("::"));
    let joined = joined.trim_start_matches("::").trim_end_matches("::");
    let Some(tree) = rest
        .strip_prefix('{')
        .filter(|_| path.is_empty() || path.ends_with("::"))
    else {
        imports.insert(joined.to_owned());
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                expand_part(&tree[start..at], joined, imports);
                return;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand_part(&tree[start..at], joined, imports);
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn expand_part(part: &str, base: &str, imports: &mut BTreeSet<String>) {
    let part = part.trim();
    match part {
        "" => {}
        "self" => drop(imports.insert(base.to_owned())),
        _ => expand(part, base, imports),
    }
}

#[test]
fn use_trees_are_expanded() {
    let code = "use crate::a::{self, B, c::{D, E}};\nuse super::x::Y;\nmod inner;\nuse inner::W;\nlet z = crate::p::q();\n";
    let parts = ["room".to_owned(), "file".to_owned()];
    let imports = imports_of(code, &parts);
    let expected = [
        "a",
        "a::B",
        "a::c::D",
        "a::c::E",
        "p::q",
        "room::file::inner::W",
        "room::x::Y",
    ];
    assert_eq!(imports.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn functions_are_measured_and_test_code_is_left_out() {
    let code = code_of(
        "fn a() {\n    1\n}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {\n}\n",
    );
    assert!(!code.contains("fn b"), "{code}");
    let source = Source {
        module: "m".into(),
        is_mod_rs: false,
        whole: String::new(),
        code,
        imports: BTreeSet::new(),
        re_exports: BTreeSet::new(),
    };
    assert_eq!(source.functions(), [("a".into(), 3), ("c".into(), 2)]);
}
