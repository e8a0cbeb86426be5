//! What keeps hostile bytes from taking the process down: a deserializer around the codec's own
//! that limits the depth of recursion, the memory of collections, and what a claimed length may
//! reserve. Bincode limits none of these by itself: sixteen bytes of zeros overflow no buffer, but
//! sixteen million overflow the stack of a recursive type.

use std::cell::Cell;
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{MAX_DEPTH, MAX_VALUE};

/// What each element of a collection counts at least: elements that take no bytes (`Vec<()>`) must
/// not loop for as long as a length of 64 bits can say.
const MIN_ELEMENT: usize = 16;

/// Enough for the largest value of one-byte elements, and exceeded only where few bytes become
/// much memory.
const MAX_MEMORY: usize = MAX_VALUE * MIN_ELEMENT;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exceeded {
    Depth,
    Memory,
}

pub(super) struct Bounds {
    input: usize,
    memory: Cell<usize>,
    exceeded: Cell<Option<Exceeded>>,
}

impl Bounds {
    pub(super) fn new(input: usize) -> Self {
        Bounds { input, memory: Cell::new(MAX_MEMORY), exceeded: Cell::new(None) }
    }

    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.get()
    }

    pub(super) fn seed<T>(&self) -> BoundedSeed<'_, PhantomData<T>> {
        BoundedSeed { seed: PhantomData, level: self.level() }
    }

    pub(super) fn level(&self) -> Level<'_> {
        Level { bounds: self, depth: 0 }
    }

    #[cold]
    fn exceed<E: Error>(&self, exceeded: Exceeded) -> E {
        self.exceeded.set(Some(exceeded));
        E::custom("limit exceeded")
    }
}

/// How deep in the value we are.
#[derive(Clone, Copy)]
pub(super) struct Level<'b> {
    bounds: &'b Bounds,
    depth: usize,
}

impl Level<'_> {
    pub(super) fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.bounds.exceed(Exceeded::Depth));
        }
        Ok(Level { depth: self.depth + 1, ..self })
    }

    pub(super) fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        match self.bounds.memory.get().checked_sub(bytes) {
            Some(left) => {
                self.bounds.memory.set(left);
                Ok(())
            }
            None => Err(self.bounds.exceed(Exceeded::Memory)),
        }
    }

    /// What an element of this size counts.
    pub(super) fn element(size: usize) -> usize {
        size.max(MIN_ELEMENT)
    }

    /// Lengths are claims. No visitor may reserve more elements than there are bytes.
    pub(super) fn bounded_hint(self, hint: Option<usize>) -> Option<usize> {
        hint.map(|length| length.min(self.bounds.input))
    }
}

pub(super) struct BoundedSeed<'b, S> {
    seed: S,
    level: Level<'b>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for BoundedSeed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Bounded { inner, level: self.level, counted: false })
    }
}

/// Around a deserializer, a visitor, or an access.
struct Bounded<'b, I> {
    inner: I,
    level: Level<'b>,
    /// Elements take memory of their own. Those of structs, tuples and arrays do not: they lie
    /// inside a value that has been counted.
    counted: bool,
}

impl<'b, I> Bounded<'b, I> {
    fn around<J>(&self, inner: J, counted: bool) -> Bounded<'b, J> {
        Bounded { inner, level: self.level, counted }
    }

    fn seed<S>(&self, seed: S) -> BoundedSeed<'b, S> {
        BoundedSeed { seed, level: self.level }
    }
}

/// Numbers have no parts in either codec: nothing to watch.
macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $type:ty),*) => $to:ident, $counted:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.around(visitor, $counted);
            self.inner.$to($($arg,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    numbers! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    forward! {
        deserialize_any() => deserialize_any, true;
        deserialize_char() => deserialize_char, true;
        deserialize_str() => deserialize_str, true;
        // Borrowed from the input in both codecs. For the owned forms bincode would reserve what
        // the length claims before it looks whether the bytes are there.
        deserialize_string() => deserialize_str, true;
        deserialize_bytes() => deserialize_bytes, true;
        deserialize_byte_buf() => deserialize_bytes, true;
        deserialize_option() => deserialize_option, true;
        deserialize_unit() => deserialize_unit, true;
        deserialize_unit_struct(name: &'static str) => deserialize_unit_struct, true;
        deserialize_newtype_struct(name: &'static str) => deserialize_newtype_struct, true;
        deserialize_seq() => deserialize_seq, true;
        deserialize_tuple(len: usize) => deserialize_tuple, false;
        deserialize_tuple_struct(name: &'static str, len: usize) => deserialize_tuple_struct, false;
        deserialize_map() => deserialize_map, true;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) => deserialize_struct, false;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) => deserialize_enum, false;
        deserialize_identifier() => deserialize_identifier, true;
        deserialize_ignored_any() => deserialize_ignored_any, true;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    scalars! {
        visit_bool(bool)
        visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128)
        visit_f32(f32) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Bounded { inner, level: self.level.deeper()?, counted: false })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Bounded {
            inner,
            level: self.level.deeper()?,
            counted: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Bounded { inner, level: self.level.deeper()?, counted: self.counted })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Bounded { inner, level: self.level.deeper()?, counted: self.counted })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Bounded { inner, level: self.level.deeper()?, counted: false })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.seed(seed);
        let element = self.inner.next_element_seed(seed)?;
        if self.counted && element.is_some() {
            self.level.take(Level::element(size_of::<S::Value>()))?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.level.bounded_hint(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.seed(seed);
        let key = self.inner.next_key_seed(seed)?;
        if self.counted && key.is_some() {
            self.level.take(Level::element(size_of::<S::Value>()))?;
        }
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.seed(seed);
        let value = self.inner.next_value_seed(seed)?;
        if self.counted {
            self.level.take(size_of::<S::Value>())?;
        }
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.level.bounded_hint(self.inner.size_hint())
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(BoundedSeed { seed, level: self.level })?;
        Ok((value, Bounded { inner: variant, level: self.level, counted: false }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.seed(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor, false);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor, false);
        self.inner.struct_variant(fields, visitor)
    }
}
