//! The attribute's tokens → targets and arguments. Syntax only.

use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Expr, ExprAssign, Pat, Path, Token};

use crate::args::{Given, listing, set};
use crate::errors::Errors;
use crate::suggest::closest;

/// What was given.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) targets: Vec<Target>,
    pub(crate) tags: Option<Given<Expr>>,
    pub(crate) when: Option<Given<Expr>>,
    pub(crate) on_failure: Option<Given<Expr>>,
    pub(crate) cache: Option<Given<Expr>>,
    pub(crate) krate: Option<Given<Path>>,
    pub(crate) after_commit: Option<Span>,
    pub(crate) now: Option<Span>,
}

/// `load_user(id)`, or `for id in ids => load_user(id)`; of `redis_put` with a value, `load_user(id) = user`.
pub(crate) struct Target {
    pub(crate) each: Option<(Pat, Expr)>,
    pub(crate) call: Expr,
    pub(crate) value: Option<Expr>,
}

impl Target {
    fn new(each: Option<(Pat, Expr)>, call: Expr) -> Self {
        match call {
            Expr::Assign(ExprAssign { left, right, .. }) => {
                Self { each, call: *left, value: Some(*right) }
            }
            call => Self { each, call, value: None },
        }
    }
}

const KNOWN: [&str; 7] = ["tags", "when", "on_failure", "cache", "crate", "after_commit", "now"];

pub(crate) fn parse(tokens: TokenStream, errors: &Errors) -> syn::Result<Args> {
    listing(tokens, errors, argument)
}

fn argument(input: ParseStream<'_>, args: &mut Args, errors: &Errors) -> syn::Result<()> {
    if input.peek(Token![for]) {
        input.parse::<Token![for]>()?;
        let pattern = Pat::parse_multi_with_leading_vert(input)?;
        input.parse::<Token![in]>()?;
        let over = input.parse()?;
        input.parse::<Token![=>]>().map_err(|error| {
            syn::Error::new(error.span(), "expected `=>`: write `for id in &ret => load_user(*id)`")
        })?;
        args.targets.push(Target::new(Some((pattern, over)), input.parse()?));
        return Ok(());
    }
    if input.peek2(Token![=]) && !input.peek2(Token![==]) && !input.peek2(Token![=>]) {
        return named(input, args, errors);
    }
    if input.peek(syn::Ident::peek_any) && (input.peek2(Token![,]) || is_last(input)) {
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "after_commit" => flag(&mut args.after_commit, &name, errors),
            "now" => flag(&mut args.now, &name, errors),
            other => errors.at(name.span(), no_argument(other)),
        }
        return Ok(());
    }
    args.targets.push(Target::new(None, input.parse()?));
    Ok(())
}

fn is_last(input: ParseStream<'_>) -> bool {
    let fork = input.fork();
    fork.call(Ident::parse_any).is_ok() && fork.is_empty()
}

fn named(input: ParseStream<'_>, args: &mut Args, errors: &Errors) -> syn::Result<()> {
    let name = input.call(Ident::parse_any)?;
    input.parse::<Token![=]>()?;
    match name.to_string().as_str() {
        "tags" => set(&mut args.tags, input.parse()?, name, errors),
        "when" => set(&mut args.when, input.parse()?, name, errors),
        "on_failure" => set(&mut args.on_failure, input.parse()?, name, errors),
        "cache" => set(&mut args.cache, input.parse()?, name, errors),
        "crate" => set(&mut args.krate, input.parse()?, name, errors),
        other => {
            errors.at(name.span(), no_argument(other));
            input.parse::<Expr>()?;
        }
    }
    Ok(())
}

fn flag(slot: &mut Option<Span>, name: &Ident, errors: &Errors) {
    if slot.replace(name.span()).is_some() {
        errors.at(name.span(), format!("`{name}` is given twice: keep one of them"));
    }
}

fn no_argument(name: &str) -> String {
    match closest(name, KNOWN) {
        Some(near) => format!("unknown argument `{name}`: did you mean `{near}`?"),
        None => format!(
            "`{name}` is no argument, and no target: a target is a call of a cached function, \
             `{name}(..)` for all of its entries, or with the arguments of one"
        ),
    }
}
