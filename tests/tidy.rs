//! The house rules, checked over the sources of the whole workspace.
//!
//! Each rule is a constant: why it exists, which files it covers, a pure check over one file's
//! text, and snippets that the check must catch or let pass. The snippets run before the tree does,
//! so that no rule can be one that never fails. Checks look at tokens: comments and the contents of
//! strings are invisible to them unless they ask for the lines themselves.

#[path = "tidy/checks.rs"]
mod checks;
#[path = "tidy/examples.rs"]
mod examples;
#[path = "tidy/source.rs"]
mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use source::{Source, Violation};

/// One row per top-level module of the library: its name, its layer, the modules it may import.
///
/// An import comes from a lower layer; the few between neighbours stand in [`SIDEWAYS`]. A new
/// module or edge is added here and in ARCHITECTURE.md.
const LAYERS: &[(&str, u8, &[&str])] = &[
    ("sys", 0, &[]),
    ("list", 0, &[]),
    ("primitive", 0, &[]),
    ("arch", 1, &["sys"]),
    ("stack", 1, &["sys", "list", "primitive"]),
    ("coroutine", 2, &["arch", "stack"]),
    ("timer", 3, &["list", "primitive"]),
    ("reactor", 3, &["sys", "list", "primitive"]),
    (
        "scheduler",
        4,
        &["sys", "list", "primitive", "arch", "stack", "coroutine", "timer", "reactor"],
    ),
    ("inspect", 5, &["scheduler", "stack", "arch", "sys", "list", "primitive"]),
    ("task", 5, WAITING),
    ("local", 5, WAITING),
    ("time", 5, WAITING),
    ("sync", 5, WAITING),
    ("signal", 5, WAITING),
    ("net", 5, WAITING),
    ("fs", 5, WAITING),
    ("runtime", 6, EVERYTHING),
    ("lib", 6, EVERYTHING),
];

/// What users call is built on `park`, and on these alone.
const WAITING: &[&str] = &["scheduler", "sys", "list", "primitive"];

/// Stands for any module at all.
const EVERYTHING: &[&str] = &["*"];

/// The imports allowed within a layer: (who, whom). They must form no cycle.
const SIDEWAYS: &[(&str, &str)] = &[
    ("stack", "arch"),
    ("task", "inspect"),
    ("time", "task"),
    ("sync", "task"),
    ("sync", "time"),
    ("net", "task"),
    ("net", "time"),
    ("fs", "task"),
    ("signal", "sync"),
];

/// Where symbols may be defined under names of one's own choice.
const EXPORTERS: &[&str] = &["src/preload/"];

const LINES_MAX: usize = 700;
const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

const LAYER_RULE: Rule = Rule {
    reason: "imports go downwards, as the layer table in ARCHITECTURE.md says",
    covers: is_library,
    check: checks::upward_imports,
    wrong: &[
        ("src/timer/wheel.rs", "use crate::scheduler::park;"),
        ("src/stack/mod.rs", "use crate::{sys, coroutine::Coroutine};"),
        ("src/arch/mod.rs", "fn f() { crate::stack::slab() }"),
        ("src/fs.rs", "use crate::net::TcpStream;"),
        ("src/net/mod.rs", "use super::fs::File;"),
        ("src/net/tcp.rs", "use super::super::fs::File;"),
        ("src/net/mod.rs", "use crate::TcpStream;"),
        ("src/gadget.rs", "use crate::sys;"),
    ],
    right: &[
        ("src/scheduler/mod.rs", "use crate::{timer::Wheel, reactor::{self, Token}};"),
        ("src/net/tcp.rs", "use super::fs::File; use crate::task; // crate::fs"),
        ("src/fs.rs", "use crate::task::blocking; mod tests { use super::fs::x; }"),
        ("src/net/tests.rs", "fn server() { crate::run(|| crate::spawn(|| ())) }"),
        ("src/net/tcp_tests.rs", "use super::super::udp;"),
        ("src/net/tcp.rs", "use crate::net::udp; const S: &str = \"crate::fs\";"),
        ("src/runtime.rs", "use crate::spawn; use crate::stack;"),
    ],
};

