//! What the passes have found out so far: the type as a tree, and the text of it.

use std::collections::HashMap;

use crate::erased::{Names, Stop};

/// Deeper types are cut here, to protect the stack. Recursive types never come this far.
const MAX_DEPTH: usize = 128;

/// A part of a type that has parts itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Root,
    Option,
    Seq,
    Map,
    Tuple(usize),
    Newtype(&'static str),
    TupleStruct(&'static str, usize),
    Struct(&'static str, &'static [&'static str]),
    Enum(&'static str, &'static [&'static str]),
    NewtypeVariant,
    TupleVariant(usize),
    StructVariant(&'static [&'static str]),
}

impl Kind {
    fn width(self) -> usize {
        match self {
            Kind::Root | Kind::Option | Kind::Seq | Kind::Newtype(_) | Kind::NewtypeVariant => 1,
            Kind::Map => 2,
            Kind::Tuple(len) | Kind::TupleStruct(_, len) | Kind::TupleVariant(len) => len,
            Kind::Struct(_, names) | Kind::Enum(_, names) | Kind::StructVariant(names) => {
                names.len()
            }
        }
    }

    fn has_names(self) -> bool {
        matches!(self, Kind::Struct(..) | Kind::Enum(..) | Kind::StructVariant(_))
    }
}

/// Where a node stands in the tree's list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(usize);

const ROOT: NodeId = NodeId(0);

#[derive(Clone, Copy)]
pub(super) enum Child {
    Leaf(&'static str),
    UnitStruct(&'static str),
    Node(NodeId),
    /// A type that stands elsewhere in the tree already: shared, or recursive.
    Again(NodeId),
    /// `deserialize_any`: only the bytes know what comes.
    Any,
    Unknown,
}

struct Node {
    kind: Kind,
    /// The finished children, and behind them the one under way, if it has been seen.
    children: Vec<Child>,
    finished: usize,
    /// Which stand-in value is offered for each child, when a later one is to be reached.
    offers: Vec<u8>,
    /// The child under way could not be reached by its name.
    by_position: bool,
}

/// Two nodes with the same origin have the same children. The names of the Rust types tell apart
/// what serde's names do not (`Page<User>`, `Page<Order>`). They are compared and never written
/// into the text, which has to be the same for every compiler.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) kind: Kind,
    pub(super) names: Names,
}

pub(super) struct Trace {
    nodes: Vec<Node>,
    known: HashMap<Origin, NodeId>,
    /// From the root to the node whose next child this pass is to find.
    path: Vec<NodeId>,
    /// This pass has found something, and whatever else it is asked for is refused.
    found: bool,
    /// The user's code did not accept the stand-in value for this child of this node.
    refused: Option<(NodeId, usize)>,
    hides_something: bool,
}

impl Trace {
    pub(super) fn new() -> Self {
        Trace {
            nodes: vec![Node::new(Kind::Root)],
            known: HashMap::new(),
            path: Vec::new(),
            found: false,
            refused: None,
            hides_something: false,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.nodes[ROOT.0].is_finished()
    }

    /// Whether the text leaves something out that the type decides.
    pub(super) fn hides_something(&self) -> bool {
        self.hides_something || !self.is_complete()
    }

    pub(super) fn begin_pass(&mut self) {
        self.path.clear();
        self.path.push(ROOT);
        self.found = false;
        self.refused = None;
    }

    /// Sees to it that every pass leads further: one that found nothing tries another way the next
    /// time, and where there is none, what it looked for is unknown.
    pub(super) fn end_pass(&mut self) {
        if self.found {
            return;
        }
        let Some(&last) = self.path.last() else {
            return;
        };
        if let Some((id, child)) = self.refused {
            let node = &mut self.nodes[id.0];
            node.offers[child] += 1;
            if node.offers[child] == super::stand_in::OFFERS {
                // Without a value for this child none behind it can be reached.
                while self.path.last() == Some(&id) {
                    self.finish_child(Child::Unknown);
                }
            }
            return;
        }
        let node = &mut self.nodes[last.0];
        if node.kind.has_names() && !node.by_position {
            node.by_position = true;
        } else {
            self.finish_child(Child::Unknown);
        }
    }

    /// The child under way is `child`, and has no parts.
    pub(super) fn leaf(&mut self, child: Child) -> Stop {
        if !self.is_over() {
            self.finish_child(child);
        }
        Stop
    }

    /// The child under way has parts. An origin is given where the same type may come again.
    pub(super) fn enter(&mut self, kind: Kind, origin: Option<Origin>) -> Result<NodeId, Stop> {
        if self.is_over() {
            return Err(Stop);
        }
        let Some(&parent) = self.path.last() else {
            return Err(Stop);
        };
        let parent = &self.nodes[parent.0];
        let id = match parent.children.get(parent.finished) {
            Some(&Child::Node(id)) if self.nodes[id.0].kind == kind => id,
            // Asked for something else than in the last pass: nothing is known for sure.
            Some(_) => return Err(Stop),
            None => self.add(kind, origin)?,
        };
        self.path.push(id);
        if kind.width() == 0 {
            self.leave_finished();
            return Err(Stop);
        }
        Ok(id)
    }

    fn add(&mut self, kind: Kind, origin: Option<Origin>) -> Result<NodeId, Stop> {
        if let Some(&id) = origin.as_ref().and_then(|origin| self.known.get(origin)) {
            self.finish_child(Child::Again(id));
            return Err(Stop);
        }
        if self.path.len() == MAX_DEPTH {
            self.finish_child(Child::Unknown);
            return Err(Stop);
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node::new(kind));
        if let Some(origin) = origin {
            self.known.insert(origin, id);
        }
        if let Some(parent) = self.path.last() {
            self.nodes[parent.0].children.push(Child::Node(id));
        }
        Ok(id)
    }

    /// Which child of `id` this pass is to find.
    pub(super) fn wanted(&self, id: NodeId) -> usize {
        self.nodes[id.0].finished
    }

    pub(super) fn by_position(&self, id: NodeId) -> bool {
        self.nodes[id.0].by_position
    }

    pub(super) fn offer(&self, id: NodeId, child: usize) -> u8 {
        self.nodes[id.0].offers[child]
    }

    pub(super) fn refuse(&mut self, id: NodeId, child: usize) -> Stop {
        if !self.is_over() {
            self.refused = Some((id, child));
        }
        Stop
    }

    fn is_over(&self) -> bool {
        self.found || self.refused.is_some()
    }

    fn finish_child(&mut self, child: Child) {
        let Some(id) = self.path.last() else { return };
        if matches!(child, Child::Any | Child::Unknown) {
            self.hides_something = true;
        }
        let node = &mut self.nodes[id.0];
        node.children.truncate(node.finished);
        node.children.push(child);
        node.child_finished();
        self.leave_finished();
    }

    fn leave_finished(&mut self) {
        self.found = true;
        while let Some(id) = self.path.last()
            && self.nodes[id.0].is_finished()
        {
            self.path.pop();
            if let Some(parent) = self.path.last() {
                self.nodes[parent.0].child_finished();
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write_children(ROOT, &mut text);
        text
    }

    fn write_child(&self, child: Child, text: &mut String) {
        match child {
            Child::Leaf(name) => text.push_str(name),
            Child::UnitStruct(name) => {
                text.push_str("unit ");
                write_name(name, text);
            }
            Child::Node(id) => self.write_node(id, text),
            Child::Again(NodeId(number)) => {
                text.push('#');
                text.push_str(&number.to_string());
            }
            Child::Any => text.push_str("any"),
            Child::Unknown => text.push('?'),
        }
    }

    fn write_node(&self, id: NodeId, text: &mut String) {
        let (word, name) = match self.nodes[id.0].kind {
            Kind::Root => ("", None),
            Kind::Option => ("option", None),
            Kind::Seq => ("seq", None),
            Kind::Map => ("map", None),
            Kind::Newtype(name) => ("newtype ", Some(name)),
            Kind::TupleStruct(name, _) => ("tuple ", Some(name)),
            Kind::Struct(name, _) => ("struct ", Some(name)),
            Kind::Enum(name, _) => ("enum ", Some(name)),
            Kind::NewtypeVariant => ("newtype", None),
            Kind::Tuple(_) | Kind::TupleVariant(_) => ("tuple", None),
            Kind::StructVariant(_) => ("struct", None),
        };
        text.push_str(word);
        if let Some(name) = name {
            write_name(name, text);
        }
        text.push('(');
        self.write_children(id, text);
        text.push(')');
    }

    fn write_children(&self, id: NodeId, text: &mut String) {
        let node = &self.nodes[id.0];
        for (position, &child) in node.children.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            if let Kind::Struct(_, names) | Kind::Enum(_, names) | Kind::StructVariant(names) =
                node.kind
            {
                write_name(names[position], text);
                text.push(':');
            }
            self.write_child(child, text);
        }
        if !node.is_finished() {
            text.push_str("...");
        }
    }
}

impl Node {
    fn new(kind: Kind) -> Self {
        Node {
            kind,
            children: Vec::new(),
            finished: 0,
            offers: vec![0; kind.width()],
            by_position: false,
        }
    }

    fn is_finished(&self) -> bool {
        self.finished == self.kind.width()
    }

    fn child_finished(&mut self) {
        self.finished += 1;
        self.by_position = false;
    }
}

/// Quoted, because a name given with `serde(rename)` may hold anything.
fn write_name(name: &str, text: &mut String) {
    text.push('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}
