//! What a signature must be for its function to be cached, one check each.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericArgument, Lifetime, Macro, ParenthesizedGenericArguments, Pat, PatIdent,
    PathArguments, ReturnType, Safety, Signature, Type, TypeFnPtr, TypeImplTrait, TypePath,
    TypeReference, TypeTraitObject,
};

use crate::errors::Errors;
use crate::function::{Function, Returned, ungrouped};
use crate::generics::names_in;
use crate::params::{Param, Passing, is_static};

pub(crate) fn check(function: &Function, errors: &Errors) {
    let sig = &function.sig;
    check_async(function, errors);
    check_qualifiers(sig, errors);
    check_body(function, errors);
    check_recursion(function, errors);
    check_impl_return(function, errors);
    check_borrowed_return(function, errors);
    check_error_return(function, errors);
    check_cfg_params(sig, errors);
    check_patterns(sig, errors);
}

fn check_async(function: &Function, errors: &Errors) {
    let sig = &function.sig;
    let name = &sig.ident;
    match function.returned() {
        Returned::Async(_) => {}
        // Which cannot be async: one error is enough.
        Returned::NoFuture(_) if sig.constness.is_some() => {}
        Returned::NoFuture(_) if names_in(&sig.output).contains("LocalBoxFuture") => errors.on(
            written_type(sig),
            "a `LocalBoxFuture` cannot cross threads, as it has to when several callers wait for it: \
             write `BoxFuture`",
        ),
        Returned::NoFuture(_) => {
            errors.on(
                sig.fn_token,
                format!(
                    "`#[redis_cached]` needs an async function: write `async fn {name}`, or return a \
                     `BoxFuture<'_, T>`, a `Pin<Box<dyn Future<Output = T> + Send>>` or an \
                     `impl Future<Output = T> + Send`"
                ),
            );
        }
        Returned::Boxed(_) | Returned::Opaque(_) => {
            let names = names_in(&sig.output);
            if !names.contains("BoxFuture") && !names.contains("Send") {
                errors.on(
                    written_type(sig),
                    "the future must be `Send`, since several callers may wait for it: \
                     add `+ Send` behind `Future<..>`",
                );
            }
        }
    }
}

/// Without the arrow.
fn written_type(sig: &Signature) -> Option<&Type> {
    match &sig.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some(ty),
    }
}

fn check_qualifiers(sig: &Signature, errors: &Errors) {
    let refuse = |tokens: &dyn ToTokens, what: &str| {
        errors.on(
            tokens.to_token_stream(),
            format!("`#[redis_cached]` cannot be put on {what}: call it from a plain `async fn`, and cache that"),
        );
    };
    if let Some(constness) = &sig.constness {
        refuse(constness, "a `const fn`");
    }
    if let Safety::Unsafe(safety) = &sig.safety {
        refuse(safety, "an `unsafe fn`");
    }
    if let Some(abi) = &sig.abi {
        refuse(abi, "an `extern fn`");
    }
    if let Some(variadic) = &sig.variadic {
        refuse(variadic, "a variadic function");
    }
}

fn check_body(function: &Function, errors: &Errors) {
    if !function.has_body() {
        errors.on(
            &function.sig.ident,
            "`#[redis_cached]` needs the function's body: put it where the function is implemented",
        );
    }
}

/// The future of an `async fn` holds those of the calls in it, and cannot hold itself.
fn check_recursion(function: &Function, errors: &Errors) {
    let name = &function.sig.ident;
    if function.sig.asyncness.is_some()
        && let Some(call) = call_of(name, function.body.clone())
    {
        errors.at(
            call.span(),
            format!(
                "`{name}` calls itself, and the future of an `async fn` cannot hold its own: return a boxed one, \
                 `fn {name}(..) -> Pin<Box<dyn Future<Output = T> + Send>> {{ Box::pin(async move {{ .. }}) }}`"
            ),
        );
    }
}

/// A call of the function by its name alone, or of `Self`.
fn call_of(name: &Ident, body: TokenStream) -> Option<Ident> {
    let trees: Vec<TokenTree> = body.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) => {
                if let Some(call) = call_of(name, group.stream()) {
                    return Some(call);
                }
            }
            TokenTree::Ident(ident) if ident == name => {
                let is_called = matches!(
                    trees.get(at + 1),
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis
                );
                let is_free = match at.checked_sub(1).map(|before| &trees[before]) {
                    Some(TokenTree::Punct(punct)) => {
                        let of_self = at >= 3 && trees[at - 3].to_string() == "Self";
                        punct.as_char() != '.' && (punct.as_char() != ':' || of_self)
                    }
                    // A function of this name inside the body.
                    Some(TokenTree::Ident(before)) => before != "fn",
                    _ => true,
                };
                if is_called && is_free {
                    return Some(ident.clone());
                }
            }
            _ => {}
        }
    }
    None
}

