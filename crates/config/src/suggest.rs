//! The name that was probably meant.

/// Longer names are not compared: nobody mistypes them by a letter, and the cost is quadratic.
const NAME_CHARS_MAX: usize = 64;

/// The candidate that is nearest to `name`, if it is near: at most a third of it is wrong.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let chars: Vec<char> = name.chars().take(NAME_CHARS_MAX + 1).collect();
    let distance_max = (chars.len() / 3).max(1);
    if chars.is_empty() || chars.len() > NAME_CHARS_MAX {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len() > 4 * NAME_CHARS_MAX {
            continue;
        }
        let other: Vec<char> = candidate.chars().collect();
        if other.len().abs_diff(chars.len()) > distance_max {
            continue;
        }
        let distance = edit_distance(&chars, &other);
        if distance <= distance_max && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions, changes and swaps of neighbours that lead from one to the other, letter
/// case for free (the "optimal string alignment" distance).
fn edit_distance(source: &[char], target: &[char]) -> usize {
    let same = |a: char, b: char| a.eq_ignore_ascii_case(&b);
    let mut before_last = vec![0; target.len() + 1];
    let mut last: Vec<usize> = (0..=target.len()).collect();
    let mut row = last.clone();
    for (i, s) in source.iter().enumerate() {
        row[0] = i + 1;
        for (j, t) in target.iter().enumerate() {
            let change = last[j] + usize::from(!same(*s, *t));
            row[j + 1] = change.min(last[j + 1] + 1).min(row[j] + 1);
            let is_swap = i > 0 && j > 0 && same(*s, target[j - 1]) && same(source[i - 1], *t);
            if is_swap {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[target.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        for (name, candidates, expected) in [
            ("ap", &["app", "api2"][..], Some("app")),
            ("upstraem", &["upstream", "upstreams"], Some("upstream")),
            ("BIND", &["bind"], Some("bind")),
            ("listner", &["listeners", "listener"], Some("listener")),
            ("web", &["api", "app"], None),
            ("", &["a"], None),
            ("weigth", &[], None),
        ] {
            assert_eq!(nearest(name, candidates.iter().copied()), expected, "{name}");
        }
        assert_eq!(nearest(&"a".repeat(1000), [&*"a".repeat(1000)]), None);
    }
}
