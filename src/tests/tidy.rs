//! The rules of the house, as code: each rule says why it is one, and is shown to catch what it forbids. Must never
//! know what the code does, only how it is written. Reads the source as words, so that comments and strings may speak
//! of anything.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What a room may name of ours and of others; DESIGN calls the whole the import law.
struct Room {
    name: &'static str,
    /// Why the room is kept apart.
    why: &'static str,
    /// Paths of ours besides its own, each with everything below it.
    ours: &'static [&'static str],
    /// Other crates.
    crates: Crates,
    /// Words that stand nowhere in it.
    never: &'static [&'static str],
}

/// Patterns are paths whose segments may begin or end with `*`; a pattern covers everything below it.
enum Crates {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const ROOMS: &[Room] = &[
    Room {
        name: "wire",
        why: "what crosses a boundary is known to both sides and knows neither",
        ours: &[],
        crates: Crates::Only(&["std", "serde"]),
        never: &[],
    },
    Room {
        name: "engine",
        why: "the queue is plain Rust: what it decides can be tried without a browser, a clock or a network",
        ours: &["wire"],
        crates: Crates::Only(&["std"]),
        never: &["Instant", "SystemTime"],
    },
    Room {
        name: "widget",
        why: "the views are the same on both sides, so they may touch neither the browser nor the server",
        ours: &["engine", "wire"],
        // An event is named to be handed on; opening it is the browser room's work.
        crates: Crates::Only(&["std", "leptos", "web_sys::*Event"]),
        never: &[],
    },
    Room {
        name: "island",
        why: "an island is the widget with its set-up, and nothing more",
        ours: &["widget", "wire"],
        crates: Crates::Only(&["std", "leptos"]),
        never: &[],
    },
    Room {
        name: "browser",
        why: "the pipes carry; what is shown and what is decided lies elsewhere",
        ours: &["engine", "wire"],
        crates: Crates::AllBut(&["leptos*", "axum*", "tokio*", "tower*", "sqlx*"]),
        never: &[],
    },
    Room {
        name: "element",
        why: "the side door only mounts the widget, and says in JavaScript's own values what it tells",
        ours: &["widget", "browser", "engine", "wire"],
        crates: Crates::Only(&[
            "std",
            "js_sys",
            "leptos::mount",
            "send_wrapper",
            "wasm_bindgen*",
            "web_sys::Element",
        ]),
        never: &[],
    },
    Room {
        name: "server",
        why: "the server must serve any client, so it knows none, ours least of all",
        ours: &["wire"],
        crates: Crates::AllBut(&["leptos*", "web_sys", "js_sys", "wasm_bindgen*", "gloo*"]),
        never: &[],
    },
    Room {
        name: "app",
        why: "the site shows the widget and asks the server; the browser is the widget's business",
        ours: &["api", "island", "server", "widget", "wire"],
        crates: Crates::AllBut(&["web_sys", "js_sys", "wasm_bindgen*", "gloo*"]),
        never: &[],
    },
    Room {
        name: "api",
        why: "a server function is one line on the server's side and a request on the other",
        ours: &["app", "server", "widget", "wire"],
        crates: Crates::AllBut(&["web_sys", "js_sys", "wasm_bindgen*", "gloo*"]),
        never: &[],
    },
    Room {
        name: "cli",
        why: "a terminal has no page",
        // The options of `plimsoll serve` are the server's own.
        ours: &["engine", "server::config", "wire"],
        crates: Crates::AllBut(&["leptos*", "web_sys", "js_sys", "wasm_bindgen*", "gloo*"]),
        never: &[],
    },
];

/// What single files may name beyond their room: paths of ours, and other crates.
const DOORS: &[(&str, &[&str], &[&str])] = &[
    // The one place where browser and server meet.
    ("src/widget/runtime.rs", &["browser"], &[]),
    // The twin of `browser::Runtime` on the server: the same signatures, so the same types; and it writes into the
    // page what the browser's own will read there.
    ("src/widget/inert.rs", &[], &["web_sys", "serde", "serde_json"]),
];

/// Where the two worlds are told apart.
const GATES: &[&str] = &["src/lib.rs", "src/main.rs", "src/widget/runtime.rs", "src/api.rs"];

/// A rule about single files.
struct Rule {
    name: &'static str,
    why: &'static str,
    check: fn(&House, &File) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule { name: "import law", why: "rooms are split by what they are allowed to know", check: import_law },
    Rule {
        name: "gates",
        why: "a feature asked for in many places splits every room into two half-tested ones",
        check: gates,
    },
    Rule { name: "opening", why: "a file says first what it is and what it must never know", check: opening },
    Rule {
        name: "no forget",
        why: "a closure given away is never freed and its listener never removed: hold it, and undo in Drop",
        check: no_forget,
    },
    Rule { name: "no half work", why: "what is not done is not there", check: no_half_work },
    Rule {
        name: "expect, with a reason",
        why: "allow stays when its cause is gone; expect tells, and the reason is for who reads it then",
        check: expect_with_a_reason,
    },
    Rule {
        name: "prefixes",
        why: "the widget lives in other people's pages, whose classes and properties are not ours to take",
        check: prefixes,
    },
    Rule {
        name: "no traces",
        why: "what one machine calls its folders and hosts helps nobody else",
        check: no_traces,
    },
    Rule {
        name: "white space",
        why: "a difference nobody can see hides those that matter",
        check: white_space,
    },
];

#[test]
fn the_house_is_tidy() {
    let house = House::open();
    let mut all = house.findings();
    all.extend(house.undrawn_rooms());
    all.extend(house.disagreeing_versions());
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

/// Something against a rule, and the line it stands in.
struct Finding(usize, String);

/// One text file of the repository.
struct File {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The room it belongs to: the first name of its path below `src`.
    fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    /// The path of the module that it is.
    fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|name| !matches!(*name, "mod" | "lib" | "main")).collect()
    }
}

