//! The files of a configuration as they were read once, in one block: whoever gets it reads the
//! same configuration, whatever has become of the files since.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use fairwater_config::Surroundings;
use fairwater_message::pack::{Packer, Unpacker};
use fairwater_supervisor::Stamp;

/// What surroundings were asked, and what they answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSet {
    /// The first file.
    pub main: Vec<u8>,
    answers: HashMap<Question, Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    Expand { pattern: String, from: String },
    Read(String),
    Variable(String),
}

/// A list of texts, bytes as a list of one, or why there is none.
type Answer = Result<Vec<Vec<u8>>, String>;

/// Asks other surroundings, and remembers.
pub(crate) struct Recording<'a> {
    around: &'a dyn Surroundings,
    answers: RefCell<HashMap<Question, Answer>>,
    /// What the answers depend on, as it was before it was looked at.
    stamps: RefCell<BTreeMap<PathBuf, Stamp>>,
}

impl<'a> Recording<'a> {
    pub(crate) fn new(around: &'a dyn Surroundings) -> Self {
        Self { around, answers: RefCell::default(), stamps: RefCell::default() }
    }

    /// What was asked since, with the first file, which nobody asked for.
    pub(crate) fn into_set(self, main: Vec<u8>) -> FileSet {
        FileSet { main, answers: self.answers.into_inner() }
    }

    /// The files and directories whose state the answers depend on.
    pub(crate) fn stamps(&self) -> Vec<(PathBuf, Stamp)> {
        let stamps = self.stamps.borrow();
        stamps.iter().map(|(path, stamp)| (path.clone(), stamp.clone())).collect()
    }

    /// Remembers how a file is; to be called before it is read.
    pub(crate) fn stamp(&self, path: &Path) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let stamp = || Stamp::of(path);
        self.stamps.borrow_mut().entry(path.to_owned()).or_insert_with(stamp);
    }

    fn keep(&self, question: Question, answer: Answer) {
        self.answers.borrow_mut().insert(question, answer);
    }
}

impl Surroundings for Recording<'_> {
    fn expand(&self, pattern: &str, from: &str) -> Result<Vec<String>, String> {
        // Which files there are is a matter of their directory, for a pattern alone.
        let beside = Path::new(from).with_file_name(pattern);
        let directory = beside.parent().filter(|_| pattern.contains('*'));
        directory.inspect(|directory| self.stamp(directory));
        let answer = self.around.expand(pattern, from);
        let question = Question::Expand { pattern: pattern.to_owned(), from: from.to_owned() };
        let kept = answer.clone().map(|names| names.into_iter().map(String::into_bytes).collect());
        self.keep(question, kept);
        answer
    }

    fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        self.stamp(Path::new(name));
        let answer = self.around.read(name, bytes_max);
        self.keep(Question::Read(name.to_owned()), answer.clone().map(|bytes| vec![bytes]));
        answer
    }

    fn variable(&self, name: &str) -> Option<String> {
        let answer = self.around.variable(name);
        let kept = answer.clone().map(|value| vec![value.into_bytes()]);
        self.keep(Question::Variable(name.to_owned()), Ok(kept.unwrap_or_default()));
        answer
    }
}

const NOT_ASKED: &str = "it was not there when the configuration was read";

impl Surroundings for FileSet {
    fn expand(&self, pattern: &str, from: &str) -> Result<Vec<String>, String> {
        let question = Question::Expand { pattern: pattern.to_owned(), from: from.to_owned() };
        let names = self.answer(&question)?;
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let mut bytes = self.answer(&Question::Read(name.to_owned()))?.pop().unwrap_or_default();
        bytes.truncate(bytes_max.saturating_add(1));
        Ok(bytes)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.answer(&Question::Variable(name.to_owned())).ok()?.pop()?;
        String::from_utf8(value).ok()
    }
}

impl FileSet {
    fn answer(&self, question: &Question) -> Answer {
        self.answers.get(question).cloned().unwrap_or_else(|| Err(NOT_ASKED.to_owned()))
    }

    /// As one block of bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Packer::default();
        out.bytes(&self.main);
        for (question, answer) in &self.answers {
            match question {
                Question::Expand { pattern, from } => {
                    out.number(EXPAND).bytes(pattern.as_bytes()).bytes(from.as_bytes())
                }
                Question::Read(name) => out.number(READ).bytes(name.as_bytes()),
                Question::Variable(name) => out.number(VARIABLE).bytes(name.as_bytes()),
            };
            match answer {
                Ok(parts) => {
                    out.number(1).number(parts.len() as u64);
                    for part in parts {
                        out.bytes(part);
                    }
                }
                Err(problem) => _ = out.number(0).bytes(problem.as_bytes()),
            }
        }
        out.into_vec()
    }

    /// Reads what `encode` writes; nothing, if that is broken.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Unpacker::new(bytes);
        let mut set = Self { main: rest.bytes()?.to_vec(), ..Self::default() };
        while !rest.is_empty() {
            let (kind, text) = (rest.number()?, rest.text()?.to_owned());
            let question = match kind {
                EXPAND => Question::Expand { pattern: text, from: rest.text()?.to_owned() },
                READ => Question::Read(text),
                VARIABLE => Question::Variable(text),
                _ => return None,
            };
            let answer = match rest.number()? {
                1 => {
                    let count = rest.number()?;
                    let parts = (0..count).map(|_| Some(rest.bytes()?.to_vec()));
                    Ok(parts.collect::<Option<_>>()?)
                }
                0 => Err(rest.text()?.to_owned()),
                _ => return None,
            };
            set.answers.insert(question, answer);
        }
        Some(set)
    }
}

/// Kinds of questions in a block.
const EXPAND: u64 = 1;
const READ: u64 = 2;
const VARIABLE: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    struct Around;

    impl Surroundings for Around {
        fn expand(&self, pattern: &str, from: &str) -> Result<Vec<String>, String> {
            match pattern {
                "none" => Err("it is not".to_owned()),
                _ => Ok(vec![format!("{from}/{pattern}"), "b".to_owned()]),
            }
        }

        fn read(&self, name: &str, _: usize) -> Result<Vec<u8>, String> {
            Ok([name.as_bytes(), &[0xff, 0]].concat())
        }

        fn variable(&self, name: &str) -> Option<String> {
            (name == "HOME").then(|| "/root".to_owned())
        }
    }

    fn ask(around: &dyn Surroundings) -> String {
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            around.expand("a*", "f"),
            around.expand("none", "f"),
            around.read("b", 100),
            around.variable("HOME"),
            around.variable("GONE")
        )
    }

    #[test]
    fn a_set_answers_as_the_surroundings_did() {
        let recording = Recording::new(&Around);
        let said = ask(&recording);
        assert_eq!(said, ask(&Around));
        let set = recording.into_set(b"main".to_vec());
        let bytes = set.encode();
        let read = FileSet::decode(&bytes).unwrap();
        assert_eq!(read, set);
        assert_eq!(ask(&read), said);
        assert_eq!(read.main, b"main");
        assert!(read.read("other", 1).is_err());
        assert!(read.read("b", 0).is_ok_and(|bytes| bytes.len() == 1));
        assert!((1..bytes.len()).any(|end| FileSet::decode(&bytes[..end]).is_none()));
    }

    #[test]
    fn broken_blocks_are_nothing() {
        for bytes in [&b""[..], &[9, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 0, b'x']] {
            assert_eq!(FileSet::decode(bytes), None);
        }
        let huge = [&[0; 8][..], &READ.to_le_bytes(), &u64::MAX.to_le_bytes()].concat();
        assert_eq!(FileSet::decode(&huge), None);
    }
}
