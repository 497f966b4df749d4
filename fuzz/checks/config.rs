//! sentinel.toml: any text is either a valid config or a list of problems with their place.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use sentinel_gateway::config::{Config, Environment, Overrides, load};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

pub fn check(data: &[u8]) {
    let thread = format!("{:?}.toml", std::thread::current().id());
    let file = FOLDER.path().join(thread);
    std::fs::write(&file, data).unwrap();
    let overrides = Overrides {
        config: Some(file.clone()),
        ..Overrides::default()
    };
    let environment = Environment::new(FOLDER.path())
        .with_variables(|name| (name == "SET").then(|| "a value".to_owned()));
    let (first, second) = (
        load(&overrides, &environment),
        load(&overrides, &environment),
    );
    match (first, second) {
        (Ok(first), Ok(second)) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            assert_valid(&first, &file);
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            assert!(first.iter().next().is_some(), "refused without a problem");
            let start = format!("{}:", file.display());
            for problem in first.iter().map(ToString::to_string) {
                assert!(problem.starts_with(&start), "no place: {problem}");
                assert!(problem.len() > start.len() + 5, "no text: {problem}");
            }
        }
        (first, second) => panic!("two loads differ: {first:?} {second:?}"),
    }
}

fn assert_valid(config: &Config, file: &PathBuf) {
    assert_eq!(config.source.as_ref(), Some(file));
    assert!(config.gateway.max_message_bytes <= config.gateway.max_buffered_bytes);
    let mut names = HashSet::new();
    for backend in &config.backends {
        let name = &*backend.name;
        assert!(names.insert(name), "{name} twice");
        let formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        assert!(!name.is_empty() && name.chars().all(formed), "{name:?}");
        assert!(backend.timeout > Duration::ZERO);
        assert!(!backend.shown_url.contains('?'), "{}", backend.shown_url);
        if let Ok(url) = &backend.url {
            assert!(["http", "https"].contains(&url.scheme()), "{url}");
            assert!(url.has_host(), "{url}");
        }
    }
    if config.backends.is_empty() {
        assert!(!config.warnings.is_empty(), "no backends and no warning");
    }
}
