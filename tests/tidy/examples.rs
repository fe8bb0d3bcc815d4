//! Which public items lack an example that is compiled with the tests.
//!
//! What says `pub` is reachable from outside: the lint `unreachable_pub` sees to that. So it is
//! enough to look at each file by itself. Items marked `#[doc(hidden)]`, and methods of types so
//! marked, are nobody's to call.

use super::source::{Source, Violation};

/// One public item, as far as examples are concerned.
struct Item<'a> {
    name: &'a str,
    line: usize,
    /// The comment and the attributes above it, in the order of the file.
    above: Vec<&'a str>,
    /// The type in whose `impl` it stands, or nothing.
    of: &'a str,
}

/// What a public item can be. Modules, re-exports and fields show up in the examples of others.
const KINDS: &[&str] = &["fn", "struct", "enum", "trait", "union", "type", "const", "static"];

/// What may stand between `pub` and the kind.
const QUALIFIERS: &[&str] = &["unsafe", "const", "extern", "\""];

pub(crate) fn missing_examples(source: &Source) -> Vec<Violation> {
    let items = items(source);
    let mut found = Vec::new();
    for item in &items {
        let is_hidden =
            item.is_hidden() || items.iter().any(|it| it.name == item.of && it.is_hidden());
        if is_hidden || item.has_example() {
            continue;
        }
        let Some(target) = item.refers_to() else {
            found.push((item.line, format!("{} has no example", item.name)));
            continue;
        };
        if !items.iter().any(|other| other.name == target && other.has_example()) {
            let message = format!("{} refers to {target}, which has no example", item.name);
            found.push((item.line, message));
        }
    }
    found
}

/// The public items of the file, hidden ones too.
fn items<'a>(source: &Source<'a>) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| !token.in_tests) {
        let word = |at: usize| source.tokens.get(at).map_or("", |token| token.text);
        let mut kind = at + 1;
        // In `const X`, unlike in `const fn`, the qualifier is the kind.
        while QUALIFIERS.contains(&word(kind))
            && (QUALIFIERS.contains(&word(kind + 1)) || KINDS.contains(&word(kind + 1)))
        {
            kind += 1;
        }
        let name = match token.text {
            "pub" if KINDS.contains(&word(kind)) => kind + 1,
            "macro_rules" if source.matches(at + 1, &["!"]) => at + 2,
            _ => continue,
        };
        // A macro's variable has its sign in front.
        let name = if word(name) == "$" { word(name + 1) } else { word(name) };
        let braces = braces(source, at);
        let above = above(source, token.line);
        let is_macro = token.text == "macro_rules";
        if (is_macro && !above.contains(&"#[macro_export]"))
            || is_in_private_module(source, &braces)
        {
            continue;
        }
        items.push(Item { name, line: token.line, above, of: implementor(source, &braces) });
    }
    items
}

/// The comment and the attributes directly above a line.
fn above<'a>(source: &Source<'a>, line: usize) -> Vec<&'a str> {
    let lines = source.lines[..line - 1].iter().rev().map(|text| text.trim());
    let ends = |text: &&str| {
        text.is_empty() || (!text.starts_with('/') && text.ends_with(['{', '}', ';', ',']))
    };
    let mut above: Vec<_> = lines.take_while(|text| !ends(text)).collect();
    above.reverse();
    above
}

/// The braces that are open around the token, the innermost first.
fn braces(source: &Source, at: usize) -> Vec<usize> {
    let (mut closed, mut open) = (0, Vec::new());
    for at in (0..at).rev() {
        match source.tokens[at].text {
            "}" => closed += 1,
            "{" if closed > 0 => closed -= 1,
            "{" => open.push(at),
            _ => {}
        }
    }
    open
}

/// Whether one of the blocks is a module that outsiders do not see.
fn is_in_private_module(source: &Source, braces: &[usize]) -> bool {
    let is_module = |open: usize| open >= 2 && source.tokens[open - 2].text == "mod";
    let is_public = |open: usize| open >= 3 && source.tokens[open - 3].text == "pub";
    braces.iter().any(|open| is_module(*open) && !is_public(*open))
}

/// The type that the innermost block is an `impl` of, or nothing.
fn implementor<'a>(source: &Source<'a>, braces: &[usize]) -> &'a str {
    let Some(open) = braces.first() else { return "" };
    let before = &source.tokens[..*open];
    let start = before.iter().rposition(|token| matches!(token.text, "impl" | ";" | "}"));
    // Past the generics: `impl<T: Send> Name<T>`.
    let mut angles = 0;
    for token in before.iter().skip(start.map_or(*open, |start| start + 1)) {
        match token.text {
            "<" => angles += 1,
            ">" => angles -= 1,
            text if angles == 0 => return text,
            _ => {}
        }
    }
    ""
}

impl<'a> Item<'a> {
    fn is_hidden(&self) -> bool {
        self.above.contains(&"#[doc(hidden)]")
    }

    /// Whether one of its blocks of code is compiled, and meant to be right.
    fn has_example(&self) -> bool {
        let mut is_open = false;
        let mut fences = self.above.iter().filter_map(|text| text.split_once("```"));
        fences.any(|(before, language)| {
            is_open = !is_open;
            let mut words = language.split(',');
            let is_right = words.all(|word| matches!(word, "" | "rust" | "no_run"));
            is_open && is_right && before.trim() == "///"
        })
    }

    /// The last name in the link of `See [..] for an example.`
    fn refers_to(&self) -> Option<&'a str> {
        let line = self.above.iter().find(|text| text.contains("for an example"))?;
        let link = line.split("for an example").next()?.trim_end();
        let target = match link.strip_suffix(')') {
            Some(link) => link.rsplit("](").next()?,
            None => link.strip_suffix("`]")?.rsplit("[`").next()?,
        };
        // In a macro, `Self::", stringify!($name), "`.
        let name = target.rsplit("::").next()?;
        name.split_once("!($").map_or(Some(name), |(_, rest)| rest.split(')').next())
    }
}
