//! `batch(ids as id)`: which parameter is the list, and that a key is one for each of its elements.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Expr, FnArg, GenericArgument, PathArguments, Signature, Type, parse_quote};

use crate::args::{Args, BatchOver, Given};
use crate::errors::Errors;
use crate::function::{Function, ungrouped};
use crate::generics::free_variables_in;
use crate::key::{Key, Source, no_such_parameter};
use crate::params::{self, Param};
use crate::signature::{first_type_argument, spaceless};
use crate::spelling::is_option;

/// A function for many keys.
pub(crate) struct Batch {
    /// The parameters as they are, where those of the attribute have one element in the place of the list.
    pub(crate) params: Vec<Param>,
    /// The place of the list among them.
    pub(crate) list: usize,
    /// How the body gets it.
    pub(crate) passed: Passed,
    /// The parameter that a function for one key would have.
    pub(crate) element: FnArg,
    /// The values of the map are spelt as `Option`s.
    pub(crate) gives_options: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    Borrowed,
    Owned,
}

impl Batch {
    /// The signature of a function for one key.
    pub(crate) fn signature_of_one(&self, sig: &Signature) -> Signature {
        let mut sig = sig.clone();
        if let Some(input) = sig.inputs.iter_mut().nth(self.list) {
            *input = self.element.clone();
        }
        sig
    }

    fn element(&self) -> &Ident {
        match &self.element {
            FnArg::Typed(typed) => match &*typed.pat {
                syn::Pat::Ident(pat) => &pat.ident,
                _ => unreachable!("it is made of an identifier"),
            },
            FnArg::Receiver(_) => unreachable!("it is made of an identifier"),
        }
    }
}