/// All that rules look at.
struct House {
    root: PathBuf,
    files: Vec<File>,
    /// What Cargo.toml depends on, in Rust's spelling.
    dependencies: BTreeSet<String>,
    /// What only tests may name.
    dev_dependencies: BTreeSet<String>,
}

impl House {
    fn open() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let mut files = Vec::new();
        collect(&root, &root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(files.len() > 20, "the walk found only {} files", files.len());
        Self {
            root,
            files,
            dependencies: keys(&manifest, "[dependencies]"),
            dev_dependencies: keys(&manifest, "[dev-dependencies]"),
        }
    }

    fn findings(&self) -> Vec<String> {
        let mut all = Vec::new();
        for file in &self.files {
            for rule in RULES {
                for Finding(line, what) in (rule.check)(self, file) {
                    all.push(format!("{}:{line}: {what}\n    {}: {}", file.path, rule.name, rule.why));
                }
            }
        }
        all
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rooms that lib.rs opens but does not draw in its code map: a newcomer looks there first.
    fn undrawn_rooms(&self) -> Vec<String> {
        let Some(lib) = self.file("src/lib.rs") else { return vec!["src/lib.rs is missing".into()] };
        let map: String = lib.text.lines().filter(|line| line.starts_with("//! |")).collect();
        let words = words(&lib.text);
        let rooms =
            words.windows(3).filter_map(|triple| match (&triple[0].is, &triple[1].is, &triple[2].is) {
                (Is::Name("mod"), Is::Name(room), Is::Mark(';')) => Some(*room),
                _ => None,
            });
        rooms
            .filter(|room| !map.contains(&format!("`{room}`")))
            .map(|room| format!("src/lib.rs: the code map has no line for `{room}`"))
            .collect()
    }

    /// Numbers that stand in two places: a build with one of them changed fails late and in strange words.
    fn disagreeing_versions(&self) -> Vec<String> {
        let read = |path: &str| std::fs::read_to_string(self.root.join(path)).unwrap_or_default();
        let (manifest, lock, toolchain) =
            (read("Cargo.toml"), read("Cargo.lock"), read("rust-toolchain.toml"));
        let mut all = Vec::new();
        for name in ["wasm-bindgen", "leptos"] {
            let (pinned, locked) = (pinned(&manifest, name), locked(&lock, name));
            if pinned.is_none() || pinned != locked {
                all.push(format!("Cargo.toml pins {name} to {pinned:?}, Cargo.lock has {locked:?}"));
            }
        }
        let (channel, oldest) = (value(&toolchain, "channel"), value(&manifest, "rust-version"));
        let agree = matches!((channel, oldest), (Some(channel), Some(oldest)) if channel.starts_with(oldest));
        if !agree {
            all.push(format!("rust-toolchain.toml has {channel:?}, Cargo.toml's rust-version is {oldest:?}"));
        }
        all
    }
}

fn import_law(house: &House, file: &File) -> Vec<Finding> {
    let Some(room) = ROOMS.iter().find(|room| file.is_rust() && file.room() == Some(room.name)) else {
        return vec![];
    };
    let door = DOORS.iter().find(|door| door.0 == file.path);
    let words = words(&file.text);
    let mut all = Vec::new();
    for named in paths(&file.module(), &words) {
        let text = named.path.join("::");
        let covered = |patterns: &[&str]| patterns.iter().any(|pattern| covers(pattern, &named.path));
        let lawful = if named.ours {
            // `super::*` at the top of a room names nothing in particular; the compiler knows what it may bring.
            named.path.first().is_none_or(|first| *first == room.name)
                || covered(room.ours)
                || door.is_some_and(|door| covered(door.1))
        } else {
            let head = named.path[0];
            let known = house.dependencies.contains(head) || house.dev_dependencies.contains(head);
            let tests_own = named.in_test && house.dev_dependencies.contains(head);
            let by_law = match room.crates {
                Crates::Only(patterns) => covered(patterns),
                Crates::AllBut(patterns) => !covered(patterns),
            };
            // A name that is no crate is a type, a variable or a neighbour: nothing that leads outside.
            !known || by_law || tests_own || door.is_some_and(|door| covered(door.2))
        };
        if !lawful {
            let whose = if named.ours { "crate::" } else { "" };
            all.push(Finding(named.line, format!("`{}` names `{whose}{text}`; {}", room.name, room.why)));
        }
    }
    for word in words {
        if let Is::Name(name) = word.is
            && room.never.contains(&name)
        {
            all.push(Finding(word.line, format!("`{}` names `{name}`; {}", room.name, room.why)));
        }
    }
    all
}

fn gates(_: &House, file: &File) -> Vec<Finding> {
    if !in_src(file) || !file.is_rust() || GATES.contains(&file.path.as_str()) || file.room() == Some("tests")
    {
        return vec![];
    }
    let words = words(&file.text);
    let mut all = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let asked = matches!(word.is, Is::Name("feature"))
            && matches!(words.get(at + 1), Some(w) if w.is == Is::Mark('='));
        // Back to the start of the attribute or the macro: a variable called `feature` is none of ours.
        let in_cfg = words[..at]
            .iter()
            .rev()
            .take_while(|word| !matches!(word.is, Is::Mark(';' | ']' | '{' | '}')))
            .any(|word| matches!(word.is, Is::Name("cfg" | "cfg_attr")));
        if asked && in_cfg {
            all.push(Finding(word.line, "asks for a feature".into()));
        }
    }
    all
}

