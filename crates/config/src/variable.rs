//! `${NAME}` and `${NAME:-default}` in strings.

use std::borrow::Cow;

/// What is wrong, and what to do about it.
type Problem = (String, String);

/// A longer value is no setting.
const VARIABLE_BYTES_MAX: usize = 64 * 1024;

/// Puts in the values of variables, once: what they hold is not looked at again. `$${` stands for
/// `${` itself.
pub(crate) fn substitute<'t>(
    text: &'t str,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'t, str>, Problem> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let Some(end) = inner.find('}') else {
            return Err((
                "a `${` is not closed".to_owned(),
                "write `${NAME}`, or `$${` for the two characters themselves".to_owned(),
            ));
        };
        out.push_str(&value(&inner[..end], variables)?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// The value of what stands between the braces.
fn value(reference: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(is_name)
    {
        return Err((
            format!("`{name}` is not the name of a variable"),
            "names have ASCII letters, digits and `_`, and do not begin with a digit".to_owned(),
        ));
    }
    // As in a shell, an empty variable counts as none where there is a default.
    let found = variables(name).filter(|value| default.is_none() || !value.is_empty());
    match (found, default) {
        (Some(value), _) if value.len() > VARIABLE_BYTES_MAX => Err((
            format!("the variable `{name}` has {} bytes", value.len()),
            format!("at most {VARIABLE_BYTES_MAX} are allowed"),
        )),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the variable `{name}` is not set"),
            format!("set it in the environment, or write `${{{name}:-default}}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let variables = |name: &str| match name {
            "PORT" => Some("8080".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${PORT}".to_owned()),
            _ => None,
        };
        let result = substitute(text, &variables);
        let result = result.as_deref().map_err(|(message, _)| &**message);
        assert_eq!(result, expected, "{text}");
    }

    #[test]
    fn variables_are_put_in_once() {
        check("plain $ and {}", Ok("plain $ and {}"));
        check(":${PORT}", Ok(":8080"));
        check("${PORT}${PORT}x", Ok("80808080x"));
        check("${HOST:-localhost}:${PORT:-1}", Ok("localhost:8080"));
        check("[${EMPTY}]", Ok("[]"));
        check("${EMPTY:-x}", Ok("x"));
        check("${HOST:-}", Ok(""));
        check("${HOST:-a:-b}", Ok("a:-b"));
        check("${NESTED}", Ok("${PORT}"));
        check("$${PORT}", Ok("${PORT}"));
        check("$$${PORT}", Ok("$${PORT}"));
        check("a$b${PORT}", Ok("a$b8080"));
    }

    #[test]
    fn what_cannot_be_put_in_is_said() {
        check("${HOST}", Err("the variable `HOST` is not set"));
        check("${PORT", Err("a `${` is not closed"));
        check("${}", Err("`` is not the name of a variable"));
        check("${1A}", Err("`1A` is not the name of a variable"));
        check("${A B}", Err("`A B` is not the name of a variable"));
        check("${PO${PORT}}", Err("`PO${PORT` is not the name of a variable"));
    }
}
