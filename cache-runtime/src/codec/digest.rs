//! A digest of a value as its `Serialize` impl describes it: names, types, values.
//!
//! Two values of one type with the same digest are the same value to serde. The order of maps and
//! sequences does not count: a `HashMap` and a `HashSet` come back in another order.

use std::fmt;

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::MAX_DEPTH;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest {
    hash: u64,
    pub(super) top: Top,
}

/// What the outermost layer of the value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Top {
    None,
    /// The `Err` of a `Result`.
    Err,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unwritable {
    TooDeep,
    /// By the value's own `Serialize` impl.
    Refused,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be serialized")
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Unwritable::Refused
    }
}

pub(super) fn of<T: Serialize>(value: &T) -> Result<Digest, Unwritable> {
    value.serialize(Digester { depth: 0 })
}

/// Keeps apart what has the same bytes: `1u8` and `1u16`, `""` and `()`.
#[derive(Clone, Copy)]
enum Tag {
    Bool = 1,
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
    Bytes,
    None,
    Some,
    Unit,
    UnitStruct,
    UnitVariant,
    Newtype,
    NewtypeVariant,
    Seq,
    Tuple,
    TupleStruct,
    TupleVariant,
    Map,
    Struct,
    StructVariant,
}

fn mix(hash: u64, part: u64) -> u64 {
    xxh3_64_with_seed(&part.to_le_bytes(), hash)
}

fn text(hash: u64, part: &str) -> u64 {
    xxh3_64_with_seed(part.as_bytes(), hash)
}

fn variant(tag: Tag, name: &str, index: u32, variant: &str) -> u64 {
    text(text(mix(tag as u64, index.into()), name), variant)
}

fn other(hash: u64) -> Digest {
    Digest { hash, top: Top::Other }
}

#[derive(Clone, Copy)]
struct Digester {
    depth: usize,
}

impl Digester {
    fn deeper(self) -> Result<Self, Unwritable> {
        if self.depth == MAX_DEPTH {
            Err(Unwritable::TooDeep)
        } else {
            Ok(Digester { depth: self.depth + 1 })
        }
    }

    fn inner<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Unwritable> {
        Ok(value.serialize(self.deeper()?)?.hash)
    }

    fn in_order(self, hash: u64) -> Result<InOrder, Unwritable> {
        Ok(InOrder { elements: self.deeper()?, hash })
    }

    fn in_any_order(self, tag: Tag) -> Result<InAnyOrder, Unwritable> {
        Ok(InAnyOrder { elements: self.deeper()?, tag, count: 0, sum: 0, key: 0 })
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty, $tag:ident, $value:ident => $bits:expr),)*) => {$(
        fn $method(self, $value: $type) -> Result<Digest, Unwritable> {
            Ok(other(mix(Tag::$tag as u64, $bits)))
        }
    )*};
}

impl Serializer for Digester {
    type Ok = Digest;
    type Error = Unwritable;
    type SerializeSeq = InAnyOrder;
    type SerializeTuple = InOrder;
    type SerializeTupleStruct = InOrder;
    type SerializeTupleVariant = InOrder;
    type SerializeMap = InAnyOrder;
    type SerializeStruct = InOrder;
    type SerializeStructVariant = InOrder;

    numbers! {
        serialize_bool(bool, Bool, v => v.into()),
        serialize_i8(i8, I8, v => i64::from(v).cast_unsigned()),
        serialize_i16(i16, I16, v => i64::from(v).cast_unsigned()),
        serialize_i32(i32, I32, v => i64::from(v).cast_unsigned()),
        serialize_i64(i64, I64, v => v.cast_unsigned()),
        serialize_u8(u8, U8, v => v.into()),
        serialize_u16(u16, U16, v => v.into()),
        serialize_u32(u32, U32, v => v.into()),
        serialize_u64(u64, U64, v => v),
        // By their bits: NaN equals itself here, and 0.0 is not -0.0.
        serialize_f32(f32, F32, v => v.to_bits().into()),
        serialize_f64(f64, F64, v => v.to_bits()),
        serialize_char(char, Char, v => u32::from(v).into()),
    }

    fn serialize_i128(self, v: i128) -> Result<Digest, Unwritable> {
        Ok(other(xxh3_64_with_seed(&v.to_le_bytes(), Tag::I128 as u64)))
    }

    fn serialize_u128(self, v: u128) -> Result<Digest, Unwritable> {
        Ok(other(xxh3_64_with_seed(&v.to_le_bytes(), Tag::U128 as u64)))
    }

