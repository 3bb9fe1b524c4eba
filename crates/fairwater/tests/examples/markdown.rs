//! As much of Markdown as the documents have: fenced blocks, headings, rows of tables, links.

use std::fs;

use crate::root;

/// A fenced block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// Every document of the repository, by its path from the root.
pub(crate) fn documents() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "docs/", "docs/howto/", "docs/decisions/"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                names.push(format!("{folder}{name}"));
            }
        }
    }
    names.sort();
    names
}

pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in document.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(language) => {
                is_open = true;
                blocks.push(Block { language: language.to_owned(), text: String::new() });
            }
            None if is_open => {
                let text = &mut blocks.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_open, "a block is not closed");
    blocks
}

/// The text between a heading and the next one.
pub(crate) fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let start = document.find(&format!("\n{heading}\n"));
    let start = start.unwrap_or_else(|| panic!("there is no heading {heading}"));
    let text = &document[start + heading.len() + 2..];
    &text[..text.find("\n#").unwrap_or(text.len())]
}

/// The cells of each row whose first cell is `code`.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// The first cells of the rows, without their quotes.
pub(crate) fn names(text: &str) -> Vec<&str> {
    rows(text).iter().map(|row| row[0].trim_matches('`')).collect()
}

/// Links to files of the repository.
pub(crate) fn links(document: &str) -> Vec<&str> {
    let parts = document.split("](").skip(1);
    let links = parts.filter_map(|part| part.split(')').next());
    links.filter(|link| !link.contains("://") && !link.starts_with('#')).collect()
}