fn opening(_: &House, file: &File) -> Vec<Finding> {
    let first = file
        .text
        .lines()
        .find(|line| !line.starts_with("#!/") && !line.trim().is_empty())
        .unwrap_or_default();
    let extension = file.path.rsplit('.').next().unwrap_or_default();
    let openings: &[&str] = match extension {
        "rs" => &["//! "],
        "css" => &["/* "],
        "js" | "mjs" | "ts" => &["// ", "/** ", "/* "],
        "sql" => &["-- "],
        "sh" => &["# "],
        _ if file.path == "Makefile" => &["# "],
        _ => return vec![],
    };
    if openings.iter().any(|opening| first.starts_with(opening)) {
        return vec![];
    }
    vec![Finding(1, format!("does not begin with `{}`", openings[0].trim_end()))]
}

fn no_forget(_: &House, file: &File) -> Vec<Finding> {
    names(file, |name, before, after| match (name, before, after) {
        // One's own `forget(which)` is another thing.
        ("forget", Some(Is::Mark('.')), [Is::Mark('('), Is::Mark(')')]) => Some("gives a closure away"),
        ("forget", Some(Is::Colons), [Is::Mark('('), _]) => Some("gives it away for ever"),
        ("into_js_value", ..) => Some("gives a closure away"),
        _ => None,
    })
}

fn no_half_work(_: &House, file: &File) -> Vec<Finding> {
    names(file, |name, _, after| {
        (matches!(name, "todo" | "unimplemented") && after[0] == Is::Mark('!')).then_some("is not done")
    })
}

fn expect_with_a_reason(_: &House, file: &File) -> Vec<Finding> {
    if !in_src(file) || !file.is_rust() {
        return vec![];
    }
    let words = words(&file.text);
    let mut all = Vec::new();
    for at in 0..words.len() {
        let Some(attribute) = attribute(&words[at..]) else { continue };
        let has = |name: &str| attribute.iter().any(|word| word.is == Is::Name(name));
        let lint = |name: &str| {
            attribute.windows(2).any(|pair| pair[0].is == Is::Name(name) && pair[1].is == Is::Mark('('))
        };
        if lint("allow") {
            all.push(Finding(words[at].line, "allows".into()));
        }
        if lint("expect") && !has("reason") {
            all.push(Finding(words[at].line, "expects without a reason".into()));
        }
    }
    all
}

fn prefixes(_: &House, file: &File) -> Vec<Finding> {
    if !file.path.ends_with("widget.css") {
        return vec![];
    }
    let css = without_css_comments_and_strings(&file.text);
    let mut all = Vec::new();
    for (number, line) in css.lines().enumerate() {
        for (at, _) in line.match_indices('.') {
            let class: String =
                line[at + 1..].chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            let is_number = class.chars().next().is_none_or(|first| first.is_ascii_digit());
            if !is_number && !class.starts_with("pl-") {
                all.push(Finding(number + 1, format!("the class `.{class}` does not begin with `.pl-`")));
            }
        }
        let declared = line.trim_start().strip_prefix("--").and_then(|rest| rest.split_once(':'));
        if let Some((name, _)) = declared
            && !name.starts_with("plimsoll-")
        {
            all.push(Finding(
                number + 1,
                format!("the property `--{name}` does not begin with `--plimsoll-`"),
            ));
        }
    }
    all
}