    fn serialize_str(self, v: &str) -> Result<Digest, Unwritable> {
        Ok(other(text(Tag::Str as u64, v)))
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<Digest, Unwritable> {
        Ok(other(xxh3_64_with_seed(v, Tag::Bytes as u64)))
    }

    fn serialize_none(self) -> Result<Digest, Unwritable> {
        Ok(Digest { hash: mix(Tag::None as u64, 0), top: Top::None })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Digest, Unwritable> {
        Ok(other(mix(Tag::Some as u64, self.inner(value)?)))
    }

    fn serialize_unit(self) -> Result<Digest, Unwritable> {
        Ok(other(mix(Tag::Unit as u64, 0)))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Digest, Unwritable> {
        Ok(other(text(Tag::UnitStruct as u64, name)))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant_name: &'static str,
    ) -> Result<Digest, Unwritable> {
        Ok(other(variant(Tag::UnitVariant, name, index, variant_name)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Digest, Unwritable> {
        Ok(other(mix(text(Tag::Newtype as u64, name), self.inner(value)?)))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant_name: &'static str,
        value: &T,
    ) -> Result<Digest, Unwritable> {
        let hash = mix(variant(Tag::NewtypeVariant, name, index, variant_name), self.inner(value)?);
        let top = if name == "Result" && variant_name == "Err" { Top::Err } else { Top::Other };
        Ok(Digest { hash, top })
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<InAnyOrder, Unwritable> {
        self.in_any_order(Tag::Seq)
    }

    fn serialize_tuple(self, _: usize) -> Result<InOrder, Unwritable> {
        self.in_order(Tag::Tuple as u64)
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<InOrder, Unwritable> {
        self.in_order(text(Tag::TupleStruct as u64, name))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant_name: &'static str,
        _: usize,
    ) -> Result<InOrder, Unwritable> {
        self.in_order(variant(Tag::TupleVariant, name, index, variant_name))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<InAnyOrder, Unwritable> {
        self.in_any_order(Tag::Map)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<InOrder, Unwritable> {
        self.in_order(text(Tag::Struct as u64, name))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant_name: &'static str,
        _: usize,
    ) -> Result<InOrder, Unwritable> {
        self.in_order(variant(Tag::StructVariant, name, index, variant_name))
    }

    fn is_human_readable(&self) -> bool {
        super::HUMAN_READABLE
    }
}

/// Elements and fields whose place counts. A field that is skipped leaves no trace.
struct InOrder {
    elements: Digester,
    hash: u64,
}

impl InOrder {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.hash = mix(self.hash, value.serialize(self.elements)?.hash);
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unwritable> {
        self.hash = text(self.hash, name);
        self.element(value)
    }
}

/// Elements and entries whose place does not count.
struct InAnyOrder {
    elements: Digester,
    tag: Tag,
    count: u64,
    /// Not xor: two equal elements would cancel each other out.
    sum: u64,
    key: u64,
}

impl InAnyOrder {
    fn add(&mut self, hash: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    fn digest(self) -> Digest {
        other(mix(mix(self.tag as u64, self.count), self.sum))
    }
}

macro_rules! in_order {
    ($($trait:ident { $method:ident($($name:ident: $type:ty)?) => $by:ident },)*) => {$(
        impl $trait for InOrder {
            type Ok = Digest;
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), Unwritable> {
                self.$by($($name,)? value)
            }

            fn end(self) -> Result<Digest, Unwritable> {
                Ok(other(self.hash))
            }
        }
    )*};
}

in_order! {
    SerializeTuple { serialize_element() => element },
    SerializeTupleStruct { serialize_field() => element },
    SerializeTupleVariant { serialize_field() => element },
    SerializeStruct { serialize_field(name: &'static str) => field },
    SerializeStructVariant { serialize_field(name: &'static str) => field },
}

impl SerializeSeq for InAnyOrder {
    type Ok = Digest;
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let element = value.serialize(self.elements)?;
        self.add(element.hash);
        Ok(())
    }

    fn end(self) -> Result<Digest, Unwritable> {
        Ok(self.digest())
    }
}

impl SerializeMap for InAnyOrder {
    type Ok = Digest;
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.key = key.serialize(self.elements)?.hash;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let entry = mix(self.key, value.serialize(self.elements)?.hash);
        self.add(entry);
        Ok(())
    }

    fn end(self) -> Result<Digest, Unwritable> {
        Ok(self.digest())
    }
}
