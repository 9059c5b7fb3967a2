//! Words that do not belong in a finished line: notes to oneself, paths of one machine, addresses of registries,
//! pages that are not in the repository.
//!
//! Start at [`check`]; the constants are the rules. Invariant: a line passes or says `tidy:allow(<rule>)` with a
//! reason, on itself or on the line above.

use super::source::{Source, words};
use super::{Finding, Texts};

/// Notes to oneself, in comments and in files other than Rust.
const NOTES: [&str; 3] = ["TODO", "FIXME", "XXX"]; // tidy:allow(note) the rule itself
/// Macros of unfinished code.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Folders of one person or one machine.
const FOLDERS: [&str; 4] = ["/home/", "/root/", "/work/", "/tmp"]; // tidy:allow(path) the rule itself
/// Addresses and options that would lead past the registries that cargo, pip and apt know by themselves.
#[rustfmt::skip] // tidy:allow(registry) the rule itself
const REGISTRIES: [&str; 8] = ["crates.io", "pypi.org", "pythonhosted", "npmjs", "debian.org", "index-url", "trusted-host", "replace-with"];

/// Checks every text file.
pub(super) fn check(texts: &Texts, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        findings.extend(unfinished(source));
    }
    for (path, text) in texts {
        let source = sources.iter().find(|source| source.path == path);
        let notes = source.map_or(text.as_str(), |source| &source.comments);
        findings.extend(lines(path, text, notes, "note", note));
        findings.extend(lines(path, text, text, "page", |line| missing_page(line, texts)));
        findings.extend(lines(path, text, text, "path", folder));
        if !path.ends_with(".md") {
            // A comment may explain where something comes from; only what runs can go there.
            let running = source.map_or_else(|| text.clone(), without_comments);
            findings.extend(lines(path, text, &running, "registry", registry));
        }
    }
    findings
}

/// Applies a rule to each line of `view`, a part of `text` of the same shape.
fn lines(
    path: &str,
    text: &str,
    view: &str,
    rule: &str,
    broken: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let excuse = format!("tidy:allow({rule}) ");
    let mut findings = Vec::new();
    let mut above = "";
    for (index, (line, seen)) in text.lines().zip(view.lines()).enumerate() {
        let excused = line.contains(&excuse) || above.contains(&excuse);
        if let Some(message) = broken(seen).filter(|_| !excused) {
            findings.push(Finding::new(path, index + 1, message));
        }
        above = line;
    }
    findings
}

fn note(line: &str) -> Option<String> {
    let (_, found) = words(line).find(|(_, word)| NOTES.contains(word))?;
    Some(format!("{found}: do it, or write an issue"))
}

/// A page in capitals, as those at the top of a repository, that this one does not have.
fn missing_page(line: &str, texts: &Texts) -> Option<String> {
    let found = words(line).find_map(|(offset, word)| {
        let is_capital = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let page = format!("{word}.md");
        (is_capital && line[offset..].starts_with(&page)).then_some(page)
    })?;
    let exists = texts.keys().any(|path| path.rsplit('/').next() == Some(&found));
    (!exists).then(|| format!("names {found}, which is not in the repository"))
}

/// A path from the root into a folder that other machines do not have.
fn folder(line: &str) -> Option<String> {
    let starts_path = |offset: usize| {
        let before = line[..offset].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "_-.)}]*>".contains(before))
    };
    let ends_name =
        |offset: usize| !line[offset..].starts_with(|next: char| next.is_alphanumeric() || next == '_');
    let found = FOLDERS.iter().find(|folder| {
        let mut places = line.match_indices(**folder);
        places.any(|(offset, _)| {
            starts_path(offset) && (folder.ends_with('/') || ends_name(offset + folder.len()))
        })
    })?;
    Some(format!("names a path in {found}, which is of one machine"))
}

fn registry(line: &str) -> Option<String> {
    let found = REGISTRIES.iter().find(|registry| line.contains(**registry))?;
    Some(format!("names {found}; cargo, pip and apt know their registries"))
}