const SYSTEM_RULE: Rule = Rule {
    reason: "only src/sys/ calls the system; others write `libc::NAME`, for types and constants",
    covers: |path| is_source(path) && !path.starts_with("src/sys/"),
    check: checks::system_calls,
    wrong: &[
        ("src/net/tcp.rs", "let n = unsafe { libc::read(fd, p, 1) };"),
        ("src/net/tcp.rs", "use libc::read;"),
        ("src/stack/slab.rs", "let m = memmap2::MmapMut::map_anon(1)?;"),
        ("src/runtime.rs", "use nix::sys::resource;"),
        ("src/net/tcp.rs", "unsafe extern \"C\" { fn read(fd: i32) -> isize; }"),
    ],
    right: &[
        ("src/net/tcp.rs", "let x: libc::c_int = libc::EAGAIN; // libc::read()"),
        ("src/net/tcp.rs", "extern \"C\" fn f() {}"),
        ("src/net/tcp.rs", "mod tests {\n    fn f() { libc::pause() }\n}"),
    ],
};

const ORACLE_RULE: Rule = Rule {
    reason: "corosensei is one of the switches: src/arch/portable.rs hides it",
    covers: |path| is_source(path) && path != "src/arch/portable.rs",
    check: |source| source.report(&["corosensei"], "names corosensei"),
    wrong: &[("src/coroutine/mod.rs", "use corosensei::Coroutine;")],
    right: &[("src/coroutine/mod.rs", "// as corosensei does")],
};

const ASSEMBLY_RULE: Rule = Rule {
    reason: "assembly text lives in asm/, as assembly, and gets here by asm!(include_str!(..), ..)",
    covers: is_rust,
    check: checks::inline_assembly,
    wrong: &[
        ("src/arch/x86_64.rs", "asm!(\"ret\")"),
        ("src/arch/x86_64.rs", "core::arch::global_asm!(concat!(\"a\", \"b\"));"),
        ("src/arch/x86_64.rs", "asm!(include_str!(\"a.s\"), \"ret\", in(reg) x)"),
    ],
    right: &[
        (
            "src/arch/x86_64.rs",
            "asm!(include_str!(\"a.s\"), in(\"rdi\") f(\"x\"), clobber_abi(\"C\"))",
        ),
        ("src/arch/x86_64.rs", "global_asm!(\n    // why\n    include_str!(\"a.s\"),\n)"),
    ],
};

const SYMBOL_RULE: Rule = Rule {
    reason: "the library replaces no symbol of the program that links it; the preload package does",
    covers: |path| {
        (is_source(path) || path.ends_with(".s"))
            && !EXPORTERS.iter().any(|folder| path.starts_with(folder))
    },
    check: |source| {
        source.report(&["no_mangle", "export_name", ".globl", ".global"], "exports a symbol")
    },
    wrong: &[
        ("src/net/io.rs", "#[unsafe(no_mangle)]\nextern \"C\" fn read() {}"),
        ("src/net/io.rs", "#[cfg_attr(unix, unsafe(export_name = \"read\"))]"),
        ("asm/switch.s", "    .globl cove_switch"),
    ],
    right: &[("src/net/io.rs", "// #[no_mangle] is for the preload package")],
};