fn no_traces(_: &House, file: &File) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let folders = ["root", "home", "Users"].map(|folder| format!("/{folder}/"));
    let mut all = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for folder in &folders {
            let from_the_top =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "/._-~}*)".contains(c));
            if line.match_indices(folder.as_str()).any(|(at, _)| from_the_top(at)) {
                all.push(Finding(number + 1, format!("names the folder `{folder}`")));
            }
        }
        // npm's lock file can do without hosts (.npmrc says so); cargo's names its index, which must be a public one.
        let source = ["\"resolved\": \"http", "source = \"registry+http:", "registry="]
            .iter()
            .any(|key| line.trim_start().starts_with(key));
        if source {
            all.push(Finding(number + 1, "names a registry".into()));
        }
    }
    all
}

fn white_space(_: &House, file: &File) -> Vec<Finding> {
    let mut all = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        if line.ends_with(' ') || line.ends_with('\t') || line.ends_with('\r') {
            all.push(Finding(number + 1, "ends in white space".into()));
        }
        // make wants its tabs.
        if line.contains('\t') && file.path != "Makefile" {
            all.push(Finding(number + 1, "has a tab".into()));
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        all.push(Finding(file.text.lines().count(), "does not end with one line break".into()));
    }
    all
}

/// Findings about names in Rust code below `src`, told from the word before and the two behind.
fn names(
    file: &File,
    wrong: impl Fn(&str, Option<Is<'_>>, [Is<'_>; 2]) -> Option<&'static str>,
) -> Vec<Finding> {
    if !in_src(file) || !file.is_rust() {
        return vec![];
    }
    let words = words(&file.text);
    let is = |at: usize| words.get(at).map(|word| word.is);
    let mut all = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Is::Name(name) = word.is else { continue };
        let after = [at + 1, at + 2].map(|at| is(at).unwrap_or(Is::Mark(';')));
        if let Some(what) = wrong(name, at.checked_sub(1).and_then(is), after) {
            all.push(Finding(word.line, format!("`{name}` {what}")));
        }
    }
    all
}

fn in_src(file: &File) -> bool {
    file.path.starts_with("src/")
}

/// Whether a pattern covers a path: segment by segment, as far as the pattern goes.
fn covers(pattern: &str, path: &[&str]) -> bool {
    let pattern: Vec<_> = pattern.split("::").collect();
    pattern.len() <= path.len()
        && pattern.iter().zip(path).all(|(wanted, is)| {
            match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
                (Some(end), _) => is.ends_with(end),
                (_, Some(start)) => is.starts_with(start),
                _ => wanted == is,
            }
        })
}

/// A path that the code names.
struct Named<'a> {
    /// For our own, from the crate's root; for others, from the crate's name.
    path: Vec<&'a str>,
    ours: bool,
    line: usize,
    in_test: bool,
}

