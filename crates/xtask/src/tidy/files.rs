//! Rules for committed files: how a source file opens, how long it gets, what no text may hold.

use super::Problems;

/// A file has one noun; a longer one has two.
const LINES_MAX: usize = 800;
const LINE_CHARS_MAX: usize = 100;

/// Where an ignored test is run: `cargo xtask test --slow` runs those of this program alone.
const SLOW_TESTS: &str = "crates/e2e/tests/e2e/";
/// Cut in two so that it is not found here.
const IGNORE: &str = concat!("#[ign", "ore");
const IGNORE_SLOW: &str = concat!("#[ign", "ore = \"slow: ");

/// What betrays the machine that a text was written on, cut in two so that it is not found here.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("spar", "se+"), "a registry of one machine"),
    (concat!("repl", "ace-with"), "a registry of one machine"),
    (concat!("index", "-url"), "a registry of one machine"),
];

/// How unsafe code begins, cut in two likewise.
const UNSAFE: &[&str] = &[
    concat!("un", "safe {"),
    concat!("un", "safe fn"),
    concat!("un", "safe impl"),
    concat!("un", "safe extern"),
    concat!("#[un", "safe("),
    concat!("allow(un", "safe_code"),
];

/// Checks one file. What is not UTF-8 is data (a fuzzing corpus, say) and has no rules.
pub(super) fn check(name: &str, bytes: &[u8], problems: &mut Problems) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if name.contains("/corpus/") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for (word, what) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
            problems.push(format!("{name}:{}: `{word}` is {what}", number + 1));
        }
    }
    if name.ends_with(".rs") {
        check_source(name, text, problems);
    }
}

fn check_source(name: &str, text: &str, problems: &mut Problems) {
    if !text.starts_with("//! ") {
        problems.push(format!("{name}:1: does not open with `//!` and what it is for"));
    }
    let lines = text.lines().count();
    if lines >= LINES_MAX {
        problems.push(format!("{name}: has {lines} lines, and at {LINES_MAX} it is two files"));
    }
    let may_be_unsafe = name.starts_with("crates/sys/");
    for (number, line) in text.lines().enumerate() {
        let mut problem = |what: &str| problems.push(format!("{name}:{}: {what}", number + 1));
        let code = line.trim_start();
        let is_comment = code.starts_with("//");
        if line.contains('\t') {
            problem("has a tab");
        }
        // Strings may be longer: cutting them would make messages hard to find.
        let is_text = !is_comment && (line.contains('"') || line.ends_with('\\'));
        if line.chars().count() > LINE_CHARS_MAX && !is_text {
            problem("is longer than 100 characters");
        }
        let is_run = name.starts_with(SLOW_TESTS) && code.starts_with(IGNORE_SLOW);
        if code.starts_with(IGNORE) && !is_run {
            problem("ignores a test that nothing runs: it is for slow ones of the e2e program");
        }
        if !may_be_unsafe && !is_comment && UNSAFE.iter().any(|word| line.contains(word)) {
            problem("is unsafe, which is for crates/sys alone");
        }
    }
}

#[cfg(test)]
mod tests {
    fn check(name: &str, text: &str, expected: &[&str]) {
        let mut problems = Vec::new();
        super::check(name, text.as_bytes(), &mut problems);
        assert_eq!(problems, expected, "{name}");
    }

    #[test]
    fn sources_have_their_rules() {
        check("a.rs", "//! Good.\n\nfn a() {}\n", &[]);
        check("a.rs", "fn a() {}\n", &["a.rs:1: does not open with `//!` and what it is for"]);
        let long = format!("//! Long.\n{}", "\n".repeat(799));
        check("a.rs", &long, &["a.rs: has 800 lines, and at 800 it is two files"]);
        check("a.rs", "//! Tab.\n\tx\n", &["a.rs:2: has a tab"]);
        let wide = "x".repeat(101);
        check("a.rs", &format!("//! {wide}\n"), &["a.rs:1: is longer than 100 characters"]);
        check("a.rs", &format!("//! Wide.\n{wide}\n"), &["a.rs:2: is longer than 100 characters"]);
        check("a.rs", &format!("//! Wide.\n    \"{wide}\",\n"), &[]);
    }

    #[test]
    fn unsafe_stays_in_its_crate() {
        let text = concat!("//! Un", "safe.\nlet x = un", "safe { y };\n");
        check("crates/sys/src/a.rs", text, &[]);
        check("a.rs", text, &["a.rs:2: is unsafe, which is for crates/sys alone"]);
    }

    #[test]
    fn ignored_tests_are_slow_ones_that_are_run() {
        let slow = concat!("//! Slow.\n#[ign", "ore = \"slow: 5 s\"]\n");
        let broken = concat!("//! Broken.\n#[ign", "ore]\n");
        let problem = "ignores a test that nothing runs: it is for slow ones of the e2e program";
        check("crates/e2e/tests/e2e/a.rs", slow, &[]);
        let name = "crates/e2e/tests/e2e/a.rs";
        check(name, broken, &[&format!("{name}:2: {problem}")]);
        check("crates/plan/src/a.rs", slow, &[&format!("crates/plan/src/a.rs:2: {problem}")]);
    }

    #[test]
    fn texts_do_not_say_where_they_were_written() {
        let text = concat!("see /ho", "me/me/x\n");
        let problem = concat!("a.md:1: `/ho", "me/` is a path of one machine");
        check("a.md", text, &[problem]);
        check("fuzz/corpus/x/y", text, &[]);
    }
}
