//! Quantities with a unit: durations such as `250ms`, sizes such as `64KiB`.

use std::time::Duration;

/// What is wrong, and what to write.
pub(crate) type Problem = (String, String);

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Spellings that are not ours, with the unit that they stand for.
const OTHER_DURATIONS: [(&str, &str); 16] = [
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("", "s"),
];

pub(crate) fn duration(text: &str) -> Result<Duration, Problem> {
    let example = "write a whole number and a unit (ms, s, m, h, d), as in `10s`";
    if let Some(problem) = several_parts(text).or_else(|| without_unit(text)) {
        return Err(problem);
    }
    quantity(text, "a duration", &DURATION_UNITS, &OTHER_DURATIONS, example)
        .map(Duration::from_millis)
}

/// What is wrong with a duration of several parts, such as `1h30m`, or of a fraction: one that is
/// written in our way is the same.
fn several_parts(text: &str) -> Option<Problem> {
    let (mut rest, mut micros, mut parts) = (text.trim(), 0_u64, 0);
    let has_fraction = text.contains('.');
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let plain = unit.trim().to_ascii_lowercase();
        let others = OTHER_DURATIONS.iter().find(|(name, _)| *name == plain);
        let unit = others.map_or(&*plain, |(_, unit)| unit);
        let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        micros = micros.checked_add(micros_of(digits, *factor)?)?;
        (rest, parts) = (after.trim_start(), parts + 1);
    }
    if parts == 0 || (parts == 1 && !has_fraction) {
        return None;
    }
    let what = match parts {
        1 => "is no whole number of its unit",
        _ => "has more than one unit",
    };
    let remedy = match micros % 1000 {
        0 => format!(
            "a duration is one whole number with one unit: write `{}`",
            shown_ms(micros / 1000)
        ),
        _ => {
            "a duration is one whole number with one unit, of which `ms` is the smallest".to_owned()
        }
    };
    Some((format!("`{text}` {what}"), remedy))
}

/// What is wrong with a text that is a bare number.
fn without_unit(text: &str) -> Option<Problem> {
    Some((format!("`{text}` has no unit"), with_units(text, "")?))
}

/// How a bare number could be meant: some programs take it for seconds, others for milliseconds.
/// None, if it is no number. Durations stand between `quotes`.
pub(crate) fn with_units(text: &str, quotes: &str) -> Option<String> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|_| is_bare)?;
    let shown = |unit: &str, ms: Option<u64>| {
        let words = ms.and_then(in_words).filter(|words| *words != format!("{text} {unit}"));
        let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
        format!("`{quotes}{text}{unit}{quotes}`{words}")
    };
    let (s, ms) = (shown("s", number.checked_mul(1_000)), shown("ms", Some(number)));
    // Who writes hundreds has hardly counted seconds.
    let (first, second) = if number >= MILLISECONDS_LIKELY { (ms, s) } else { (s, ms) };
    Some(format!("write {first}, {second}, or with another unit: m, h, d"))
}

/// From here on a number without a unit is more likely one of milliseconds.
const MILLISECONDS_LIKELY: u64 = 100;