fn check_impl_return(function: &Function, errors: &Errors) {
    if let Some(found) = function.returned().ty().and_then(first_impl_trait) {
        errors.on(
            found,
            "`impl Trait` in the return type cannot be read back from the cache: name the type",
        );
    }
}

pub(crate) fn first_impl_trait(ty: &Type) -> Option<TypeImplTrait> {
    struct Finder(Option<TypeImplTrait>);
    impl Visit<'_> for Finder {
        fn visit_type_impl_trait(&mut self, found: &TypeImplTrait) {
            self.0.get_or_insert_with(|| found.clone());
        }
    }
    let mut finder = Finder(None);
    finder.visit_type(ty);
    finder.0
}

/// What is stored may not hold even `&'static str`. An error may, and it never is a type's first
/// argument.
fn check_borrowed_return(function: &Function, errors: &Errors) {
    let Some(whole) = function.returned().ty() else { return };
    let value = first_type_argument(whole).unwrap_or(whole);
    if let Some(borrow) = first_borrow(value, true).or_else(|| first_borrow(whole, false)) {
        errors.on(
            &borrow,
            format!(
                "the return type borrows (`{}`), but what comes from the cache is owned: \
                 return an owned type, as `String` for `&str` or `Vec<T>` for `&[T]`",
                spaceless(&borrow)
            ),
        );
    }
}

pub(crate) fn first_type_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(TypePath { path, .. }) = ungrouped(ty) else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

fn first_borrow(ty: &Type, refuse_static: bool) -> Option<proc_macro2::TokenStream> {
    struct Finder {
        refuse_static: bool,
        found: Option<proc_macro2::TokenStream>,
    }
    impl Visit<'_> for Finder {
        fn visit_type_reference(&mut self, reference: &TypeReference) {
            if self.refuse_static || !is_static(reference) {
                self.found.get_or_insert_with(|| reference.to_token_stream());
            }
            visit::visit_type_reference(self, reference);
        }
        // What a callback takes and gives is not borrowed by the callback.
        fn visit_type_fn_ptr(&mut self, _: &TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments(&mut self, _: &ParenthesizedGenericArguments) {}
        fn visit_lifetime(&mut self, lifetime: &Lifetime) {
            if lifetime.ident != "static" {
                self.found.get_or_insert_with(|| lifetime.to_token_stream());
            }
        }
    }
    let mut finder = Finder { refuse_static, found: None };
    finder.visit_type(ty);
    finder.found
}

/// What several callers wait for crosses threads; for this one type the compiler's own errors are many
/// and name no repair.
fn check_error_return(function: &Function, errors: &Errors) {
    struct Finder(Option<TypeTraitObject>);
    impl Visit<'_> for Finder {
        fn visit_type_trait_object(&mut self, object: &TypeTraitObject) {
            let names = names_in(&object.bounds);
            if names.contains("Error") && !names.contains("Send") {
                self.0.get_or_insert_with(|| object.clone());
            }
        }
    }
    let Some(returned) = function.returned().ty() else { return };
    let mut finder = Finder(None);
    finder.visit_type(returned);
    if let Some(object) = finder.0 {
        errors.on(
            &object,
            "this error cannot cross threads, as it has to when several callers wait for it: write \
             `Box<dyn Error + Send + Sync>`",
        );
    }
}

/// Attribute macros see parameters before `cfg` has taken them out.
fn check_cfg_params(sig: &Signature, errors: &Errors) {
    for input in &sig.inputs {
        let attrs = match input {
            FnArg::Receiver(receiver) => &receiver.attrs,
            FnArg::Typed(typed) => &typed.attrs,
        };
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("cfg")) {
            errors.on(attr, "a parameter cannot have a `cfg`: write the function twice, each under its own `cfg`");
        }
    }
}