const SAFETY_RULE: Rule = Rule {
    reason: "a `// SAFETY:` comment directly above it discharges what the unsafe operation demands",
    covers: is_rust,
    check: checks::missing_safety,
    wrong: &[
        ("src/a.rs", "//! SAFETY: x\n\nfn f() {\n    unsafe { g() }\n}"),
        ("src/a.rs", "unsafe impl Send for X {}"),
        ("src/a.rs", "// SAFETY: for a\nlet a = unsafe { g() };\nlet b = unsafe { g() };"),
        ("src/a.rs", "// SAFETY: too far away\n\nlet a = unsafe\n{ g() };"),
    ],
    right: &[
        (
            "src/a.rs",
            "// SAFETY: g wants 1,\n// and gets it.\n#[inline]\nunsafe impl Send for X {}",
        ),
        ("src/a.rs", "// SAFETY: sound.\nlet a =\n    unsafe { g() };"),
        ("src/a.rs", "unsafe { g() } // SAFETY: sound."),
        ("src/a.rs", "let s = \"unsafe { }\"; type F = unsafe fn();"),
        ("src/a.rs", "let s = (r#\"\"unsafe { \"#, b'\"', '\\''); fn f<'a>() {} // unsafe {"),
    ],
};

const CONTRACT_RULE: Rule = Rule {
    reason: "a `# Safety` section lists what the caller of an unsafe fn must see to",
    covers: is_rust,
    check: checks::missing_contracts,
    wrong: &[
        ("src/a.rs", "/// Safety: none.\nunsafe fn f() {}"),
        ("src/a.rs", "/// # Safety\n/// x\nfn g() {}\n\npub unsafe extern \"C\" fn f() {}"),
        ("src/a.rs", "impl X {\n    unsafe fn f() {}\n}"),
    ],
    right: &[
        ("src/a.rs", "/// # Safety\n/// Be careful.\n#[cold]\npub(crate) unsafe fn f() {}"),
        ("src/a.rs", "unsafe impl Alloc for X {\n    fn a() {}\n\n    unsafe fn f() {}\n}"),
        ("src/a.rs", "struct X {\n    drop: unsafe fn(*mut u8),\n}"),
        ("src/a.rs", "mod tests {\n    unsafe extern \"C\" fn on_signal() {}\n}"),
    ],
};

const FILE_RULE: Rule = Rule {
    reason: "a file of more than 700 lines holds more than one idea",
    covers: |path| !path.ends_with(".md"),
    check: |source| match source.lines.len() {
        0..=LINES_MAX => Vec::new(),
        lines => vec![(lines, format!("is line {lines} of a file"))],
    },
    wrong: &[("src/a.rs", LONG)],
    right: &[("src/a.rs", "//! Short.")],
};

const WIDTH_RULE: Rule = Rule {
    reason: "100 columns fit beside a second file",
    covers: |path| !path.ends_with(".md") && !path.ends_with(".toml"),
    check: |source| {
        source.each_line(|line| {
            let columns = line.chars().count();
            (columns > COLUMNS_MAX).then(|| format!("has {columns} columns"))
        })
    },
    wrong: &[(
        "asm/a.s",
        concat!(
            "1234567890123456789012345678901234567890123456789012345678901234567890",
            "1234567890123456789012345678901"
        ),
    )],
    right: &[(
        "asm/a.s",
        concat!(
            "1234567890123456789012345678901234567890123456789012345678901234567890",
            "123456789012345678901234567890"
        ),
    )],
};

const ASCII_RULE: Rule = Rule {
    reason: "sources are ASCII, so that every terminal and every grep sees what is there",
    covers: |_| true,
    check: |source| {
        source.each_line(|line| {
            let odd = line.chars().find(|c| !c.is_ascii() || c.is_ascii_control());
            odd.map(|c| format!("holds {:?} (U+{:04X})", c, u32::from(c)))
        })
    },
    wrong: &[("README.md", "caf\u{e9}"), ("src/a.rs", "//! a\u{2014}b"), ("src/a.rs", "\tlet x;")],
    right: &[("src/a.rs", "//! Plain -> text.")],
};

const HEADER_RULE: Rule = Rule {
    reason: "`//!` at the top of a file says what it is and what holds throughout it",
    covers: is_rust,
    check: |source| match source.lines.first() {
        Some(line) if line.starts_with("//! ") && line.len() > "//! (".len() => Vec::new(),
        _ => vec![(1, "does not say what the file is".to_owned())],
    },
    wrong: &[("src/a.rs", "use std::io;"), ("src/a.rs", "//!\nuse std::io;"), ("src/a.rs", "")],
    right: &[("src/a.rs", "//! The wheel.")],
};