/// All paths of more than one segment, and all that `use` names; `use` trees are taken apart.
fn paths<'a>(module: &[&'a str], words: &[Word<'a>]) -> Vec<Named<'a>> {
    let tests = test_ranges(words);
    let mut inner: Vec<(&str, usize)> = Vec::new();
    let (mut all, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while let Some(word) = words.get(at) {
        match word.is {
            Is::Mark('{') => depth += 1,
            Is::Mark('}') => {
                depth = depth.saturating_sub(1);
                inner.pop_if(|module| module.1 > depth);
            }
            Is::Name("mod") if matches!(words.get(at + 2), Some(w) if w.is == Is::Mark('{')) => {
                if let Is::Name(name) = words[at + 1].is {
                    inner.push((name, depth + 1));
                }
            }
            _ => {}
        }
        let is = |at: Option<usize>, wanted: Is<'_>| {
            at.and_then(|at| words.get(at)).is_some_and(|word| word.is == wanted)
        };
        let used = is(at.checked_sub(1), Is::Name("use"));
        let goes_on = is(at.checked_sub(1), Is::Mark('.'))
            || is(at.checked_sub(1), Is::Colons)
                && at
                    .checked_sub(2)
                    .is_some_and(|at| words[at].begins_path() || words[at].is == Is::Mark('>'));
        let begins = word.begins_path() && !goes_on || used && word.is == Is::Mark('{');
        if !begins {
            at += 1;
            continue;
        }
        let mut found = Vec::new();
        let end = tree(words, at, &mut Vec::new(), &mut found);
        let used = used || is(at.checked_sub(2), Is::Name("use"));
        for (path, line) in found {
            if path.len() == 1 && !used {
                continue;
            }
            let here = module.iter().copied().chain(inner.iter().map(|module| module.0));
            let (path, ours) = resolved(here.collect(), &path);
            let in_test = tests.iter().any(|range| range.contains(&at));
            all.push(Named { path, ours, line, in_test });
        }
        // A `mod` or a brace must still be seen by the loop itself.
        at = if end > at + 1 { end } else { at + 1 };
    }
    all
}

/// Reads one path or `use` tree from `at` on, and tells where it ends.
fn tree<'a>(
    words: &[Word<'a>],
    mut at: usize,
    path: &mut Vec<&'a str>,
    found: &mut Vec<(Vec<&'a str>, usize)>,
) -> usize {
    let start = path.len();
    while let Some(word) = words.get(at) {
        match word.is {
            Is::Name(name) => {
                path.push(name);
                at += 1;
                if !matches!(words.get(at), Some(next) if next.is == Is::Colons) {
                    found.push((path.clone(), word.line));
                    break;
                }
                at += 1;
            }
            Is::Mark('*') => {
                path.push("*");
                found.push((path.clone(), word.line));
                at += 1;
                break;
            }
            Is::Mark('{') => {
                at += 1;
                while let Some(word) = words.get(at) {
                    match word.is {
                        Is::Mark('}') => break,
                        Is::Name("as") => at += 2,
                        Is::Name(_) | Is::Mark('*' | '{') => at = tree(words, at, path, found),
                        _ => at += 1,
                    }
                }
                at += 1;
                break;
            }
            // `Vec::<u8>`: the path ends before the angle.
            _ => {
                found.push((path.clone(), word.line));
                break;
            }
        }
    }
    path.truncate(start);
    at
}

/// A path from the crate's root, when it is one of ours.
fn resolved<'a>(here: Vec<&'a str>, path: &[&'a str]) -> (Vec<&'a str>, bool) {
    let mut base = match path[0] {
        "crate" => Vec::new(),
        "self" | "super" => here,
        _ => return (path.to_vec(), false),
    };
    let mut rest = &path[usize::from(path[0] != "super")..];
    while let Some(("super", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        base.pop();
        rest = after;
    }
    base.extend(rest);
    base.retain(|name| *name != "*");
    (base, true)
}

/// Where the items stand that exist in tests only.
fn test_ranges(words: &[Word<'_>]) -> Vec<std::ops::Range<usize>> {
    let mut all = Vec::new();
    for at in 0..words.len() {
        let Some(attribute) = attribute(&words[at..]) else { continue };
        // A file that says so of itself exists in tests only from there on.
        if attribute.len() == 7 && attribute[3].is == Is::Name("cfg") && attribute[5].is == Is::Name("test") {
            all.push(at..words.len());
        }
        let cfg_test =
            attribute.len() == 6 && attribute[2].is == Is::Name("cfg") && attribute[4].is == Is::Name("test");
        if !cfg_test {
            continue;
        }
        let (mut end, mut depth) = (at + attribute.len(), 0);
        while let Some(word) = words.get(end) {
            match word.is {
                Is::Mark('{') => depth += 1,
                Is::Mark('}') => depth -= 1,
                _ => {}
            }
            end += 1;
            if depth == 0 && matches!(word.is, Is::Mark('}' | ';')) {
                break;
            }
        }
        all.push(at..end);
    }
    all
}

/// The attribute that begins with the first of these words, up to but without its closing bracket.
fn attribute<'w, 'a>(words: &'w [Word<'a>]) -> Option<&'w [Word<'a>]> {
    let marks = |at: usize, mark: char| matches!(words.get(at), Some(word) if word.is == Is::Mark(mark));
    let open = if marks(1, '!') { 2 } else { 1 };
    if !marks(0, '#') || !marks(open, '[') {
        return None;
    }
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.is {
            Is::Mark('[') => depth += 1,
            Is::Mark(']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&words[..at]);
        }
    }
    None
}

/// One word of Rust code.
struct Word<'a> {
    is: Is<'a>,
    /// Counted from 1.
    line: usize,
}

impl Word<'_> {
    /// Whether it can be the first segment of a path; before a leading `::` stands a word that cannot.
    fn begins_path(&self) -> bool {
        const NEVER: &[&str] =
            &["as", "dyn", "else", "for", "impl", "in", "let", "match", "mut", "return", "use", "where"];
        matches!(self.is, Is::Name(name) if !NEVER.contains(&name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is<'a> {
    /// An identifier, a keyword or a number.
    Name(&'a str),
    /// `::`
    Colons,
    Mark(char),
    /// A text, a character or a lifetime, whatever it says.
    Literal,
}

/// Rust code as words. Comments vanish, and literals lose what they say.
fn words(text: &str) -> Vec<Word<'_>> {
    let (mut all, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(first) = rest.chars().next() {
        let (length, is) = word(rest, first);
        if let Some(is) = is {
            all.push(Word { is, line });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    all
}

fn word(rest: &str, first: char) -> (usize, Option<Is<'_>>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if rest.starts_with("::") {
        return (2, Some(Is::Colons));
    }
    let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    if name > 0 {
        let after = &rest[name..];
        let prefixed = matches!(&rest[..name], "r" | "b" | "br" | "c" | "cr");
        if prefixed && after.starts_with('"') && !rest[..name].contains('r') {
            return (name + string(after), Some(Is::Literal));
        }
        if prefixed && rest[..name].contains('r') && after.trim_start_matches('#').starts_with('"') {
            return (name + raw_string(after), Some(Is::Literal));
        }
        if &rest[..name] == "b" && after.starts_with('\'') {
            return (name + quoted(after), Some(Is::Literal));
        }
        return (name, Some(Is::Name(&rest[..name])));
    }
    match first {
        '"' => (string(rest), Some(Is::Literal)),
        '\'' => (quoted(rest), Some(Is::Literal)),
        _ if first.is_whitespace() => (first.len_utf8(), None),
        _ => (first.len_utf8(), Some(Is::Mark(first))),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    rest[hashes + 1..].find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len())
}

/// A character, or else a lifetime.
fn quoted(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            rest.char_indices().skip(3).find(|(_, c)| *c == '\'').map_or(rest.len(), |(at, _)| at + 1)
        }
        Some((at, c)) if rest[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1 + rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - 1),
    }
}

fn without_css_comments_and_strings(css: &str) -> String {
    let (mut out, mut rest) = (String::new(), css);
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |at| at + 4),
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |at| at + 2),
            _ if rest.starts_with("url(") => rest.find(')').map_or(rest.len(), |at| at + 1),
            _ => 0,
        };
        // Lines keep their numbers.
        out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        if skipped == 0 {
            out.push(first);
        }
        rest = &rest[skipped.max(first.len_utf8())..];
    }
    out
}

