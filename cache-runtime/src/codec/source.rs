//! A codec's deserializer as a [`Source`], inside the same [`Bounds`](super::bounds::Bounds) that
//! stand around the one a hit runs through.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::bounds::Level;
use crate::erased::{AnySeed, AnyVisitor, Elements, Entries, Given, Source, Stop, Variant, Wanted};

/// Around a deserializer, an access, a visitor or a seed.
pub(super) struct Bounded<'b, I> {
    inner: I,
    level: Level<'b>,
    /// As in [`super::bounds`].
    counted: bool,
}

impl<'b, D> Bounded<'b, Option<D>> {
    pub(super) fn new(inner: D, level: Level<'b>) -> Self {
        Bounded { inner: Some(inner), level, counted: false }
    }
}

impl<'de, D: Deserializer<'de>> Source<'de> for Bounded<'_, Option<D>> {
    fn give(&mut self, wanted: Wanted, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        let from = self.inner.take().ok_or(Stop)?;
        let in_place = matches!(
            wanted,
            Wanted::Tuple(_) | Wanted::TupleStruct(..) | Wanted::Struct(..) | Wanted::Enum(..)
        );
        let to = Bounded { inner: visitor, level: self.level, counted: !in_place };
        let given = match wanted {
            Wanted::Any => from.deserialize_any(to),
            Wanted::Bool => from.deserialize_bool(to),
            Wanted::I8 => from.deserialize_i8(to),
            Wanted::I16 => from.deserialize_i16(to),
            Wanted::I32 => from.deserialize_i32(to),
            Wanted::I64 => from.deserialize_i64(to),
            Wanted::I128 => from.deserialize_i128(to),
            Wanted::U8 => from.deserialize_u8(to),
            Wanted::U16 => from.deserialize_u16(to),
            Wanted::U32 => from.deserialize_u32(to),
            Wanted::U64 => from.deserialize_u64(to),
            Wanted::U128 => from.deserialize_u128(to),
            Wanted::F32 => from.deserialize_f32(to),
            Wanted::F64 => from.deserialize_f64(to),
            Wanted::Char => from.deserialize_char(to),
            // Borrowed from the input: no length that the bytes claim is reserved.
            Wanted::Str | Wanted::String => from.deserialize_str(to),
            Wanted::Bytes | Wanted::ByteBuf => from.deserialize_bytes(to),
            Wanted::Option => from.deserialize_option(to),
            Wanted::Unit => from.deserialize_unit(to),
            Wanted::UnitStruct(name) => from.deserialize_unit_struct(name, to),
            Wanted::Newtype(name) => from.deserialize_newtype_struct(name, to),
            Wanted::Seq => from.deserialize_seq(to),
            Wanted::Tuple(len) => from.deserialize_tuple(len, to),
            Wanted::TupleStruct(name, len) => from.deserialize_tuple_struct(name, len, to),
            Wanted::Map => from.deserialize_map(to),
            Wanted::Struct(name, fields) => from.deserialize_struct(name, fields, to),
            Wanted::Enum(name, variants) => from.deserialize_enum(name, variants, to),
            Wanted::Identifier => from.deserialize_identifier(to),
            Wanted::Ignored => from.deserialize_ignored_any(to),
        };
        given.map_err(|_| Stop)
    }
}

fn refused<E: Error>(Stop: Stop) -> E {
    E::custom("no value of this type")
}

macro_rules! scalars {
    ($($method:ident($type:ty) => $given:ident,)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<(), E> {
            self.inner.visit(Given::$given(value)).map_err(refused)
        }
    )*};
}

