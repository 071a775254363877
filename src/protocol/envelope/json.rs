//! Reads one JSON object field by field, keeping each value as the text it was.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The value is neither a string nor `null`.
pub(super) struct NotText;

/// Hands every field of the object `text` to `visit`, in order, duplicates
/// included. `null` is an object without fields.
///
/// The error says what is wrong and where, and quotes no value.
pub(super) fn each_field<'a>(
    text: &'a str,
    visit: impl FnMut(Name<'a>, &'a str),
) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_any(Fields(visit))
        .and_then(|()| json.end())
        .map_err(|error| error.to_string())
}

/// Decodes a string; `None` is `null`.
///
/// A surrogate escape without its partner becomes U+FFFD, as in Go.
pub(super) fn text(raw: &str) -> Result<Option<Cow<'_, str>>, NotText> {
    if raw == "null" {
        return Ok(None);
    }
    let inner = raw.strip_prefix('"').ok_or(NotText)?;
    let inner = inner.strip_suffix('"').ok_or(NotText)?;
    if !inner.contains('\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    let bytes: StringBytes<'_> = serde_json::from_str(raw).map_err(|_| NotText)?;
    let text = replace_surrogates(&bytes.0);
    Ok(Some(Cow::Owned(text)))
}

/// A field's name.
pub(super) struct Name<'a>(Cow<'a, str>);

impl Name<'_> {
    /// Whether this is exactly `field`.
    pub(super) fn eq(&self, field: &str) -> bool {
        self.0 == field
    }

    /// Whether this is `field`, a lower-case ASCII name, under Unicode's simple
    /// case folding. Two letters outside ASCII fold into it: ſ and the Kelvin
    /// sign.
    pub(super) fn eq_fold(&self, field: &str) -> bool {
        if self.0.is_ascii() {
            return self.0.eq_ignore_ascii_case(field);
        }
        self.0.chars().map(fold).eq(field.chars())
    }
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// Visits an object's fields.
struct Fields<F>(F);

impl<'de, F: FnMut(Name<'de>, &'de str)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        // A raw name, because serde_json lets control characters pass in a
        // string that is read as bytes.
        while let Some(name) = map.next_key::<&'de RawValue>()? {
            let value: &'de RawValue = map.next_value()?;
            let name = text(name.get()).ok().flatten().unwrap_or_default();
            (self.0)(Name(name), value.get());
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    // Without these two, serde's own messages would quote the value.

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom("a string where an object belongs"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("an array where an object belongs"))
    }
}

/// A JSON string as bytes: UTF-8, but for surrogates that stand alone.
struct StringBytes<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for StringBytes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = StringBytes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(StringBytes(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(StringBytes(Cow::Owned(bytes.to_vec())))
            }
        }

        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// Replaces each lone surrogate, three bytes that are not UTF-8, by U+FFFD.
fn replace_surrogates(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                text.push('\u{fffd}');
                rest = after.get(3..).unwrap_or_default();
            }
        }
    }
}
