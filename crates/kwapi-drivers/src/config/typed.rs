//! From TOML's values to a typed configuration, with errors that have the key and what is wrong as fields.
//!
//! `toml` does the same with errors that are sentences, which somebody would have to take apart again.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::Value;

use super::{ConfigError, Problem, Step};

/// Reads `value` into its type.
///
/// # Errors
/// With the key at fault; a value of the wrong type is not repeated, it may be a secret.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ConfigError> {
    T::deserialize(Typed(value))
}

impl de::Error for ConfigError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = kind(found);
        Self { path: Vec::new(), problem: Problem::Type { found, expected: expected.to_string() } }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // A number is no secret: those are texts.
        match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => {
                Self::new(format!("invalid value: {found}, expected {expected}"))
            }
            _ => Self::new(format!("invalid value: {}, expected {expected}", kind(found))),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let path = vec![Step::Key(field.to_owned())];
        Self { path, problem: Problem::UnknownKey(expected.to_vec()) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: vec![Step::Key(field.to_owned())], problem: Problem::Missing }
    }
}

/// What a value is, without the value.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "floating point number",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Map | Unexpected::StructVariant => "table",
        Unexpected::Seq => "array",
        _ => "another type",
    }
}

/// A value to be read.
struct Typed(Value);

impl<'de> Deserializer<'de> for Typed {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(is) => visitor.visit_bool(is),
            Value::Datetime(stamp) => visitor.visit_string(stamp.to_string()),
            Value::Array(values) => visitor.visit_seq(Values { values: values.into_iter(), next: 0 }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.into_iter(), next: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(name.into_deserializer()),
            Value::Table(table) if table.len() == 1 => match table.into_iter().next() {
                Some((name, value)) => visitor.visit_enum(Variant { name, value }),
                None => Err(ConfigError::new("expected one of its names, not an empty table")),
            },
            other => Typed(other).deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, ConfigError> for Typed {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The values of an array.
struct Values {
    values: std::vec::IntoIter<Value>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Values {
    type Error = ConfigError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        let Some(value) = self.values.next() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        let read = seed.deserialize(Typed(value));
        read.map(Some).map_err(|mut error| {
            error.path.insert(0, Step::Index(index));
            error
        })
    }
}

/// The entries of a table.
struct Entries {
    entries: toml::map::IntoIter<String, Value>,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ConfigError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ConfigError> {
        self.next = self.entries.next();
        let Some((key, _)) = &self.next else { return Ok(None) };
        let key = key.clone();
        let read = seed.deserialize(key.as_str().into_deserializer());
        read.map(Some).map_err(|error: ConfigError| match error.problem {
            // It names the key itself.
            Problem::UnknownKey(_) => error,
            _ => error.within(&key),
        })
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ConfigError> {
        let Some((key, value)) = self.next.take() else {
            return Err(ConfigError::new("a value was read before its key"));
        };
        seed.deserialize(Typed(value)).map_err(|error| error.within(&key))
    }
}

/// A variant that holds something: `{ name = value }`.
struct Variant {
    name: String,
    value: Value,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ConfigError;
    type Variant = Typed;

    fn variant_seed<V: de::DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), ConfigError> {
        let name: de::value::StringDeserializer<ConfigError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Typed(self.value)))
    }
}

impl<'de> VariantAccess<'de> for Typed {
    type Error = ConfigError;

    fn unit_variant(self) -> Result<(), ConfigError> {
        Err(ConfigError::new("this name stands alone, without a value"))
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ConfigError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_any(visitor)
    }
}

/// The keys that `T` takes, as its `Deserialize` names them; none where it is no struct.
#[cfg(test)]
pub(crate) fn keys_of<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut probe = toml::Table::new();
    probe.insert("no key is called this".to_owned(), Value::Boolean(true));
    match T::deserialize(Typed(Value::Table(probe))) {
        Err(ConfigError { problem: Problem::UnknownKey(known), .. }) => known,
        Ok(_) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
