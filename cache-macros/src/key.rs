//! The key: which names it can refer to, and that none is forgotten.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::{Expr, GenericParam, LitStr, Member, Path};

use crate::args::Given;
use crate::asked::Asked;
use crate::block::Block;
use crate::errors::Errors;
use crate::function::Function;
use crate::generics::{Names, name_of};
use crate::params::Param;
use crate::policy;
use crate::signature;
use crate::spelling::{Kind, kind, undisplayable};
use crate::suggest::closest;
use crate::tags::Tag;
use crate::template::{self, Form, Placeholder};

pub(crate) struct Key {
    /// The default key: `text` and the first literal still lack the path of the module.
    pub(crate) in_module: bool,
    pub(crate) text: String,
    pub(crate) segments: Vec<Segment>,
}

pub(crate) enum Segment {
    Literal(String),
    Value(Value),
}

pub(crate) struct Value {
    pub(crate) source: Source,
    pub(crate) steps: Vec<Step>,
    pub(crate) form: Form,
}

pub(crate) enum Source {
    /// What a parameter is called, or what its pattern binds; and its place in `Spec::params`.
    Name { param: usize, name: Ident },
    /// `T::KIND`, `T::kind()`, or the constant `N`.
    Path { path: Path, called: bool },
    /// What the function has returned. Only in tags.
    Returned(Ident),
}

pub(crate) enum Step {
    Field(Member),
    Method(Ident),
}

impl Key {
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Value(value) => Some(value),
            Segment::Literal(_) => None,
        })
    }

    /// Whether the parameter at this place stands in it, as a whole or by a part.
    pub(crate) fn uses(&self, index: usize) -> bool {
        self.values()
            .any(|value| matches!(value.source, Source::Name { param, .. } if param == index))
    }

    fn names(&self, ident: &Ident) -> bool {
        self.values()
            .any(|value| matches!(&value.source, Source::Name { name, .. } if name == ident))
    }

    /// The generic parameters that it names itself: `T` of `{T::KIND}`.
    pub(crate) fn generics(&self) -> Names {
        self.values()
            .filter_map(|value| match &value.source {
                Source::Path { path, .. } => Some(path.segments[0].ident.unraw().to_string()),
                Source::Name { .. } | Source::Returned(_) => None,
            })
            .collect()
    }
}

/// The names that a key and `skip` can refer to.
pub(crate) struct Scope<'a> {
    pub(crate) function: &'a Function,
    pub(crate) block: Option<&'a Block>,
    pub(crate) params: &'a [Param],
    pub(crate) skip: &'a [Ident],
    /// What need not be in the key, because of what it is used for: the cache itself, and flags that
    /// say how to call.
    pub(crate) aside: Names,
    /// Which of the arguments that say how to call read which variables.
    pub(crate) asked: Asked,
    pub(crate) errors: &'a Errors,
}