/// The keys of one table of a manifest, in Rust's spelling.
fn keys(manifest: &str, table: &str) -> BTreeSet<String> {
    let inside =
        manifest.lines().skip_while(|line| *line != table).skip(1).take_while(|line| !line.starts_with('['));
    let names = inside.filter(|line| !line.starts_with(['#', ' '])).filter_map(|line| line.split_once(" = "));
    let mut all: BTreeSet<_> = names.map(|(name, _)| name.replace('-', "_")).collect();
    all.extend(["std", "core", "alloc"].map(String::from));
    all
}

fn value<'a>(toml: &'a str, key: &str) -> Option<&'a str> {
    let line = toml.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
    line.split('"').next()
}

fn pinned<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = {"))?;
    line.split("version = \"=").nth(1)?.split('"').next()
}

fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    value(lock.split_once(&format!("\nname = \"{name}\"\n"))?.1, "version")
}

/// The repository's text files; not what is built, downloaded, uploaded or found by a fuzzer.
fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    const NEVER: &[&str] = &[".git", "artifacts", "corpus", "data", "node_modules", "out", "target"];
    const TEXT: &[&str] = &[
        "css", "html", "js", "json", "lock", "md", "mjs", "rs", "sh", "sql", "svg", "toml", "ts", "txt",
        "yaml", "yml",
    ];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !NEVER.contains(&name.as_str()) {
                collect(root, &path, files);
            }
        } else if TEXT.contains(&name.rsplit('.').next().unwrap_or_default())
            || ["Makefile", "run", ".gitignore", ".npmrc"].contains(&name.as_str())
        {
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
}

/// What the rules find in one file that says `text`, by the rules' names.
fn found(path: &str, text: &str) -> Vec<String> {
    let house = House {
        root: PathBuf::new(),
        files: vec![File { path: path.into(), text: text.into() }],
        dependencies: [
            "std",
            "serde",
            "leptos",
            "leptos_axum",
            "web_sys",
            "js_sys",
            "wasm_bindgen",
            "axum",
            "tokio",
        ]
        .map(String::from)
        .into(),
        dev_dependencies: ["std", "proptest"].map(String::from).into(),
    };
    let file = &house.files[0];
    RULES
        .iter()
        .flat_map(|rule| (rule.check)(&house, file).into_iter().map(|_| rule.name.to_owned()))
        .collect()
}