const FUNCTION_RULE: Rule = Rule {
    reason: "a function of more than 70 lines does more than one thing",
    covers: is_rust,
    check: checks::long_functions,
    wrong: &[("src/a.rs", LONG)],
    right: &[
        ("src/a.rs", "trait T {\n    fn f(x: [u8; 2]);\n}\nfn g() {}"),
        ("src/a.rs", "type F = fn(u8);"),
    ],
};

const SLEEP_RULE: Rule = Rule {
    reason: "a sleep synchronises nothing; where time is the subject, `// SLEEP:` says why",
    covers: is_rust,
    check: |source| {
        let sleeps = source.find(&["thread", "::", "sleep"]).into_iter();
        let in_tests = |at: &usize| !source.path.starts_with("src/") || source.tokens[*at].in_tests;
        let bare = sleeps
            .filter(in_tests)
            .filter(|at| !source.has_comment_above(source.tokens[*at].line, "SLEEP:"));
        bare.map(|at| (source.tokens[at].line, "sleeps".to_owned())).collect()
    },
    wrong: &[("tests/a.rs", "std::thread::sleep(d);"), ("tests/a.rs", "use std::thread::sleep;")],
    right: &[
        ("tests/a.rs", "// SLEEP: the watchdog measures real time.\nthread::sleep(d);"),
        ("src/time.rs", "pub fn sleep(d: Duration) { std::thread::sleep(d) }"),
    ],
};

const GLOB_RULE: Rule = Rule {
    reason: "a reader must see where a name comes from; only `mod tests` may import everything",
    covers: is_source,
    check: |source| {
        let globs = source.find(&["::", "*"]).into_iter();
        let outside = globs.filter(|at| !source.tokens[*at].in_tests);
        outside.map(|at| (source.tokens[at].line, "imports everything".to_owned())).collect()
    },
    wrong: &[("src/a.rs", "use std::io::*;\nmod tests {\n    use super::*;\n}")],
    right: &[("src/a.rs", "mod tests {\n    use super::*;\n}\nconst A: usize = a::B * 2;")],
};

const EXAMPLE_RULE: Rule = Rule {
    reason: "a public item shows how it is used, or says by a link where in its file that is shown",
    covers: is_library,
    check: examples::missing_examples,
    wrong: &[
        ("src/a.rs", "/// Does it.\npub fn f() {}"),
        ("src/a.rs", "/// Does it.\n#[must_use]\npub const unsafe extern \"C\" fn f() {}"),
        (
            "src/a.rs",
            "/// ```\n/// f();\n/// ```\npub struct A {\n    pub f: fn(),\n}\npub enum B {}",
        ),
        ("src/a.rs", "/// ```text\n/// f();\n/// ```\npub const X: u8 = 1;"),
        ("src/a.rs", "/// ```compile_fail\n/// f();\n/// ```\npub trait T {}"),
        ("src/a.rs", "/// Makes.\n#[macro_export]\nmacro_rules! m {\n    () => {};\n}"),
        ("src/a.rs", "/// See [`g`](Self::g) for an example.\npub fn f() {}\n\npub fn g() {}"),
        ("src/a.rs", "/// ```\n/// ```\npub fn g() {}\n\n/// See g for an example.\npub fn f() {}"),
    ],
    right: &[
        ("src/a.rs", "/// ```\n/// f();\n/// ```\n#[inline]\npub unsafe fn f() {}"),
        ("src/a.rs", "/// ```compile_fail\n/// ```\n/// ```no_run\n/// ```\npub fn f() {}"),
        ("src/a.rs", "pub(crate) fn f() {}\nmod tests {\n    pub fn g() {}\n}"),
        ("src/a.rs", "#[doc(hidden)]\npub struct A;\nimpl<T: X<U>> A<T> {\n    pub fn f() {}\n}"),
        (
            "src/a.rs",
            "/// ```\n/// ```\npub fn g() {}\n\n/// See [`A::g`] for an example.\npub fn f() {}",
        ),
        ("src/a.rs", "pub(crate) mod sealed {\n    pub trait Sealed {}\n}"),
        ("src/a.rs", "macro_rules! own {\n    () => {};\n}"),
    ],
};

