//! Whether Claude Desktop runs: it writes its file anew from memory, and what was written meanwhile is gone.
//!
//! Owns how each system is asked for that. Where it can't be, it counts as not running.

#![allow(
    clippy::disallowed_methods,
    reason = "a command of the user: nothing else runs on its thread"
)]

/// Names of its process.
const NAMES: [&str; 3] = ["claude-desktop", "Claude", "Claude.exe"];

/// Whether Claude Desktop runs, as far as can be seen.
pub(crate) fn is_claude_desktop_running() -> bool {
    is_running(&NAMES)
}

#[cfg(target_os = "linux")]
fn is_running(names: &[&str]) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            let mut words = line.split(|byte| *byte == 0);
            let program = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
            names.contains(&program.rsplit('/').next().unwrap_or_default())
        })
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_running(names: &[&str]) -> bool {
    names.iter().any(|name| {
        let mut pgrep = std::process::Command::new("/usr/bin/pgrep");
        pgrep.args(["-x", name]).stdout(std::process::Stdio::null());
        pgrep.status().is_ok_and(|status| status.success())
    })
}

#[cfg(windows)]
fn is_running(names: &[&str]) -> bool {
    let mut list = std::process::Command::new("tasklist");
    let output = list.args(["/FO", "CSV", "/NH"]).output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        names
            .iter()
            .any(|name| text.contains(&format!("\"{name}\"")))
    })
}

#[cfg(not(any(unix, windows)))]
fn is_running(_: &[&str]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_found_by_its_name() {
        let own = std::env::current_exe().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        assert!(is_running(&[name]));
        assert!(!is_running(&["no-such-program"]));
    }
}