fn without_comments(source: &Source) -> String {
    let comments = source.comments.bytes();
    let bytes = source.text.bytes().zip(comments).map(|(byte, comment)| {
        let is_comment = comment != b' ' && comment != b'\n';
        if is_comment { b' ' } else { byte }
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

/// Macros of unfinished code, and tests that are left out without saying why.
fn unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (offset, word) in source.words() {
        let after = &source.code[offset + word.len()..];
        let message = if MACROS.contains(&word) && after.starts_with('!') {
            format!("{word}!: unfinished code")
        } else if word == "ignore" && after.starts_with(']') && source.code[..offset].ends_with("#[") {
            "#[ignore] without a reason, expected #[ignore = \"why\"]".to_owned()
        } else {
            continue;
        };
        findings.push(Finding::new(source.path, source.line(offset), message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many findings a file has in a repository that has a README.md.
    fn check_file(path: &str, text: &str, expected: usize) {
        let readme = ("README.md".to_owned(), String::new());
        let texts = Texts::from([readme, (path.to_owned(), text.to_owned())]);
        let is_rust = path.ends_with(".rs");
        let sources: Vec<Source> = is_rust.then(|| Source::new(path, text)).into_iter().collect();
        let found = check(&texts, &sources);
        assert_eq!(found.len(), expected, "{path}: {text}: {found:?}");
    }

    // The samples are put together here so that this file keeps the rules that it tests.
    fn sample(parts: &[&str]) -> String {
        parts.concat()
    }

    #[test]
    fn notes_to_oneself_are_found_in_comments() {
        check_file("a.rs", &sample(&["// TO", "DO: later\n"]), 1);
        check_file("a.toml", &sample(&["# FIX", "ME\n"]), 1);
        check_file("a.rs", &sample(&["const CURRENCY: &str = \"XX", "X\";\n"]), 0);
        check_file("a.rs", "// METHODOLOGY and to do\n", 0);
    }

    #[test]
    fn unfinished_code_is_found() {
        check_file("a.rs", "fn a() { todo!() }\n", 1);
        check_file("a.rs", "fn a() { dbg!(1); }\n", 1);
        check_file("a.rs", "// todo!() in a comment\nfn todo() {}\n", 0);
    }

    #[test]
    fn ignored_test_needs_a_reason() {
        check_file("a.rs", "#[ignore]\nfn a() {}\n", 1);
        check_file("a.rs", "#[ignore = \"needs two machines\"]\nfn a() {}\n", 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        check_file("a.rs", &sample(&["const A: &str = \"/ho", "me/me/x\";\n"]), 1);
        check_file("a.sh", &sample(&["cd /t", "mp\n"]), 1);
        check_file("a.md", &sample(&["in /wo", "rk/main\n"]), 1);
        check_file("a.sh", "cd \"$dir/tmp\"; ls target/tmp/x /tmpfs /dev/shm\n", 0);
    }

    #[test]
    fn registries_are_found_in_what_runs() {
        check_file("a.sh", &sample(&["curl https://py", "pi.org/simple\n"]), 1);
        check_file("a.toml", &sample(&["replace-", "with = \"mirror\"\n"]), 1);
        check_file("a.rs", &sample(&["// as on crates", ".io\n"]), 0);
        check_file(
            "a.md",
            &sample(&["[crate](https://crates", ".io/crates/rtrb)\n"]),
            0,
        );
    }

    #[test]
    fn pages_that_are_not_there_are_found() {
        check_file("a.rs", "//! See README.md.\n", 0);
        check_file("a.rs", &sample(&["//! See PLANS", ".md.\n"]), 1);
        check_file("a.md", "see `docs/notes.md`\n", 0);
    }

    #[test]
    fn excused_line_passes() {
        let line = sample(&["const A: &str = \"/t", "mp\";"]);
        check_file(
            "a.rs",
            &format!("{line} // tidy:allow(path) a test of paths\n"),
            0,
        );
        check_file(
            "a.rs",
            &format!("// tidy:allow(path) a test of paths\n{line}\n"),
            0,
        );
        check_file("a.rs", &format!("// tidy:allow(note) another rule\n{line}\n"), 1);
    }
}
