//! Arguments + function → `Spec`: every check of one against the other.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::visit::Visit;
use syn::{Expr, ExprAsync, ExprClosure, ExprTry, Path, Type, Visibility};

use crate::args::{self, Args, Compression, Given, Rebinding};
use crate::asked::{Asked, aside, bypassing};
use crate::batch::{self, Batch};
use crate::block::Block;
use crate::errors::Errors;
use crate::function::Function;
use crate::generics::{Names, free_variables_in, names_in, variables_in};
use crate::key::{Key, Scope, no_such_parameter};
use crate::params::{self, Param, Passing};
use crate::policy::{self, Policy};
use crate::signature;
use crate::spelling::is_option;
use crate::suggest::closest;
use crate::tags::{self, Asks, Tag};

/// All that expansion needs, free of contradictions.
pub(crate) struct Spec {
    pub(crate) function: Function,
    /// Those that a function for one key has.
    pub(crate) params: Vec<Param>,
    pub(crate) batch: Option<Batch>,
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    pub(crate) values: Values,
    pub(crate) normalize: Vec<Rebinding>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) clearable: bool,
    pub(crate) identity: Identity,
    pub(crate) cache: Option<Expr>,
    pub(crate) bypass_if: Option<Expr>,
    pub(crate) refresh_if: Option<Expr>,
    pub(crate) no_store_if: Option<Expr>,
    pub(crate) busy: Option<Expr>,
    pub(crate) refresh_with: Vec<Rebinding>,
    pub(crate) vis: Option<Visibility>,
    pub(crate) krate: Option<Path>,
}

/// What is said of the values and errors, and of how they are written.
pub(crate) struct Values {
    pub(crate) cache_if: Option<Expr>,
    pub(crate) accept_if: Option<Expr>,
    pub(crate) ttl_with: Option<Expr>,
    pub(crate) tags_with: Option<Expr>,
    pub(crate) cache_err_if: Option<Expr>,
    pub(crate) err_ttl_with: Option<Expr>,
    pub(crate) share_err: Option<Expr>,
    pub(crate) stale_if: Option<Expr>,
    pub(crate) conversion: Option<Conversion>,
    pub(crate) codec: Codec,
    pub(crate) compression: Option<(Method, Span, Option<u32>)>,
}

/// What is stored instead of the value, and how each becomes the other.
pub(crate) struct Conversion {
    pub(crate) stored: Type,
    pub(crate) save: Expr,
    pub(crate) load: Expr,
}

