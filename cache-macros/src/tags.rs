//! The templates of the tags: over parameters, or over what is returned.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Expr, LitStr};

use crate::key::{Scope, Segment, Source, Value};
use crate::policy;
use crate::template::{self, Form, Placeholder};

/// An entry has at most so many.
const MOST: usize = 32;
/// What the value that is returned is called in a template.
pub(crate) const RETURNED: &str = "ret";

pub(crate) struct Tag {
    pub(crate) text: String,
    pub(crate) segments: Vec<Segment>,
}

impl Tag {
    fn values(&self) -> impl Iterator<Item = &Value> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Value(value) => Some(value),
            Segment::Literal(_) => None,
        })
    }

    /// Whether it is known only when the body has ended.
    pub(crate) fn is_of_value(&self) -> bool {
        self.values().any(|value| matches!(value.source, Source::Returned(_)))
    }

    /// Whether the parameter at this place stands in it, as a whole or by a part.
    pub(crate) fn uses(&self, index: usize) -> bool {
        self.values()
            .any(|value| matches!(value.source, Source::Name { param, .. } if param == index))
    }

    /// The parameters that it asks, by the names that are bound of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.values().filter_map(|value| match &value.source {
            Source::Name { name, .. } => Some(name.unraw().to_string()),
            Source::Path { .. } | Source::Returned(_) => None,
        })
    }

    /// Whether two calls that differ in this name have different tags. Those have different entries, so that is as
    /// good as a place in the key.
    pub(crate) fn tells_apart(&self, ident: &Ident) -> bool {
        let mut values = self.values();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        value.steps.is_empty()
            && value.form != Form::Optional
            && matches!(&value.source, Source::Name { name, .. } if name == ident)
    }

    /// The generic parameters that it names itself.
    pub(crate) fn generics(&self) -> impl Iterator<Item = String> {
        self.values().filter_map(|value| match &value.source {
            Source::Path { path, .. } => Some(path.segments[0].ident.unraw().to_string()),
            _ => None,
        })
    }
}

/// What a tag may ask at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// What there is before the body, or what there is behind it.
    Either,
    Both,
}

pub(crate) fn tags(given: Option<&Expr>, asks: Asks, scope: &Scope<'_>) -> Vec<Tag> {
    let Some(given) = given else { return Vec::new() };
    let Expr::Array(array) = given else {
        scope.errors.on(
            given,
            "`tags` is a list of templates: write `tags = [\"team:{team}\", \"org:{ret.org}\"]`",
        );
        return Vec::new();
    };
    if let Some(first_too_many) = array.elems.get(MOST) {
        let count = array.elems.len();
        scope
            .errors
            .on(first_too_many, format!("an entry has at most {MOST} tags, and these are {count}"));
    }
    array.elems.iter().filter_map(|tag| checked(tag, asks, scope)).collect()
}

fn checked(tag: &Expr, asks: Asks, scope: &Scope<'_>) -> Option<Tag> {
    let Some(syn::Lit::Str(literal)) = policy::literal(tag) else {
        scope.errors.on(tag, "a tag is a string literal: write `\"team:{team}\"`");
        return None;
    };
    let text = literal.value();
    let refuse = |why: &str| {
        scope.errors.at(literal.span(), format!("the tag {text:?}: {why}"));
    };
    let segments = match template::parse(&text) {
        Ok(segments) => segments,
        Err(mistakes) => {
            for mistake in &mistakes {
                refuse(mistake);
            }
            return None;
        }
    };
    // No shortcut: all mistakes are to be reported.
    let segments: Vec<Option<Segment>> = segments
        .into_iter()
        .map(|segment| match segment {
            template::Segment::Literal(text) => Some(Segment::Literal(text)),
            template::Segment::Placeholder(placeholder) => {
                value(&placeholder, literal, &text, scope).map(Segment::Value)
            }
        })
        .collect();
    let tag = Tag { segments: segments.into_iter().collect::<Option<_>>()?, text: text.clone() };
    let is_of_arguments = tag.values().any(|value| matches!(value.source, Source::Name { .. }));
    if asks == Asks::Either && tag.is_of_value() && is_of_arguments {
        refuse(
            "it asks arguments, which are gone when there is a value, and the value: call \
             `redis_cached::tag(format!(..))` in the body, where both are at hand",
        );
        return None;
    }
    Some(tag)
}

fn value(
    placeholder: &Placeholder,
    literal: &LitStr,
    text: &str,
    scope: &Scope<'_>,
) -> Option<Value> {
    let what = format!("in the tag {text:?}");
    if placeholder.is_path() || placeholder.name() != RETURNED {
        return scope.value(placeholder, literal, &what);
    }
    if scope.is_parameter(RETURNED) {
        scope.errors.at(
            literal.span(),
            format!(
                "`{placeholder}` {what}: `{RETURNED}` is the value that is returned, and a parameter is called \
                 so too: give the parameter another name"
            ),
        );
        return None;
    }
    let steps = scope.steps(placeholder, literal, &what)?;
    let source = Source::Returned(Ident::new(RETURNED, literal.span()));
    Some(Value { source, steps, form: placeholder.form })
}
