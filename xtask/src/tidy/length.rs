//! No function is longer than 70 lines. Those that were stand in a list that may only shrink.
//!
//! Start at [`check`]. Invariant: the list holds exactly the functions over the limit, with their length.

use std::collections::BTreeMap;

use super::Finding;
use super::source::Source;

/// The most lines a function may have, from `fn` to the closing brace.
const LINES_MAX: usize = 70;
/// The functions that are longer, one per line: path, name, length.
pub(super) const RATCHET: &str = "xtask/long_functions.txt";

/// A function's path and name.
type Key = (String, String);

/// Compares the functions over the limit with the list.
pub(super) fn check(sources: &[Source], ratchet: &str) -> Vec<Finding> {
    let (listed, mut findings) = parse(ratchet);
    let mut long: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
    for source in sources {
        for function in functions(source)
            .into_iter()
            .filter(|function| function.len > LINES_MAX)
        {
            let key = (source.path.to_owned(), function.name.to_owned());
            let longest = long.entry(key).or_default();
            *longest = (*longest).max((function.len, function.line));
        }
    }
    for ((path, name), (len, line)) in &long {
        let max = listed
            .get(&(path.clone(), name.clone()))
            .map_or(LINES_MAX, |listed| listed.0);
        if *len > max {
            let message = format!("function {name} has {len} lines, expected at most {max}");
            findings.push(Finding::new(path, *line, message));
        }
    }
    for ((path, name), (listed_len, listed_line)) in &listed {
        let len = long.get(&(path.clone(), name.clone())).map_or(0, |long| long.0);
        if len < *listed_len {
            let action = if len == 0 {
                "take its line out".to_owned()
            } else {
                format!("write {len}")
            };
            let message = format!("function {name} of {path} is now shorter; {action}");
            findings.push(Finding::new(RATCHET, *listed_line, message));
        }
    }
    findings
}

/// The list's entries, length and line of each, and its lines that are none.
fn parse(ratchet: &str) -> (BTreeMap<Key, (usize, usize)>, Vec<Finding>) {
    let (mut listed, mut findings) = (BTreeMap::new(), Vec::new());
    for (index, line) in ratchet
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [path, name, len] if len.parse::<usize>().is_ok_and(|len| len > LINES_MAX) => {
                let len = len.parse().unwrap_or_default();
                listed.insert(((*path).to_owned(), (*name).to_owned()), (len, index + 1));
            }
            _ => {
                let message =
                    format!("found `{line}`, expected a path, a name and a length over {LINES_MAX}");
                findings.push(Finding::new(RATCHET, index + 1, message));
            }
        }
    }
    (listed, findings)
}

/// A function with a body.
struct Function<'a> {
    name: &'a str,
    line: usize,
    /// In lines.
    len: usize,
}

fn functions<'a>(source: &'a Source) -> Vec<Function<'a>> {
    let mut words = source.words().peekable();
    let mut functions = Vec::new();
    while let Some((offset, word)) = words.next() {
        let Some((name_offset, name)) = words.peek().copied().filter(|_| word == "fn") else {
            continue;
        };
        // `fn(` is a pointer's type, `fn $name` a macro's.
        if !source.code[offset + word.len()..name_offset].trim().is_empty() {
            continue;
        }
        let end = body(source, name_offset).and_then(|open| source.closing_brace(open));
        if let Some(end) = end {
            let line = source.line(offset);
            functions.push(Function {
                name,
                line,
                len: source.line(end) - line + 1,
            });
        }
    }
    functions
}

/// Where the body of the function opens whose name stands at `offset`; a declaration has none.
fn body(source: &Source, offset: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in source.code.bytes().enumerate().skip(offset) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(len: usize) -> String {
        format!(
            "trait A {{ fn declared(); }}\nfn long(a: [u8; 4]) {{\n{}}}\n",
            "    // \"}\n".repeat(len - 2)
        )
    }

    fn check_len(len: usize, ratchet: &str, expected: &[&str]) {
        let text = function(len);
        let found = check(&[Source::new("a.rs", &text)], ratchet);
        assert_eq!(found.iter().map(Finding::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn function_at_the_limit_passes() {
        check_len(70, "", &[]);
    }

    #[test]
    fn function_over_the_limit_is_found() {
        check_len(
            71,
            "",
            &["a.rs:2: function long has 71 lines, expected at most 70"],
        );
    }

    #[test]
    fn listed_function_may_stay_but_not_grow() {
        check_len(80, "a.rs long 80\n", &[]);
        check_len(
            81,
            "a.rs long 80\n",
            &["a.rs:2: function long has 81 lines, expected at most 80"],
        );
    }

    #[test]
    fn list_shrinks_with_the_function() {
        let place = "xtask/long_functions.txt:2: function long of a.rs is now shorter";
        check_len(79, "# list\na.rs long 80\n", &[&format!("{place}; write 79")]);
        check_len(
            12,
            "# list\na.rs long 80\n",
            &[&format!("{place}; take its line out")],
        );
    }

    #[test]
    fn line_of_the_list_that_is_none_is_found() {
        let expected = "found `a.rs long 70`, expected a path, a name and a length over 70";
        check_len(
            12,
            "a.rs long 70\n",
            &[&format!("xtask/long_functions.txt:1: {expected}")],
        );
    }
}
