//! The checks that take more than a line: each a pure function from a file to what is wrong in it.

use super::source::{Source, Token, Violation};
use super::{FUNCTION_LINES_MAX, LAYERS, SIDEWAYS, top_module};

pub(crate) fn upward_imports(source: &Source) -> Vec<Violation> {
    let Some(own) = top_module(source.path) else { return Vec::new() };
    let Some((_, _, imports)) = LAYERS.iter().find(|row| row.0 == own) else {
        return vec![(1, format!("module {own} is not in the layer table"))];
    };
    let allowed = |name: &str| {
        name == own
            || imports.contains(&"*")
            || imports.contains(&name)
            || SIDEWAYS.contains(&(own, name))
    };
    let mut found = Vec::new();
    for token in crate_paths(source) {
        if !allowed(token.text) && !token.in_tests {
            found.push((token.line, format!("{own} must not import crate::{}", token.text)));
        }
    }
    found
}

/// The first name of each path that starts at the crate's root, by `crate::` or enough `super::`.
fn crate_paths<'a>(source: &'a Source<'a>) -> Vec<&'a Token<'a>> {
    let module = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    let depth = match module.trim_end_matches("/mod") {
        "lib" => 0,
        // `x_tests.rs` is the module `tests` in `x`, by a path attribute.
        module => module.split('/').count() + usize::from(module.ends_with("_tests")),
    };
    let tokens = &source.tokens;
    let mut paths = Vec::new();
    for at in 0..tokens.len() {
        let mut first = at;
        while source.matches(first, &["super", "::"]) {
            first += 2;
        }
        let supers = (first - at) / 2;
        let inner = at > 0 && tokens[at - 1].text == "::";
        if source.matches(at, &["crate", "::"]) {
            first = at + 2;
        } else if inner || supers == 0 || supers < depth + tokens[at].modules {
            continue;
        }
        if !source.matches(first, &["{"]) {
            let is_macro = source.matches(first + 1, &["!"]);
            paths.extend(tokens.get(first).filter(|token| !is_macro && token.text != "*"));
            continue;
        }
        let mut nesting = 0;
        for (at, token) in tokens.iter().enumerate().skip(first) {
            match token.text {
                "{" => nesting += 1,
                "}" if nesting == 1 => break,
                "}" => nesting -= 1,
                "," | "self" => {}
                _ if nesting == 1 && matches!(tokens[at - 1].text, "{" | ",") => paths.push(token),
                _ => {}
            }
        }
    }
    paths
}

pub(crate) fn system_calls(source: &Source) -> Vec<Violation> {
    let mut found = source.report(&["memmap2", "nix"], "names a wrapper of the system");
    for at in source.find(&["libc"]) {
        let line = source.tokens[at].line;
        if at > 0 && source.tokens[at - 1].text == "use" {
            found.push((line, "imports from libc".to_owned()));
        } else if source.matches(at + 1, &["::"]) && source.matches(at + 3, &["("]) {
            found.push((line, format!("calls libc::{}", source.tokens[at + 2].text)));
        }
    }
    for at in source.find(&["extern", "\"", "{"]) {
        found.push((source.tokens[at].line, "declares foreign functions".to_owned()));
    }
    found.retain(|(line, _)| !source.tests_at(*line));
    found
}

pub(crate) fn inline_assembly(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in ["asm", "global_asm", "naked_asm"] {
        for at in source.find(&[name, "!"]).into_iter().map(|at| at + 2) {
            let mut bad = !source.matches(at + 1, &["include_str", "!"]);
            let mut nesting = 0;
            for (at, token) in source.tokens.iter().enumerate().skip(at) {
                match token.text {
                    "(" | "[" | "{" => nesting += 1,
                    ")" | "]" | "}" if nesting == 1 => break,
                    ")" | "]" | "}" => nesting -= 1,
                    "\"" | "concat" if nesting == 1 && source.tokens[at - 1].text == "," => {
                        bad = true
                    }
                    _ => {}
                }
            }
            if bad {
                found.push((source.tokens[at].line, format!("holds the text of its {name}!")));
            }
        }
    }
    found
}

pub(crate) fn missing_safety(source: &Source) -> Vec<Violation> {
    let blocks = source.find(&["unsafe", "{"]).into_iter().chain(source.find(&["unsafe", "impl"]));
    let lines = blocks.map(|at| source.tokens[at].line);
    let bare = lines.filter(|line| !source.has_comment_above(*line, "SAFETY:"));
    bare.map(|line| (line, "lacks a SAFETY comment".to_owned())).collect()
}

pub(crate) fn missing_contracts(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for at in source.find(&["unsafe"]) {
        let skip = if source.matches(at + 1, &["extern", "\""]) { 3 } else { 1 };
        let name = source.tokens.get(at + skip + 1).map_or("(", |token| token.text);
        // The type of a pointer has no name, and one made by a macro no lines of its own.
        let is_item = source.matches(at + skip, &["fn"]) && !matches!(name, "(" | "$");
        if !is_item || source.tokens[at].in_tests {
            continue;
        }
        let line = source.tokens[at].line;
        let above = source.lines[..line - 1].iter().rev().map(|text| text.trim());
        let ends = |text: &&str| {
            text.is_empty() || (!text.starts_with('/') && text.ends_with(['{', '}', ';']))
        };
        let stated =
            above.take_while(|text| !ends(text)).any(|text| text.starts_with("/// # Safety"));
        if !stated && !source.implements_a_trait(line) {
            found.push((line, format!("{name} lacks a `# Safety` section")));
        }
    }
    found
}

pub(crate) fn long_functions(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for at in source.find(&["fn"]) {
        let (mut nesting, mut braces, start) = (0, 0, source.tokens[at].line);
        for token in &source.tokens[at..] {
            match token.text {
                "(" | "[" => nesting += 1,
                ")" | "]" => nesting -= 1,
                "{" => braces += 1,
                "}" => braces -= 1,
                _ => {}
            }
            // A declaration ends at its semicolon, a pointer type at the end of whatever holds it.
            if (braces == 0 && nesting == 0 && matches!(token.text, ";" | "}" | ","))
                || nesting < 0
                || braces < 0
            {
                let lines = token.line - start + 1;
                if lines > FUNCTION_LINES_MAX && token.text == "}" {
                    found
                        .push((start, format!("{} has {lines} lines", source.tokens[at + 1].text)));
                }
                break;
            }
        }
    }
    found
}

pub(crate) fn foreign_words(source: &Source) -> Vec<Violation> {
    // In two pieces each, or this file would break the rule.
    let words = [
        ("des", "ign.md"),
        ("sty", "le.md"),
        ("this ses", "sion"),
        ("/wo", "rk/"),
        ("../sha", "red"),
    ];
    source.each_line(|line| {
        let line = line.to_ascii_lowercase();
        let word =
            words.iter().map(|(a, b)| format!("{a}{b}")).find(|word| line.contains(word.as_str()));
        let numbered = line
            .split(concat!("iss", "ue "))
            .skip(1)
            .any(|rest| rest.trim_start_matches('#').starts_with(|c: char| c.is_ascii_digit()));
        word.or(numbered.then(|| "a numbered ticket".to_owned()))
            .map(|word| format!("cites {word}"))
    })
}

pub(crate) fn unnamed_modules<'a>(text: &str, modules: &[&'a str]) -> Vec<&'a str> {
    let named =
        |name: &str| ["", "/", ".rs"].iter().any(|end| text.contains(&format!("`{name}{end}`")));
    modules.iter().copied().filter(|name| !named(name)).collect()
}