impl<'de> Visitor<'de> for Bounded<'_, &mut (dyn AnyVisitor<'de> + '_)> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    scalars! {
        visit_bool(bool) => Bool,
        visit_i8(i8) => I8,
        visit_i16(i16) => I16,
        visit_i32(i32) => I32,
        visit_i64(i64) => I64,
        visit_i128(i128) => I128,
        visit_u8(u8) => U8,
        visit_u16(u16) => U16,
        visit_u32(u32) => U32,
        visit_u64(u64) => U64,
        visit_u128(u128) => U128,
        visit_f32(f32) => F32,
        visit_f64(f64) => F64,
        visit_char(char) => Char,
        visit_str(&str) => Str,
        visit_borrowed_str(&'de str) => BorrowedStr,
        visit_bytes(&[u8]) => Bytes,
        visit_borrowed_bytes(&'de [u8]) => BorrowedBytes,
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.inner.visit(Given::None).map_err(refused)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.inner.visit(Given::Unit).map_err(refused)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        let mut source = Bounded::new(inner, self.level.deeper()?);
        self.inner.visit(Given::Some(&mut source)).map_err(refused)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        let mut source = Bounded::new(inner, self.level.deeper()?);
        self.inner.visit(Given::Newtype(&mut source)).map_err(refused)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<(), A::Error> {
        let mut elements = Bounded { inner, level: self.level.deeper()?, counted: self.counted };
        self.inner.visit(Given::Seq(&mut elements)).map_err(refused)
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<(), A::Error> {
        let mut entries = Bounded { inner, level: self.level.deeper()?, counted: self.counted };
        self.inner.visit(Given::Map(&mut entries)).map_err(refused)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<(), A::Error> {
        let mut variant = Alternative { level: self.level.deeper()?, state: State::Unread(inner) };
        self.inner.visit(Given::Enum(&mut variant)).map_err(refused)
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_, &mut (dyn AnySeed<'de> + '_)> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        self.inner.take_from(&mut Bounded::new(inner, self.level)).map_err(refused)
    }
}

impl<'b, A> Bounded<'b, A> {
    fn seed<'a, 'de>(
        &self,
        inner: &'a mut (dyn AnySeed<'de> + 'a),
    ) -> Bounded<'b, &'a mut (dyn AnySeed<'de> + 'a)> {
        Bounded { inner, level: self.level, counted: false }
    }

    fn count(&self, size: usize) -> Result<(), Stop> {
        if self.counted { self.level.take(size) } else { Ok(()) }
    }
}

impl<'de, A: SeqAccess<'de>> Elements<'de> for Bounded<'_, A> {
    fn next(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        let size = Level::element(seed.size());
        let seed = self.seed(seed);
        let some = self.inner.next_element_seed(seed).map_err(|_| Stop)?.is_some();
        if some {
            self.count(size)?;
        }
        Ok(some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.level.bounded_hint(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> Entries<'de> for Bounded<'_, A> {
    fn next_key(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        let size = Level::element(seed.size());
        let seed = self.seed(seed);
        let some = self.inner.next_key_seed(seed).map_err(|_| Stop)?.is_some();
        if some {
            self.count(size)?;
        }
        Ok(some)
    }

    fn next_value(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        let size = seed.size();
        let seed = self.seed(seed);
        self.inner.next_value_seed(seed).map_err(|_| Stop)?;
        self.count(size)
    }

    fn size_hint(&self) -> Option<usize> {
        self.level.bounded_hint(self.inner.size_hint())
    }
}

/// A variant of an enum, before and after it is known which.
struct Alternative<'b, 'de, A: EnumAccess<'de>> {
    level: Level<'b>,
    state: State<A, A::Variant>,
}

enum State<A, V> {
    Unread(A),
    Read(V),
    Gone,
}

impl<'de, A: EnumAccess<'de>> Alternative<'_, 'de, A> {
    fn content(&mut self) -> Result<A::Variant, Stop> {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Read(content) => Ok(content),
            State::Unread(_) | State::Gone => Err(Stop),
        }
    }
}

impl<'de, A: EnumAccess<'de>> Variant<'de> for Alternative<'_, 'de, A> {
    fn which(&mut self, inner: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        let State::Unread(access) = std::mem::replace(&mut self.state, State::Gone) else {
            return Err(Stop);
        };
        let seed = Bounded { inner, level: self.level, counted: false };
        let ((), content) = access.variant_seed(seed).map_err(|_| Stop)?;
        self.state = State::Read(content);
        Ok(())
    }

    fn unit(&mut self) -> Result<(), Stop> {
        self.content()?.unit_variant().map_err(|_| Stop)
    }

    fn newtype(&mut self, inner: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        let seed = Bounded { inner, level: self.level, counted: false };
        self.content()?.newtype_variant_seed(seed).map_err(|_| Stop)
    }

    fn tuple(&mut self, len: usize, inner: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        let visitor = Bounded { inner, level: self.level, counted: false };
        self.content()?.tuple_variant(len, visitor).map_err(|_| Stop)
    }

    fn fields(
        &mut self,
        fields: &'static [&'static str],
        inner: &mut dyn AnyVisitor<'de>,
    ) -> Result<(), Stop> {
        let visitor = Bounded { inner, level: self.level, counted: false };
        self.content()?.struct_variant(fields, visitor).map_err(|_| Stop)
    }
}
