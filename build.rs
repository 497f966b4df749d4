//! Sets `SENTINEL_COMMIT` to the commit that is built, for `--version`; "unknown" outside the repository. Compresses
//! the schema of the config, which the executable has for `sentinel-gateway schema`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
// Cargo reads its instructions from a build script's stdout.
#![allow(clippy::print_stdout)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!(
        "cargo:rustc-env=SENTINEL_COMMIT={}",
        commit().as_deref().unwrap_or("unknown")
    );
    compress("src/config/schema.json", "schema.deflate")
}

/// Writes a file of the source, compressed, into the folder of what is built.
fn compress(from: &str, to: &str) -> io::Result<()> {
    println!("cargo:rerun-if-changed={from}");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut out = DeflateEncoder::new(File::create(folder.join(to))?, Compression::best());
    out.write_all(&fs::read(from)?)?;
    out.finish().map(|_| ())
}

/// The commit that is checked out. Makes Cargo run this script again when it changes.
fn commit() -> Option<String> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    // A source archive unpacked inside another repository must not report that one's commit.
    let top = PathBuf::from(git(&here, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    // HEAD's log changes with every commit and checkout, unlike HEAD itself.
    for file in ["HEAD", "logs/HEAD"] {
        let path = here.join(git(&here, &["rev-parse", "--git-path", file])?);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    git(&here, &["rev-parse", "--short=12", "HEAD"])
}

fn git(here: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(here)
        .args(args)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
