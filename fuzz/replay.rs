//! Fuzzing with a stable compiler: replays a committed corpus, then mutates it for as long as
//! FUZZ_SECONDS says (default 1). It sees no coverage; what it lacks in wit it makes up in being
//! run on every change. FUZZ_SEED repeats a run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer inputs than any limit of the parsers need not be tried often.
const INPUT_BYTES_MAX: usize = 40 * 1024;

/// Runs `check` over the corpus of `target` and over mutations of it. `words` are pieces of the
/// input language that chance would not find.
pub(crate) fn replay(target: &str, words: &[&str], check: fn(&[u8])) {
    let corpus = read_corpus(target);
    assert!(corpus.len() >= 24, "the corpus of {target} has only {} files", corpus.len());
    for (name, input) in &corpus {
        run(check, input, || format!("fuzz/corpus/{target}/{name}"));
    }
    let seconds = number("FUZZ_SECONDS").unwrap_or(1);
    let seed = number("FUZZ_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64)
    });
    eprintln!("{target}: FUZZ_SEED={seed}");
    let inputs: Vec<_> = corpus.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator { random: Random(seed | 1), inputs, words };
    let runs = for_seconds(seconds, || {
        let input = mutator.next();
        run(check, &input, || format!("a mutation under FUZZ_SEED={seed}"));
    });
    eprintln!("{target}: {runs} runs in {seconds} s");
}

#[expect(clippy::disallowed_methods, reason = "a test that is to last a given time reads a clock")]
fn for_seconds(seconds: u64, mut run: impl FnMut()) -> u64 {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0;
    while Instant::now() < end {
        run();
        runs += 1;
    }
    runs
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn read_corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&root).expect("the corpus is committed");
    let mut corpus: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("the corpus can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("the corpus can be read"))
        })
        .collect();
    corpus.sort(); // so that a seed means the same everywhere
    corpus
}

/// Runs one check; shows the input that it fails for.
fn run(check: fn(&[u8]), input: &[u8], origin: impl Fn() -> String) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        eprintln!("{}: b\"{}\"", origin(), input.escape_ascii());
        resume_unwind(panic);
    }
}

/// Xorshift (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = (len - start).min(1 << self.below(8));
        start..start + self.below(most + 1)
    }
}

struct Mutator<'a> {
    random: Random,
    inputs: Vec<Vec<u8>>,
    words: &'a [&'a str],
}

impl Mutator<'_> {
    fn next(&mut self) -> Vec<u8> {
        let mut input = self.any_input().to_vec();
        for _ in 0..=self.random.below(5) {
            self.mutate(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn any_input(&mut self) -> &[u8] {
        let at = self.random.below(self.inputs.len());
        &self.inputs[at]
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let range = self.random.range(input.len());
        match self.random.below(9) {
            0 => input.truncate(range.start),
            1 => drop(input.drain(range)),
            2 => {
                let copy = input[range.clone()].to_vec();
                drop(input.splice(range.end..range.end, copy));
            }
            3 => {
                let other = self.any_input().to_vec();
                let piece = self.random.range(other.len());
                drop(input.splice(range, other[piece].iter().copied()));
            }
            4 if !input.is_empty() => {
                let at = self.random.below(input.len());
                input[at] ^= 1 << self.random.below(8);
            }
            5 if !input.is_empty() => {
                let at = self.random.below(input.len());
                input[at] = b"\0\t\n\r \"%,/0:;\x7f\xff"[self.random.below(14)];
            }
            6 if range.len() < 16 => {
                let piece = input[range.clone()].repeat(1 + self.random.below(300));
                drop(input.splice(range, piece));
            }
            _ => {
                let word = self.words[self.random.below(self.words.len())];
                let end = if self.random.below(2) == 0 { range.start } else { range.end };
                drop(input.splice(range.start..end, word.bytes()));
            }
        }
    }
}
