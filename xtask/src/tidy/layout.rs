//! How files end, how modules begin, and which files every stage has.
//!
//! Start at [`check`]. Invariant: whoever knows one stage knows where to look in the next.

use super::{Finding, Texts};

/// The stages, and the files that each of them has.
const STAGES: [&str; 6] = ["ingest", "book", "features", "score", "strategy", "publish"];
const STAGE_FILES: [&str; 5] = [
    "src/agent.rs",
    "src/config.rs",
    "src/counters.rs",
    "src/error.rs",
    "tests/no_alloc.rs",
];

/// Checks every text file.
pub(super) fn check(texts: &Texts) -> Vec<Finding> {
    let mut findings = stage_files(texts);
    for (path, text) in texts {
        findings.extend(whitespace(path, text));
        findings.extend(module_doc(path, text));
    }
    findings
}

fn stage_files(texts: &Texts) -> Vec<Finding> {
    let paths = STAGES
        .iter()
        .flat_map(|stage| STAGE_FILES.map(|file| format!("engine/{stage}/{file}")));
    let missing = paths.filter(|path| !texts.contains_key(path));
    missing
        .map(|path| Finding::new(&path, 0, "missing; every stage has this file"))
        .collect()
}

fn whitespace(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(
                path,
                index + 1,
                "white space at the end of the line",
            ));
        } else if line.contains('\t') {
            findings.push(Finding::new(path, index + 1, "a tab, expected spaces"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(
            path,
            text.lines().count(),
            "no newline at the end of the file",
        ));
    }
    findings
}

/// A module says what it is for before anything else.
fn module_doc(path: &str, text: &str) -> Option<Finding> {
    let is_module = path.ends_with(".rs") && (path.contains("/src/") || path.contains("/benches/"));
    let first = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let documented = !is_module || first.starts_with("//!");
    (!documented).then(|| Finding::new(path, 1, "the module does not open with its purpose, `//! …`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn stage_with_all_files_passes_and_a_missing_one_is_found() {
        let mut texts = Texts::new();
        for stage in STAGES {
            texts.extend(STAGE_FILES.map(|file| (format!("engine/{stage}/{file}"), String::new())));
        }
        assert_eq!(stage_files(&texts), []);
        texts.remove("engine/book/tests/no_alloc.rs");
        let expected = ["engine/book/tests/no_alloc.rs: missing; every stage has this file"];
        assert_eq!(messages(stage_files(&texts)), expected);
    }

    #[test]
    fn white_space_is_found() {
        let check =
            |text: &str, expected: &[&str]| assert_eq!(messages(whitespace("a", text)), expected, "{text:?}");
        check("a\n\nb\n", &[]);
        check("", &[]);
        check("a \n", &["a:1: white space at the end of the line"]);
        check("a\r\n", &["a:1: white space at the end of the line"]);
        check("a\n\tb\n", &["a:2: a tab, expected spaces"]);
        check("a\nb", &["a:2: no newline at the end of the file"]);
    }

    #[test]
    fn module_opens_with_its_purpose() {
        let check = |path: &str, text: &str, expected: bool| {
            assert_eq!(module_doc(path, text).is_none(), expected, "{path}: {text}");
        };
        check("book/src/lib.rs", "//! Keeps books.\n", true);
        check("book/src/lib.rs", "pub mod agent;\n", false);
        check("book/src/lib.rs", "", false);
        check("book/tests/no_alloc.rs", "use book;\n", true);
    }
}
