//! Deserializers that take what SDKs really send.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, Visitor};
use serde_json::Value;

struct NumberVisitor<T>(PhantomData<T>);

impl<'de, T: TryFrom<i128>> Visitor<'de> for NumberVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number in range, of any width, float or decimal string")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        in_range(i128::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        in_range(i128::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.fract() != 0.0 || !value.is_finite() {
            return Err(E::invalid_value(
                de::Unexpected::Float(value),
                &"a whole number",
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "i128 holds every f64 we accept; the range check follows"
        )]
        in_range(value as i128)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        let number: i128 = value
            .parse()
            .map_err(|_| E::invalid_value(de::Unexpected::Str(value), &"a decimal number"))?;
        in_range(number)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

fn in_range<T: TryFrom<i128>, E: de::Error>(value: i128) -> Result<Option<T>, E> {
    T::try_from(value)
        .map(Some)
        .map_err(|_| E::custom(format_args!("number {value} is out of range")))
}

/// A whole number in any form, or `None` for null.
pub(crate) fn option_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    deserializer.deserialize_any(NumberVisitor(PhantomData))
}

/// A whole number in any form; null is the default.
pub(crate) fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128> + Default,
{
    option_number(deserializer).map(Option::unwrap_or_default)
}

/// Any value; null is the default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The most elements one array of a frame may have.
///
/// An element decodes to some 400 bytes and may be one byte on the wire; the
/// cap keeps what a frame can make us allocate to a few megabytes. Ably's own
/// limits on a publish are far below it.
const LIST_MAX: usize = 10_000;

/// A list of at most [`LIST_MAX`] elements; null is the empty list.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ListVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {LIST_MAX} elements or null")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = seq.next_element()? {
                if list.len() == LIST_MAX {
                    return Err(de::Error::invalid_length(LIST_MAX + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_none<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }

    deserializer.deserialize_any(ListVisitor(PhantomData))
}

/// A JSON value out of either format: msgpack's `bin` becomes base64 text, as
/// it would be had the peer spoken JSON; null is `None`.
pub(crate) fn value<'de, D>(deserializer: D) -> Result<Option<Value>, D::Error>
where
    D: Deserializer<'de>,
{
    Tolerant::deserialize(deserializer).map(|Tolerant(value)| Some(value).filter(|v| !v.is_null()))
}

/// How deep arrays and objects of a value may nest.
///
/// Half of what JSON decoders commonly take, ours included: a value that came
/// in msgpack must not be one that its JSON readers cannot read.
const NESTING_MAX: usize = 64;

struct Tolerant(Value);

impl<'de> Deserialize<'de> for Tolerant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Nested { left: NESTING_MAX }
            .deserialize(deserializer)
            .map(Self)
    }
}

/// A value that may hold `left` more levels of arrays and objects.
#[derive(Clone, Copy)]
struct Nested {
    left: usize,
}

impl Nested {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        let too_deep = || E::custom(format_args!("nested deeper than {NESTING_MAX} levels"));
        let left = self.left.checked_sub(1).ok_or_else(too_deep)?;
        Ok(Self { left })
    }

    fn read_seq<'de, A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed(inner)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn read_map<'de, A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            object.insert(key, map.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::from(BASE64.encode(value)))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Value, A::Error> {
        self.read_seq(seq)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        self.read_map(map)
    }
}

/// The array whose elements `seq` yields.
pub(crate) fn read_seq<'de, A: de::SeqAccess<'de>>(seq: A) -> Result<Value, A::Error> {
    Nested { left: NESTING_MAX }.read_seq(seq)
}

/// The object whose entries `map` yields.
pub(crate) fn read_map<'de, A: de::MapAccess<'de>>(map: A) -> Result<Value, A::Error> {
    Nested { left: NESTING_MAX }.read_map(map)
}

#[cfg(test)]
mod tests;
