//! A page of Markdown: its blocks of code, its headings, its links. As much as the pages here use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A page, by its path below the repository's root.
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A fenced block of code.
pub(super) struct Block {
    /// Path and line of its first line, for messages.
    pub(super) place: String,
    /// What stands behind the opening fence.
    pub(super) info: String,
    pub(super) text: String,
}

impl Page {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(super::root().join(path));
        Self {
            path: path.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        }
    }

    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Its blocks of code.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        for (at, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), open) {
                (Some(info), false) => blocks.push(Block {
                    place: self.place(at + 2),
                    info: info.trim().to_owned(),
                    text: String::new(),
                }),
                (Some(_), true) | (None, false) => {}
                (None, true) => {
                    let block = blocks.last_mut().unwrap();
                    block.text += line;
                    block.text.push('\n');
                }
            }
            open ^= line.trim_start().starts_with("```");
        }
        assert!(!open, "{}: a block of code has no end", self.path.display());
        blocks
    }

    /// The lines outside of blocks of code, each with its number.
    pub(super) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut open = false;
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            let fence = line.trim_start().starts_with("```");
            open ^= fence;
            (!open && !fence).then_some((at + 1, line))
        })
    }

    /// The spans of `code` within lines, each with the number of its line.
    pub(super) fn spans(&self) -> Vec<(usize, &str)> {
        let lines = self.prose();
        lines
            .flat_map(|(number, line)| {
                let parts = line.split('`').enumerate();
                parts
                    .filter(|(at, _)| at % 2 == 1)
                    .map(move |(_, span)| (number, span))
            })
            .collect()
    }

    /// What a link behind `#` can name: its headings, as code hosts spell them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let headings = self.prose().filter_map(|(_, line)| {
            let text = line.trim_start_matches('#');
            (text.len() < line.len()).then(|| text.strip_prefix(' '))?
        });
        headings
            .map(|heading| {
                let slug = slug(heading);
                let times = seen.entry(slug.clone()).or_default();
                *times += 1;
                match *times {
                    1 => slug,
                    _ => format!("{slug}-{}", *times - 1),
                }
            })
            .collect()
    }

    /// The targets of its links and pictures, each with the number of its line.
    pub(super) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            let line = without_code(line);
            for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
                let parts = line.split(opening).skip(1);
                links.extend(parts.filter_map(|part| {
                    let target = part.split(closing).next()?;
                    Some((number, target.to_owned()))
                }));
            }
        }
        links
    }
}

/// A line without its spans of code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn blocks_links_and_anchors_are_found() {
    let page = Page {
        path: "page.md".into(),
        text: "# A `b-c`, d!\n[x](y.md#z) `[no](no)`\n```toml fragment\n[a](b)\n```\n## A bc d\n## a bc d\n"
            .to_owned(),
    };
    assert_eq!(page.anchors(), ["a-b-c-d", "a-bc-d", "a-bc-d-1"]);
    assert_eq!(page.links(), [(2, "y.md#z".to_owned())]);
    assert_eq!(page.spans(), [(1, "b-c"), (2, "[no](no)")]);
    let [block] = &page.blocks()[..] else {
        panic!("not one block");
    };
    assert_eq!(
        (&*block.info, &*block.text, &*block.place),
        ("toml fragment", "[a](b)\n", "page.md:4")
    );
}
