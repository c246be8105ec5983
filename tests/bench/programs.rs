//! Programs to compare with, and files of a build.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A copy of a program below `place`: what a package manager installs is one too, and a program that
/// the linker has just written starts 0.06 ms slower than its copy.
pub fn installed(program: &Path, place: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(place)?;
    let copy = place.join(program.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    fs::copy(program, &copy)?;
    Ok(copy)
}

/// A program that does nothing, linked as the shipped one is: what the system takes for itself.
pub fn empty_program(scratch: &Path) -> Option<PathBuf> {
    let source = scratch.join("empty.rs");
    let program = scratch.join("empty");
    fs::write(&source, "fn main() {}\n").ok()?;
    let status = std::process::Command::new("rustc")
        .args(["-Copt-level=2", "-Cpanic=abort", "-Cstrip=symbols"])
        .args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static"])
        .arg("-o")
        .args([&program, &source])
        .status();
    status.is_ok_and(|s| s.success()).then_some(program)
}

pub fn find_dir(below: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(below).ok()?.flatten() {
        if entry.file_name() == name {
            return Some(entry.path());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find_dir(&entry.path(), name)
        {
            return Some(found);
        }
    }
    None
}
