//! Stand-in values: element `n` of a tuple can only be reached when the elements before it exist.

use std::cell::Cell;

use crate::erased::{self, AnySeed, AnyVisitor, Entries, Given, Source, Stop, Wanted};

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
    pub(super) fn offer(offer: u8, seed: &mut dyn AnySeed<'_>) -> Result<(), Stop> {
        let steps = Cell::new(0);
        seed.take_from(&mut StandIn { offer: offer.into(), depth: 0, steps: &steps })
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

    fn visit_fields(
        self,
        names: &'static [&'static str],
        visitor: &mut dyn AnyVisitor<'_>,
    ) -> Result<(), Stop> {
        // A custom impl may know only one of the two; half of the offers go each way.
        if self.offer % 4 < 2 {
            visitor.visit(Given::Seq(&mut self.elements(names.len())?))
        } else {
            let mut fields = Elements { inner: self.deeper()?, names, left: names.len() };
            visitor.visit(Given::Map(&mut fields))
        }
    }
}

impl<'de> Source<'de> for StandIn<'_> {
    fn give(&mut self, wanted: Wanted, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        let one = self.is_one();
        visitor.visit(match wanted {
            Wanted::Bool => Given::Bool(one),
            Wanted::I8 => Given::I8(one.into()),
            Wanted::I16 => Given::I16(one.into()),
            Wanted::I32 => Given::I32(one.into()),
            Wanted::I64 => Given::I64(one.into()),
            Wanted::I128 => Given::I128(one.into()),
            Wanted::U8 => Given::U8(one.into()),
            Wanted::U16 => Given::U16(one.into()),
            Wanted::U32 => Given::U32(one.into()),
            Wanted::U64 => Given::U64(one.into()),
            Wanted::U128 => Given::U128(one.into()),
            Wanted::F32 => Given::F32(u8::from(one).into()),
            Wanted::F64 => Given::F64(u8::from(one).into()),
            Wanted::Char => Given::Char(if one { 'a' } else { '0' }),
            Wanted::Any if !one => Given::Unit,
            Wanted::Any | Wanted::Str | Wanted::String | Wanted::Identifier => {
                Given::BorrowedStr(self.text())
            }
            Wanted::Bytes | Wanted::ByteBuf => Given::BorrowedBytes(self.text().as_bytes()),
            Wanted::Ignored | Wanted::Unit | Wanted::UnitStruct(_) => Given::Unit,
            Wanted::Option => Given::None,
            Wanted::Newtype(_) => return visitor.visit(Given::Newtype(&mut self.deeper()?)),
            Wanted::Seq => return visitor.visit(Given::Seq(&mut self.elements(self.len())?)),
            Wanted::Map => return visitor.visit(Given::Map(&mut self.elements(self.len())?)),
            Wanted::Tuple(len) | Wanted::TupleStruct(_, len) => {
                return visitor.visit(Given::Seq(&mut self.elements(len)?));
            }
            Wanted::Struct(_, fields) => return self.visit_fields(fields, visitor),
            Wanted::Enum(_, variants) => {
                let index = self.offer / 2 % variants.len().max(1);
                return visitor.visit(Given::Enum(&mut Variant { inner: self.deeper()?, index }));
            }
        })
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

impl<'de> erased::Elements<'de> for Elements<'_> {
    fn next(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        let more = self.take();
        if more {
            seed.take_from(&mut self.inner.deeper()?)?;
        }
        Ok(more)
    }
}

impl<'de> Entries<'de> for Elements<'_> {
    fn next_key(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<bool, Stop> {
        if !self.take() {
            return Ok(false);
        }
        match self.names.get(self.names.len().wrapping_sub(self.left + 1)) {
            Some(name) => seed.take_from(&mut Identifier::Name(name))?,
            None => seed.take_from(&mut self.inner.deeper()?)?,
        }
        Ok(true)
    }

    fn next_value(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        seed.take_from(&mut self.inner.deeper()?)
    }
}

struct Variant<'s> {
    inner: StandIn<'s>,
    index: usize,
}

impl<'de> erased::Variant<'de> for Variant<'_> {
    fn which(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        let index = u32::try_from(self.index).map_err(|_| Stop)?;
        seed.take_from(&mut Identifier::Index(index))
    }

    fn unit(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn newtype(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        seed.take_from(&mut self.inner)
    }

    fn tuple(&mut self, len: usize, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        visitor.visit(Given::Seq(&mut self.inner.elements(len)?))
    }

    fn fields(
        &mut self,
        fields: &'static [&'static str],
        visitor: &mut dyn AnyVisitor<'de>,
    ) -> Result<(), Stop> {
        self.inner.visit_fields(fields, visitor)
    }
}

/// The name or the number of a field or a variant, whatever is asked.
#[derive(Clone, Copy)]
pub(super) enum Identifier {
    Name(&'static str),
    Index(u32),
}

impl<'de> Source<'de> for Identifier {
    fn give(&mut self, wanted: Wanted, visitor: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        visitor.visit(match (wanted, *self) {
            // An enum whose variants are the names of fields.
            (Wanted::Enum(..), _) => return visitor.visit(Given::Enum(self)),
            (_, Identifier::Name(name)) => Given::BorrowedStr(name),
            (_, Identifier::Index(index)) => Given::U32(index),
        })
    }
}

impl<'de> erased::Variant<'de> for Identifier {
    fn which(&mut self, seed: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        seed.take_from(&mut { *self })
    }

    fn unit(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn newtype(&mut self, _: &mut dyn AnySeed<'de>) -> Result<(), Stop> {
        Err(Stop)
    }

    fn tuple(&mut self, _: usize, _: &mut dyn AnyVisitor<'de>) -> Result<(), Stop> {
        Err(Stop)
    }

    fn fields(
        &mut self,
        _: &'static [&'static str],
        _: &mut dyn AnyVisitor<'de>,
    ) -> Result<(), Stop> {
        Err(Stop)
    }
}