impl Values {
    /// All that is mentioned.
    pub(crate) fn names(&self) -> Names {
        let Self { cache_if, accept_if, ttl_with, tags_with, .. } = self;
        let Self { cache_err_if, err_ttl_with, share_err, stale_if, conversion, .. } = self;
        let conversion = conversion.iter();
        let conversion =
            conversion.map(|Conversion { stored, save, load }| quote!(#stored #save #load));
        names_in(quote! {
            #cache_if #accept_if #ttl_with #tags_with #cache_err_if #err_ttl_with #share_err #stale_if #(#conversion)*
        })
    }
}

pub(crate) enum Codec {
    Default,
    /// One of ours, by the name of its type, and where it was named.
    Ours(&'static str, Span),
    Theirs(Path),
}

#[derive(Clone, Copy)]
pub(crate) enum Method {
    Lz4,
    Zstd,
}

/// What the entries are known by.
pub(crate) enum Identity {
    /// Where the function stands.
    Place,
    Name(String),
    /// The function whose entries these are.
    SameAs(Path),
}

const CODECS: [(&str, &str); 4] =
    [("bincode", "Bincode"), ("postcard", "Postcard"), ("json", "Json"), ("msgpack", "MsgPack")];

/// Reads the attribute of one function, which stands at `place`. `block` is the one around it, where
/// that is known.
pub(crate) fn read(
    attr: TokenStream,
    place: Span,
    function: syn::Result<Function>,
    block: Option<&Block>,
) -> syn::Result<Spec> {
    let errors = Errors::of(place);
    let checked = check(attr, function, block, &errors);
    errors.finish_with(checked)
}

fn check(
    attr: TokenStream,
    function: syn::Result<Function>,
    block: Option<&Block>,
    errors: &Errors,
) -> syn::Result<Spec> {
    let args = args::parse(attr, errors)?;
    let function = function?;

    signature::check(&function, errors);
    let batch = batch::read(&args, &function, errors)?;
    let params = match &batch {
        Some(batch) => params::params(&batch.signature_of_one(&function.sig)),
        None => params::params(&function.sig),
    };
    let policy = Policy::check(&args, errors);
    let background = [&args.refresh_before, &args.soft_timeout].into_iter().flatten().next();
    if let Some(background) = background {
        let because = background.name.to_string();
        let replaced = args.refresh_with.as_ref().map_or(&[][..], |given| &given.value);
        for (index, param) in params.iter().enumerate() {
            // The body gets another list.
            if batch.as_ref().is_some_and(|batch| batch.list == index) {
                continue;
            }
            if !replaced
                .iter()
                .any(|replacement| param.binds(&replacement.param.unraw().to_string()))
            {
                signature::check_refreshable(param, &because, errors);
            }
        }
    }
    let asked = Asked::by(&args);
    let skip = args.skip.as_ref().map_or(&[][..], |skip| &skip.value);
    let mut aside = aside(&args, &asked, &function, &params);
    if let (Some(over), Some(_)) = (&args.batch, &args.key) {
        // That it is in the key is checked apart.
        aside.insert(over.value.element.unraw().to_string());
    }
    let scope = Scope { function: &function, block, params: &params, skip, aside, asked, errors };
    scope.check_skip();
    scope.check_transactions(args.bypass_if.as_ref().map(|given| &given.value));
    let identity = identity(&args, errors);
    let key = match &args.key {
        Some(given) => scope.given_key(given),
        None => Some(scope.default_key(match &identity {
            Identity::Name(name) => Some(name),
            _ => None,
        })),
    };
    let given_tags = args.tags.as_ref().map(|given| &given.value);
    let tags = tags::tags(given_tags, Asks::Either, &scope);
    if let (Some(batch), Some(key)) = (&batch, &key) {
        batch::check_key(batch, key, &args, errors);
    }
    if let Some(key) = &key {
        scope.check_key(key, &tags);
        scope.check_generics(key, &tags);
    }
    check_normalize(&args, &scope);
    check_refresh_with(&args, &scope, key.as_ref(), &tags);
    // Without a key there is an error, so this one is never expanded.
    let key = key.unwrap_or(Key { in_module: false, text: String::new(), segments: Vec::new() });
    Ok(Spec {
        key,
        policy,
        values: values(&args, errors),
        normalize: given(args.normalize).unwrap_or_default(),
        tags,
        clearable: args.clearable.is_some(),
        identity,
        cache: given(args.cache),
        bypass_if: bypassing(given(args.bypass_if), &params, skip),
        refresh_if: given(args.refresh_if),
        no_store_if: given(args.no_store_if),
        busy: given(args.busy),
        refresh_with: given(args.refresh_with).unwrap_or_default(),
        vis: given(args.vis),
        krate: given(args.krate),
        params,
        batch,
        function,
    })
}

fn given<T>(argument: Option<Given<T>>) -> Option<T> {
    argument.map(|given| given.value)
}

fn identity(args: &Args, errors: &Errors) -> Identity {
    match (&args.id, &args.same_entries_as) {
        (Some(id), Some(_)) => {
            errors.at(
                id.name.span(),
                "`name` and `same_entries_as` exclude each other: the entries of another function are \
                 known by its name, so keep one of the two",
            );
            Identity::Place
        }
        (None, Some(other)) => {
            if let Some(clearable) = &args.clearable {
                errors.at(
                    clearable.name.span(),
                    "`clearable` belongs to the function whose entries these are: move it there",
                );
            }
            if other.value.segments.first().is_some_and(|first| first.ident == "Self") {
                errors.on(
                    &other.value,
                    "`Self` means nothing where this is read: write the name of the type, as in \
                     `same_entries_as = Repo::load`",
                );
            }
            Identity::SameAs(other.value.clone())
        }
        (Some(id), None) => name(id, errors).map_or(Identity::Place, Identity::Name),
        (None, None) => Identity::Place,
    }
}

fn name(given: &Given<Expr>, errors: &Errors) -> Option<String> {
    let parsed = match policy::literal(&given.value) {
        Some(syn::Lit::Str(text)) => Some(text.value()),
        _ => None,
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let good = parsed.filter(|name| (1..=128).contains(&name.len()) && name.chars().all(allowed));
    if good.is_none() {
        errors.on(
            &given.value,
            "`name` is what the entries are known by, wherever the function moves: a string of at most 128 \
             letters, digits and `_ - . :`, as in `name = \"users.load\"`",
        );
    }
    good
}

fn values(args: &Args, errors: &Errors) -> Values {
    check_errors(args, errors);
    check_stale(args, errors);
    let closure = |over: &str, given: &Option<Given<Expr>>, form: &str| {
        let given = given.as_ref()?;
        let is_function = matches!(
            &given.value,
            Expr::Closure(_) | Expr::Path(_) | Expr::Group(_) | Expr::Paren(_) | Expr::Macro(_)
        );
        if !is_function {
            errors.on(
                &given.value,
                format!(
                    "`{}` is a closure over the {over}, or the path of a function: write `{form}`",
                    given.name
                ),
            );
        }
        Some(given.value.clone())
    };
    let of_value = |given, form| closure("value", given, form);
    let of_error = |given, form| closure("error", given, form);
    Values {
        cache_if: of_value(&args.cache_if, "cache_if = |value| value.is_complete()"),
        accept_if: of_value(&args.accept_if, "accept_if = |value| !value.is_revoked()"),
        ttl_with: of_value(&args.ttl_with, "ttl_with = |token| token.expires_in"),
        tags_with: of_value(
            &args.tags_with,
            "tags_with = |page| page.authors.iter().map(|id| format!(\"user:{id}\"))",
        ),
        cache_err_if: of_error(&args.cache_err_if, "cache_err_if = |error| error.is_not_found()"),
        err_ttl_with: of_error(&args.err_ttl_with, "err_ttl_with = |error| error.retry_after"),
        share_err: of_error(&args.share_err, "share_err = |error| error.copy()"),
        stale_if: of_error(&args.stale_if, "stale_if = |error| !error.is_not_found()"),
        conversion: conversion(
            args,
            of_value(&args.save, "save = |regex| regex.as_str().to_owned()"),
            closure("stored value", &args.load, "load = |text| Regex::new(&text)"),
            errors,
        ),
        codec: args.codec.as_ref().map_or(Codec::Default, |given| codec(&given.value, errors)),
        compression: args.compress.as_ref().and_then(|given| compression(&given.value, errors)),
    }
}

/// None of the three says anything without the others.
fn conversion(
    args: &Args,
    save: Option<Expr>,
    load: Option<Expr>,
    errors: &Errors,
) -> Option<Conversion> {
    let Args { stored, .. } = args;
    if let (Some(stored), Some(save), Some(load)) = (stored, save, load) {
        return Some(Conversion { stored: stored.value.clone(), save, load });
    }
    let given = [
        ("stored", stored.as_ref().map(|given| &given.name)),
        ("save", args.save.as_ref().map(|given| &given.name)),
        ("load", args.load.as_ref().map(|given| &given.name)),
    ];
    let there = given.iter().find_map(|(_, name)| *name)?;
    let missing = given.iter().filter(|(_, name)| name.is_none());
    let missing: Vec<_> = missing.map(|(argument, _)| format!("`{argument}`")).collect();
    if !missing.is_empty() {
        errors.at(
            there.span(),
            format!(
                "`{there}` needs {} beside it: what is stored, how it is made of the value, and how the value is made of \
                 it, as in `stored = String, save = |regex| regex.as_str().to_owned(), load = |text| Regex::new(&text)`",
                missing.join(" and ")
            ),
        );
    }
    None
}

/// A stored error has a life of its own, since few are as lasting as a value.
fn check_errors(args: &Args, errors: &Errors) {
    match (&args.cache_err_if, &args.err_ttl, &args.err_ttl_with) {
        (Some(stored), None, None) => errors.at(
            stored.name.span(),
            "`cache_err_if` stores errors, but nothing says for how long: add `err_ttl = \"10s\"`, or \
             `err_ttl_with = |error| error.retry_after`, which asks the error",
        ),
        (_, Some(_), Some(with)) => errors.at(
            with.name.span(),
            "`err_ttl` and `err_ttl_with` exclude each other: keep `err_ttl` if all stored errors live \
             equally long, and `err_ttl_with` if each says it itself",
        ),
        (None, Some(given), None) | (None, None, Some(given)) => errors.at(
            given.name.span(),
            format!(
                "`{}` is the life of stored errors, but no error is stored: say which ones are, as in \
                 `cache_err_if = |error| error.is_not_found()`, or drop it",
                given.name
            ),
        ),
        _ => {}
    }
}

fn check_stale(args: &Args, errors: &Errors) {
    if let (Some(given), None) = (&args.stale_if, &args.stale_if_error) {
        errors.at(
            given.name.span(),
            "`stale_if` says which errors are answered with a value past its ttl, and none is kept: add \
             `stale_if_error = \"1h\"`, or drop it",
        );
    }
}

/// A word in lower case is one of ours, everything else the path of a type.
fn codec(path: &Path, errors: &Errors) -> Codec {
    let Some(word) = path.get_ident().map(ToString::to_string) else {
        return Codec::Theirs(path.clone());
    };
    if let Some((_, ty)) = CODECS.iter().find(|(name, _)| *name == word) {
        return Codec::Ours(ty, path.segments[0].ident.span());
    }
    if word.chars().next().is_some_and(char::is_uppercase) {
        return Codec::Theirs(path.clone());
    }
    let names = CODECS.map(|(name, _)| name);
    let repair = match closest(&word, names) {
        Some(near) => format!("did you mean `codec = {near}`?"),
        None => format!(
            "write one of `{}`, or the path of a type that is a `redis_cached::Codec`",
            names.join("`, `")
        ),
    };
    errors.on(path, format!("there is no codec `{word}`: {repair}"));
    Codec::Default
}

fn compression(given: &Compression, errors: &Errors) -> Option<(Method, Span, Option<u32>)> {
    let method = match given.method.to_string().as_str() {
        "lz4" => Method::Lz4,
        "zstd" => Method::Zstd,
        other => {
            errors.on(
                &given.method,
                format!(
                    "there is no compression `{other}`: write `compress = lz4` or `compress = zstd`"
                ),
            );
            return None;
        }
    };
    let above = match &given.above {
        None => None,
        Some(literal) => match literal.base10_parse::<u32>() {
            Ok(above) if literal.suffix().is_empty() && above <= 16 * 1024 * 1024 => Some(above),
            _ => {
                errors.on(
                    literal,
                    "`above` is the number of bytes from which on compression is worth it, at most 16 MiB: \
                     write `above = 4096`",
                );
                return None;
            }
        },
    };
    Some((method, given.method.span(), above))
}

fn check_normalize(args: &Args, scope: &Scope<'_>) {
    let Some(normalize) = &args.normalize else { return };
    let mut seen = Names::new();
    for Rebinding { param: ident, .. } in &normalize.value {
        let name = ident.unraw().to_string();
        let at =
            |why: String| scope.errors.at(ident.span(), format!("`normalize({name} = ..)`: {why}"));
        let param = scope.params.iter().find(|param| param.binds(&name));
        match param {
            _ if !seen.insert(name.clone()) => {
                at(format!("`{name}` is given twice, keep one of them"));
            }
            None => at(no_such_parameter(&name, scope.names().iter().map(String::as_str))),
            Some(param) if param.is_self() => {
                at("`self` cannot be bound anew: normalize it in the body".to_owned());
            }
            Some(param) if param.pattern.is_some() => at(format!(
                "`{name}` comes out of a pattern: give the parameter a name, and destructure it in the body"
            )),
            Some(param) if param.passing == Passing::Exclusive => {
                at("a `&mut` cannot be bound anew: normalize it in the body".to_owned());
            }
            Some(_) if scope.is_skipped(&name) => at(format!(
                "`{name}` is in `skip`, so that it makes no difference to the key: normalize it in the body"
            )),
            Some(_) => {}
        }
    }
}

fn check_refresh_with(args: &Args, scope: &Scope<'_>, key: Option<&Key>, tags: &[Tag]) {
    let Some(given) = &args.refresh_with else { return };
    if args.refresh_before.is_none() && args.soft_timeout.is_none() {
        scope.errors.at(
            given.name.span(),
            "`refresh_with` says how a body in the background gets an argument, and without `refresh_before` or \
             `soft_timeout` there is none: write `refresh_before = \"20%\"`, or drop it",
        );
    }
    let returns_option = scope.function.returned().ty().is_some_and(is_option);
    let mut seen = Names::new();
    for Rebinding { param: ident, value } in &given.value {
        let name = ident.unraw().to_string();
        let at = |why: String| {
            scope.errors.at(ident.span(), format!("`refresh_with({name} = ..)`: {why}"));
        };
        let position = scope.position(&name);
        let is_in_entry = position.is_some_and(|index| {
            key.is_some_and(|key| key.uses(index)) || tags.iter().any(|tag| tag.uses(index))
        });
        match position.map(|index| &scope.params[index]) {
            _ if !seen.insert(name.clone()) => {
                at(format!("`{name}` is given twice, keep one of them"));
            }
            None => at(no_such_parameter(&name, scope.names().iter().map(String::as_str))),
            Some(param) if param.is_self() => at(
                "`self` is what the others are made of: take it as an `Arc<Self>`, or derive `Clone`".to_owned(),
            ),
            Some(param) if param.pattern.is_some() => at(format!(
                "`{name}` comes out of a pattern: give the parameter a name, and destructure it in the body"
            )),
            Some(_) if is_in_entry => at(format!(
                "`{name}` names the entry, and a refresh with another would store its value under the wrong key: \
                 take it out of `refresh_with`"
            )),
            Some(_) => {}
        }
        if returns_option && let Some(question) = question_of(value) {
            scope.errors.on(
                question,
                "a `?` here would end the refresh with a `None`, which is a value and would be stored: return a \
                 `Result<Option<..>, ..>`",
            );
        }
    }
}

/// The first `?` that would end the function around.
fn question_of(expr: &Expr) -> Option<ExprTry> {
    struct Finder(Option<ExprTry>);
    impl Visit<'_> for Finder {
        fn visit_expr_try(&mut self, question: &ExprTry) {
            self.0.get_or_insert_with(|| question.clone());
        }
        fn visit_expr_closure(&mut self, _: &ExprClosure) {}
        fn visit_expr_async(&mut self, _: &ExprAsync) {}
    }
    let mut finder = Finder(None);
    finder.visit_expr(expr);
    finder.0
}

impl Spec {
    /// Whether what names the entry needs the parameter at this place.
    pub(crate) fn entry_uses(&self, index: usize) -> bool {
        self.key.uses(index) || self.tags.iter().any(|tag| tag.uses(index))
    }

    /// The generic parameters that key and tags name themselves.
    pub(crate) fn named_generics(&self) -> Names {
        let mut names = self.key.generics();
        names.extend(self.tags.iter().flat_map(Tag::generics));
        names
    }

    /// Whether the attribute says something of the type around the function.
    pub(crate) fn mentions_self(&self) -> bool {
        let Self { policy, values, normalize, cache, bypass_if, refresh_if, .. } = self;
        let Self { no_store_if, busy, refresh_with, .. } = self;
        let spans = policy.spans().map(|(_, span)| span).chain(&policy.max_age);
        let spans = spans.filter_map(policy::Span::at_run_time);
        let rebound = normalize.iter().chain(refresh_with).map(|rebinding| &rebinding.value);
        let all = quote! {
            #cache #bypass_if #refresh_if #no_store_if #busy #(#spans)* #(#rebound)*
        };
        let mut names = names_in(all);
        names.extend(self.named_generics());
        names.extend(values.names());
        names.contains("Self")
    }

    /// The parameters of the function.
    pub(crate) fn params_of_call(&self) -> &[Param] {
        self.batch.as_ref().map_or(&self.params, |batch| &batch.params)
    }

    /// How the background refresh makes this parameter anew, if it does.
    pub(crate) fn replacement(&self, param: &Param) -> Option<&Rebinding> {
        self.refresh_with.iter().find(|made| made.param.unraw() == param.ident.unraw())
    }

    /// The parameters that a closure of the attribute mentions, apart from what goes by the names of its own.
    pub(crate) fn mentioned_in_closure(&self, expr: &Expr) -> Vec<&Param> {
        self.binding(&free_variables_in(expr))
    }

    /// Whether a call says by its arguments which stored values it takes.
    pub(crate) fn accepts_by_arguments(&self) -> Option<&Expr> {
        self.values
            .accept_if
            .as_ref()
            .filter(|closure| !self.mentioned_in_closure(closure).is_empty())
    }

    /// Whether that depends on what its body asks, too: then another call's body is not as good as its own.
    pub(crate) fn judges_bodies(&self) -> bool {
        let asked = |param: &Param| {
            let names = param.names();
            names.iter().any(|name| self.function.body_mentions(&name.unraw().to_string()))
        };
        self.accepts_by_arguments()
            .is_some_and(|closure| self.mentioned_in_closure(closure).into_iter().any(asked))
    }

    /// The names that an expression of the attribute mentions, of those that parameters bind; of several, there are commas
    /// between.
    pub(crate) fn mentioned(&self, expr: &impl ToTokens) -> Vec<&Param> {
        self.binding(&variables_in(expr))
    }

    fn binding(&self, names: &Names) -> Vec<&Param> {
        let binds = |param: &&Param| {
            param.names().iter().any(|name| names.contains(&name.unraw().to_string()))
        };
        self.params.iter().filter(binds).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