/// What a pattern binds has to be bound again from a borrowed parameter.
fn check_patterns(sig: &Signature, errors: &Errors) {
    struct Finder<'a>(&'a Errors);
    impl Visit<'_> for Finder<'_> {
        fn visit_pat_ident(&mut self, pat: &PatIdent) {
            // `rest @ ..` is the one way to name what is left of a slice.
            let is_rest = matches!(&pat.subpat, Some((_, sub)) if matches!(**sub, Pat::Rest(_)));
            if pat.subpat.is_some() && !is_rest {
                let name = &pat.ident;
                self.0.on(
                    pat,
                    format!(
                        "`{name} @ ..` gives two names to one thing, and the key needs one: write \
                         `{name}`, and destructure it in the body"
                    ),
                );
            }
        }
        fn visit_macro(&mut self, found: &Macro) {
            self.0.on(
                found,
                "what a macro binds cannot be seen here, so it could be forgotten in the key: write the \
                 pattern itself",
            );
        }
    }
    for input in &sig.inputs {
        match input {
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pat) if pat.by_ref.is_some() && pat.subpat.is_none() => {
                    let name = &pat.ident;
                    errors.on(pat, format!("`ref {name}` binds what only the body has: write `{name}`, and borrow it in the body"));
                }
                pat => Finder(errors).visit_pat(pat),
            },
            FnArg::Receiver(_) => {}
        }
    }
}

/// What a body in the background needs, it must be able to own. `because` is the argument that asks for one.
pub(crate) fn check_refreshable(param: &Param, because: &str, errors: &Errors) {
    let name = &param.ident;
    let ty = spaceless(&param.ty);
    let what =
        if because == "refresh_before" { "background refresh" } else { "body in the background" };
    // Of `self` it would be made itself, and what a pattern binds is not the parameter.
    let with = if param.is_self() || param.pattern.is_some() {
        String::new()
    } else {
        format!(
            "say how it gets one of its own, as in `refresh_with({name} = self.pool.acquire().await?)`, "
        )
    };
    if param.passing == Passing::Exclusive {
        let shown = if param.is_self() { "&mut self".to_owned() } else { format!("{name}: {ty}") };
        errors.on(
            &param.ty,
            format!(
                "`{shown}` cannot be cloned for the {what}: take what can be cloned \
                 (a pool, an `Arc`), {with}or drop `{because}`"
            ),
        );
    } else if let Some(found) = first_impl_trait(&param.ty) {
        errors.on(
            found,
            format!(
                "`{name}: {ty}` has no name by which the {what} could clone it: \
                 name the type, as in `{name}: T` with `T: Clone + Send + Sync + 'static`, \
                 {with}or drop `{because}`"
            ),
        );
    } else if let Some(borrow) = first_borrow(owned_part(param), false) {
        errors.on(
            borrow,
            format!(
                "`{name}: {ty}` borrows, but the {what} outlives the call: \
                 take an owned type, {with}or drop `{because}`"
            ),
        );
    }
}

/// What is left of a type when its outer reference, which the refresh can own, is taken off.
fn owned_part(param: &Param) -> &Type {
    match ungrouped(&param.ty) {
        Type::Reference(reference) => &reference.elem,
        other => other,
    }
}

/// What can stand in a key, which is also made for `_entry`, apart from any call. `name` is the
/// parameter's, or what its pattern binds.
pub(crate) fn check_in_key(param: &Param, name: &str, errors: &Errors) {
    if param.passing == Passing::Exclusive {
        let shared = match ungrouped(&param.ty) {
            Type::Reference(reference) if param.pattern.is_none() && !param.is_self() => {
                format!("it as `{name}: &{}`", spaceless(&reference.elem))
            }
            _ if param.is_self() => "`&self`".to_owned(),
            _ => "it behind a `&`".to_owned(),
        };
        errors.on(
            &param.ty,
            format!(
                "`{name}` is in the key, but the body may change what a `&mut` refers to: \
                 take {shared}, or write `skip({name})`"
            ),
        );
    } else if let Some(found) = first_impl_trait(&param.ty) {
        errors.on(
            found,
            format!(
                "`{name}` is in the key, but its type has no name: name it, \
                 as in `{name}: T` with `T: Display`"
            ),
        );
    }
}

/// Tokens as they are usually written: `&'a str`, `Option<T>`.
pub(crate) fn spaceless(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (spaced, tight) in
        [(" :: ", "::"), (" < ", "<"), ("< ", "<"), (" >", ">"), ("& ", "&"), (" ,", ",")]
    {
        text = text.replace(spaced, tight);
    }
    text
}

#[cfg(test)]
mod tests;
