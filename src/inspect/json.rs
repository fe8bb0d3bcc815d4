//! JSON (RFC 8259), written from front to back. Commas come by themselves.

use std::fmt::{Display, Write};

/// A text of JSON in the making.
pub(super) struct Json {
    text: String,
}

impl Json {
    pub(super) fn new() -> Json {
        Json { text: String::new() }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// An object whose fields `fill` writes.
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Json)) {
        self.text.push('{');
        fill(self);
        self.text.push('}');
    }

    /// One field of an object.
    pub(super) fn field(&mut self, name: &str, value: impl FnOnce(&mut Json)) {
        self.separate();
        self.text(Some(name));
        self.text.push(':');
        value(self);
    }

    /// An array of what `write` makes of each item.
    pub(super) fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&T, &mut Json)) {
        self.text.push('[');
        for item in items {
            self.separate();
            write(item, self);
        }
        self.text.push(']');
    }

    pub(super) fn number(&mut self, number: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.text, "{number}");
    }

    pub(super) fn number_or_null(&mut self, number: Option<impl Display>) {
        match number {
            Some(number) => self.number(number),
            None => self.text.push_str("null"),
        }
    }

    /// A string, or null.
    pub(super) fn text(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.text.push_str("null") };
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn separate(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_separated_and_escaped() {
        // Goal: valid JSON. Method: one of each kind, with every character that needs escaping.
        let mut json = Json::new();
        json.object(|json| {
            json.field("a", |json| json.text(Some("\"\\\n\u{1}{")));
            json.field("b", |json| json.array(&[1, 2], |item, json| json.number(item)));
            json.field("c", |json| json.array(&[0_u8; 0], |_, _| ()));
            json.field("d", |json| json.object(|json| json.field("e", |json| json.text(None))));
            json.field("f", |json| json.number_or_null(None::<u8>));
        });
        let expected = r#"{"a":"\"\\\n\u0001{","b":[1,2],"c":[],"d":{"e":null},"f":null}"#;
        assert_eq!(json.into_text(), expected);
    }
}
