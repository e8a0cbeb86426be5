//! A walk over a value as its `Serialize` impl describes it: names, types, values. Two values of one
//! type that leave the same trace are the same value to serde.
//!
//! The trace is injective: each value begins with a tag, texts with their length, and what has parts
//! ends with a tag that begins nothing. No codec is: `Some(())` and `None`, or two structs of which
//! each leaves out another field, have the same bytes in most of them.

use std::fmt;

use erased_serde::Serialize as AnySerialize;
use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::codec::{HUMAN_READABLE, MAX_DEPTH};

/// What takes in the trace.
pub(crate) trait Hash {
    /// What parts in any order come to.
    type Sum;
    /// Whether the order of a sequence counts. That of a map never does.
    const SEQUENCES_IN_ORDER: bool;

    fn new() -> Self;
    fn absorb(&mut self, bytes: &[u8]);
    fn sum() -> Self::Sum;
    /// Adds what has been absorbed to the sum, and begins anew.
    fn add_to(&mut self, sum: &mut Self::Sum);
    fn absorb_sum(&mut self, sum: Self::Sum);
}

/// What the outermost layer of the value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Top {
    None,
    /// The `Err` of a `Result`.
    Err,
    Other,
}

/// Why there is no digest. Without the words of the value's `Serialize` impl, which may hold a part
/// of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unwritable {
    TooDeep,
    /// By the value's own `Serialize` impl.
    Refused,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::TooDeep => write!(
                f,
                "the value is nested deeper than {MAX_DEPTH} levels; use a part of it that is not"
            ),
            Unwritable::Refused => f.write_str("the value's `Serialize` impl returned an error"),
        }
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Unwritable::Refused
    }
}

pub(crate) fn walk<H: Hash>(value: &dyn AnySerialize, hash: &mut H) -> Result<Top, Unwritable> {
    value.serialize(Walker { hash, depth: 0 })
}

/// Keeps apart what has the same bytes: `1u8` and `1u16`, `""` and `()`.
#[derive(Clone, Copy)]
enum Tag {
    /// Of what has parts. Begins no value.
    End,
    /// Begins no value.
    Field,
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

struct Walker<'h, H> {
    hash: &'h mut H,
    depth: usize,
}

impl<'h, H: Hash> Walker<'h, H> {
    fn tag(&mut self, tag: Tag) {
        self.hash.absorb(&[tag as u8]);
    }

    fn text(&mut self, tag: Tag, text: &[u8]) {
        text_of(self.hash, tag, text);
    }

    fn variant(&mut self, tag: Tag, name: &str, index: u32, variant: &str) {
        self.text(tag, name.as_bytes());
        self.hash.absorb(&index.to_le_bytes());
        self.text(tag, variant.as_bytes());
    }

    fn deeper(&self) -> Result<usize, Unwritable> {
        if self.depth == MAX_DEPTH { Err(Unwritable::TooDeep) } else { Ok(self.depth + 1) }
    }

    fn inner<T: Serialize + ?Sized>(self, value: &T) -> Result<Top, Unwritable> {
        let depth = self.deeper()?;
        value.serialize(Walker { hash: self.hash, depth })?;
        Ok(Top::Other)
    }

    fn in_order(self) -> Result<Parts<'h, H>, Unwritable> {
        Ok(Parts { depth: self.deeper()?, hash: self.hash, any_order: None })
    }

    fn in_any_order(self) -> Result<Parts<'h, H>, Unwritable> {
        let any_order = Some(AnyOrder { part: H::new(), sum: H::sum() });
        Ok(Parts { depth: self.deeper()?, hash: self.hash, any_order })
    }
}

fn text_of<H: Hash>(hash: &mut H, tag: Tag, text: &[u8]) {
    let mut head = [tag as u8; 9];
    head[1..].copy_from_slice(&(text.len() as u64).to_le_bytes());
    hash.absorb(&head);
    hash.absorb(text);
}

macro_rules! numbers {
    ($($method:ident($type:ty, $tag:ident, $value:ident => $bytes:expr),)*) => {$(
        fn $method(self, $value: $type) -> Result<Top, Unwritable> {
            let bytes = $bytes;
            let mut tagged = [Tag::$tag as u8; 17];
            tagged[1..=bytes.len()].copy_from_slice(&bytes);
            self.hash.absorb(&tagged[..=bytes.len()]);
            Ok(Top::Other)
        }
    )*};
}

impl<'h, H: Hash> Serializer for Walker<'h, H> {
    type Ok = Top;
    type Error = Unwritable;
    type SerializeSeq = Parts<'h, H>;
    type SerializeTuple = Parts<'h, H>;
    type SerializeTupleStruct = Parts<'h, H>;
    type SerializeTupleVariant = Parts<'h, H>;
    type SerializeMap = Parts<'h, H>;
    type SerializeStruct = Parts<'h, H>;
    type SerializeStructVariant = Parts<'h, H>;