impl Scope<'_> {
    /// Where the name is bound.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|param| param.binds(name))
    }

    pub(crate) fn is_parameter(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    pub(crate) fn is_skipped(&self, name: &str) -> bool {
        self.skip.iter().any(|skipped| skipped.unraw() == name)
    }

    fn may_be_left_out(&self, name: &str) -> bool {
        self.is_skipped(name) || self.aside.contains(name)
    }

    /// The function's own, and those of the block around it.
    pub(crate) fn generic_params(&self) -> impl Iterator<Item = &GenericParam> {
        let of_block = self.block.into_iter().flat_map(|block| &block.generics.params);
        of_block.chain(&self.function.sig.generics.params)
    }

    pub(crate) fn generics(&self) -> Names {
        let mut names: Names = self.generic_params().map(name_of).collect();
        if self.block.is_some_and(Block::is_trait) {
            names.insert("Self".to_owned());
        }
        names
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.params.iter().flat_map(Param::names);
        names.map(|name| name.unraw().to_string()).collect()
    }

    pub(crate) fn check_skip(&self) {
        let generics = self.generics();
        for (index, ident) in self.skip.iter().enumerate() {
            let name = ident.unraw().to_string();
            if self.skip[..index].iter().any(|earlier| *earlier == name) {
                self.errors
                    .at(ident.span(), format!("`{name}` stands twice in `skip`: keep one of them"));
            } else if self.position(&name).is_none() && !generics.contains(&name) {
                let names = self.names();
                let candidates = names.iter().chain(&generics).map(String::as_str);
                self.errors.at(
                    ident.span(),
                    format!("`skip({name})`: {}", no_such_parameter(&name, candidates)),
                );
            }
        }
    }

    /// `None` if it has a mistake.
    pub(crate) fn given_key(&self, given: &Given<Expr>) -> Option<Key> {
        let Some(syn::Lit::Str(literal)) = policy::literal(&given.value) else {
            self.errors.on(
                &given.value,
                "`key` is a string literal, checked when the code is compiled: \
                 write `key = \"user:{id}\"`",
            );
            return None;
        };
        let text = literal.value();
        let parsed = match template::parse(&text) {
            Ok(parsed) => parsed,
            Err(mistakes) => {
                for mistake in mistakes {
                    self.errors.at(literal.span(), format!("the key {text:?}: {mistake}"));
                }
                return None;
            }
        };
        // No shortcut: all unknown names are to be reported.
        let segments: Vec<Option<Segment>> = parsed
            .into_iter()
            .map(|segment| match segment {
                template::Segment::Literal(text) => Some(Segment::Literal(text)),
                template::Segment::Placeholder(placeholder) => {
                    self.value(&placeholder, literal, "in the key").map(Segment::Value)
                }
            })
            .collect();
        let segments = segments.into_iter().collect::<Option<_>>()?;
        Some(Key { in_module: false, text, segments })
    }

    /// `place` is where it stands, in the words of an error.
    pub(crate) fn value(
        &self,
        placeholder: &Placeholder,
        literal: &LitStr,
        place: &str,
    ) -> Option<Value> {
        let refuse = |why: &str| {
            self.errors.at(literal.span(), format!("`{placeholder}` {place}: {why}"));
        };
        let source = match self.source(placeholder, literal) {
            Ok(source) => source,
            Err(why) => {
                refuse(&why);
                return None;
            }
        };
        let steps = self.steps(placeholder, literal, place)?;
        if let Source::Name { param, .. } = &source
            && steps.is_empty()
            && placeholder.form == Form::Display
            && self.params[*param].pattern.is_none()
            && let Some(repair) = undisplayable(&self.params[*param].ty, placeholder.name())
        {
            refuse(&repair);
            return None;
        }
        Some(Value { source, steps, form: placeholder.form })
    }

    pub(crate) fn steps(
        &self,
        placeholder: &Placeholder,
        literal: &LitStr,
        place: &str,
    ) -> Option<Vec<Step>> {
        let step = |step: &template::Step| {
            let resolved = resolved(step, literal.span());
            if resolved.is_none() {
                let (template::Step::Field(name) | template::Step::Method(name)) = step;
                let why = "cannot be the name of a field or method";
                self.errors.at(literal.span(), format!("`{placeholder}` {place}: `{name}` {why}"));
            }
            resolved
        };
        placeholder.steps.iter().map(step).collect()
    }

    fn source(&self, placeholder: &Placeholder, literal: &LitStr) -> Result<Source, String> {
        let name = placeholder.name();
        if placeholder.is_path() {
            return self.path(placeholder, literal);
        }
        if let Some(param) = self.position(name) {
            let found = self.params[param].names().into_iter().find(|bound| bound.unraw() == name);
            // `position` has found it there.
            let name = found.unwrap_or_else(|| self.params[param].ident.clone());
            return Ok(Source::Name { param, name });
        }
        let generic = self.generic_params().find(|param| name_of(param) == name);
        match generic {
            Some(GenericParam::Const(constant)) => {
                Ok(Source::Path { path: Path::from(constant.ident.clone()), called: false })
            }
            Some(_) => Err(format!(
                "`{name}` is a type, and the names of types are not stable: give it a constant and write \
                 `{{{name}::KIND}}`, or write `skip({name})`"
            )),
            None if name == "self" => Err("this function has no `self`".to_owned()),
            None => Err(no_such_parameter(name, self.names().iter().map(String::as_str))),
        }
    }

    /// `T::KIND`: a path that begins with a type parameter, or with `Self`.
    fn path(&self, placeholder: &Placeholder, literal: &LitStr) -> Result<Source, String> {
        let name = placeholder.name();
        let types = self.generic_params().filter(|param| matches!(param, GenericParam::Type(_)));
        let types: Vec<String> = types.map(name_of).collect();
        if name != "Self" && !types.iter().any(|ty| ty == name) {
            return Err(format!(
                "a path in a key begins with a type parameter or with `Self`, {}",
                if let Some(ty) = types.first() {
                    format!("as in `{{{ty}::KIND}}`")
                } else if self.block.is_none() && self.function.is_associated() {
                    format!(
                        "and this function has no type parameter: if `{name}` is one of the `impl` around \
                         it, write `#[redis_cached::methods]` on that"
                    )
                } else {
                    "and this function has no type parameter: write what does not depend on the call \
                     into the text of the key"
                        .to_owned()
                }
            ));
        }
        let mut path = Path { leading_colon: None, segments: syn::punctuated::Punctuated::new() };
        for segment in &placeholder.root {
            let ident = identifier(segment, literal.span())
                .ok_or_else(|| format!("`{segment}` cannot stand in a path"))?;
            path.segments.push(ident.into());
        }
        Ok(Source::Path { path, called: placeholder.root_is_called })
    }

    /// The function's name, and all parameters that are not skipped.
    pub(crate) fn default_key(&self, id: Option<&str>) -> Key {
        let name = self.function.sig.ident.unraw().to_string();
        let mut text = id.unwrap_or(&name).to_owned();
        let mut segments = Vec::new();
        let mut literal = text.clone();
        for (index, param) in self.params.iter().enumerate() {
            for ident in param.names() {
                let name = ident.unraw().to_string();
                if param.is_self() || self.may_be_left_out(&name) {
                    continue;
                }
                let form = match kind(&param.ty) {
                    _ if param.pattern.is_some() => Form::Display,
                    Kind::Option => Form::Optional,
                    Kind::Collection => Form::Hash,
                    Kind::Other => Form::Display,
                };
                text = format!("{text}:{}", written(&name, form));
                literal.push(':');
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
                let source = Source::Name { param: index, name: ident };
                segments.push(Segment::Value(Value { source, steps: Vec::new(), form }));
            }
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Key { in_module: id.is_none(), text, segments }
    }

    pub(crate) fn check_key(&self, key: &Key, tags: &[Tag]) {
        for param in self.params {
            for ident in param.names() {
                let name = ident.unraw().to_string();
                let in_a_tag = tags.iter().any(|tag| tag.tells_apart(&ident));
                match (key.names(&ident), self.is_skipped(&name)) {
                    (true, true) => self.used_and_skipped(&name),
                    (false, false)
                        if !in_a_tag
                            && !self.may_be_left_out(&name)
                            && !self.is_misspelt(&name) =>
                    {
                        self.forgotten(param, &ident, key);
                    }
                    (false, false) if in_a_tag => {
                        signature::check_in_key(param, &name, self.errors);
                    }
                    (true, false) => signature::check_in_key(param, &name, self.errors),
                    (false, _) => {}
                }
            }
        }
    }

    /// In `skip`, which has its own error.
    fn is_misspelt(&self, name: &str) -> bool {
        let names = self.names();
        self.skip
            .iter()
            .map(|skipped| skipped.unraw().to_string())
            .filter(|skipped| self.position(skipped).is_none())
            .any(|skipped| closest(&skipped, names.iter().map(String::as_str)) == Some(name))
    }

    fn used_and_skipped(&self, name: &str) {
        let skipped = self.skip.iter().find(|skipped| skipped.unraw() == name);
        self.errors.at(
            skipped.map_or_else(Span::call_site, Ident::span),
            format!(
                "`{name}` is in the key and in `skip`: take it out of `skip` if it influences the \
                 value, and out of the key if it does not"
            ),
        );
    }
}

pub(crate) fn written(name: &str, form: Form) -> String {
    match form {
        Form::Display => format!("{{{name}}}"),
        Form::Optional => format!("{{{name}?}}"),
        Form::Hash => format!("{{{name}:hash}}"),
    }
}

pub(crate) fn no_such_parameter<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
) -> String {
    if let Some(near) = closest(name, candidates.clone()) {
        return format!("there is no parameter `{name}`, did you mean `{near}`?");
    }
    let all: Vec<&str> = candidates.collect();
    if all.is_empty() {
        format!("there is no parameter `{name}`; the function has none")
    } else {
        format!("there is no parameter `{name}`; there are `{}`", all.join("`, `"))
    }
}

fn resolved(step: &template::Step, literal: Span) -> Option<Step> {
    match step {
        template::Step::Method(name) => identifier(name, literal).map(Step::Method),
        template::Step::Field(name) => {
            if let Ok(index) = name.parse() {
                let span = Span::call_site().located_at(literal);
                return Some(Step::Field(Member::Unnamed(syn::Index { index, span })));
            }
            identifier(name, literal).map(|name| Step::Field(Member::Named(name)))
        }
    }
}

/// Keywords are names only as `r#type`.
fn identifier(name: &str, literal: Span) -> Option<Ident> {
    // Shown at the template, but not written there: the compiler would offer to replace all of it
    // by the name of another field.
    let span = Span::call_site().located_at(literal);
    if name == "Self" {
        return Some(Ident::new(name, span));
    }
    // A keyword of edition 2024, which is that of all tokens of the macro's own, but not one to syn.
    let is_keyword = name == "gen";
    let mut ident = [name.to_owned(), format!("r#{name}")]
        .iter()
        .skip(usize::from(is_keyword))
        .find_map(|text| syn::parse_str::<Ident>(text).ok())?;
    ident.set_span(span);
    Some(ident)
}
