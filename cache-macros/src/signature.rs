//! What a signature must be for its function to be cached, one check each.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericArgument, Lifetime, ParenthesizedGenericArguments, PathArguments, PathSegment,
    ReturnType, Safety, Signature, Type, TypeFnPtr, TypeImplTrait, TypePath, TypeReference,
    TypeTraitObject,
};

use crate::errors::Errors;
use crate::function::{self, Function, Param, Passing, is_static, ungrouped};
use crate::generics::names_in;

/// The type that is stored.
pub(crate) enum Stored<'a> {
    Nothing,
    /// The return type itself, or the first argument of a `Result<..>`.
    Spelled(&'a Type),
    /// What the alias of a `Result` (`io::Result` without arguments, `DbResult<T>`) holds.
    Behind(&'a Type),
}

impl<'a> Stored<'a> {
    pub(crate) fn in_return(output: &'a ReturnType) -> Self {
        let ReturnType::Type(_, ty) = output else {
            return Self::Nothing;
        };
        let Some(segment) = last_segment(ty) else {
            return Self::Spelled(ty);
        };
        if segment.ident == "Result"
            && let Some(value) = first_type_argument(segment)
        {
            Self::Spelled(value)
        } else if segment.ident.to_string().ends_with("Result") {
            Self::Behind(ty)
        } else {
            Self::Spelled(ty)
        }
    }

    /// Whether it is spelled out and has no `Option` in it.
    pub(crate) fn is_never_none(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Spelled(ty) => !names_in(ty).contains("Option"),
            Self::Behind(_) => false,
        }
    }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ungrouped(ty) {
        Type::Path(TypePath { path, .. }) => path.segments.last(),
        _ => None,
    }
}

fn first_type_argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

pub(crate) fn check(function: &Function, errors: &Errors) {
    let sig = &function.sig;
    check_async(sig, errors);
    check_qualifiers(sig, errors);
    check_body(function, errors);
    check_impl_return(sig, errors);
    check_borrowed_return(sig, errors);
    check_error_return(sig, errors);
    check_cfg_params(sig, errors);
}

fn check_async(sig: &Signature, errors: &Errors) {
    if sig.asyncness.is_some() {
        return;
    }
    if names_in(&sig.output).contains("Future") {
        errors.on(
            sig.fn_token,
            "`#[redis_cached]` needs an `async fn`, not one that returns a future. \
             In an `#[async_trait]` block, which makes such functions, write an `async fn` in an \
             inherent `impl`, put `#[redis_cached]` there, and call it from the trait's method",
        );
    } else {
        errors.on(
            sig.fn_token,
            format!("`#[redis_cached]` needs an async function: write `async fn {}`", sig.ident),
        );
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

fn check_impl_return(sig: &Signature, errors: &Errors) {
    if let ReturnType::Type(_, ty) = &sig.output
        && let Some(found) = first_impl_trait(ty)
    {
        errors.on(
            found,
            "`impl Trait` in the return type cannot be read back from the cache: name the type",
        );
    }
}

fn first_impl_trait(ty: &Type) -> Option<TypeImplTrait> {
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

/// An error type may be `&'static str`, since errors are not stored.
fn check_borrowed_return(sig: &Signature, errors: &Errors) {
    let ReturnType::Type(_, whole) = &sig.output else {
        return;
    };
    let in_value = match Stored::in_return(&sig.output) {
        Stored::Spelled(value) => first_borrow(value, true),
        Stored::Nothing | Stored::Behind(_) => None,
    };
    if let Some(borrow) = in_value.or_else(|| first_borrow(whole, false)) {
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

/// Attribute macros see parameters before `cfg` has taken them out.
/// What several callers wait for crosses threads; for this one type the compiler's own errors are many
/// and name no repair.
fn check_error_return(sig: &Signature, errors: &Errors) {
    struct Finder(Option<TypeTraitObject>);
    impl Visit<'_> for Finder {
        fn visit_type_trait_object(&mut self, object: &TypeTraitObject) {
            let names = names_in(&object.bounds);
            if names.contains("Error") && !names.contains("Send") {
                self.0.get_or_insert_with(|| object.clone());
            }
        }
    }
    let mut finder = Finder(None);
    finder.visit_return_type(&sig.output);
    if let Some(object) = finder.0 {
        errors.on(
            &object,
            "this error cannot cross threads, as it has to when several callers wait for it: write \
             `Box<dyn Error + Send + Sync>`",
        );
    }
}

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

/// The named parameters; the others are errors.
pub(crate) fn params(sig: &Signature, errors: &Errors) -> Vec<Param> {
    function::params(sig)
        .into_iter()
        .filter_map(|param| match param {
            Ok(param) => Some(param),
            Err(pattern) => {
                errors.on(
                    pattern,
                    "a parameter of a cached function needs a name, to stand in the key or in `skip`: \
                     bind it to one, and destructure it in the body",
                );
                None
            }
        })
        .collect()
}

/// What the background refresh needs, it must be able to own.
pub(crate) fn check_refreshable(param: &Param, errors: &Errors) {
    let name = &param.ident;
    let ty = spaceless(&param.ty);
    if param.passing == Passing::Exclusive {
        let shown = if param.is_self() { "&mut self".to_owned() } else { format!("{name}: {ty}") };
        errors.on(
            &param.ty,
            format!(
                "`{shown}` cannot be cloned for the background refresh: take what can be cloned \
                 (a pool, an `Arc`), or drop `refresh_before`"
            ),
        );
    } else if let Some(found) = first_impl_trait(&param.ty) {
        errors.on(
            found,
            format!(
                "`{name}: {ty}` has no name by which the background refresh could clone it: \
                 name the type, as in `{name}: T` with `T: Clone + Send + Sync + 'static`, \
                 or drop `refresh_before`"
            ),
        );
    } else if let Some(borrow) = first_borrow(owned_part(param), false) {
        errors.on(
            borrow,
            format!(
                "`{name}: {ty}` borrows, but the background refresh outlives the call: \
                 take an owned type, or drop `refresh_before`"
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

/// What can stand in a key, which is also made for `_entry`, apart from any call.
pub(crate) fn check_in_key(param: &Param, errors: &Errors) {
    let name = &param.ident;
    if param.passing == Passing::Exclusive {
        let shared =
            if param.is_self() { "&self".to_owned() } else { format!("it as `{name}: &_`") };
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
fn spaceless(tokens: &impl ToTokens) -> String {
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
