//! The attribute's tokens → arguments. Syntax only: what they mean together is `spec`'s business.

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitInt, Path, Token, Type, Visibility, parenthesized, token};

use crate::batch::FORM;
use crate::errors::Errors;
use crate::suggest::closest;

/// One argument: its name stays beside its value, so that late checks still have a span.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// `normalize(email = email.trim())` or `refresh_with(conn = pool.acquire().await?)`: one of those.
pub(crate) struct Rebinding {
    pub(crate) param: Ident,
    pub(crate) value: Expr,
}

/// `compress = zstd(above = 4096)`
pub(crate) struct Compression {
    pub(crate) method: Ident,
    pub(crate) above: Option<LitInt>,
}

/// `batch(ids as id)`
pub(crate) struct BatchOver {
    pub(crate) list: Ident,
    pub(crate) element: Ident,
}

macro_rules! arguments {
    ($($field:ident $name:literal: $ty:ty = $parse:ident;)+) => {
        /// What was given.
        #[derive(Default)]
        pub(crate) struct Args {
            $(pub(crate) $field: Option<Given<$ty>>,)+
        }

        const KNOWN: &[&str] = &[$($name),+];

        fn argument(input: ParseStream<'_>, args: &mut Args, errors: &Errors) -> syn::Result<()> {
            let name = input.call(Ident::parse_any).map_err(|error| {
                syn::Error::new(error.span(), "expected an argument, as in `ttl = \"5m\"`")
            })?;
            match name.to_string().as_str() {
                $($name => set(&mut args.$field, $parse(&name, input)?, name, errors),)+
                other => {
                    errors.at(name.span(), unknown(other));
                    skip_value(input)?;
                }
            }
            Ok(())
        }
    };
}

arguments! {
    key "key": Expr = assigned;
    ttl "ttl": Expr = assigned;
    refresh_before "refresh_before": Expr = assigned;
    skip "skip": Vec<Ident> = names;
    batch "batch": BatchOver = batch;
    none_ttl "none_ttl": Expr = assigned;
    ttl_with "ttl_with": Expr = assigned;
    cache_if "cache_if": Expr = assigned;
    accept_if "accept_if": Expr = assigned;
    cache_err_if "cache_err_if": Expr = assigned;
    err_ttl "err_ttl": Expr = assigned;
    err_ttl_with "err_ttl_with": Expr = assigned;
    share_err "share_err": Expr = assigned;
    bypass_if "bypass_if": Expr = assigned;
    refresh_if "refresh_if": Expr = assigned;
    no_store_if "no_store_if": Expr = assigned;
    max_age "max_age": Expr = assigned;
    busy "busy": Expr = assigned;
    refresh_with "refresh_with": Vec<Rebinding> = replacements;
    normalize "normalize": Vec<Rebinding> = rebindings;
    stored "stored": Type = assigned;
    save "save": Expr = assigned;
    load "load": Expr = assigned;
    tags "tags": Expr = assigned;
    tags_with "tags_with": Expr = assigned;
    clearable "clearable": () = flag;
    stale_if_error "stale_if_error": Expr = assigned;
    stale_if "stale_if": Expr = assigned;
    timeout "timeout": Expr = assigned;
    soft_timeout "soft_timeout": Expr = assigned;
    lock_ttl "lock_ttl": Expr = assigned;
    wait "wait": Expr = assigned;
    jitter "jitter": Expr = assigned;
    max_concurrency "max_concurrency": Expr = assigned;
    near "near": Expr = assigned;
    codec "codec": Path = assigned;
    compress "compress": Compression = compression;
    version "version": Expr = assigned;
    id "name": Expr = assigned;
    same_entries_as "same_entries_as": Path = assigned;
    cache "cache": Expr = assigned;
    vis "vis": Visibility = visibility;
    krate "crate": Path = assigned;
}

/// Part of the design, not built yet. An argument that gets built moves up.
const PLANNED: [&str; 1] = ["verify"];

