//! A Rust file with its code told from its comments, strings and character literals.
//!
//! Start at [`Source::new`]. Invariant: [`Source::code`], [`Source::comments`] and the text have one length, and
//! a byte stands in each at the same place or is a space; so an offset is an offset in all three.

/// A Rust file in its parts.
pub(super) struct Source<'a> {
    /// Relative to the workspace root.
    pub(super) path: &'a str,
    /// The file as it is.
    pub(super) text: &'a str,
    /// The code alone: comments and what stands between quotes are spaces.
    pub(super) code: String,
    /// The comments alone.
    pub(super) comments: String,
}

/// What a stretch of the file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl<'a> Source<'a> {
    /// Takes a file apart.
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let blank: String = bytes
            .iter()
            .map(|byte| if *byte == b'\n' { '\n' } else { ' ' })
            .collect();
        let (mut code, mut comments) = (blank.clone(), blank);
        let mut start = 0;
        while start < bytes.len() {
            let (kind, end) = stretch(bytes, start);
            let part = match kind {
                Kind::Code => Some(&mut code),
                Kind::Comment => Some(&mut comments),
                Kind::Literal => None,
            };
            if let (Some(part), Some(stretch)) = (part, text.get(start..end)) {
                part.replace_range(start..end, stretch);
            }
            start = end;
        }
        Self {
            path,
            text,
            code,
            comments,
        }
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }

    /// The identifiers and keywords of the code, each with its offset.
    pub(super) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        words(&self.code)
    }

    /// The offset just past the brace that closes the one at `open`.
    pub(super) fn closing_brace(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (offset, byte) in self.code.bytes().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(offset + 1);
            }
        }
        None
    }
}

/// The words (letters, digits, underscores) of a text, each with its offset.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + bytes.get(next..)?.iter().position(|byte| is_word(*byte))?;
        let len = bytes[start..].iter().take_while(|byte| is_word(**byte)).count();
        next = start + len;
        Some((start, &text[start..next]))
    })
}

/// The kind of what begins at `start`, and where it ends.
fn stretch(bytes: &[u8], start: usize) -> (Kind, usize) {
    let rest = &bytes[start..];
    if rest.starts_with(b"//") {
        let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return (Kind::Comment, start + len);
    }
    if rest.starts_with(b"/*") {
        return (Kind::Comment, start + block_comment_len(rest));
    }
    if let Some(len) = raw_string_len(bytes, start) {
        return (Kind::Literal, start + len);
    }
    match rest[0] {
        b'"' => (Kind::Literal, start + quoted_len(rest, b'"')),
        b'\'' if is_character(rest) => (Kind::Literal, start + quoted_len(rest, b'\'')),
        _ => (Kind::Code, start + character_len(rest[0])),
    }
}

/// Block comments nest.
fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..rest.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a raw string from its `r`, if one begins here. `r#name` is none, nor is the end of a name.
fn raw_string_len(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes[start..].strip_prefix(b"r")?;
    let before = bytes[..start]
        .strip_suffix(b"b")
        .or(bytes[..start].strip_suffix(b"c"));
    let before = before.unwrap_or(&bytes[..start]).last();
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        return None;
    }
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    let inside = rest[hashes..].strip_prefix(b"\"")?;
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let len = inside
        .windows(close.len())
        .position(|window| window == close)
        .unwrap_or(inside.len());
    Some((1 + hashes + 1 + len + close.len()).min(bytes.len() - start))
}

/// The length of a literal between two quotes, both counted.
fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether a quote begins a character, `'x'`, and not a lifetime, `'x`.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(first) => rest.get(1 + character_len(*first)) == Some(&b'\''),
        None => false,
    }
}

/// The length of a UTF-8 character by its first byte.
fn character_len(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let source = Source::new("a.rs", text);
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&source.code), code, "{text}");
        assert_eq!(squeezed(&source.comments), comments, "{text}");
        assert_eq!(
            (source.code.len(), source.comments.len()),
            (text.len(), text.len())
        );
    }

    #[test]
    fn comments_are_told_from_code() {
        check("a // b\nc", "a c", "// b");
        check("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        check("a /* open", "a", "/* open");
    }

    #[test]
    fn literals_are_neither() {
        check(r#"a("// no \" b") // yes"#, "a( )", "// yes");
        check(r##"a(r#"no " // b"#) c"##, "a( ) c", "");
        check(r#"a(br"\", b) c"#, "a(b , b) c", "");
        check("a('\"', '\\'', '/', 'é') b", "a( , , , ) b", "");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        check("fn a<'b>(c: &'b str) // d", "fn a<'b>(c: &'b str)", "// d");
        check("r#fn(\"x\")", "r#fn( )", "");
        check("var\"x\"", "var", "");
    }

    #[test]
    fn offsets_and_lines_agree() {
        let source = Source::new("a.rs", "é // ü\nfn x() { { } }\n");
        let (offset, word) = source.words().next().unwrap();
        assert_eq!((word, source.line(offset)), ("fn", 2));
        let open = source.code.find('{').unwrap();
        assert_eq!(&source.text[open..source.closing_brace(open).unwrap()], "{ { } }");
    }
}
