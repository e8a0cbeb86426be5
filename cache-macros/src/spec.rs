//! Arguments + function → `Spec`: every check of one against the other.

use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt;
use syn::{Expr, LitStr, Member, Path};

use crate::args::{self, Args, Given};
use crate::errors::Errors;
use crate::function::{Function, Param};
use crate::generics::{Names, name_of, names_in, tied_to};
use crate::policy::{self, Policy};
use crate::signature::{self, Stored};
use crate::suggest::closest;
use crate::template::{self, Placeholder};

/// All that expansion needs, free of contradictions.
pub(crate) struct Spec {
    pub(crate) function: Function,
    pub(crate) params: Vec<Param>,
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    pub(crate) cache: Option<Expr>,
    pub(crate) krate: Option<Path>,
}

pub(crate) struct Key {
    /// The default key: `text` and the first literal still lack the path of the module.
    pub(crate) in_module: bool,
    pub(crate) text: String,
    pub(crate) segments: Vec<Segment>,
}

pub(crate) enum Segment {
    Literal(String),
    /// A parameter, by its place in `Spec::params`, and the path of fields behind it.
    Value {
        param: usize,
        fields: Vec<Member>,
    },
}

impl Key {
    pub(crate) fn uses(&self, index: usize) -> bool {
        self.segments
            .iter()
            .any(|segment| matches!(segment, Segment::Value { param, .. } if *param == index))
    }
}

pub(crate) fn read(attr: TokenStream, item: TokenStream) -> syn::Result<Spec> {
    let errors = Errors::new();
    let spec = check(attr, item, &errors);
    match spec {
        Ok(spec) => errors.finish().map(|()| spec),
        Err(syntax_error) => {
            errors.push(syntax_error.clone());
            errors.finish().and(Err(syntax_error))
        }
    }
}

fn check(attr: TokenStream, item: TokenStream, errors: &Errors) -> syn::Result<Spec> {
    let args = args::parse(attr, errors)?;
    let function: Function = syn::parse2(item)?;

    signature::check(&function, errors);
    let params = signature::params(&function.sig, errors);
    let policy = Policy::check(&args, errors);
    check_none_ttl(&args, &function, errors);
    if args.refresh_before.is_some() {
        for param in &params {
            signature::check_refreshable(param, errors);
        }
    }

    let skip = args.skip.as_ref().map_or(&[][..], |skip| &skip.value);
    let scope = Scope {
        function: &function,
        params: &params,
        skip,
        cache: args.cache.as_ref().and_then(|given| bare_name(&given.value)),
        errors,
    };
    scope.check_skip();
    let key = match &args.key {
        Some(given) => scope.given_key(given),
        None => Some(scope.default_key()),
    };
    if let Some(key) = &key {
        scope.check_key(key);
        scope.check_generics(key);
    }
    // Without a key there is an error, so this one is never expanded.
    let key = key.unwrap_or(Key { in_module: false, text: String::new(), segments: Vec::new() });
    let Args { cache, krate, .. } = args;
    Ok(Spec {
        key,
        policy,
        cache: cache.map(|given| given.value),
        krate: krate.map(|given| given.value),
        params,
        function,
    })
}

fn check_none_ttl(args: &Args, function: &Function, errors: &Errors) {
    if let Some(none_ttl) = &args.none_ttl
        && Stored::in_return(&function.sig.output).is_never_none()
    {
        errors.at(
            none_ttl.name.span(),
            "`none_ttl` is the ttl of a stored `None`, but the return type has no `Option`: \
             drop it, or spell the `Option<..>` out where a type alias hides it",
        );
    }
}

/// The names that a key and `skip` can refer to.
struct Scope<'a> {
    function: &'a Function,
    params: &'a [Param],
    skip: &'a [Ident],
    /// The parameter that is the cache: it says where a value lives, not which one it is. One that
    /// only holds the cache (`cache = state.cache`) may hold more, and has to be accounted for.
    cache: Option<String>,
    errors: &'a Errors,
}

