//! Arguments + function → `Write`: every check of one against the other.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{Expr, ExprCall, ExprMethodCall, ExprRange, Pat, Path};

use crate::args::Given;
use crate::asked::Asked;
use crate::errors::Errors;
use crate::expand::located;
use crate::function::{Function, Returned};
use crate::generics::{Names, names_in, variables_in};
use crate::key::Scope;
use crate::params::{self, Param};
use crate::policy;
use crate::signature::first_impl_trait;
use crate::spelling::names_transaction;
use crate::tags::{self, Asks, RETURNED, Tag};
use crate::write::args::{self, Args, Target};

/// All that expansion needs, free of contradictions.
pub(crate) struct Write {
    pub(crate) function: Function,
    pub(crate) params: Vec<Param>,
    pub(crate) targets: Vec<Handle>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) when: Option<Expr>,
    pub(crate) on_failure: OnFailure,
    pub(crate) after_commit: bool,
    pub(crate) cache: Option<Expr>,
    pub(crate) krate: Option<Path>,
}

/// What a target says, with the handle that generated code makes of it.
pub(crate) struct Handle {
    pub(crate) each: Option<(Pat, Expr)>,
    pub(crate) handle: TokenStream,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Retry,
    Error,
}

impl Handle {
    /// Whether it is known only when the body has returned.
    pub(crate) fn is_of_value(&self) -> bool {
        let over = self.each.as_ref().map(|(_, over)| over);
        mentions_returned(&self.handle) || over.is_some_and(mentions_returned)
    }
}

pub(crate) fn mentions_returned(tokens: impl ToTokens) -> bool {
    variables_in(tokens).contains(RETURNED)
}

pub(crate) fn read(
    attr: TokenStream,
    place: Span,
    function: syn::Result<Function>,
) -> syn::Result<Write> {
    let errors = Errors::of(place);
    let checked = check(attr, function, &errors);
    errors.finish_with(checked)
}

fn check(
    attr: TokenStream,
    function: syn::Result<Function>,
    errors: &Errors,
) -> syn::Result<Write> {
    let args = args::parse(attr, errors)?;
    let function = function?;
    check_function(&function, errors);
    let params = params::params(&function.sig);
    check_names(&args, &params, errors);
    let on_failure = on_failure(&args, errors);
    check_transaction(&args, &function, errors);
    let scope = Scope {
        function: &function,
        block: None,
        params: &params,
        skip: &[],
        aside: Names::new(),
        asked: Asked::default(),
        errors,
    };
    let tags = tags::tags(args.tags.as_ref().map(|given| &given.value), Asks::Both, &scope);
    if args.targets.is_empty() && args.tags.is_none() {
        errors.on_attribute(
            "nothing is invalidated: name the cached functions, `load_user(id)`, or `tags = [\"team:{team}\"]`",
        );
    }
    let given = |argument: Option<Given<Expr>>| argument.map(|given| given.value);
    let targets = args.targets.into_iter().filter_map(|target| handle(target, errors)).collect();
    Ok(Write {
        targets,
        tags,
        when: given(args.when),
        on_failure: on_failure.unwrap_or(OnFailure::Retry),
        after_commit: args.after_commit.is_some(),
        cache: given(args.cache),
        krate: args.krate.map(|given| given.value),
        params,
        function,
    })
}

fn check_function(function: &Function, errors: &Errors) {
    let sig = &function.sig;
    let name = &sig.ident;
    if let Returned::NoFuture(_) = function.returned() {
        errors.on(
            sig.fn_token,
            format!(
                "`#[redis_invalidate]` needs an async function: write `async fn {name}`, or return a \
                 `BoxFuture<'_, T>` or an `impl Future<Output = T>`"
            ),
        );
    }
    if let Some(opaque) = function.returned().ty().and_then(first_impl_trait) {
        errors.on(
            opaque,
            "what is returned needs a type that has a name, as the invalidation comes between the body and the caller: \
             return a `Box<dyn ..>`, or collect it",
        );
    }
    if !function.has_body() {
        errors.on(
            &sig.ident,
            format!("`{name}` has no body: write `#[redis_invalidate]` where it has one"),
        );
    }
}

/// In targets `ret` is what is returned.
fn check_names(args: &Args, params: &[Param], errors: &Errors) {
    let Some(param) = params.iter().find(|param| param.binds(RETURNED)) else { return };
    let of_targets = args.targets.iter().any(|target| {
        let over = target.each.as_ref().map(|(_, over)| over);
        mentions_returned(&target.call) || over.is_some_and(mentions_returned)
    });
    if of_targets || args.when.as_ref().is_some_and(|when| mentions_returned(&when.value)) {
        errors.at(
            param.ident.span(),
            format!(
                "`{RETURNED}` is the value that is returned, and a parameter is called so too: give the \
                 parameter another name"
            ),
        );
    }
}