/// What other caches call it: the nearest of ours, which did-you-mean can't know.
const ELSEWHERE: [(&str, &str); 17] = [
    ("time", "`ttl = \"5m\"`"),
    ("expire", "`ttl = \"5m\"`"),
    ("expiry", "`ttl = \"5m\"`"),
    ("duration", "`ttl = \"5m\"`"),
    ("seconds", "`ttl = 300`"),
    ("convert", "`key = \"user:{id}\"`"),
    ("prefix", "`key = \"prefix:{id}\"`"),
    ("namespace", "`key = \"prefix:{id}\"`, or the namespace of the `Cache`"),
    ("result", "nothing: of a `Result` the `Ok` is stored, always"),
    (
        "cache_err",
        "`cache_err_if = |error| ..` with `err_ttl = \"10s\"`, which says which errors, and for how long",
    ),
    ("option", "`none_ttl = \"10s\"`: a `None` is stored, always"),
    ("sync_writes", "nothing: a key is computed once in the whole fleet, always"),
    ("unless", "`cache_if = |value| ..`, which says when to store"),
    ("condition", "`bypass_if = ..`, which says when not to cache"),
    ("size", "nothing: Redis is bounded by its own `maxmemory`"),
    ("ignore", "`skip(..)`"),
    ("refresh", "`refresh_before = \"30s\"`, which refreshes behind the callers"),
];

pub(crate) fn parse(tokens: TokenStream, errors: &Errors) -> syn::Result<Args> {
    listing(tokens, errors, argument)
}

