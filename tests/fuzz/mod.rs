//! Runs the checks of the fuzz targets without a fuzzer, on their corpora and on mutations of them.
//!
//! A corpus has an example of every input that its parser accepts, and every input that has ever
//! found a fault, each under a descriptive name. See `fuzz/README.md`.

// `checks` includes a file of `common` by its path.
#[allow(clippy::duplicate_mod)]
#[path = "../../fuzz/checks/lib.rs"]
pub(crate) mod checks;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checks::rng::Rng;

/// The number of mutations for each check.
const MUTATIONS: u64 = 3_000;
/// The time limit for each check; a slow machine tries fewer mutations.
const TIME: Duration = Duration::from_millis(600);

/// Every file of a check's corpus.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("fuzz/corpus").join(name)];
    if name == "config" {
        folders.extend(["valid", "invalid"].map(|kind| root.join("tests/config").join(kind)));
    }
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The input with up to four random changes: bytes removed, inserted, flipped, repeated, or taken
/// from another input.
fn mutated(input: &[u8], others: &[(PathBuf, Vec<u8>)], rng: &mut Rng) -> Vec<u8> {
    const SPECIAL: &[u8] = b"\0\n\r\t \"\\{}[]:,0-\x7f\xc3\xff";
    let mut text = input.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(text.len() + 1);
        let end = (at + rng.below(12)).min(text.len());
        match rng.below(5) {
            0 => drop(text.drain(at..end)),
            1 => text.insert(at, *rng.pick(SPECIAL)),
            2 if at < text.len() => text[at] ^= 1 << rng.below(8),
            3 => {
                let again = text[at..end].to_vec();
                text.splice(at..at, again);
            }
            _ => {
                let other = &rng.pick(others).1;
                let from = rng.below(other.len() + 1);
                let to = (from + rng.below(24)).min(other.len());
                text.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    text
}

#[test]
fn every_corpus_passes_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut folders: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    folders.sort();
    assert_eq!(
        folders,
        checks::ALL.map(|(name, _)| name),
        "each corpus needs a check"
    );
    for (name, check) in checks::ALL {
        let corpus = corpus(name);
        assert!(corpus.len() >= 8, "{name}: the corpus is too small");
        for (path, input) in corpus {
            let outcome = catch_unwind(|| check(&input));
            assert!(outcome.is_ok(), "{name} fails on {}", path.display());
        }
    }
}

#[test]
fn mutations_of_every_corpus_pass_its_check() {
    for (name, check) in checks::ALL {
        let (corpus, begun) = (corpus(name), Instant::now());
        for seed in 0..MUTATIONS {
            let mut rng = Rng(seed);
            let input = mutated(&rng.pick(&corpus).1, &corpus, &mut rng);
            let outcome = catch_unwind(|| check(&input));
            assert!(
                outcome.is_ok(),
                "{name} fails on {:?}",
                String::from_utf8_lossy(&input)
            );
            if begun.elapsed() > TIME {
                break;
            }
        }
    }
}
