//! Every relative link leads to a file, and to a heading in it.

use std::path::{Component, Path, PathBuf};

use super::markdown::Page;
use super::{markdown_below, root};
use crate::papers::PAPERS;

/// The problem with a link of a page, if there is one.
fn problem(page: &Page, target: &str) -> Option<String> {
    if ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
    {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => page.path.clone(),
        _ => match normal(&page.path.parent().unwrap_or(Path::new("")).join(file)) {
            Some(path) => path,
            None => return Some("it leads out of the repository".to_owned()),
        },
    };
    if !root().join(&path).exists() {
        return Some(format!("no such file: {}", path.display()));
    }
    if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let anchors = Page::read(&path).anchors();
    (!anchors.iter().any(|known| known == anchor))
        .then(|| format!("no heading #{anchor} in {}: {anchors:?}", path.display()))
}

/// A path without `..`; `None` where it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => normal.pop().then_some(())?,
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    Some(normal)
}

#[test]
fn every_link_leads_somewhere() {
    let mut paths: Vec<PathBuf> = PAPERS.map(PathBuf::from).into();
    paths.extend(markdown_below("docs"));
    paths.extend(markdown_below(".planning"));
    let mut dead = Vec::new();
    for page in paths.iter().map(|path| Page::read(path)) {
        for (line, target) in page.links() {
            if let Some(problem) = problem(&page, &target) {
                dead.push(format!("{}: {target}: {problem}", page.place(line)));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn a_dead_link_is_told() {
    let page = Page::read(Path::new("README.md"));
    let heading = &page.anchors()[0];
    for target in [
        "docs/nothing.md",
        "../beside",
        "#no-such-heading",
        "docs/limits.md#nothing",
    ] {
        assert!(problem(&page, target).is_some(), "{target}");
    }
    for target in [&format!("#{heading}"), "docs", "https://example.com/x"] {
        assert_eq!(problem(&page, target), None);
    }
}

#[test]
fn the_readme_names_every_page_of_docs() {
    let readme = Page::read(Path::new("README.md"));
    let linked: Vec<PathBuf> = readme
        .links()
        .into_iter()
        .map(|link| link.1.into())
        .collect();
    let missing: Vec<_> = markdown_below("docs")
        .into_iter()
        .filter(|page| !linked.contains(page))
        .collect();
    assert!(missing.is_empty(), "README.md has no link to {missing:?}");
}
