//! As much JSON as `cargo metadata` needs: a reader of well-formed text, without numbers.

/// A value; what tidy does not look at is `Other`.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    Text(String),
    Other,
}

impl Value {
    /// `None` where the text is not JSON.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Reader { rest: text }.value()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|member| member.0 == key).map(|member| &member.1)
    }

    pub(super) fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            '{' => self.members('}', Self::member).map(Value::Object),
            '[' => self.members(']', Self::value).map(Value::Array),
            '"' => self.string().map(Value::Text),
            _ => {
                let end = self.rest.find([',', ']', '}']).unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                Some(Value::Other)
            }
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, expected: char) -> Option<()> {
        self.peek()?;
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn members<T>(&mut self, end: char, read: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.rest = &self.rest[1..];
        let mut members = Vec::new();
        while self.peek()? != end {
            members.push(read(self)?);
            if self.peek()? != end {
                self.take(',')?;
            }
        }
        self.take(end)?;
        Some(members)
    }

    fn member(&mut self) -> Option<(String, Value)> {
        let key = self.string()?;
        self.take(':')?;
        Some((key, self.value()?))
    }

    /// Escapes stay as they are but for quotes and backslashes: nothing that we compare has any.
    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                (_, '\\') => match chars.next()?.1 {
                    c @ ('"' | '\\' | '/') => text.push(c),
                    c => text.extend(['\\', c]),
                },
                (_, c) => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let text = r#" {"a": [1, -2.5e3, null, true, "x\"\\\n"], "b": {}, "c": [] , "d": "é"} "#;
        let value = Value::parse(text).unwrap();
        let items = value.get("a").unwrap().items();
        assert_eq!(items.len(), 5);
        assert_eq!(items[3], Value::Other);
        assert_eq!(items[4].text(), Some("x\"\\\\n"));
        assert_eq!(value.get("b"), Some(&Value::Object(Vec::new())));
        assert_eq!(value.get("d").and_then(Value::text), Some("é"));
        assert_eq!(value.get("e"), None);
    }

    #[test]
    fn broken_text_is_no_value() {
        for text in ["", "{", "[1", "{\"a\"", "{\"a\":", "[1 2", "\"x", "{1:2}"] {
            assert_eq!(Value::parse(text), None, "{text}");
        }
    }
}