const SPEECH_RULE: Rule = Rule {
    reason: "what is cited must be readable by whoever has the source",
    covers: |_| true,
    check: checks::foreign_words,
    wrong: &[
        ("src/a.rs", concat!("//! See iss", "ue #12.")),
        ("README.md", concat!("as DES", "IGN.md says")),
        ("CHANGELOG.md", concat!("found in this ses", "sion")),
        (".ci/a", concat!("cd /wo", "rk/main")),
    ],
    right: &[("src/a.rs", "//! Issues a system call; a TLS session ends at work/main.")],
};

#[test]
fn imports_go_downwards() {
    enforce(&LAYER_RULE);
}

#[test]
fn only_sys_calls_the_system() {
    enforce(&SYSTEM_RULE);
}

#[test]
fn only_the_portable_switch_knows_corosensei() {
    enforce(&ORACLE_RULE);
}

#[test]
fn assembly_text_lives_in_its_folder() {
    enforce(&ASSEMBLY_RULE);
}

#[test]
fn the_library_exports_no_unmangled_symbol() {
    enforce(&SYMBOL_RULE);
}

#[test]
fn unsafe_blocks_say_why_they_are_sound() {
    enforce(&SAFETY_RULE);
}

#[test]
fn unsafe_functions_state_their_contract() {
    enforce(&CONTRACT_RULE);
}

#[test]
fn files_are_short() {
    enforce(&FILE_RULE);
}

#[test]
fn lines_are_short() {
    enforce(&WIDTH_RULE);
}

#[test]
fn sources_are_ascii() {
    enforce(&ASCII_RULE);
}

#[test]
fn files_open_with_what_they_are() {
    enforce(&HEADER_RULE);
}

#[test]
fn functions_are_short() {
    enforce(&FUNCTION_RULE);
}

#[test]
fn nothing_sleeps_to_synchronise() {
    enforce(&SLEEP_RULE);
}

#[test]
fn nothing_imports_everything() {
    enforce(&GLOB_RULE);
}

#[test]
fn public_items_have_examples() {
    enforce(&EXAMPLE_RULE);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    enforce(&SPEECH_RULE);
}

/// Goal: the table itself is sound. Method: every edge goes to a lower layer or is listed as
/// sideways, and following the sideways edges never leads back.
#[test]
fn the_layer_table_has_no_cycle() {
    let layer_of = |name: &str| LAYERS.iter().find(|row| row.0 == name).map(|row| row.1);
    for (name, layer, imports) in LAYERS {
        for import in imports.iter().filter(|import| **import != "*") {
            let below =
                layer_of(import).unwrap_or_else(|| panic!("{name} imports no module {import}"));
            assert!(below < *layer || SIDEWAYS.contains(&(*name, *import)), "{name} -> {import}");
        }
    }
    for (from, to) in SIDEWAYS {
        assert_eq!(layer_of(from), layer_of(to), "{from} -> {to} is not sideways");
        let mut reached = vec![*to];
        let mut next = 0;
        while next < reached.len() {
            assert_ne!(reached[next], *from, "{from} -> {to} closes a cycle");
            let onward = SIDEWAYS.iter().filter(|edge| edge.0 == reached[next]);
            let new: Vec<_> =
                onward.map(|edge| edge.1).filter(|to| !reached.contains(to)).collect();
            reached.extend(new);
            next += 1;
        }
    }
}

