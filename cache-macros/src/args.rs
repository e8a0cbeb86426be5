//! The attribute's tokens → arguments. Syntax only: what they mean together is `spec`'s business.

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, Path, Token, parenthesized, token};

use crate::errors::Errors;
use crate::suggest::closest;

/// One argument: its name stays beside its value, so that late checks still have a span.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Given<Expr>>,
    pub(crate) ttl: Option<Given<Expr>>,
    pub(crate) refresh_before: Option<Given<Expr>>,
    pub(crate) skip: Option<Given<Vec<Ident>>>,
    pub(crate) none_ttl: Option<Given<Expr>>,
    pub(crate) lock_ttl: Option<Given<Expr>>,
    pub(crate) wait: Option<Given<Expr>>,
    pub(crate) jitter: Option<Given<Expr>>,
    pub(crate) version: Option<Given<Expr>>,
    pub(crate) cache: Option<Given<Expr>>,
    pub(crate) krate: Option<Given<Path>>,
}

const KNOWN: [&str; 11] = [
    "key",
    "ttl",
    "refresh_before",
    "skip",
    "none_ttl",
    "lock_ttl",
    "wait",
    "jitter",
    "version",
    "cache",
    "crate",
];

/// Part of the design, not built yet. An argument that gets built moves to `KNOWN`.
const PLANNED: [&str; 33] = [
    "stale_if_error",
    "timeout",
    "soft_timeout",
    "normalize",
    "tags",
    "tags_with",
    "cache_if",
    "accept_if",
    "ttl_with",
    "cache_err_if",
    "err_ttl",
    "err_ttl_with",
    "stale_if",
    "share_err",
    "bypass_if",
    "refresh_if",
    "no_store_if",
    "max_age",
    "busy",
    "refresh_with",
    "stored",
    "save",
    "load",
    "batch",
    "clearable",
    "name",
    "same_entries_as",
    "verify",
    "near",
    "codec",
    "compress",
    "max_concurrency",
    "vis",
];

/// Stops at the first syntax error; unknown and repeated arguments are collected.
pub(crate) fn parse(tokens: TokenStream, errors: &Errors) -> syn::Result<Args> {
    let parser = |input: ParseStream<'_>| {
        let mut args = Args::default();
        while !input.is_empty() {
            argument(input, &mut args, errors)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(args)
    };
    parser.parse2(tokens)
}

fn argument(input: ParseStream<'_>, args: &mut Args, errors: &Errors) -> syn::Result<()> {
    let name = input.call(Ident::parse_any).map_err(|error| {
        syn::Error::new(error.span(), "expected an argument, as in `ttl = \"5m\"`")
    })?;
    match name.to_string().as_str() {
        "key" => set(&mut args.key, assigned(&name, input)?, name, errors),
        "ttl" => set(&mut args.ttl, assigned(&name, input)?, name, errors),
        "refresh_before" => set(&mut args.refresh_before, assigned(&name, input)?, name, errors),
        "skip" => set(&mut args.skip, listed(input)?, name, errors),
        "none_ttl" => set(&mut args.none_ttl, assigned(&name, input)?, name, errors),
        "lock_ttl" => set(&mut args.lock_ttl, assigned(&name, input)?, name, errors),
        "wait" => set(&mut args.wait, assigned(&name, input)?, name, errors),
        "jitter" => set(&mut args.jitter, assigned(&name, input)?, name, errors),
        "version" => set(&mut args.version, assigned(&name, input)?, name, errors),
        "cache" => set(&mut args.cache, assigned(&name, input)?, name, errors),
        "crate" => set(&mut args.krate, assigned_path(&name, input)?, name, errors),
        other => {
            errors.at(name.span(), unknown(other));
            skip_value(input)?;
        }
    }
    Ok(())
}

fn set<T>(slot: &mut Option<Given<T>>, value: T, name: Ident, errors: &Errors) {
    if slot.is_some() {
        errors.at(name.span(), format!("`{name}` is given twice: keep one of them"));
    } else {
        *slot = Some(Given { name, value });
    }
}

fn assigned<T: Parse>(name: &Ident, input: ParseStream<'_>) -> syn::Result<T> {
    equals(name, input)?;
    input.parse()
}

fn assigned_path(name: &Ident, input: ParseStream<'_>) -> syn::Result<Path> {
    equals(name, input)?;
    input.call(Path::parse_mod_style)
}

fn equals(name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.parse::<Option<Token![=]>>()?.is_none() {
        let message = format!("`{name}` needs a value: write `{name} = ..`");
        return Err(syn::Error::new(name.span(), message));
    }
    Ok(())
}

fn listed(input: ParseStream<'_>) -> syn::Result<Vec<Ident>> {
    let expected = "expected names of parameters in parentheses: write `skip(db, client)`";
    if !input.peek(token::Paren) {
        return Err(input.error(expected));
    }
    let inside;
    parenthesized!(inside in input);
    Punctuated::<Ident, Token![,]>::parse_terminated_with(&inside, Ident::parse_any)
        .map(|names| names.into_iter().collect())
        .map_err(|error| syn::Error::new(error.span(), expected))
}

fn unknown(name: &str) -> String {
    if PLANNED.contains(&name) {
        return format!("`{name}` is not supported yet");
    }
    match closest(name, KNOWN) {
        Some(near) => format!("unknown argument `{name}`: did you mean `{near}`?"),
        None => format!("unknown argument `{name}`: the arguments are `{}`", KNOWN.join("`, `")),
    }
}

/// The value of an argument that is not known: an expression, or any tokens up to the next comma.
fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        let fork = input.fork();
        if fork.parse::<Expr>().is_ok() && (fork.is_empty() || fork.peek(Token![,])) {
            // A closure's parameters hold commas of their own.
            input.advance_to(&fork);
            return Ok(());
        }
    }
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}