/// `None` where there is none. What makes no sense of the rest ends the checks.
pub(crate) fn read(
    args: &Args,
    function: &Function,
    errors: &Errors,
) -> syn::Result<Option<Batch>> {
    let Some(given) = &args.batch else { return Ok(None) };
    let BatchOver { list, element } = &given.value;
    let params = params::params(&function.sig);
    let (name, element_name) = (list.unraw().to_string(), element.unraw().to_string());
    let refuse = |at: &Ident, why: String| Err(syn::Error::new(at.span(), why));
    let Some(place) = params.iter().position(|param| !param.is_self() && *list == param.ident)
    else {
        let names: Vec<String> =
            params.iter().map(|param| param.ident.unraw().to_string()).collect();
        let why = no_such_parameter(&name, names.iter().map(String::as_str));
        return refuse(list, format!("`batch({name} as {element_name})`: {why}"));
    };
    if params.iter().any(|param| param.binds(&element_name)) {
        return refuse(
            element,
            format!(
                "`{element_name}` is a parameter: give an element of `{name}` a name that none has, as in \
                 `batch({name} as each)`"
            ),
        );
    }
    let Some((ty, passed)) = element_of(&params[place].ty) else {
        let ty = spaceless(&params[place].ty);
        return Err(syn::Error::new_spanned(
            &params[place].ty,
            format!(
                "`{name}: {ty}` is not a list that a batch can take the missing ones of: write `{name}: &[K]` or `{name}: \
                 Vec<K>`, with the type of one element for `K`"
            ),
        ));
    };
    for skipped in args.skip.iter().flat_map(|skip| &skip.value) {
        if *skipped == name || *skipped == element_name {
            return refuse(
                skipped,
                format!(
                    "`{skipped}` is what the batch is about: take it out of `skip`, and write `{{{element_name}}}` into the key"
                ),
            );
        }
    }
    check_arguments(args, &name, &element_name, errors)?;
    let element = parse_quote!(#element: #ty);
    let gives_options = function.returned().ty().is_some_and(values_are_options);
    Ok(Some(Batch { params, list: place, passed, element, gives_options }))
}

/// The type of one element of `&[K]`, `&Vec<K>` or `Vec<K>`.
fn element_of(ty: &Type) -> Option<(Type, Passed)> {
    let of_vec = |ty: &Type| {
        let Type::Path(path) = ungrouped(ty) else { return None };
        let last = path.path.segments.last()?;
        if last.ident != "Vec" {
            return None;
        }
        first_type_argument(ty).cloned()
    };
    match ungrouped(ty) {
        Type::Reference(reference) if reference.mutability.is_none() => {
            let element = match ungrouped(&reference.elem) {
                Type::Slice(slice) => (*slice.elem).clone(),
                other => of_vec(other)?,
            };
            Some((element, Passed::Borrowed))
        }
        other => Some((of_vec(other)?, Passed::Owned)),
    }
}

/// What is asked once for all of a batch, or has no sense of one.
fn check_arguments(args: &Args, list: &str, element: &str, errors: &Errors) -> syn::Result<()> {
    let refused = [
        (&args.busy, "would be answered for all of its keys"),
        (&args.soft_timeout, "is for what one call has in the stead of its value"),
        (&args.save, "is asked of one value"),
        (&args.load, "is asked of one value"),
    ];
    for (given, why) in refused {
        if let Some(given) = given {
            let argument = &given.name;
            errors.at(
                argument.span(),
                format!("`{argument}` {why}, and is not supported in a batch: drop it"),
            );
        }
    }
    if let Some(stored) = &args.stored {
        errors.at(stored.name.span(), "`stored` is not supported in a batch: drop it");
    }
    let asked = [
        &args.ttl,
        &args.refresh_before,
        &args.none_ttl,
        &args.err_ttl,
        &args.stale_if_error,
        &args.timeout,
        &args.lock_ttl,
        &args.wait,
        &args.near,
        &args.max_age,
        &args.no_store_if,
        &args.accept_if,
        &args.cache,
    ];
    for given in asked.into_iter().flatten() {
        check_mentions(given, &[list, element], list, errors);
    }
    for given in [&args.bypass_if, &args.refresh_if].into_iter().flatten() {
        check_mentions(given, &[element], list, errors);
    }
    for given in [&args.normalize, &args.refresh_with].into_iter().flatten() {
        for rebinding in &given.value {
            let (at, name) = (rebinding.param.span(), rebinding.param.unraw().to_string());
            let why = format!(
                "`{}` is asked once for the whole batch, and can say nothing of `{list}`: do it in front of the call",
                given.name
            );
            if name == list {
                return Err(syn::Error::new(at, why));
            }
            let mentioned = free_variables_in(&rebinding.value);
            if name == element || mentioned.contains(list) || mentioned.contains(element) {
                errors.at(at, why);
            }
        }
    }
    Ok(())
}

fn check_mentions(given: &Given<Expr>, names: &[&str], list: &str, errors: &Errors) {
    let mentioned = free_variables_in(&given.value);
    if let Some(name) = names.iter().find(|name| mentioned.contains(**name)) {
        errors.on(
            &given.value,
            format!(
                "`{} = ..` is asked once for the whole batch, and can say nothing of `{name}`: leave `{name}` out of it, or call \
                 the function with fewer `{list}`",
                given.name
            ),
        );
    }
}

/// A key that does not tell two elements apart would give both one value.
pub(crate) fn check_key(batch: &Batch, key: &Key, args: &Args, errors: &Errors) {
    let (Some(over), Some(given)) = (&args.batch, &args.key) else { return };
    let name = batch.element().unraw().to_string();
    let mut of_element = key
        .values()
        .filter(|value| matches!(value.source, Source::Name { param, .. } if param == batch.list));
    let repair =
        format!("`key = \"..:{{{name}}}\"`, or `{{{name}:hash}}` for what has no `Display`");
    match of_element.next() {
        None => errors.on(
            &given.value,
            format!(
                "`{name}` is not in the key: all of `{}` would share one value. Write it into the key: {repair}",
                over.value.list
            ),
        ),
        Some(value) if !value.steps.is_empty() => errors.on(
            &given.value,
            format!(
                "only a part of `{name}` is in the key: two that differ in the rest would share one value. Write the whole: \
                 {repair}"
            ),
        ),
        Some(_) => {}
    }
}

/// The values of `HashMap<K, Option<V>>`, of `Result<HashMap<K, Option<V>>, E>`, and of a map of such `Result`s.
fn values_are_options(ty: &Type) -> bool {
    let Type::Path(path) = ungrouped(ty) else { return false };
    let Some(last) = path.path.segments.last() else { return false };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    let mut types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    let (first, second) = (types.next(), types.next());
    if last.ident.to_string().ends_with("Map") {
        let Some(value) = second else { return false };
        return is_option(value) || first_type_argument(value).is_some_and(is_option);
    }
    first.is_some_and(values_are_options)
}

/// Of what `batch` stands for in an error.
pub(crate) const FORM: &str =
    "expected a parameter that is a list, and a name for one element: write `batch(ids as id)`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_tells_of_options() {
        for (ty, expected) in [
            ("HashMap<u64, Option<User>>", true),
            ("Result<BTreeMap<u64, Option<User>>, E>", true),
            ("HashMap<u64, Result<Option<User>, E>>", true),
            ("HashMap<u64, User>", false),
            ("Result<HashMap<u64, User>, E>", false),
            ("anyhow::Result<HashMap<Option<u64>, User>>", false),
        ] {
            let parsed: Type = syn::parse_str(ty).expect("a type");
            assert_eq!(values_are_options(&parsed), expected, "{ty}");
        }
    }
}