fn on_failure(args: &Args, errors: &Errors) -> Option<OnFailure> {
    const BOTH: &str = "`on_failure = \"retry\"` (the function returns what it has done, and the invalidation is tried \
                        again behind it) or `on_failure = \"error\"` (it returns an error, whose type has a \
                        `From<redis_cached::InvalidateError>`)";
    let Some(given) = &args.on_failure else {
        if args.after_commit.is_none() {
            errors.on_attribute(format!(
                "say what happens when the cache can't be told of the change: {BOTH}"
            ));
        }
        return None;
    };
    let text = match policy::literal(&given.value) {
        Some(syn::Lit::Str(text)) => text.value(),
        _ => String::new(),
    };
    match text.as_str() {
        "retry" => Some(OnFailure::Retry),
        "error" => Some(OnFailure::Error),
        _ => {
            errors.on(&given.value, format!("write {BOTH}"));
            None
        }
    }
}

/// What is invalidated before the commit is read again, as it was, and stored again.
fn check_transaction(args: &Args, function: &Function, errors: &Errors) {
    match (args.after_commit, args.now) {
        (Some(_), Some(now)) => {
            errors.at(now, "`after_commit` and `now` exclude each other: keep one of them");
        }
        (None, None) => {
            let takes = function
                .sig
                .inputs
                .iter()
                .find(|input| names_in(input).iter().any(|name| names_transaction(name)));
            if let Some(input) = takes {
                errors.on(
                    input,
                    "this function takes a transaction, and an invalidation before its commit is followed by reads of the \
                     old rows: write `after_commit` where the caller commits, inside \
                     `redis_cached::Invalidation::collect(..)`, or `now` where this function does",
                );
            }
        }
        _ => {}
    }
}

/// `users::load(id)` → `users::load_entry(id)`, `load(..)` → `load_all()`
fn handle(target: Target, errors: &Errors) -> Option<Handle> {
    let Target { each, call } = target;
    let handle = match call {
        Expr::Call(ExprCall { func, args, .. }) => match *func {
            Expr::Path(mut path) => {
                let all = is_all(args.iter());
                if let Some(last) = path.path.segments.last_mut() {
                    last.ident = sibling(&last.ident, all);
                }
                if all { quote!(#path()) } else { quote!(#path(#args)) }
            }
            other => {
                refuse(&other, errors);
                return None;
            }
        },
        Expr::MethodCall(ExprMethodCall { receiver, method, turbofish, args, .. }) => {
            let all = is_all(args.iter());
            let method = sibling(&method, all);
            if all {
                quote!(#receiver.#method #turbofish())
            } else {
                quote!(#receiver.#method #turbofish(#args))
            }
        }
        other => {
            refuse(&other, errors);
            return None;
        }
    };
    Some(Handle { each, handle })
}

fn refuse(target: &Expr, errors: &Errors) {
    errors.on(
        target,
        "a target is a call of a cached function with the arguments that its key is made of: write \
         `load_user(team, user.id)`, `self.load(id)`, or `load_user(..)` for all entries of one that is `clearable`",
    );
}

fn is_all<'a>(mut args: impl ExactSizeIterator<Item = &'a Expr>) -> bool {
    args.len() == 1
        && matches!(args.next(), Some(Expr::Range(ExprRange { start: None, end: None, .. })))
}

fn sibling(name: &Ident, all: bool) -> Ident {
    let suffix = if all { "all" } else { "entry" };
    format_ident!("{}_{suffix}", name.unraw(), span = name.span())
}

/// Tokens in which `ret` is what stands for the value that was returned.
pub(crate) fn with_returned(tokens: impl ToTokens, place: &TokenStream) -> TokenStream {
    let mut is_member = false;
    tokens
        .into_token_stream()
        .into_iter()
        .flat_map(|tree| {
            let after_dot = std::mem::replace(
                &mut is_member,
                matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '.'),
            );
            match tree {
                TokenTree::Ident(ident) if ident == RETURNED && !after_dot => {
                    located(place.clone(), ident.span())
                }
                TokenTree::Group(group) => {
                    let inside = with_returned(group.stream(), place);
                    let mut renamed = proc_macro2::Group::new(group.delimiter(), inside);
                    renamed.set_span(group.span());
                    TokenTree::from(renamed).into()
                }
                other => other.into(),
            }
        })
        .collect()
}
