//! Unsafe code stands in listed modules only, and says what makes it sound.
//!
//! Start at [`check`]. Invariant: the list and the modules agree in both directions.

use super::Finding;
use super::source::Source;

/// Compares the modules that allow unsafe code with the list, and looks for the comment on each use.
pub(super) fn check(sources: &[Source], list: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in list {
        let source = sources.iter().find(|source| source.path == *path);
        if !source.is_some_and(allows_unsafe) {
            let message = "stands in the list of xtask/src/tidy.rs, but allows no unsafe code";
            findings.push(Finding::new(path, 0, message));
        }
    }
    for source in sources {
        let is_listed = list.iter().any(|(path, _)| *path == source.path);
        if !is_listed && allows_unsafe(source) {
            let message = "allows unsafe code, but does not stand in the list of xtask/src/tidy.rs";
            findings.push(Finding::new(source.path, 0, message));
        }
        findings.extend(unexplained(source));
    }
    findings
}

/// Whether an attribute of the file allows (or expects) unsafe code.
fn allows_unsafe(source: &Source) -> bool {
    let mut mentions = source.words().filter(|(_, word)| *word == "unsafe_code");
    mentions.any(|(offset, _)| {
        let before = &source.code[..offset];
        let attribute = before
            .rfind("#[")
            .max(before.rfind("#!["))
            .map_or("", |start| &before[start..]);
        attribute.contains("allow(") || attribute.contains("expect(")
    })
}

/// Every use of `unsafe` without the comment that it needs just above.
fn unexplained(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What stands in an unsafe implementation is explained with the implementation.
    let mut explained_until = 0;
    for (offset, _) in source.words().filter(|(_, word)| *word == "unsafe") {
        let after = source.code[offset + "unsafe".len()..].trim_start();
        let what = match after.split(|character: char| !character.is_alphanumeric()).next() {
            _ if after.starts_with('{') => "block",
            Some("impl") => "implementation",
            Some("fn") if after["fn".len()..].trim_start().starts_with('(') => continue,
            Some("fn") if offset < explained_until => continue,
            Some("fn") => "function",
            Some("trait") => "trait",
            // A function pointer's type, a block of foreign functions, an attribute.
            _ => continue,
        };
        if what == "implementation" {
            let open = source.code[offset..].find('{').map(|open| offset + open);
            explained_until = open.and_then(|open| source.closing_brace(open)).unwrap_or(offset);
        }
        if !is_explained(source, offset) {
            let message = format!("unsafe {what} without a `// SAFETY:` comment just above");
            findings.push(Finding::new(source.path, source.line(offset), message));
        }
    }
    findings
}

/// Whether the comment just above the statement at `offset` says why it is sound.
fn is_explained(source: &Source, offset: usize) -> bool {
    let line = source.line(offset);
    let above: Vec<(&str, &str)> = source
        .code
        .lines()
        .zip(source.comments.lines())
        .take(line - 1)
        .collect();
    let mut in_comment = false;
    for (code, comment) in above.into_iter().rev() {
        let (code, comment) = (code.trim(), comment.trim());
        if code.is_empty() && !comment.is_empty() {
            if comment.contains("SAFETY:") || comment.contains("# Safety") {
                return true;
            }
            in_comment = true;
        } else if in_comment || code.is_empty() || !goes_on(code) {
            return false;
        }
    }
    false
}

/// Whether a line of code belongs to the statement or item of the line below it.
fn goes_on(code: &str) -> bool {
    code.starts_with("#[") || !code.ends_with([';', '{', '}', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: &str = "#![allow(unsafe_code)]\n";

    fn check_list(text: &str, list: &[(&str, &str)], expected: &[&str]) {
        let found = check(&[Source::new("a.rs", text)], list);
        assert_eq!(
            found.iter().map(Finding::to_string).collect::<Vec<_>>(),
            expected,
            "{text}"
        );
    }

    fn check_comment(text: &str, is_explained: bool) {
        let text = format!("{ALLOW}{text}");
        let found = check(&[Source::new("a.rs", &text)], &[("a.rs", "a reason")]);
        assert_eq!(found.is_empty(), is_explained, "{text}: {found:?}");
    }

    #[test]
    fn list_and_modules_agree() {
        check_list(ALLOW, &[("a.rs", "a reason")], &[]);
        check_list("fn a() {}", &[], &[]);
        check_list("#![deny(unsafe_code)]", &[], &[]);
        check_list("// #![allow(unsafe_code)]", &[], &[]);
    }

    #[test]
    fn unlisted_module_is_found() {
        let expected = ["a.rs: allows unsafe code, but does not stand in the list of xtask/src/tidy.rs"];
        check_list(ALLOW, &[], &expected);
        check_list("#[allow(dead_code, unsafe_code)]\nfn a() {}", &[], &expected);
    }

    #[test]
    fn listed_module_without_unsafe_code_is_found() {
        let expected = ["a.rs: stands in the list of xtask/src/tidy.rs, but allows no unsafe code"];
        check_list("fn a() {}", &[("a.rs", "a reason")], &expected);
    }

    #[test]
    fn explained_use_passes() {
        check_comment("fn a() {\n    // SAFETY: so.\n    unsafe { b() }\n}\n", true);
        check_comment(
            "fn a() {\n    // SAFETY: so,\n    // and so.\n    let x =\n        unsafe { b() };\n}\n",
            true,
        );
        check_comment("// SAFETY: so.\nunsafe impl Send for A {}\n", true);
        check_comment(
            "/// # Safety\n///\n/// So.\n#[inline]\npub unsafe fn a() {}\n",
            true,
        );
        check_comment(
            "// SAFETY: so.\nunsafe impl A for B {\n    unsafe fn a() {}\n}\n",
            true,
        );
    }

    #[test]
    fn unexplained_use_is_found() {
        check_comment("fn a() {\n    unsafe { b() }\n}\n", false);
        check_comment("fn a() {\n    // Because.\n    unsafe { b() }\n}\n", false);
        check_comment(
            "fn a() {\n    // SAFETY: so.\n    c();\n    unsafe { b() }\n}\n",
            false,
        );
        check_comment("unsafe impl Send for A {}\n", false);
        check_comment("pub unsafe fn a() {}\n", false);
    }

    #[test]
    fn words_that_do_nothing_unsafe_need_no_comment() {
        check_comment(
            "type A = unsafe fn();\ntype B = unsafe extern \"C\" fn();\n",
            true,
        );
        check_comment("// unsafe { }\nconst A: &str = \"unsafe { }\";\n", true);
    }
}