#[test]
fn the_import_law_catches() {
    let caught = |path: &str, code: &str| {
        let found = found(path, &format!("//! A room.\n{code}\n"));
        assert_eq!(found, ["import law"], "{path}: {code}");
    };
    caught("src/wire/ids.rs", "use axum::http;");
    caught("src/wire/ids.rs", "use crate::engine::Queue;");
    caught("src/wire/ids.rs", "use super::super::engine::Queue;");
    caught("src/wire/ids.rs", "mod inner { use super::super::super::server::Refusal; }");
    caught("src/engine/queue.rs", "use {std::fmt, tokio::time};");
    caught("src/engine/queue.rs", "use ::tokio::time;");
    caught("src/engine/queue.rs", "use tokio as t;");
    caught("src/engine/queue.rs", "fn now() { let _: leptos::prelude::Signal<u8>; }");
    caught("src/engine/queue.rs", "use std::time::Instant;");
    caught("src/engine/queue.rs", "use std::{collections::{BTreeMap, HashMap}, time::{self, SystemTime}};");
    caught("src/engine/queue.rs", "use proptest::prelude;");
    caught("src/engine/queue.rs", "use crate::{wire::Options, widget::text};");
    caught("src/widget/file_row.rs", "use crate::browser::Runtime;");
    caught("src/widget/file_row.rs", "use web_sys::{DragEvent, window};");
    caught("src/widget/file_row.rs", "fn f(_: &js_sys::Array) {}");
    caught("src/widget/runtime.rs", "use crate::server::Refusal;");
    caught("src/browser/xhr.rs", "use leptos::prelude::*;");
    caught("src/browser/xhr.rs", "use crate::widget::text;");
    caught("src/element/mod.rs", "use leptos::prelude::*;");
    caught("src/element/mod.rs", "use crate::server::Refusal;");
    caught("src/server/state.rs", "use crate::engine::Queue;");
    caught("src/server/state.rs", "use leptos_axum::LeptosRoutes;");
    caught("src/server/state.rs", "use super::super::{wire, widget};");
    caught("src/app/pages.rs", "use crate::browser::Runtime;");
    caught("src/api.rs", "fn f() { crate::browser::now() }");
    caught("src/cli/mod.rs", "use crate::server::routes;");
}

#[test]
fn the_import_law_lets_pass() {
    let passed = |path: &str, code: &str| {
        assert_eq!(found(path, &format!("//! A room.\n{code}\n")), [""; 0], "{path}: {code}");
    };
    passed(
        "src/wire/ids.rs",
        "use serde::{Deserialize, Serialize}; use super::error::ErrorBody; use std::fmt;",
    );
    passed(
        "src/engine/queue.rs",
        "use crate::{engine::event::{Event, FileId as Id}, wire::{self, Options}};",
    );
    passed(
        "src/engine/queue.rs",
        "// tokio::spawn, Instant\nconst A: &str = \"tokio::spawn\"; const B: char = '\\'';",
    );
    passed(
        "src/engine/queue.rs",
        "/* use axum::x; /* nested */ use axum::y; */ fn f<'tokio>(_: &'tokio str) {}",
    );
    passed(
        "src/engine/queue.rs",
        "const A: &str = r#\"Instant \" tokio::x\"#; const B: &[u8] = b\"axum::x\";",
    );
    passed("src/engine/queue.rs", "#[cfg(test)]\nmod tests { use super::*; use proptest::prelude::*; }");
    passed("src/engine/tests.rs", "#![cfg(test)]\nuse proptest::prelude::*;");
    passed(
        "src/engine/queue.rs",
        "mod a { mod b { use super::super::super::event::Event; } } use super::view;",
    );
    passed(
        "src/engine/queue.rs",
        "fn f() { let n = Vec::<u8>::with_capacity(1); x.axum::<u8>(); Self::leptos(); }",
    );
    passed(
        "src/widget/file_row.rs",
        "use leptos::prelude::*; fn f(_: web_sys::DragEvent) {} use super::text;",
    );
    passed("src/widget/runtime.rs", "pub use crate::browser::Runtime;");
    passed("src/widget/inert.rs", "fn attach(_: &web_sys::HtmlFormElement) {}");
    passed("src/element/mod.rs", "use leptos::mount::mount_to; use crate::widget::UploadWidget;");
    passed("src/server/state.rs", "use axum::Router; use crate::wire::Limits;");
    passed("src/cli/mod.rs", "use crate::server::config::RawConfig;");
    passed("src/main.rs", "use plimsoll::server; use leptos::prelude::*; use axum::Router;");
}

