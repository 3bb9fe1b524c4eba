//! Any bytes to the formatter: it takes exactly what is TOML, its output means the same, has every
//! comment, and is not changed by formatting it again.

use fairwater_config::{format, parse, render};
use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// The codes of what is no TOML.
const NO_TOML: [&str; 3] = ["E0001", "E0002", "E0003"];

pub(crate) fn check(data: &[u8]) {
    let (_, diagnostics) = parse("fuzz.toml", data);
    let is_toml = !diagnostics.iter().any(|one| NO_TOML.contains(&one.code.id));
    let formatted = match format("fuzz.toml", data) {
        Ok(text) => text,
        Err(diagnostics) => {
            assert!(!is_toml, "{}", render(&diagnostics));
            return assert!(!diagnostics.is_empty());
        }
    };
    assert!(is_toml, "what is no TOML was formatted: {formatted}");
    check_layout(&formatted);

    let again = format("fuzz.toml", formatted.as_bytes());
    let again = again.unwrap_or_else(|diagnostics| panic!("{}", render(&diagnostics)));
    assert_eq!(again, formatted, "what is formatted stays as it is");

    let text = std::str::from_utf8(data).expect("TOML is UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert_eq!(comments(&formatted), comments(text));
    let before = DeTable::parse(text).expect("the reader has parsed it");
    let after = DeTable::parse(&formatted).expect("the formatter has parsed it");
    compare_tables(before.get_ref(), after.get_ref())
        .unwrap_or_else(|what| panic!("{what}: {formatted}"));
}

/// What holds for every output, whatever its strings hold.
fn check_layout(text: &str) {
    if text.is_empty() {
        return;
    }
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "one final line end: {text:?}");
    assert!(!text.starts_with(['\n', ' ', '\u{feff}']), "nothing comes first: {text:?}");
    let has_long_strings = text.contains("'''") || text.contains("\"\"\"");
    if !has_long_strings {
        assert!(!text.contains("\n\n\n") && !text.contains('\r'), "{text:?}");
        assert!(!text.lines().any(|line| line.ends_with([' ', '\t'])), "{text:?}");
    }
}

/// All comments in their order, without blanks behind them.
fn comments(text: &str) -> Vec<&str> {
    let source = Source::new(text);
    let of_kind = source.lex().filter(|token| token.kind() == TokenKind::Comment);
    let raw = of_kind.filter_map(|token| source.get(token));
    raw.map(|raw| raw.as_str().trim_end_matches([' ', '\t'])).collect()
}

/// The keys in the order of the text, and equal values.
fn compare_tables(before: &DeTable<'_>, after: &DeTable<'_>) -> Result<(), String> {
    let in_order = |table: &DeTable<'_>| -> Vec<String> {
        let mut keys: Vec<_> = table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().to_string()).collect()
    };
    let (keys, keys_after) = (in_order(before), in_order(after));
    if keys != keys_after {
        return Err(format!("the keys {keys:?} became {keys_after:?}"));
    }
    for ((key, before), (_, after)) in before.iter().zip(after) {
        compare(before.get_ref(), after.get_ref())
            .map_err(|what| format!("{}: {what}", key.get_ref()))?;
    }
    Ok(())
}

fn compare(before: &DeValue<'_>, after: &DeValue<'_>) -> Result<(), String> {
    let is_same = match (before, after) {
        (DeValue::Table(before), DeValue::Table(after)) => return compare_tables(before, after),
        (DeValue::Array(before), DeValue::Array(after)) => {
            for (before, after) in before.iter().zip(after.iter()) {
                compare(before.get_ref(), after.get_ref())?;
            }
            before.len() == after.len()
        }
        (DeValue::String(before), DeValue::String(after)) => before == after,
        (DeValue::Integer(before), DeValue::Integer(after)) => {
            (before.as_str(), before.radix()) == (after.as_str(), after.radix())
        }
        (DeValue::Float(before), DeValue::Float(after)) => before.as_str() == after.as_str(),
        (DeValue::Boolean(before), DeValue::Boolean(after)) => before == after,
        (DeValue::Datetime(before), DeValue::Datetime(after)) => before == after,
        _ => false,
    };
    if is_same { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
}
