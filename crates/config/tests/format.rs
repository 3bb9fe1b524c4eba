//! Each `format/NAME.toml` is formatted, and the result must be `format/NAME.formatted`.
//! `UPDATE_GOLDEN=1` writes the results anew: read the difference before committing it.

// The lint knows test functions, and not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/checks/format.rs"]
mod check;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use fairwater_config::{format, render};

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == extension));
    paths.sort();
    assert!(!paths.is_empty(), "{folder}");
    paths
}

#[test]
fn files_are_formatted_as_the_golden_files_are() {
    for path in files("tests/format", "toml") {
        let text = fs::read(&path).unwrap();
        check::check(&text);
        let formatted = format("f", &text).unwrap_or_else(|found| panic!("{}", render(&found)));
        let expected_path = path.with_extension("formatted");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected_path, &formatted).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        assert_eq!(formatted, expected, "{}: see UPDATE_GOLDEN in {}", path.display(), file!());
    }
}

#[test]
fn every_file_means_the_same_when_it_is_formatted() {
    let mut texts = Vec::new();
    for folder in ["tests/golden", "tests/golden/conf.d", "../../examples", "../.."] {
        texts.extend(files(folder, "toml").iter().map(|path| fs::read(path).unwrap()));
    }
    for folder in ["../..", "../../docs", "../../docs/howto"] {
        for path in files(folder, "md") {
            let document = fs::read_to_string(path).unwrap();
            let blocks = document.split("```toml\n").skip(1).map(|part| part.split("```").next());
            texts.extend(blocks.map(|block| block.unwrap().as_bytes().to_vec()));
        }
    }
    assert!(texts.len() > 50, "only {} texts were found", texts.len());
    for text in texts {
        check::check(&text);
    }
}

#[test]
fn the_examples_are_formatted() {
    for path in files("../../examples", "toml") {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(format("f", text.as_bytes()).unwrap(), text, "{}", path.display());
    }
}

#[test]
fn what_is_no_toml_gets_its_diagnostics() {
    for (text, code) in [
        (&b"a = 1\nb = \n"[..], "E0003"),
        (b"a = 1\na = 2\n", "E0003"),
        (b"[a\n", "E0003"),
        (b"# \xff\n", "E0002"),
        (b"\xff\xfea\0", "E0002"),
    ] {
        let diagnostics = format("fairwater.toml", text).unwrap_err();
        assert_eq!(diagnostics[0].code.id, code);
        assert_eq!(diagnostics[0].location.as_ref().unwrap().file, "fairwater.toml");
    }
    let diagnostics = format("fairwater.toml", &vec![b'\n'; 8 * 1024 * 1024 + 1]).unwrap_err();
    assert_eq!(diagnostics[0].code.id, "E0001");
}

/// Each element of nested lists takes a line that begins with all their indentation.
#[test]
fn a_file_that_would_grow_out_of_bounds_is_refused() {
    let elements = "1,".repeat(200_000);
    let text = format!("a = {}#\n{elements}{}", "[".repeat(70), "]".repeat(70));
    let diagnostics = format("f", text.as_bytes()).unwrap_err();
    assert_eq!(diagnostics[0].code.id, "E0001");
    assert!(diagnostics[0].message.starts_with("formatted, "), "{}", diagnostics[0].message);
}

#[test]
fn large_files_are_formatted_at_once() {
    let mut text = String::new();
    for n in 0..20_000 {
        writeln!(text, "[upstreams.a{n}]\nendpoints=['10.0.0.1:1']#{n}").unwrap();
    }
    let entries: String = (0..20_000).map(|n| format!("k{n}=[1],")).collect();
    writeln!(text, "[one_line]\nb={{{entries}}}").unwrap();
    let formatted = format("f", text.as_bytes()).unwrap();
    assert_eq!(format("f", formatted.as_bytes()).unwrap(), formatted);
}

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pick<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces[self.below(pieces.len())]
    }
}