fn bare_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(|ident| ident.unraw().to_string()),
        _ => None,
    }
}

impl Scope<'_> {
    fn position(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|param| param.ident.unraw() == name)
    }

    fn is_skipped(&self, name: &str) -> bool {
        self.skip.iter().any(|skipped| skipped.unraw() == name)
    }

    fn may_be_left_out(&self, name: &str) -> bool {
        self.is_skipped(name) || self.cache.as_deref() == Some(name)
    }

    fn generics(&self) -> Names {
        self.function.sig.generics.params.iter().map(name_of).collect()
    }

    fn param_names(&self) -> Vec<String> {
        self.params.iter().map(|param| param.ident.unraw().to_string()).collect()
    }

    fn check_skip(&self) {
        let generics = self.generics();
        for (index, ident) in self.skip.iter().enumerate() {
            let name = ident.unraw().to_string();
            if self.skip[..index].iter().any(|earlier| *earlier == name) {
                self.errors
                    .at(ident.span(), format!("`{name}` stands twice in `skip`: keep one of them"));
            } else if self.position(&name).is_none() && !generics.contains(&name) {
                let names = self.param_names();
                let candidates = names.iter().chain(&generics).map(String::as_str);
                self.errors.at(
                    ident.span(),
                    format!("`skip({name})`: {}", no_such_parameter(&name, candidates)),
                );
            }
        }
    }

    /// `None` if it has a mistake.
    fn given_key(&self, given: &Given<Expr>) -> Option<Key> {
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
                template::Segment::Placeholder(placeholder) => self.value(&placeholder, literal),
            })
            .collect();
        let segments = segments.into_iter().collect::<Option<_>>()?;
        Some(Key { in_module: false, text, segments })
    }

    fn value(&self, placeholder: &Placeholder, literal: &LitStr) -> Option<Segment> {
        let refuse = |why: &str| {
            self.errors.at(literal.span(), format!("`{placeholder}` in the key: {why}"));
        };
        let name = &placeholder.name;
        let Some(param) = self.position(name) else {
            refuse(&if self.generics().contains(name) {
                format!(
                    "`{name}` is a generic parameter, which is not supported in keys yet: \
                     write `skip({name})`, or one function for each of its values"
                )
            } else if name == "self" {
                "this function has no `self`".to_owned()
            } else {
                no_such_parameter(name, self.param_names().iter().map(String::as_str))
            });
            return None;
        };
        let mut fields = Vec::new();
        for name in &placeholder.fields {
            let Some(field) = member(name, literal.span()) else {
                refuse(&format!("`{name}` cannot be the name of a field"));
                return None;
            };
            fields.push(field);
        }
        Some(Segment::Value { param, fields })
    }

    /// The function's name and all parameters that are not skipped.
    fn default_key(&self) -> Key {
        let name = self.function.sig.ident.unraw().to_string();
        let mut text = name.clone();
        let mut segments = Vec::new();
        let mut literal = name;
        for (index, param) in self.params.iter().enumerate() {
            let name = param.ident.unraw().to_string();
            if param.is_self() || self.may_be_left_out(&name) {
                continue;
            }
            text = format!("{text}:{{{name}}}");
            literal.push(':');
            segments.push(Segment::Literal(std::mem::take(&mut literal)));
            segments.push(Segment::Value { param: index, fields: Vec::new() });
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Key { in_module: true, text, segments }
    }

    fn check_key(&self, key: &Key) {
        for (index, param) in self.params.iter().enumerate() {
            let name = param.ident.unraw().to_string();
            match (key.uses(index), self.is_skipped(&name)) {
                (true, true) => self.used_and_skipped(param),
                (false, false) if !self.may_be_left_out(&name) => self.forgotten(param, key),
                (true, false) => signature::check_in_key(param, self.errors),
                (false, _) => {}
            }
        }
    }

    fn used_and_skipped(&self, param: &Param) {
        let name = param.ident.unraw();
        let skipped = self.skip.iter().find(|skipped| skipped.unraw() == name);
        self.errors.at(
            skipped.map_or_else(Span::call_site, Ident::span),
            format!(
                "`{name}` is in the key and in `skip`: take it out of `skip` if it influences the \
                 value, and out of the key if it does not"
            ),
        );
    }

    fn forgotten(&self, param: &Param, key: &Key) {
        let name = param.ident.unraw().to_string();
        let placeholder = if param.is_self() { "{self.field}" } else { &format!("{{{name}}}") };
        let colon = if key.text.ends_with(':') { "" } else { ":" };
        let template = format!("{}{colon}{placeholder}", key.text);
        let skip = self.skip_with(&name);
        let (what, part) = if param.is_self() {
            ("`self`", "those of its fields that influence the value")
        } else {
            (&*format!("parameter `{name}`"), "it")
        };
        self.errors.at(
            param.ident.span(),
            format!(
                "{what} is neither in the key nor in `skip`: two calls that differ only in it \
                 would share one value. Put {part} into the key: `key = {template:?}`, or, if it \
                 does not influence the value, write `{skip}`"
            ),
        );
    }

    /// The user's `skip` with one more name, and without those that are misspelt.
    fn skip_with(&self, name: &str) -> String {
        let generics = self.generics();
        let mut names: Vec<String> = self
            .skip
            .iter()
            .map(|skipped| skipped.unraw().to_string())
            .filter(|skipped| self.position(skipped).is_some() || generics.contains(skipped))
            .collect();
        names.push(name.to_owned());
        format!("skip({})", names.join(", "))
    }

    /// A type or constant that can change the value is not in the key: nothing in a key may
    /// depend on how the compiler names types.
    fn check_generics(&self, key: &Key) {
        let sig = &self.function.sig;
        let returned = match Stored::in_return(&sig.output) {
            Stored::Nothing => Names::new(),
            Stored::Spelled(ty) | Stored::Behind(ty) => names_in(ty),
        };
        let mut in_key = Names::new();
        let mut skipped = Names::new();
        for (index, param) in self.params.iter().enumerate() {
            let names = names_in(&param.ty);
            if key.uses(index) { &mut in_key } else { &mut skipped }.extend(names);
        }
        let harmless = tied_to(&sig.generics, skipped);
        for generic in &sig.generics.params {
            let name = name_of(generic);
            let is_lifetime = matches!(generic, syn::GenericParam::Lifetime(_));
            if is_lifetime || self.is_skipped(&name) {
                continue;
            }
            let skip = self.skip_with(&name);
            if returned.contains(&name) {
                self.errors.on(
                    generic,
                    format!(
                        "`{name}` stands in the return type, but not in the key: calls that differ \
                     only in it would share one key. Write one function for each `{name}`, or, \
                     if the arguments in the key determine it, write `{skip}`"
                    ),
                );
            } else if in_key.contains(&name) || !harmless.contains(&name) {
                // That an argument of this type is in the key says nothing: `UserId(5)` and
                // `TeamId(5)` print alike.
                self.errors.on(
                    generic,
                    format!(
                        "`{name}` can influence the value, but is not in the key: calls that differ \
                     only in it would share one value. Write one function for each `{name}`, or, \
                     if it does not influence the value, write `{skip}`"
                    ),
                );
            }
        }
    }
}

fn no_such_parameter<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
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

fn member(name: &str, literal: Span) -> Option<Member> {
    // Shown at the template, but not written there: the compiler would offer to replace all of it
    // by the name of another field.
    let span = Span::call_site().located_at(literal);
    if let Ok(index) = name.parse() {
        return Some(Member::Unnamed(syn::Index { index, span }));
    }
    // Keywords are fields only as `r#type`.
    let mut ident = [name.to_owned(), format!("r#{name}")]
        .iter()
        .find_map(|text| syn::parse_str::<Ident>(text).ok())?;
    ident.set_span(span);
    Some(Member::Named(ident))
}

#[cfg(test)]
pub(crate) mod tests;