/// Stops at the first syntax error; unknown and repeated arguments are collected.
pub(crate) fn listing<A: Default>(
    tokens: TokenStream,
    errors: &Errors,
    argument: fn(ParseStream<'_>, &mut A, &Errors) -> syn::Result<()>,
) -> syn::Result<A> {
    let parser = |input: ParseStream<'_>| {
        let mut args = A::default();
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

pub(crate) fn set<T>(slot: &mut Option<Given<T>>, value: T, name: Ident, errors: &Errors) {
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

/// What an argument looks like, to be copied.
fn example(name: &str) -> &'static str {
    match name {
        "key" => "\"user:{id}\"",
        "ttl" | "near" => "\"5m\"",
        "refresh_before" => "\"20%\"",
        "none_ttl" | "err_ttl" | "lock_ttl" | "wait" | "timeout" => "\"10s\"",
        "stale_if_error" => "\"1h\"",
        "soft_timeout" => "\"100ms\"",
        "stale_if" => "|error| !error.is_not_found()",
        "ttl_with" => "|token| token.expires_in",
        "cache_if" => "|value| value.is_complete()",
        "accept_if" => "|value| !value.is_revoked()",
        "cache_err_if" => "|error| error.is_not_found()",
        "err_ttl_with" => "|error| error.retry_after",
        "share_err" => "|error| error.copy()",
        "bypass_if" | "refresh_if" => "force",
        "no_store_if" => "read_only",
        "max_age" => "\"30s\"",
        "busy" => "Err(Busy)",
        "stored" => "String",
        "save" => "|regex| regex.as_str().to_owned()",
        "load" => "|text| Regex::new(&text)",
        "tags" => "[\"team:{team}\"]",
        "tags_with" => "|page| page.authors.iter().map(|id| format!(\"user:{id}\"))",
        "jitter" => "\"10%\"",
        "max_concurrency" => "8",
        "codec" => "json",
        "compress" => "zstd",
        "version" => "2",
        "name" => "\"users.load\"",
        "same_entries_as" => "load_user",
        "cache" => "self.cache",
        "vis" => "pub(crate)",
        "crate" => "crate::redis_cached",
        _ => "..",
    }
}

fn visibility(name: &Ident, input: ParseStream<'_>) -> syn::Result<Visibility> {
    equals(name, input)?;
    let vis = input.parse()?;
    if matches!(vis, Visibility::Inherited) && !input.is_empty() && !input.peek(Token![,]) {
        return Err(input.error("expected a visibility: write `vis = pub` or `vis = pub(crate)`"));
    }
    Ok(vis)
}

fn flag(name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    let message = format!("`{name}` takes no value: write `{name}`, or leave it out");
    Err(syn::Error::new(name.span(), message))
}

fn compression(name: &Ident, input: ParseStream<'_>) -> syn::Result<Compression> {
    equals(name, input)?;
    let form = "expected a method: write `compress = lz4`, `compress = zstd`, or with the number of bytes \
                above which it is worth it, `compress = zstd(above = 4096)`";
    let method = input.parse().map_err(|error| syn::Error::new(error.span(), form))?;
    if !input.peek(token::Paren) {
        return Ok(Compression { method, above: None });
    }
    let inside;
    parenthesized!(inside in input);
    let above = (|| {
        let above: Ident = inside.parse()?;
        if above != "above" {
            return Err(syn::Error::new(above.span(), form));
        }
        inside.parse::<Token![=]>()?;
        inside.parse()
    })();
    let above = above.map_err(|error: syn::Error| syn::Error::new(error.span(), form))?;
    if !inside.is_empty() {
        return Err(inside.error(form));
    }
    Ok(Compression { method, above: Some(above) })
}

fn equals(name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    let is_assigned = input.parse::<Option<Token![=]>>()?.is_some();
    if !is_assigned || input.is_empty() || input.peek(Token![,]) {
        let example = example(&name.to_string());
        let message = format!("`{name}` needs a value: write `{name} = {example}`");
        return Err(syn::Error::new(name.span(), message));
    }
    Ok(())
}

fn names(_: &Ident, input: ParseStream<'_>) -> syn::Result<Vec<Ident>> {
    let expected = "expected names of parameters in parentheses: write `skip(db, client)`";
    listed(input, expected, Ident::parse_any)
}

fn batch(name: &Ident, input: ParseStream<'_>) -> syn::Result<BatchOver> {
    if !input.peek(token::Paren) {
        return Err(syn::Error::new(name.span(), FORM));
    }
    let inside;
    parenthesized!(inside in input);
    let over = (|| {
        let list = inside.call(Ident::parse_any)?;
        inside.parse::<Token![as]>()?;
        let element = inside.parse()?;
        if inside.is_empty() { Ok(BatchOver { list, element }) } else { Err(inside.error(FORM)) }
    })();
    over.map_err(|error| syn::Error::new(error.span(), FORM))
}

fn rebindings(_: &Ident, input: ParseStream<'_>) -> syn::Result<Vec<Rebinding>> {
    rebound(
        input,
        "expected parameters and what they become: write `normalize(email = email.trim())`",
    )
}

fn replacements(_: &Ident, input: ParseStream<'_>) -> syn::Result<Vec<Rebinding>> {
    rebound(
        input,
        "expected parameters and how the background refresh gets them: write \
         `refresh_with(conn = self.pool.acquire().await?)`",
    )
}

fn rebound(input: ParseStream<'_>, expected: &str) -> syn::Result<Vec<Rebinding>> {
    listed(input, expected, |input| {
        let param = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Ok(Rebinding { param, value: input.parse()? })
    })
}

fn listed<T>(
    input: ParseStream<'_>,
    expected: &str,
    parse: fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    if !input.peek(token::Paren) {
        return Err(input.error(expected));
    }
    let inside;
    parenthesized!(inside in input);
    let parsed = Punctuated::<T, Token![,]>::parse_terminated_with(&inside, parse);
    parsed
        .map(|all| all.into_iter().collect())
        .map_err(|error| syn::Error::new(error.span(), expected))
}

fn unknown(name: &str) -> String {
    if PLANNED.contains(&name) {
        return format!("`{name}` is not supported yet");
    }
    if let Some((_, ours)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        return format!("unknown argument `{name}`: here it is {ours}");
    }
    match closest(name, KNOWN.iter().copied()) {
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
