//! Finds what a configuration names by a relative path.
//!
//! ```text
//!   models/fraud-v2 ─▶ ./models/fraud-v2 ─▶ above the program: ../models, ../../models … ─▶ above ./
//! ```
//!
//! So a program that was built in a checkout finds what stands in it, wherever it is started.
//!
//! Invariant: nothing is opened or written; what is looked for is asked of the caller.

use std::path::{Path, PathBuf};

/// Finds what `configured` names. A relative path is looked for in the working directory, then in every folder
/// above the program, then above the working directory; an absolute one is taken as it is. `is_there` says
/// whether a path is what is looked for.
///
/// # Errors
/// The places searched, in order, if it is at none of them.
///
/// ```
/// use std::path::Path;
/// let found = pinion_runtime::paths::locate(Path::new("Cargo.toml"), Path::is_file).unwrap();
/// assert!(found.is_absolute());
/// let searched = pinion_runtime::paths::locate(Path::new("no/such.toml"), Path::is_file).unwrap_err();
/// assert!(searched[0].ends_with("no/such.toml"));
/// ```
pub fn locate(configured: &Path, is_there: impl Fn(&Path) -> bool) -> Result<PathBuf, Vec<PathBuf>> {
    if configured.is_absolute() {
        return Ok(configured.to_path_buf());
    }
    let mut searched: Vec<PathBuf> = Vec::new();
    for place in places(configured) {
        if is_there(&place) {
            return Ok(place);
        }
        if !searched.contains(&place) {
            searched.push(place);
        }
    }
    Err(searched)
}

/// Where a relative path may lead, nearest first.
fn places(configured: &Path) -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let working = std::env::current_dir().ok();
    let above = [program.as_deref().and_then(Path::parent), working.as_deref()];
    let above = above.into_iter().flatten().flat_map(Path::ancestors);
    let folders = working.iter().map(PathBuf::as_path).chain(above);
    folders.map(|folder| folder.join(configured)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_directory_is_searched_first() {
        let working = std::env::current_dir().unwrap();
        assert_eq!(locate(Path::new("src"), Path::is_dir), Ok(working.join("src")));
    }

    #[test]
    fn folders_above_are_searched() {
        let found = locate(Path::new("engine/runtime/src/paths.rs"), Path::is_file).unwrap();
        assert!(found.is_absolute(), "{}", found.display());
    }

    #[test]
    fn what_is_nowhere_is_refused_with_each_place_once() {
        let searched = locate(Path::new("no/such"), Path::is_file).unwrap_err();
        let working = std::env::current_dir().unwrap();
        assert_eq!(searched[0], working.join("no/such"));
        assert!(searched.contains(&PathBuf::from("/no/such")));
        for (index, place) in searched.iter().enumerate() {
            assert!(!searched[..index].contains(place), "{}", place.display());
        }
    }

    #[test]
    fn absolute_path_is_taken_as_it_is() {
        let path = Path::new("/no/such");
        assert_eq!(locate(path, Path::is_file), Ok(path.to_path_buf()));
    }
}
