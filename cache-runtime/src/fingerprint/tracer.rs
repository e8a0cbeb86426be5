//! The deserializer that holds no data and notes in the [`Trace`] what it is asked for.

use std::cmp::Ordering;

use super::stand_in::{Identifier, StandIn};
use super::trace::{Child, Kind, NodeId, Origin, Trace};
use crate::erased::{self, AnySeed, AnyVisitor, Entries, Given, Source, Stop, Wanted};

pub(super) struct Tracer<'t>(&'t mut Trace);

impl<'t> Tracer<'t> {
    pub(super) fn new(trace: &'t mut Trace) -> Self {
        Tracer(trace)
    }

    fn enter(&mut self, kind: Kind, visitor: &dyn AnyVisitor<'_>) -> Result<NodeId, Stop> {
        self.0.enter(kind, Some(Origin { kind, names: visitor.names() }))
    }

    fn elements(&mut self, kind: Kind, visitor: &mut dyn AnyVisitor<'_>) -> Result<(), Stop> {
        let id = self.enter(kind, visitor)?;
        visitor.visit(Given::Seq(&mut Elements { trace: self.0, id, position: 0 }))
    }
}

impl<'de> Source<'de> for Tracer<'_> {
    fn give(&mut self, wanted: Wanted, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        let leaf = match wanted {
            Wanted::Bool => "bool",
            Wanted::I8 => "i8",
            Wanted::I16 => "i16",
            Wanted::I32 => "i32",
            Wanted::I64 => "i64",
            Wanted::I128 => "i128",
            Wanted::U8 => "u8",
            Wanted::U16 => "u16",
            Wanted::U32 => "u32",
            Wanted::U64 => "u64",
            Wanted::U128 => "u128",
            Wanted::F32 => "f32",
            Wanted::F64 => "f64",
            Wanted::Char => "char",
            // `str` or `string`, `bytes` or `byte_buf` only says who will own the memory.
            Wanted::Str | Wanted::String => "str",
            Wanted::Bytes | Wanted::ByteBuf => "bytes",
            Wanted::Unit => "unit",
            Wanted::Identifier => "identifier",
            Wanted::Ignored => "ignored",
            Wanted::Any => return Err(self.0.leaf(Child::Any)),
            Wanted::UnitStruct(name) => return Err(self.0.leaf(Child::UnitStruct(name))),
            Wanted::Option => {
                self.enter(Kind::Option, visitor)?;
                return visitor.visit(Given::Some(self));
            }
            Wanted::Newtype(name) => {
                self.enter(Kind::Newtype(name), visitor)?;
                return visitor.visit(Given::Newtype(self));
            }
            Wanted::Seq => return self.elements(Kind::Seq, visitor),
            Wanted::Tuple(len) => return self.elements(Kind::Tuple(len), visitor),
            Wanted::TupleStruct(name, len) => {
                return self.elements(Kind::TupleStruct(name, len), visitor);
            }
            Wanted::Map => {
                let id = self.enter(Kind::Map, visitor)?;
                return visitor.visit(Given::Map(&mut Entry { trace: self.0, id, asked: false }));
            }
            Wanted::Struct(name, fields) => {
                let id = self.enter(Kind::Struct(name, fields), visitor)?;
                return visit_fields(self.0, id, fields, visitor);
            }
            Wanted::Enum(name, variants) => {
                let id = self.enter(Kind::Enum(name, variants), visitor)?;
                return visitor.visit(Given::Enum(&mut Variant { trace: self.0, id, variants }));
            }
        };
        Err(self.0.leaf(Child::Leaf(leaf)))
    }
}

fn visit_fields(
    trace: &mut Trace,
    id: NodeId,
    fields: &'static [&'static str],
    visitor: &mut dyn AnyVisitor<'_>,
) -> Result<(), Stop> {
    if trace.by_position(id) {
        visitor.visit(Given::Seq(&mut Elements { trace, id, position: 0 }))
    } else {
        visitor.visit(Given::Map(&mut Field { trace, id, fields, asked: false }))
    }
}

/// Elements by position: stand-in values up to the one that is wanted.
struct Elements<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    position: usize,
}

impl<'de> erased::Elements<'de> for Elements<'_> {
    fn next(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        let position = self.position;
        self.position += 1;
        match position.cmp(&self.trace.wanted(self.id)) {
            Ordering::Less => stand_in(self.trace, self.id, position, seed)?,
            Ordering::Equal => seed.take_from(&mut Tracer(self.trace))?,
            Ordering::Greater => return Err(Stop),
        }
        Ok(true)
    }
}

/// The wanted field of a struct, by its name and before all others.
struct Field<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    fields: &'static [&'static str],
    asked: bool,
}

impl<'de> Entries<'de> for Field<'_> {
    fn next_key(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        if std::mem::replace(&mut self.asked, true) {
            return Err(Stop);
        }
        let name = self.fields.get(self.trace.wanted(self.id)).ok_or(Stop)?;
        seed.take_from(&mut Identifier::Name(name))?;
        Ok(true)
    }

    fn next_value(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        seed.take_from(&mut Tracer(self.trace))
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

impl<'de> Entries<'de> for Entry<'_> {
    fn next_key(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        if std::mem::replace(&mut self.asked, true) {
            return Err(Stop);
        }
        if self.trace.wanted(self.id) == KEY {
            seed.take_from(&mut Tracer(self.trace))?;
        } else {
            stand_in(self.trace, self.id, KEY, seed)?;
        }
        Ok(true)
    }

    fn next_value(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        if self.trace.wanted(self.id) != VALUE {
            return Err(Stop);
        }
        seed.take_from(&mut Tracer(self.trace))
    }
}

fn stand_in(
    trace: &mut Trace,
    id: NodeId,
    child: usize,
    seed: &mut dyn AnySeed<'_>,
) -> Result<(), Stop> {
    StandIn::offer(trace.offer(id, child), seed).map_err(|Stop| trace.refuse(id, child))
}

/// The wanted variant of an enum.
struct Variant<'t> {
    trace: &'t mut Trace,
    id: NodeId,
    variants: &'static [&'static str],
}

impl<'de> erased::Variant<'de> for Variant<'_> {
    fn which(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        let wanted = self.trace.wanted(self.id);
        let mut identifier = if self.trace.by_position(self.id) {
            Identifier::Index(u32::try_from(wanted).map_err(|_| Stop)?)
        } else {
            Identifier::Name(self.variants.get(wanted).ok_or(Stop)?)
        };
        seed.take_from(&mut identifier)
    }

    fn unit(&mut self) -> Result<(), Stop> {
        Err(self.trace.leaf(Child::Leaf("unit")))
    }

    fn newtype(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        self.trace.enter(Kind::NewtypeVariant, None)?;
        seed.take_from(&mut Tracer(self.trace))
    }

    fn tuple(&mut self, len: usize, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        let id = self.trace.enter(Kind::TupleVariant(len), None)?;
        visitor.visit(Given::Seq(&mut Elements { trace: self.trace, id, position: 0 }))
    }

    fn fields(
        &mut self,
        fields: &'static [&'static str],
        visitor: &mut dyn AnyVisitor<'de>,
    ) -> Result<(), Stop> {
        let id = self.trace.enter(Kind::StructVariant(fields), None)?;
        visit_fields(self.trace, id, fields, visitor)
    }
}