/// A duration as it is said, where its own unit does not tell it at a glance.
fn in_words(ms: u64) -> Option<String> {
    if ms < 60_000 {
        let digits = format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return (ms >= 100).then(|| format!("{digits} s"));
    }
    let s = ms / 1_000;
    let parts = [(s / 3_600, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    Some(parts.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" "))
}

/// A number that may have up to three digits behind its point, in thousandths of a millisecond.
fn micros_of(digits: &str, factor_ms: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.len() > 3 {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(thousandths)?.checked_mul(factor_ms)
}

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// As above. A single letter means powers of two in nginx and Apache httpd.
const OTHER_SIZES: [(&str, &str); 6] =
    [("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("bytes", "B"), ("byte", "B"), ("", "B")];

/// A number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, Problem> {
    let example = "write a whole number and a unit (B, KB, KiB, MB, MiB, GB, GiB), as in `64KiB`";
    quantity(text, "a size", &SIZE_UNITS, &OTHER_SIZES, example)
}

const RATE_UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400)];

/// As above.
const OTHER_RATES: [(&str, &str); 9] = [
    ("sec", "s"),
    ("second", "s"),
    ("m", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hour", "h"),
    ("day", "d"),
    ("", "s"),
];

/// The most that a rate may be: beyond that nothing is limited.
const RATE_MAX: u64 = 1_000_000_000;
const BYTE_RATE_MAX: u64 = 1_000_000_000_000;

/// So many, or so many bytes, in so many seconds.
pub(crate) fn rate(text: &str, is_of_bytes: bool) -> Result<(u64, u64), Problem> {
    let example = if is_of_bytes { "10MB/s" } else { "100/s" };
    let problem = |message: &str, remedy: String| (format!("`{text}` {message}"), remedy);
    let Some((many, unit)) = text.split_once('/') else {
        return Err(problem("is not a rate", format!("write it as in `{example}`")));
    };
    let Some((_, seconds)) = RATE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let plain = unit.trim().to_ascii_lowercase();
        let meant = OTHER_RATES.iter().find(|(name, _)| *name == plain).map(|(_, unit)| *unit);
        let same = RATE_UNITS.iter().find(|(name, _)| *name == plain).map(|(name, _)| *name);
        let remedy = match meant.or(same) {
            Some(meant) => format!("write `{many}/{meant}`"),
            None => format!("write s, min, h or d behind the slash, as in `{example}`"),
        };
        return Err(problem(&format!("has the unit `{unit}`, which is none"), remedy));
    };
    let (many, max) = if is_of_bytes {
        let size = size(many).map_err(|(message, remedy)| match many.parse::<u64>() {
            Ok(number) => {
                (message, format!("write `{number}B/{unit}`, or KB, KiB, MB, MiB, GB, GiB"))
            }
            Err(_) => (message, remedy),
        });
        (size?, BYTE_RATE_MAX)
    } else {
        let is_number = !many.is_empty() && many.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = many.parse::<u64>().ok().filter(|_| is_number) else {
            let remedy = match size(many) {
                Ok(_) => "write a number, or `counts = \"bytes\"`".to_owned(),
                Err(_) => format!("write a whole number before the slash, as in `{example}`"),
            };
            return Err(problem("is not a rate", remedy));
        };
        (number, RATE_MAX)
    };
    match many {
        0 => Err(problem("lets nothing in", "write a number above 0".to_owned())),
        many if many > max => Err(problem("is too much", "write a smaller number".to_owned())),
        many => Ok((many, *seconds)),
    }
}

/// As it would be written, in the largest unit that fits.
pub(crate) fn shown_ms(ms: u64) -> String {
    let fits = DURATION_UNITS.iter().rev().find(|(_, factor)| ms > 0 && ms.is_multiple_of(*factor));
    let (unit, factor) = fits.unwrap_or(&("ms", 1));
    format!("{}{unit}", ms / factor)
}

/// As it would be written, in the largest unit of powers of two that fits.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    let units = SIZE_UNITS.iter().filter(|(unit, _)| *unit == "B" || unit.ends_with("iB"));
    let fits = units.rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (unit, factor) = fits.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

fn quantity(
    text: &str,
    what: &str,
    units: &[(&str, u64)],
    others: &[(&str, &str)],
    example: &str,
) -> Result<u64, Problem> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let problem = |message: &str, remedy: &str| (format!("`{text}` {message}"), remedy.to_owned());
    if digits.is_empty() {
        return Err(problem(&format!("is not {what}"), example));
    }
    if unit.starts_with(['.', ',']) {
        return Err(problem("is no whole number", example));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let plain = unit.trim().to_ascii_lowercase();
        let meant = others.iter().find(|(name, _)| *name == plain).map(|(_, unit)| *unit);
        let same = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(&plain));
        let meant = meant.or(same.map(|(name, _)| *name));
        let is_ours = units.iter().any(|(name, _)| *name == unit.trim());
        let message = match (unit.is_empty(), is_ours) {
            (true, _) => "has no unit".to_owned(),
            (false, true) => "has a blank before its unit".to_owned(),
            (false, false) => format!("has the unit `{}`, which is none", unit.trim()),
        };
        return Err(match meant {
            Some(meant) if unit.is_empty() => {
                let names = units.iter().map(|(name, _)| *name).filter(|name| name != &meant);
                let names: Vec<_> = names.collect();
                let names = names.join(", ");
                problem(
                    &message,
                    &format!("write `{digits}{meant}`, or with another unit: {names}"),
                )
            }
            Some(meant) => problem(&message, &format!("write `{digits}{meant}`")),
            None => problem(&message, example),
        });
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    number.ok_or_else(|| problem("is too large", "write a smaller number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for text in ["250ms", "10s", "90s", "5m", "1h", "2d"] {
            let ms = duration(text).unwrap().as_millis() as u64;
            assert_eq!(shown_ms(ms), text);
        }
        assert_eq!(shown_ms(0), "0ms");
    }

    #[test]
    fn rates_are_a_number_in_a_time() {
        let wrong = |remedy: &str| Err(remedy.to_owned());
        for (text, is_of_bytes, expected) in [
            ("100/s", false, Ok((100, 1))),
            ("600/min", false, Ok((600, 60))),
            ("1/d", false, Ok((1, 86_400))),
            ("10MB/s", true, Ok((10_000_000, 1))),
            ("1GiB/h", true, Ok((1 << 30, 3_600))),
            ("100", false, wrong("write it as in `100/s`")),
            ("100/sec", false, wrong("write `100/s`")),
            ("100/m", false, wrong("write `100/min`")),
            ("100/", false, wrong("write `100/s`")),
            ("100/week", false, wrong("write s, min, h or d behind the slash, as in `100/s`")),
            ("0/s", false, wrong("write a number above 0")),
            ("+1/s", false, wrong("write a whole number before the slash, as in `100/s`")),
            ("1.5/s", false, wrong("write a whole number before the slash, as in `100/s`")),
            ("10MB/s", false, wrong("write a number, or `counts = \"bytes\"`")),
            ("10/s", true, wrong("write `10B/s`, or KB, KiB, MB, MiB, GB, GiB")),
            ("9999999999/s", false, wrong("write a smaller number")),
        ] {
            let found = rate(text, is_of_bytes).map_err(|(_, remedy)| remedy);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        let wrong = |remedy: &str| Err(remedy.to_owned());
        for (text, expected) in [
            ("0B", Ok(0)),
            ("64KiB", Ok(65_536)),
            ("10MB", Ok(10_000_000)),
            ("1GiB", Ok(1 << 30)),
            ("10m", wrong("write `10MiB`")),
            ("64kib", wrong("write `64KiB`")),
            ("64 KiB", wrong("write `64KiB`")),
            ("1024", wrong("write `1024B`, or with another unit: KB, KiB, MB, MiB, GB, GiB")),
            (
                "1.5GiB",
                wrong(
                    "write a whole number and a unit (B, KB, KiB, MB, MiB, GB, GiB), as in `64KiB`",
                ),
            ),
            ("99999999999GiB", wrong("write a smaller number")),
        ] {
            assert_eq!(size(text).map_err(|(_, remedy)| remedy), expected, "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        let ms = |text: &str| {
            duration(text).map(|duration| duration.as_millis() as u64).map_err(|(_, remedy)| remedy)
        };
        let wrong = |remedy: &str| Err(remedy.to_owned());
        let example = "write a whole number and a unit (ms, s, m, h, d), as in `10s`";
        let part = |text: &str| {
            Err(format!("a duration is one whole number with one unit: write `{text}`"))
        };
        for (text, expected) in [
            ("250ms", Ok(250)),
            ("0s", Ok(0)),
            ("10s", Ok(10_000)),
            ("5m", Ok(300_000)),
            ("1h", Ok(3_600_000)),
            ("2d", Ok(172_800_000)),
            ("3", wrong("write `3s`, `3ms`, or with another unit: m, h, d")),
            ("99", wrong("write `99s` (1 min 39 s), `99ms`, or with another unit: m, h, d")),
            (
                "500",
                wrong("write `500ms` (0.5 s), `500s` (8 min 20 s), or with another unit: m, h, d"),
            ),
            (
                "60000",
                wrong(
                    "write `60000ms` (1 min), `60000s` (16 h 40 min), or with another unit: m, h, d",
                ),
            ),
            ("10 s", wrong("write `10s`")),
            ("10S", wrong("write `10s`")),
            ("5min", wrong("write `5m`")),
            ("1.5s", part("1500ms")),
            ("0.5s", part("500ms")),
            ("1.5 h", part("90m")),
            ("1h30m", part("90m")),
            ("1 hour 30 min", part("90m")),
            ("1m 0.5s", part("60500ms")),
            (
                "0.5ms",
                wrong(
                    "a duration is one whole number with one unit, of which `ms` is the smallest",
                ),
            ),
            ("1.5", wrong(example)),
            ("1.2.3s", wrong(example)),
            ("1h30x", wrong(example)),
            ("1.99999s", wrong(example)),
            ("-1s", wrong(example)),
            ("s", wrong(example)),
            ("", wrong(example)),
            ("99999999999999999999s", wrong("write a smaller number")),
        ] {
            assert_eq!(ms(text), expected, "{text}");
        }
    }
}
