//! One file as the rules see it: its lines, and its tokens with the modules around them.
//!
//! Comments are no tokens, and a string is the one token `"` whatever it holds, so that no rule is
//! misled by words inside them. The cutting is no more exact than Rust that compiles needs.

/// A line's number, from 1, and what is wrong with it.
pub(crate) type Violation = (usize, String);

/// An identifier, a number, a lifetime, `::`, one sign of punctuation, or `"` for a whole string.
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// Inline modules around it, in the same file.
    pub(crate) modules: usize,
    /// Whether one of them, or the file, is called `tests` or something that ends so.
    pub(crate) in_tests: bool,
}

pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) lines: Vec<&'a str>,
    pub(crate) tokens: Vec<Token<'a>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let mut tokens = tokens(text);
        let is_test = path.contains("tests") || path.contains("/test_");
        place_in_modules(&mut tokens, is_test);
        Source { path, lines: text.lines().collect(), tokens }
    }

    pub(crate) fn matches(&self, at: usize, pattern: &[&str]) -> bool {
        let window = self.tokens.get(at..at + pattern.len());
        window
            .is_some_and(|window| window.iter().map(|token| token.text).eq(pattern.iter().copied()))
    }

    pub(crate) fn find(&self, pattern: &[&str]) -> Vec<usize> {
        (0..self.tokens.len()).filter(|at| self.matches(*at, pattern)).collect()
    }

    /// The violations of the given words, wherever they stand.
    pub(crate) fn report(&self, words: &[&str], what: &str) -> Vec<Violation> {
        let hits = self.tokens.iter().filter(|token| words.contains(&token.text));
        hits.map(|token| (token.line, format!("{what}: {}", token.text))).collect()
    }

    /// Whether the line belongs to unit tests.
    pub(crate) fn tests_at(&self, line: usize) -> bool {
        self.tokens.iter().any(|token| token.line == line && token.in_tests)
    }

    pub(crate) fn each_line(&self, check: impl Fn(&str) -> Option<String>) -> Vec<Violation> {
        let found = self.lines.iter().enumerate();
        found.filter_map(|(index, line)| Some((index + 1, check(line)?))).collect()
    }

    /// Whether a comment with `mark` is on the line, or directly above the statement it is part of.
    pub(crate) fn has_comment_above(&self, line: usize, mark: &str) -> bool {
        let marked = |text: &str| text.find("//").is_some_and(|at| text[at..].contains(mark));
        let mut lines = self.lines[..line].iter().rev().map(|text| text.trim());
        if lines.next().is_some_and(marked) {
            return true;
        }
        let mut commented = false;
        for text in lines {
            let is_comment = text.starts_with("//");
            let ends = text.is_empty() || text.ends_with(['{', '}', ';', ',']);
            if (commented && !is_comment) || (!is_comment && !text.starts_with('#') && ends) {
                return false;
            }
            commented = is_comment;
            if is_comment && marked(text) {
                return true;
            }
        }
        false
    }

    /// Whether the block around the line is an `impl TRAIT for TYPE`: the trait has the contract.
    pub(crate) fn implements_a_trait(&self, line: usize) -> bool {
        let indent = |text: &str| text.len() - text.trim_start().len();
        let own = indent(self.lines[line - 1]);
        let outer = self.lines[..line - 1].iter().rev().filter(|text| !text.trim().is_empty());
        let mut headers =
            outer.filter(|text| indent(text) < own && !text.trim().starts_with(['{', '/']));
        let header = headers.find(|text| !text.starts_with("where")).map_or("", |text| text.trim());
        header.trim_start_matches("unsafe ").starts_with("impl") && header.contains(" for ")
    }
}

/// Fills in `modules` and `in_tests`, by counting braces.
fn place_in_modules(tokens: &mut [Token], is_test_file: bool) {
    let mut blocks: Vec<&str> = Vec::new();
    for at in 0..tokens.len() {
        match tokens[at].text {
            "{" if at >= 2 && tokens[at - 2].text == "mod" => blocks.push(tokens[at - 1].text),
            "{" => blocks.push(""),
            "}" => drop(blocks.pop()),
            _ => {}
        }
        tokens[at].modules = blocks.iter().filter(|name| !name.is_empty()).count();
        tokens[at].in_tests = is_test_file || blocks.iter().any(|name| name.ends_with("tests"));
    }
}

/// Cuts a file into tokens; good enough for Rust that compiles, and for words in assembly.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let (length, shown) = match bytes[at] {
            _ if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ""),
            _ if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), ""),
            _ if rest.starts_with("::") => (2, &rest[..2]),
            b'"' => (string_length(rest), "\""),
            b'\'' => match char_length(rest) {
                Some(length) => (length, "\""),
                None => (1 + word_length(&rest[1..]), ""),
            },
            b'r' if raw_length(rest).is_some() => (raw_length(rest).unwrap_or(1), "\""),
            // The `b` and `c` in front of a string belong to it.
            b'b' | b'c' if matches!(bytes.get(at + 1), Some(b'"' | b'\'')) => (1, ""),
            b'b' | b'c' if raw_length(&rest[1..]).is_some() => (1, ""),
            _ if word_length(rest) > 0 => (word_length(rest), &rest[..word_length(rest)]),
            byte if byte.is_ascii_whitespace() => (1, ""),
            _ => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                (length, &rest[..length])
            }
        };
        if !shown.is_empty() {
            tokens.push(Token { text: shown, line, modules: 0, in_tests: false });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn word_length(text: &str) -> usize {
    // The dot is for directives such as `.globl`, which Rust's own tokens never resemble.
    let dot = usize::from(text.starts_with(".glob"));
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    dot + text.as_bytes()[dot..].iter().take_while(|byte| word(byte)).count()
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a character literal, or nothing for a lifetime.
fn char_length(text: &str) -> Option<usize> {
    let first = text[1..].chars().next()?;
    if first == '\\' {
        return text[3..].find('\'').map(|end| end + 4);
    }
    let end = 1 + first.len_utf8();
    text[end..].starts_with('\'').then_some(end + 1)
}

/// The length of a raw string: `r`, any number of `#`, and a quote.
fn raw_length(text: &str) -> Option<usize> {
    let fence = text.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    let body = text[1 + fence..].strip_prefix('"')?;
    let end = body.find(&format!("\"{}", "#".repeat(fence)))?;
    Some(1 + fence + 1 + end + 1 + fence)
}