    numbers! {
        serialize_bool(bool, Bool, v => [u8::from(v)]),
        serialize_i8(i8, I8, v => v.to_le_bytes()),
        serialize_i16(i16, I16, v => v.to_le_bytes()),
        serialize_i32(i32, I32, v => v.to_le_bytes()),
        serialize_i64(i64, I64, v => v.to_le_bytes()),
        serialize_i128(i128, I128, v => v.to_le_bytes()),
        serialize_u8(u8, U8, v => v.to_le_bytes()),
        serialize_u16(u16, U16, v => v.to_le_bytes()),
        serialize_u32(u32, U32, v => v.to_le_bytes()),
        serialize_u64(u64, U64, v => v.to_le_bytes()),
        serialize_u128(u128, U128, v => v.to_le_bytes()),
        // By their bits: NaN equals itself here, and 0.0 is not -0.0.
        serialize_f32(f32, F32, v => v.to_bits().to_le_bytes()),
        serialize_f64(f64, F64, v => v.to_bits().to_le_bytes()),
        serialize_char(char, Char, v => u32::from(v).to_le_bytes()),
    }

    fn serialize_str(mut self, v: &str) -> Result<Top, Unwritable> {
        self.text(Tag::Str, v.as_bytes());
        Ok(Top::Other)
    }

    fn serialize_bytes(mut self, v: &[u8]) -> Result<Top, Unwritable> {
        self.text(Tag::Bytes, v);
        Ok(Top::Other)
    }

    fn serialize_none(mut self) -> Result<Top, Unwritable> {
        self.tag(Tag::None);
        Ok(Top::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Top, Unwritable> {
        self.tag(Tag::Some);
        self.inner(value)
    }

    fn serialize_unit(mut self) -> Result<Top, Unwritable> {
        self.tag(Tag::Unit);
        Ok(Top::Other)
    }

    fn serialize_unit_struct(mut self, name: &'static str) -> Result<Top, Unwritable> {
        self.text(Tag::UnitStruct, name.as_bytes());
        Ok(Top::Other)
    }

    fn serialize_unit_variant(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<Top, Unwritable> {
        self.variant(Tag::UnitVariant, name, index, variant);
        Ok(Top::Other)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<Top, Unwritable> {
        self.text(Tag::Newtype, name.as_bytes());
        self.inner(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Top, Unwritable> {
        self.variant(Tag::NewtypeVariant, name, index, variant);
        self.inner(value)?;
        Ok(if name == "Result" && variant == "Err" { Top::Err } else { Top::Other })
    }

    fn serialize_seq(mut self, _: Option<usize>) -> Result<Parts<'h, H>, Unwritable> {
        self.tag(Tag::Seq);
        if H::SEQUENCES_IN_ORDER { self.in_order() } else { self.in_any_order() }
    }

    fn serialize_tuple(mut self, _: usize) -> Result<Parts<'h, H>, Unwritable> {
        self.tag(Tag::Tuple);
        self.in_order()
    }

    fn serialize_tuple_struct(
        mut self,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'h, H>, Unwritable> {
        self.text(Tag::TupleStruct, name.as_bytes());
        self.in_order()
    }

    fn serialize_tuple_variant(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'h, H>, Unwritable> {
        self.variant(Tag::TupleVariant, name, index, variant);
        self.in_order()
    }

    fn serialize_map(mut self, _: Option<usize>) -> Result<Parts<'h, H>, Unwritable> {
        self.tag(Tag::Map);
        self.in_any_order()
    }

    fn serialize_struct(
        mut self,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'h, H>, Unwritable> {
        self.text(Tag::Struct, name.as_bytes());
        self.in_order()
    }

    fn serialize_struct_variant(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'h, H>, Unwritable> {
        self.variant(Tag::StructVariant, name, index, variant);
        self.in_order()
    }

    fn is_human_readable(&self) -> bool {
        HUMAN_READABLE
    }
}

/// Elements, fields or entries. A field that is skipped leaves no trace.
struct Parts<'h, H: Hash> {
    hash: &'h mut H,
    depth: usize,
    any_order: Option<AnyOrder<H>>,
}

/// Parts whose place does not count.
struct AnyOrder<H: Hash> {
    part: H,
    sum: H::Sum,
}

impl<H: Hash> Parts<'_, H> {
    /// A value that the next one belongs to.
    fn half<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let hash = match &mut self.any_order {
            Some(any_order) => &mut any_order.part,
            None => &mut *self.hash,
        };
        value.serialize(Walker { hash, depth: self.depth })?;
        Ok(())
    }

    fn whole<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.half(value)?;
        if let Some(AnyOrder { part, sum }) = &mut self.any_order {
            part.add_to(sum);
        }
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unwritable> {
        text_of(self.hash, Tag::Field, name.as_bytes());
        self.whole(value)
    }

    fn finish(self) -> Top {
        match self.any_order {
            Some(any_order) => self.hash.absorb_sum(any_order.sum),
            None => self.hash.absorb(&[Tag::End as u8]),
        }
        Top::Other
    }
}

macro_rules! parts {
    ($($trait:ident { $($method:ident($($name:ident: $type:ty)?) => $by:ident),* },)*) => {$(
        impl<H: Hash> $trait for Parts<'_, H> {
            type Ok = Top;
            type Error = Unwritable;

            $(fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), Unwritable> {
                self.$by($($name,)? value)
            })*

            fn end(self) -> Result<Top, Unwritable> {
                Ok(self.finish())
            }
        }
    )*};
}

parts! {
    SerializeSeq { serialize_element() => whole },
    SerializeTuple { serialize_element() => whole },
    SerializeTupleStruct { serialize_field() => whole },
    SerializeTupleVariant { serialize_field() => whole },
    SerializeMap { serialize_key() => half, serialize_value() => whole },
    SerializeStruct { serialize_field(name: &'static str) => field },
    SerializeStructVariant { serialize_field(name: &'static str) => field },
}