/// Writes valid TOML in every layout that it may have.
struct Writer {
    random: Random,
    text: String,
    /// Keys are numbered, so that none is there twice.
    keys: usize,
}

impl Writer {
    fn document(seed: u64) -> String {
        let mut writer = Self { random: Random(seed), text: String::new(), keys: 0 };
        for _ in 0..writer.random.below(12) {
            writer.text.push_str(writer.random.pick(&["", "", " ", "\t ", "    "]));
            match writer.random.below(6) {
                0 => writer.header(),
                1 => {}
                _ => writer.entry(0),
            }
            writer.text.push_str(writer.random.pick(&["", "", " ", "\t", " # c", "#c  ", " #"]));
            writer.text.push_str(writer.random.pick(&["\n", "\n", "\r\n", "\n\n\n", " \n"]));
        }
        writer.text
    }

    fn header(&mut self) {
        let (open, close) = [("[", "]"), ("[ ", "\t]"), ("[[", "]]")][self.random.below(3)];
        self.text.push_str(open);
        self.key();
        self.text.push_str(close);
    }

    fn key(&mut self) {
        self.keys += 1;
        for part in 0..=self.random.below(3) {
            let separator =
                if part > 0 { self.random.pick(&[".", " . ", "\t.", ". "]) } else { "" };
            let quotes = self.random.pick(&["", "", "\"", "'"]);
            let odd =
                if quotes.is_empty() { "-" } else { self.random.pick(&["x", " ", "#", "é"]) };
            write!(self.text, "{separator}{quotes}{odd}{}{quotes}", self.keys).unwrap();
        }
    }

    /// Within inline tables the parser takes line ends and comments on both sides of `=`.
    fn entry(&mut self, depth: usize) {
        let has_gaps = depth > 0 && self.random.below(4) == 0;
        self.key();
        if has_gaps {
            self.gap();
        }
        self.text.push_str(self.random.pick(&["=", " = ", "\t=", "=  "]));
        if has_gaps {
            self.gap();
        }
        self.value(depth);
    }

    fn value(&mut self, depth: usize) {
        const SCALARS: [&str; 16] = [
            "1",
            "-0.5e3",
            "true",
            "inf",
            "1979-05-27 07:32:00Z",
            "07:32:00",
            "'a # b'",
            "\"\\\"\\u0041 ]\"",
            "\"\"\"a\n\n\n  b \\\n  c\"\"\"",
            "'''\n]  \n''''",
            "'''x'''",
            "''",
            "\"漢字\"",
            "'                                                              wide'",
            "0xff",
            "\"\"\"\r\n\r\n\"\"\"",
        ];
        match self.random.below(if depth > 4 { 3 } else { 6 }) {
            0..=2 => self.text.push_str(self.random.pick(&SCALARS)),
            kind => self.list(kind > 3, depth + 1),
        }
    }

    fn list(&mut self, is_array: bool, depth: usize) {
        self.text.push(if is_array { '[' } else { '{' });
        let count = self.random.below(5);
        for number in 0..count {
            self.gap();
            if is_array {
                self.value(depth)
            } else {
                self.entry(depth)
            }
            self.gap();
            if number + 1 < count || self.random.below(2) == 0 {
                self.text.push(',');
            }
        }
        self.gap();
        self.text.push(if is_array { ']' } else { '}' });
    }

    fn gap(&mut self) {
        for _ in 0..self.random.below(3) {
            self.text.push_str(self.random.pick(&[
                "",
                "",
                " ",
                "\t",
                "\n",
                "\r\n",
                "\n\n",
                " # in\n",
                "# in \t\n",
                "\n  # own\n\n",
            ]));
        }
    }
}

#[test]
fn every_layout_is_formatted() {
    for seed in 0..4_000 {
        let text = Writer::document(seed);
        let formatted = format("f", text.as_bytes());
        assert!(formatted.is_ok(), "{text}\n{}", render(&formatted.unwrap_err()));
        check::check(text.as_bytes());
    }
}
