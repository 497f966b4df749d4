//! The pictures of commands in `docs/pictures/` show what the program prints now.

use std::process::Command;

use super::root;
use crate::common::process;

/// The script that draws them does the same again, and compares. It needs Python 3.11: without it a line
/// says that nothing was checked, and with `FAULTS_ALL=1`, as in CI, that is a failure.
#[test]
fn the_pictures_are_what_the_program_prints() {
    let script = root().join("docs/pictures/make");
    let python = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])
        .status();
    if !python.is_ok_and(|status| status.success()) {
        assert!(
            std::env::var_os("FAULTS_ALL").is_none(),
            "Python is missing"
        );
        eprintln!("NOT CHECKED: the pictures, since there is no Python 3.11");
        return;
    }
    let output = Command::new("python3")
        .arg(script)
        .arg("--check")
        .arg(process::executable())
        .output()
        .unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{out}{err}");
}
