//! The release workflow: nothing is published before the tests have passed on every system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What publishes: a job that has one of these in a step must wait for the tests.
const PUBLISHES: [&str; 5] = [
    "npm publish",
    "gh release create",
    "gh-action-pypi-publish@",
    "buildah manifest push",
    "mcp-publisher publish",
];

fn workflow() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/release.yml");
    std::fs::read_to_string(path).unwrap()
}

/// The text of each job of a workflow, by its name. Jobs are indented by two spaces.
fn jobs(workflow: &str) -> BTreeMap<&str, String> {
    let (_, all) = workflow.split_once("\njobs:\n").unwrap();
    let mut jobs = BTreeMap::new();
    let mut current = "";
    for line in all.lines() {
        let name = line.strip_prefix("  ").and_then(|line| {
            let name = line.strip_suffix(':')?;
            (!name.starts_with([' ', '#'])).then_some(name)
        });
        if let Some(name) = name {
            current = name;
        }
        let text: &mut String = jobs.entry(current).or_default();
        text.push_str(line);
        text.push('\n');
    }
    jobs
}

/// The jobs that a job waits for, and those that they wait for.
fn waits_for<'a>(jobs: &'a BTreeMap<&str, String>, job: &str) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let needs = jobs[job]
        .lines()
        .find_map(|line| line.strip_prefix("    needs: "));
    let Some(needs) = needs else {
        return all;
    };
    for name in needs.trim_matches(['[', ']']).split(", ") {
        all.insert(name);
        all.extend(waits_for(jobs, name));
    }
    all
}

/// What is wrong with a workflow.
fn problems(workflow: &str) -> Vec<String> {
    let jobs = jobs(workflow);
    let mut problems = Vec::new();
    for system in ["ubuntu-", "macos-", "windows-"] {
        let runs = jobs["test"]
            .lines()
            .any(|line| line.trim().starts_with("runner: [") && line.contains(system));
        if !runs {
            problems.push(format!("the tests don't run on {system}"));
        }
    }
    if !jobs["test"].contains("- run: cargo test --locked\n") {
        problems.push("the job `test` doesn't run the tests".to_owned());
    }
    for way in PUBLISHES {
        if !workflow.contains(way) {
            problems.push(format!("nothing does {way}: this test is out of date"));
        }
    }
    for (name, text) in &jobs {
        let publishes = PUBLISHES.iter().any(|way| text.contains(way));
        let may_write = text.contains("contents: write") || text.contains("packages: write");
        if !publishes && !may_write {
            continue;
        }
        if !waits_for(&jobs, name).contains("test") {
            problems.push(format!("{name} doesn't wait for the tests"));
        }
        if !text.contains("\n    environment: release\n") {
            problems.push(format!("{name} needs no approval"));
        }
        if text.contains("always()") || text.contains("!cancelled()") || text.contains("failure()")
        {
            problems.push(format!("{name} runs though the tests have failed"));
        }
    }
    let lines = || workflow.lines().map(str::trim);
    for (number, line) in lines().enumerate() {
        let Some(rest) = line.strip_prefix("gh release download ") else {
            continue;
        };
        // A digest from the same release says nothing: who can change the one can change the other.
        let next = lines().nth(number + 1).unwrap_or_default();
        let is_checked =
            next.starts_with("echo \"$") && next.ends_with("| sha256sum --check --strict");
        if rest.starts_with('-') || !is_checked {
            problems.push(format!("{line} takes whatever is there"));
        }
    }
    for line in workflow.lines() {
        let Some((_, action)) = line.split_once("uses: ") else {
            continue;
        };
        let commit = action.split_once('@').map_or("", |(_, rest)| rest);
        let commit = commit.split(' ').next().unwrap_or_default();
        if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            problems.push(format!("{action} isn't named by its commit"));
        }
    }
    problems
}

#[test]
fn nothing_is_published_before_the_tests_have_passed_on_every_system() {
    assert_eq!(problems(&workflow()), Vec::<String>::new());
}

#[test]
fn a_workflow_that_publishes_too_early_is_detected() {
    let good = workflow();
    for (old, new, problem) in [
        (
            "macos-14, windows",
            "windows",
            "the tests don't run on macos-",
        ),
        (", windows-2022]", "]", "the tests don't run on windows-"),
        (
            "- run: cargo test --locked",
            "- run: cargo build --locked",
            "the job `test` doesn't run the tests",
        ),
        (
            "  publish-npm:\n    needs: [test, assemble]\n",
            "  publish-npm:\n",
            "publish-npm doesn't wait for the tests",
        ),
        (
            "  publish-npm:\n    needs: [test, assemble]\n",
            "  publish-npm:\n    needs: [test, assemble]\n    if: always()\n",
            "publish-npm runs though the tests have failed",
        ),
        (
            "# v4.2.2\n      - name: The tag",
            "\n      - uses: actions/cache@v4\n      - name: The tag",
            "actions/cache@v4 isn't named by its commit",
        ),
        (
            " | sha256sum --check --strict",
            "",
            "gh release download \"$MCP_PUBLISHER_TAG\" --repo modelcontextprotocol/registry --pattern mcp-publisher_linux_amd64.tar.gz takes whatever is there",
        ),
        (
            "download \"$MCP_PUBLISHER_TAG\" --repo",
            "download --repo",
            "gh release download --repo modelcontextprotocol/registry --pattern mcp-publisher_linux_amd64.tar.gz takes whatever is there",
        ),
    ] {
        assert!(good.contains(old), "{old}");
        let bad = good.replacen(old, new, 1);
        assert!(problems(&bad).contains(&problem.to_owned()), "{problem}");
    }
}

#[test]
fn the_place_of_the_project_has_one_placeholder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let placeholder = std::fs::read_to_string(root.join("packaging/repository")).unwrap();
    assert_eq!(placeholder.trim(), "OWNER/REPOSITORY");
    let workflow = workflow();
    assert!(workflow.contains("SENTINEL_REPOSITORY: ${{ github.repository }}\n"));
    // What goes into packages takes the place from there; these check or describe it.
    let describes = ["README.md", "project.py", "tries.py"];
    for folder in [
        "packaging",
        "packaging/lib",
        "packaging/npm",
        "packaging/wheel",
    ] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() || name == "repository" || describes.contains(&name.as_str()) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("OWNER"), "{}", path.display());
        }
    }
}
