//! Stand-in values: element `n` of a tuple can only be reached when the elements before it exist.

use std::cell::Cell;

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::trace::Stop;

/// What types that parse their text are likely to accept.
const TEXTS: [&str; 8] = [
    "",
    "0",
    "a",
    "1970-01-01T00:00:00Z",
    "127.0.0.1",
    "00000000-0000-0000-0000-000000000000",
    "http://localhost/",
    "1970-01-01",
];

/// How many different values are offered: each text with zeros and empty collections, and with
/// ones and collections of one element.
pub(super) const OFFERS: u8 = 16;

/// An offer that asks for more is a type without a small value, or one that recurses.
const MAX_STEPS: usize = 4_096;
const MAX_DEPTH: usize = 32;

/// The deserializer that invents the smallest value it can.
#[derive(Clone, Copy)]
pub(super) struct StandIn<'s> {
    offer: usize,
    depth: usize,
    steps: &'s Cell<usize>,
}

impl<'s> StandIn<'s> {
    pub(super) fn offer<'de, S: DeserializeSeed<'de>>(
        offer: u8,
        seed: S,
    ) -> Result<S::Value, Stop> {
        let steps = Cell::new(0);
        seed.deserialize(StandIn { offer: offer.into(), depth: 0, steps: &steps })
    }

    fn text(self) -> &'static str {
        TEXTS[self.offer / 2]
    }

    fn is_one(self) -> bool {
        self.offer % 2 == 1
    }

    fn len(self) -> usize {
        usize::from(self.is_one())
    }

    fn deeper(self) -> Result<Self, Stop> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if self.depth == MAX_DEPTH || steps > MAX_STEPS {
            return Err(Stop);
        }
        Ok(StandIn { depth: self.depth + 1, ..self })
    }

    fn elements(self, len: usize) -> Result<Elements<'s>, Stop> {
        Ok(Elements { inner: self.deeper()?, names: &[], left: len })
    }

    fn visit_fields<'de, V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        // A custom impl may know only one of the two; half of the offers go each way.
        if self.offer % 4 < 2 {
            visitor.visit_seq(self.elements(names.len())?)
        } else {
            visitor.visit_map(Elements { inner: self.deeper()?, names, left: names.len() })
        }
    }
}

macro_rules! values {
    ($($method:ident => $visit:ident($zero:expr, $one:expr),)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            visitor.$visit(if self.is_one() { $one } else { $zero })
        }
    )*};
}

impl<'de> Deserializer<'de> for StandIn<'_> {
    type Error = Stop;

    values! {
        deserialize_bool => visit_bool(false, true),
        deserialize_i8 => visit_i8(0, 1),
        deserialize_i16 => visit_i16(0, 1),
        deserialize_i32 => visit_i32(0, 1),
        deserialize_i64 => visit_i64(0, 1),
        deserialize_i128 => visit_i128(0, 1),
        deserialize_u8 => visit_u8(0, 1),
        deserialize_u16 => visit_u16(0, 1),
        deserialize_u32 => visit_u32(0, 1),
        deserialize_u64 => visit_u64(0, 1),
        deserialize_u128 => visit_u128(0, 1),
        deserialize_f32 => visit_f32(0.0, 1.0),
        deserialize_f64 => visit_f64(0.0, 1.0),
        deserialize_char => visit_char('0', 'a'),
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_bytes(self.text().as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_bytes(self.text().as_bytes())
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.is_one() { visitor.visit_borrowed_str(self.text()) } else { visitor.visit_unit() }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(self.elements(self.len())?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(self.elements(len)?)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_seq(self.elements(len)?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_map(self.elements(self.len())?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.visit_fields(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let count = variants.len().max(1);
        let index = self.offer / 2 % count;
        visitor.visit_enum(Variant { inner: self.deeper()?, index })
    }

    fn is_human_readable(&self) -> bool {
        crate::codec::HUMAN_READABLE
    }
}

/// `left` elements, entries, or (where there are names) fields.
struct Elements<'s> {
    inner: StandIn<'s>,
    names: &'static [&'static str],
    left: usize,
}

impl Elements<'_> {
    fn take(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if self.take() { seed.deserialize(self.inner.deeper()?).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if !self.take() {
            return Ok(None);
        }
        match self.names.get(self.names.len().wrapping_sub(self.left + 1)) {
            Some(name) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
            None => seed.deserialize(self.inner.deeper()?).map(Some),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(self.inner.deeper()?)
    }
}

struct Variant<'s> {
    inner: StandIn<'s>,
    index: usize,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stop> {
        let index = u32::try_from(self.index).map_err(|_| Stop)?;
        Ok((seed.deserialize(U32Deserializer::new(index))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(self.inner)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(self.inner.elements(len)?)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.inner.visit_fields(fields, visitor)
    }
}
