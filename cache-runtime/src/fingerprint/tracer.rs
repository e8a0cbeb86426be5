//! The deserializer that holds no data and notes in the [`Trace`] what it is asked for.

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::stand_in::StandIn;
use super::trace::{Child, Kind, NodeId, Origin, Stop, Trace};

pub(super) struct Tracer<'t>(&'t mut Trace);

impl<'t> Tracer<'t> {
    pub(super) fn new(trace: &'t mut Trace) -> Self {
        Tracer(trace)
    }
}

macro_rules! leaves {
    ($($method:ident => $child:expr,)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            Err(self.0.leaf($child))
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    leaves! {
        deserialize_bool => Child::Leaf("bool"),
        deserialize_i8 => Child::Leaf("i8"),
        deserialize_i16 => Child::Leaf("i16"),
        deserialize_i32 => Child::Leaf("i32"),
        deserialize_i64 => Child::Leaf("i64"),
        deserialize_i128 => Child::Leaf("i128"),
        deserialize_u8 => Child::Leaf("u8"),
        deserialize_u16 => Child::Leaf("u16"),
        deserialize_u32 => Child::Leaf("u32"),
        deserialize_u64 => Child::Leaf("u64"),
        deserialize_u128 => Child::Leaf("u128"),
        deserialize_f32 => Child::Leaf("f32"),
        deserialize_f64 => Child::Leaf("f64"),
        deserialize_char => Child::Leaf("char"),
        // `str` or `string`, `bytes` or `byte_buf` only says who will own the memory.
        deserialize_str => Child::Leaf("str"),
        deserialize_string => Child::Leaf("str"),
        deserialize_bytes => Child::Leaf("bytes"),
        deserialize_byte_buf => Child::Leaf("bytes"),
        deserialize_unit => Child::Leaf("unit"),
        deserialize_identifier => Child::Leaf("identifier"),
        deserialize_ignored_any => Child::Leaf("ignored"),
        deserialize_any => Child::Any,
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: V,
    ) -> Result<V::Value, Stop> {
        Err(self.0.leaf(Child::UnitStruct(name)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.enter(Kind::Option, Some(Origin::of::<V>(Kind::Option)))?;
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let kind = Kind::Newtype(name);
        self.0.enter(kind, Some(Origin::of::<V>(kind)))?;
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.elements(Kind::Seq, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        self.elements(Kind::Tuple(len), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.elements(Kind::TupleStruct(name, len), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let id = self.0.enter(Kind::Map, Some(Origin::of::<V>(Kind::Map)))?;
        visitor.visit_map(Entry { trace: self.0, id, asked: false })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let kind = Kind::Struct(name, fields);
        let id = self.0.enter(kind, Some(Origin::of::<V>(kind)))?;
        visit_fields(self.0, id, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let kind = Kind::Enum(name, variants);
        let id = self.0.enter(kind, Some(Origin::of::<V>(kind)))?;
        visitor.visit_enum(Variant { trace: self.0, id, variants })
    }

    fn is_human_readable(&self) -> bool {
        crate::codec::HUMAN_READABLE
    }
}

impl Tracer<'_> {
    fn elements<'de, V: Visitor<'de>>(self, kind: Kind, visitor: V) -> Result<V::Value, Stop> {
        let id = self.0.enter(kind, Some(Origin::of::<V>(kind)))?;
        visitor.visit_seq(Elements { trace: self.0, id, position: 0 })
    }
}

fn visit_fields<'de, V: Visitor<'de>>(
    trace: &mut Trace,
    id: NodeId,
    fields: &'static [&'static str],
    visitor: V,
) -> Result<V::Value, Stop> {
    if trace.by_position(id) {
        visitor.visit_seq(Elements { trace, id, position: 0 })
    } else {
        visitor.visit_map(Field { trace, id, fields, asked: false })
    }
}

/// Elements by position: stand-in values up to the one that is wanted.
struct Elements<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    position: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let position = self.position;
        self.position += 1;
        let wanted = self.trace.wanted(self.id);
        if position < wanted {
            return stand_in(self.trace, self.id, position, seed).map(Some);
        }
        if position > wanted {
            return Err(Stop);
        }
        seed.deserialize(Tracer(self.trace)).map(Some)
    }
}

/// The wanted field of a struct, by its name and before all others.
struct Field<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    fields: &'static [&'static str],
    asked: bool,
}

impl<'de> MapAccess<'de> for Field<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if std::mem::replace(&mut self.asked, true) {
            return Err(Stop);
        }
        let name = self.fields.get(self.trace.wanted(self.id)).ok_or(Stop)?;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(Tracer(self.trace))
    }
}

/// One entry of a map: its key, or a stand-in for the key and then its value.
struct Entry<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    asked: bool,
}

const KEY: usize = 0;
const VALUE: usize = 1;

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if std::mem::replace(&mut self.asked, true) {
            return Err(Stop);
        }
        if self.trace.wanted(self.id) == KEY {
            return seed.deserialize(Tracer(self.trace)).map(Some);
        }
        stand_in(self.trace, self.id, KEY, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        if self.trace.wanted(self.id) != VALUE {
            return Err(Stop);
        }
        seed.deserialize(Tracer(self.trace))
    }
}

fn stand_in<'de, S: DeserializeSeed<'de>>(
    trace: &mut Trace,
    id: NodeId,
    child: usize,
    seed: S,
) -> Result<S::Value, Stop> {
    StandIn::offer(trace.offer(id, child), seed).map_err(|Stop| trace.refuse(id, child))
}

/// The wanted variant of an enum.
struct Variant<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    variants: &'static [&'static str],
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stop> {
        let wanted = self.trace.wanted(self.id);
        let value = if self.trace.by_position(self.id) {
            let index = u32::try_from(wanted).map_err(|_| Stop)?;
            seed.deserialize(U32Deserializer::new(index))?
        } else {
            let name = self.variants.get(wanted).ok_or(Stop)?;
            seed.deserialize(BorrowedStrDeserializer::new(name))?
        };
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Err(self.trace.leaf(Child::Leaf("unit")))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        self.trace.enter(Kind::NewtypeVariant, None)?;
        seed.deserialize(Tracer(self.trace))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let id = self.trace.enter(Kind::TupleVariant(len), None)?;
        visitor.visit_seq(Elements { trace: self.trace, id, position: 0 })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let id = self.trace.enter(Kind::StructVariant(fields), None)?;
        visit_fields(self.trace, id, fields, visitor)
    }
}
