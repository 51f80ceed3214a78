//! Expected ladders, one text file each under `tests/ladder`. `UPDATE_LADDERS=1 cargo test -p sim` rewrites them;
//! `git diff` is then the review.

use std::path::PathBuf;

/// Compares `ladder` with the file of that name; the error says what differs and how to accept it.
///
/// # Errors
/// The text to fail the test with.
pub fn compare(name: &str, ladder: &str) -> Result<(), String> {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.push("tests/ladder");
    path.push(format!("{name}.txt"));
    if std::env::var_os("UPDATE_LADDERS").is_some() {
        let folder = path.parent().ok_or("no folder")?;
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        return std::fs::write(&path, ladder).map_err(|e| format!("{}: {e}", path.display()));
    }
    let wanted = std::fs::read_to_string(&path).map_err(|e| {
        format!("{}: {e}\nUPDATE_LADDERS=1 writes it. This run:\n{ladder}", path.display())
    })?;
    if wanted == ladder {
        return Ok(());
    }
    let at = wanted.lines().zip(ladder.lines()).take_while(|(a, b)| a == b).count() + 1;
    Err(format!(
        "the ladder of {name} changed, first in line {at}.\n--- expected ({})\n{wanted}\n+++ this run\n{ladder}\n\
         If the new one is right: UPDATE_LADDERS=1 cargo test -p sim",
        path.display()
    ))
}