#[test]
fn every_other_rule_catches_and_lets_pass() {
    let check = |path: &str, text: &str, expected: &[&str]| {
        assert_eq!(found(path, text), expected, "{path}: {text:?}")
    };
    let rust =
        |code: &str, expected: &[&str]| check("src/server/x.rs", &format!("//! X.\n{code}\n"), expected);

    rust("#[cfg(feature = \"ssr\")]\nmod a;", &["gates"]);
    rust("#[cfg_attr(not(feature = \"ssr\"), derive(Debug))]\nstruct A;", &["gates"]);
    rust("fn f() -> bool { cfg!(feature = \"ssr\") }", &["gates"]);
    rust("fn f() { let feature = \"ssr\"; }", &[]);
    check("src/lib.rs", "//! X.\n#[cfg(feature = \"ssr\")]\nmod a;\n", &[]);

    check("src/server/x.rs", "use std::fmt;\n", &["opening"]);
    check("src/server/x.rs", "/// Doc of what comes, not of the file.\nuse std::fmt;\n", &["opening"]);
    check("style/main.css", "body { margin: 0 }\n", &["opening"]);
    check("scripts/x.sh", "#!/bin/sh\nset -e\n", &["opening"]);
    check("scripts/x.sh", "#!/bin/sh\n# Does x.\nset -e\n", &[]);
    check("src/server/x.sql", "CREATE TABLE x (y);\n", &["opening"]);

    rust("fn f(c: Closure) { c.forget(); }", &["no forget"]);
    rust("fn f(c: Closure) { std::mem::forget(c); }", &["no forget"]);
    rust("fn f(c: Closure) -> JsValue { c.into_js_value() }", &["no forget"]);
    rust("fn f(c: Closure) { Closure::forget(c); }", &["no forget"]);
    rust(
        "async fn f(c: &Catalog) { c.forget_outcomes_before(0).await; c.forget(which); let forget = 1; }",
        &[],
    );

    rust("fn f() { todo!() }", &["no half work"]);
    rust("fn f() { unimplemented!(\"later\") }", &["no half work"]);
    rust("fn todo() {} // todo!", &[]);

    rust("#[allow(dead_code)]\nfn f() {}", &["expect, with a reason"]);
    rust("#![allow(dead_code)]\nfn f() {}", &["expect, with a reason"]);
    rust("#[cfg_attr(test, allow(dead_code))]\nfn f() {}", &["expect, with a reason"]);
    rust("#[expect(dead_code)]\nfn f() {}", &["expect, with a reason"]);
    rust("#[expect(dead_code, reason = \"read by the other side\")]\nfn f() {}", &[]);
    rust("fn f(a: Option<u8>) { allow(a.map(|a| [a])); }", &[]);

    check("style/widget.css", "/* X. */\n.pl-row .name { margin: 0.5em .25em }\n", &["prefixes"]);
    check("style/widget.css", "/* X. */\n.pl-row {\n  --mine: 0;\n}\n", &["prefixes"]);
    check(
        "style/widget.css",
        "/* .x */\n.pl-row:not(.pl-done) {\n  --plimsoll-x: url(a.png); content: \".y\";\n}\n",
        &[],
    );
    check("style/main.css", "/* X. */\n.page { margin: 0 }\n", &[]);

    let home = concat!("/ho", "me/someone/x");
    check("README.md", &format!("Look into {home}\n"), &["no traces"]);
    rust(&format!("const X: &str = \"{home}\";"), &["no traces"]);
    check("README.md", &format!("See https://example.org{home}\n"), &[]);
    check("end2end/package-lock.json", "\"resolved\": \"http://localhost:4873/x.tgz\"\n", &["no traces"]);
    check("end2end/package-lock.json", "\"integrity\": \"sha512-x\"\n", &[]);
    check("Cargo.lock", "source = \"registry+http://127.0.0.1/index\"\n", &["no traces"]);

    check("README.md", "trailing \n", &["white space"]);
    check("README.md", "a\ttab\n", &["white space"]);
    check("README.md", "no end", &["white space"]);
    check("README.md", "two ends\n\n", &["white space"]);
    check("Makefile", "# X.\nall:\n\techo\n", &[]);
}

#[test]
fn the_map_and_the_versions_are_compared() {
    let house = |lib: &str| House {
        root: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        files: vec![File { path: "src/lib.rs".into(), text: lib.into() }],
        dependencies: BTreeSet::new(),
        dev_dependencies: BTreeSet::new(),
    };
    assert_eq!(house("//! | [`wire`] | x |\npub mod wire;\nmod cellar;\n").undrawn_rooms().len(), 1);
    assert_eq!(house("//! | [`wire`] | x |\npub mod wire;\n").undrawn_rooms().len(), 0);

    assert_eq!(
        pinned("wasm-bindgen = { version = \"=0.2.1\", optional = true }", "wasm-bindgen"),
        Some("0.2.1")
    );
    assert_eq!(pinned("wasm-bindgen = { version = \"0.2\" }", "wasm-bindgen"), None);
    let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"1\"\n\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.1\"\n";
    assert_eq!(locked(lock, "wasm-bindgen"), Some("0.2.1"));
}
