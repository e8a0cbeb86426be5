//! Deserializers without their type.
//!
//! A `Deserialize` impl is compiled anew, with all its parts, for each deserializer it meets. Only
//! the one that a hit runs through is worth that. Everything else (the fallback codec, the tracing
//! behind the fingerprint) is a [`Source`], and all sources share one compilation: the one against
//! [`Erased`].
//!
//! Not `erased_serde`, which does the same: it hides the type and the size of what is asked for,
//! and the tracing needs the one, the limit on memory the other. One method that takes an enum,
//! where `erased_serde` has thirty, also makes for less code in each user's binary.

use std::any::type_name;
use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// The error of all sources. It carries nothing: no source's error is shown to anybody.
#[derive(Debug)]
pub(crate) struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value of this type")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Stop
    }

    // The provided versions of these format a text, in each place that a `Deserialize` impl calls
    // them from.
    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Stop
    }

    fn invalid_value(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Stop
    }

    fn invalid_length(_: usize, _: &dyn de::Expected) -> Self {
        Stop
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Stop
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Stop
    }

    fn missing_field(_: &'static str) -> Self {
        Stop
    }

    fn duplicate_field(_: &'static str) -> Self {
        Stop
    }
}

/// What a `Deserialize` impl asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    Any,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    String,
    Bytes,
    ByteBuf,
    Option,
    Unit,
    UnitStruct(&'static str),
    Newtype(&'static str),
    Seq,
    Tuple(usize),
    TupleStruct(&'static str, usize),
    Map,
    Struct(&'static str, &'static [&'static str]),
    Enum(&'static str, &'static [&'static str]),
    Identifier,
    Ignored,
}

/// What it gets. Nothing owned: no source has it to give, and to take it is code in each visitor.
pub(crate) enum Given<'a, 'de> {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Char(char),
    Str(&'a str),
    BorrowedStr(&'de str),
    Bytes(&'a [u8]),
    BorrowedBytes(&'de [u8]),
    None,
    Some(&'a mut dyn Source<'de>),
    Unit,
    Newtype(&'a mut dyn Source<'de>),
    Seq(&'a mut dyn Elements<'de>),
    Map(&'a mut dyn Entries<'de>),
    Enum(&'a mut dyn Variant<'de>),
}

/// A deserializer. It is asked once.
pub(crate) trait Source<'de> {
    fn give(&mut self, wanted: Wanted, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop>;
}

/// A `SeqAccess`.
pub(crate) trait Elements<'de> {
    /// Whether there was one.
    fn next(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop>;
    fn size_hint(&self) -> Option<usize> {
        None
    }
}

/// A `MapAccess`.
pub(crate) trait Entries<'de> {
    /// Whether there was one.
    fn next_key(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop>;
    fn next_value(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop>;
    fn size_hint(&self) -> Option<usize> {
        None
    }
}

/// An `EnumAccess` and, once it has said which variant, its `VariantAccess`.
pub(crate) trait Variant<'de> {
    fn which(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop>;
    fn unit(&mut self) -> Result<(), Stop>;
    fn newtype(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop>;
    fn tuple(&mut self, len: usize, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop>;
    fn fields(
        &mut self,
        fields: &'static [&'static str],
        visitor: &mut dyn AnyVisitor<'de>,
    ) -> Result<(), Stop>;
}

/// A `Visitor`; what it makes stays with it.
pub(crate) trait AnyVisitor<'de> {
    fn visit(&mut self, given: Given<'_, 'de>) -> Result<(), Stop>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn names(&self) -> Names;
}

/// The names of the Rust types behind a visitor. The compiler's: to be compared, never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Names {
    pub(crate) visitor: &'static str,
    pub(crate) value: &'static str,
}

/// A `DeserializeSeed`; what it makes stays with it.
pub(crate) trait AnySeed<'de> {
    fn take_from(&mut self, source: &mut dyn Source<'de>) -> Result<(), Stop>;
    /// The `size_of` what it makes.
    fn size(&self) -> usize;
}

/// What is asked, and the answer.
///
/// `WIDE` where a number of 128 bits may be the answer: to refuse one takes a visitor that does not
/// know of them as much code as all the rest.
struct Slot<Q, A, const WIDE: bool> {
    question: Option<Q>,
    answer: Option<A>,
}

impl<Q, A, const WIDE: bool> Slot<Q, A, WIDE> {
    fn new(question: Q) -> Self {
        Slot { question: Some(question), answer: None }
    }

    fn answer(self) -> Result<A, Stop> {
        self.answer.ok_or(Stop)
    }
}

impl<'de, V: Visitor<'de>, const WIDE: bool> AnyVisitor<'de> for Slot<V, V::Value, WIDE> {
    fn visit(&mut self, given: Given<'_, 'de>) -> Result<(), Stop> {
        let visitor = self.question.take().ok_or(Stop)?;
        let answer = match given {
            Given::Bool(v) => visitor.visit_bool(v),
            Given::I8(v) => visitor.visit_i8(v),
            Given::I16(v) => visitor.visit_i16(v),
            Given::I32(v) => visitor.visit_i32(v),
            Given::I64(v) => visitor.visit_i64(v),
            Given::I128(v) if WIDE => visitor.visit_i128(v),
            Given::U8(v) => visitor.visit_u8(v),
            Given::U16(v) => visitor.visit_u16(v),
            Given::U32(v) => visitor.visit_u32(v),
            Given::U64(v) => visitor.visit_u64(v),
            Given::U128(v) if WIDE => visitor.visit_u128(v),
            Given::I128(_) | Given::U128(_) => Err(Stop),
            Given::F32(v) => visitor.visit_f32(v),
            Given::F64(v) => visitor.visit_f64(v),
            Given::Char(v) => visitor.visit_char(v),
            Given::Str(v) => visitor.visit_str(v),
            Given::BorrowedStr(v) => visitor.visit_borrowed_str(v),
            Given::Bytes(v) => visitor.visit_bytes(v),
            Given::BorrowedBytes(v) => visitor.visit_borrowed_bytes(v),
            Given::None => visitor.visit_none(),
            Given::Some(source) => visitor.visit_some(Erased(source)),
            Given::Unit => visitor.visit_unit(),
            Given::Newtype(source) => visitor.visit_newtype_struct(Erased(source)),
            Given::Seq(elements) => visitor.visit_seq(Erased(elements)),
            Given::Map(entries) => visitor.visit_map(Erased(entries)),
            Given::Enum(variant) => visitor.visit_enum(Erased(variant)),
        };
        self.answer = Some(answer?);
        Ok(())
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.question.as_ref().map_or(Ok(()), |visitor| visitor.expecting(f))
    }

    fn names(&self) -> Names {
        Names { visitor: type_name::<V>(), value: type_name::<V::Value>() }
    }
}

impl<'de, S: DeserializeSeed<'de>> AnySeed<'de> for Slot<S, S::Value, false> {
    fn take_from(&mut self, source: &mut dyn Source<'de>) -> Result<(), Stop> {
        let seed = self.question.take().ok_or(Stop)?;
        self.answer = Some(seed.deserialize(Erased(source))?);
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<S::Value>()
    }
}

/// The side that `Deserialize` impls see.
pub(crate) struct Erased<'a, S: ?Sized>(&'a mut S);

impl<'a, 'de> Erased<'a, dyn Source<'de> + 'a> {
    pub(crate) fn new(source: &'a mut (dyn Source<'de> + 'a)) -> Self {
        Erased(source)
    }
}

impl<'de> Erased<'_, dyn Source<'de> + '_> {
    fn ask<V: Visitor<'de>, const WIDE: bool>(
        self,
        wanted: Wanted,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let mut slot = Slot::<_, _, WIDE>::new(visitor);
        self.0.give(wanted, &mut slot)?;
        slot.answer()
    }
}

macro_rules! ask {
    ($($method:ident($($arg:ident: $type:ty),*) => $wanted:expr, $wide:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, Stop> {
            self.ask::<V, $wide>($wanted, visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Erased<'_, dyn Source<'de> + '_> {
    type Error = Stop;

    ask! {
        deserialize_any() => Wanted::Any, false;
        deserialize_bool() => Wanted::Bool, false;
        deserialize_i8() => Wanted::I8, false;
        deserialize_i16() => Wanted::I16, false;
        deserialize_i32() => Wanted::I32, false;
        deserialize_i64() => Wanted::I64, false;
        deserialize_i128() => Wanted::I128, true;
        deserialize_u8() => Wanted::U8, false;
        deserialize_u16() => Wanted::U16, false;
        deserialize_u32() => Wanted::U32, false;
        deserialize_u64() => Wanted::U64, false;
        deserialize_u128() => Wanted::U128, true;
        deserialize_f32() => Wanted::F32, false;
        deserialize_f64() => Wanted::F64, false;
        deserialize_char() => Wanted::Char, false;
        deserialize_str() => Wanted::Str, false;
        deserialize_string() => Wanted::String, false;
        deserialize_bytes() => Wanted::Bytes, false;
        deserialize_byte_buf() => Wanted::ByteBuf, false;
        deserialize_option() => Wanted::Option, false;
        deserialize_unit() => Wanted::Unit, false;
        deserialize_unit_struct(name: &'static str) => Wanted::UnitStruct(name), false;
        deserialize_newtype_struct(name: &'static str) => Wanted::Newtype(name), false;
        deserialize_seq() => Wanted::Seq, false;
        deserialize_tuple(len: usize) => Wanted::Tuple(len), false;
        deserialize_tuple_struct(name: &'static str, len: usize) => Wanted::TupleStruct(name, len), false;
        deserialize_map() => Wanted::Map, false;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) => Wanted::Struct(name, fields), false;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) => Wanted::Enum(name, variants), false;
        deserialize_identifier() => Wanted::Identifier, false;
        deserialize_ignored_any() => Wanted::Ignored, false;
    }

    fn is_human_readable(&self) -> bool {
        crate::codec::HUMAN_READABLE
    }
}

impl<'de> SeqAccess<'de> for Erased<'_, dyn Elements<'de> + '_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let mut slot = Slot::<_, _, false>::new(seed);
        if self.0.next(&mut slot)? { slot.answer().map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de> MapAccess<'de> for Erased<'_, dyn Entries<'de> + '_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let mut slot = Slot::<_, _, false>::new(seed);
        if self.0.next_key(&mut slot)? { slot.answer().map(Some) } else { Ok(None) }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let mut slot = Slot::<_, _, false>::new(seed);
        self.0.next_value(&mut slot)?;
        slot.answer()
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, 'a, 'b> EnumAccess<'de> for Erased<'a, dyn Variant<'de> + 'b> {
    type Error = Stop;
    type Variant = Erased<'a, dyn Variant<'de> + 'b>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stop> {
        let mut slot = Slot::<_, _, false>::new(seed);
        self.0.which(&mut slot)?;
        Ok((slot.answer()?, self))
    }
}

impl<'de> VariantAccess<'de> for Erased<'_, dyn Variant<'de> + '_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        self.0.unit()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        let mut slot = Slot::<_, _, false>::new(seed);
        self.0.newtype(&mut slot)?;
        slot.answer()
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let mut slot = Slot::<_, _, false>::new(visitor);
        self.0.tuple(len, &mut slot)?;
        slot.answer()
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let mut slot = Slot::<_, _, false>::new(visitor);
        self.0.fields(fields, &mut slot)?;
        slot.answer()
    }
}