/// Goal: the code map covers the code. Method: each top-level module that exists appears in
/// ARCHITECTURE.md in backticks, as `name`, `name/` or `name.rs`.
#[test]
fn the_architecture_names_every_module() {
    assert_eq!(
        checks::unnamed_modules("| `sys/` | `list.rs` | sim |", &["sys", "list", "sim"]),
        ["sim"]
    );
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let paths: Vec<String> = tree().into_iter().map(|(path, _)| path).collect();
    let mut modules: Vec<&str> = paths.iter().filter_map(|path| top_module(path)).collect();
    modules.dedup();
    assert!(modules.len() > 5, "found only {modules:?}");
    let unnamed = checks::unnamed_modules(&text, &modules);
    assert!(unnamed.is_empty(), "ARCHITECTURE.md does not name {unnamed:?}");
}

struct Rule {
    reason: &'static str,
    covers: fn(&str) -> bool,
    check: fn(&Source) -> Vec<Violation>,
    /// (path, text) pairs that the check must catch.
    wrong: &'static [(&'static str, &'static str)],
    /// (path, text) pairs that it must let pass.
    right: &'static [(&'static str, &'static str)],
}

/// Tries the rule on its own snippets, then on the tree.
fn enforce(rule: &Rule) {
    for (path, text) in rule.wrong {
        let caught = (rule.covers)(path) && !(rule.check)(&Source::new(path, text)).is_empty();
        assert!(caught, "the check lets this pass, in {path}:\n{text}");
    }
    for (path, text) in rule.right {
        let found = (rule.check)(&Source::new(path, text));
        assert!((rule.covers)(path) && found.is_empty(), "{path}: {found:?} in:\n{text}");
    }
    let (mut files, mut report) = (0, String::new());
    for (path, text) in tree().iter().filter(|(path, _)| (rule.covers)(path)) {
        files += 1;
        for (line, what) in (rule.check)(&Source::new(path, text)) {
            writeln!(report, "  {path}:{line}: {what}").expect("a String takes any text");
        }
    }
    assert!(files > 0, "the rule covers no file");
    assert!(report.is_empty(), "{}:\n{report}", rule.reason);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// The sources of the library and of the preload package.
fn is_source(path: &str) -> bool {
    is_rust(path) && path.starts_with("src/")
}

fn is_library(path: &str) -> bool {
    is_source(path) && !path.starts_with("src/preload/")
}

/// `src/net/tcp.rs` and `src/net.rs` both belong to `net`.
fn top_module(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/").filter(|_| is_library(path))?;
    Some(rest.split_once('/').map_or(rest.trim_end_matches(".rs"), |(folder, _)| folder))
}

/// Every source of the workspace, as (path from the root, text), in the order of the paths.
fn tree() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = format!("{folder}{name}");
            let is_folder = entry.file_type().expect("a file type").is_dir();
            if is_folder && (name == ".ci" || !(name.starts_with('.') || name == "target")) {
                folders.push(format!("{path}/"));
            } else if !is_folder && is_text(&path) {
                let text = fs::read_to_string(entry.path()).expect("a source in UTF-8");
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

fn is_text(path: &str) -> bool {
    let endings = [".rs", ".s", ".c", ".h", ".cc", ".py", ".toml", ".md"];
    path.starts_with(".ci/") || endings.iter().any(|ending| path.ends_with(ending))
}

/// One function of more than 70 lines, in a file of more than 700.
const LONG: &str = {
    const TEXT: [u8; LINES_MAX + 20] = {
        let mut text = [b'\n'; LINES_MAX + 20];
        (text[0], text[1], text[2], text[3], text[4], text[5]) =
            (b'f', b'n', b' ', b'f', b'(', b')');
        (text[6], text[LINES_MAX + 19]) = (b'{', b'}');
        text
    };
    match std::str::from_utf8(&TEXT) {
        Ok(text) => text,
        Err(_) => panic!("ASCII is UTF-8"),
    }
};
