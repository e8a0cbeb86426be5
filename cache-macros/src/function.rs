//! The annotated function, its parameters, and where its attributes belong.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, FnArg, Meta, Pat, Path, Receiver, ReceiverKind, Signature, Type, TypePath,
    TypeReference, Visibility,
};

/// The body stays unparsed, so that a half-typed one still expands and the editor keeps completing.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig = input.parse().map_err(|error| {
            syn::Error::new(
                error.span(),
                format!("`#[redis_cached]` stands on an async function: {error}"),
            )
        })?;
        let body = input.parse()?;
        Ok(Self { attrs, vis, sig, body })
    }
}

impl Function {
    pub(crate) fn has_body(&self) -> bool {
        let first = self.body.clone().into_iter().next();
        matches!(first, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
    }

    /// Whether it stands in an `impl`: its siblings are then called through `Self`.
    pub(crate) fn is_associated(&self) -> bool {
        self.sig.receiver().is_some()
            || mentions_self(self.sig.to_token_stream())
            || mentions_self(self.body.clone())
    }
}

/// Passes over the items in a body, whose `Self` is their own.
fn mentions_self(tokens: TokenStream) -> bool {
    let mut in_item = false;
    for tree in tokens {
        match tree {
            TokenTree::Ident(ident) if ident == "Self" && !in_item => return true,
            TokenTree::Ident(ident) => {
                in_item |= ["impl", "trait", "struct", "enum", "union"]
                    .iter()
                    .any(|keyword| ident == keyword);
            }
            TokenTree::Group(group) => {
                if !in_item && mentions_self(group.stream()) {
                    return true;
                }
                in_item &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Punct(punct) => in_item &= punct.as_char() != ';',
            TokenTree::Literal(_) => {}
        }
    }
    false
}

/// How the background refresh comes to own a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passing {
    /// Cloned. A `&'static` reference counts as such: the copy is a clone.
    Owned,
    /// Turned into what the reference borrows from.
    Borrowed,
    /// Cannot be.
    Exclusive,
}

pub(crate) struct Param {
    /// `self` for the receiver.
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) passing: Passing,
}

impl Param {
    fn new(ident: Ident, ty: Type) -> Self {
        let passing = passing(&ty);
        Self { ident, ty, passing }
    }

    pub(crate) fn is_self(&self) -> bool {
        self.ident == "self"
    }
}

/// The parameters, or the patterns that give no name to one.
pub(crate) fn params(sig: &Signature) -> Vec<Result<Param, &FnArg>> {
    sig.inputs
        .iter()
        .map(|input| match input {
            FnArg::Receiver(receiver) => Ok(Param::new(
                Ident::new("self", receiver.self_token.span),
                receiver_type(receiver),
            )),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                    Ok(Param::new(pat.ident.clone(), (*typed.ty).clone()))
                }
                _ => Err(input),
            },
        })
        .collect()
}

fn receiver_type(receiver: &Receiver) -> Type {
    let span = receiver.self_token.span;
    match &receiver.kind {
        ReceiverKind::Typed(_, ty) => (**ty).clone(),
        ReceiverKind::Reference(and_token, lifetime, mutability) => {
            Type::Reference(TypeReference {
                attrs: Vec::new(),
                and_token: *and_token,
                lifetime: lifetime.clone(),
                mutability: *mutability,
                elem: Box::new(self_type(span)),
            })
        }
        _ => self_type(span),
    }
}

fn self_type(span: Span) -> Type {
    Type::Path(TypePath {
        attrs: Vec::new(),
        qself: None,
        path: Path::from(Ident::new("Self", span)),
    })
}

fn passing(ty: &Type) -> Passing {
    match ungrouped(ty) {
        Type::Reference(reference) if reference.mutability.is_some() => Passing::Exclusive,
        Type::Reference(reference) if !is_static(reference) => Passing::Borrowed,
        _ => Passing::Owned,
    }
}

pub(crate) fn is_static(reference: &TypeReference) -> bool {
    reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static")
}

/// The type behind parentheses and the invisible groups of `macro_rules` fragments.
pub(crate) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// The signature of a function that only passes its parameters on: no `mut`, no attributes.
pub(crate) fn passing_on(sig: &Signature) -> Signature {
    let mut sig = sig.clone();
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                receiver.attrs.clear();
                receiver.mutability = None;
            }
            FnArg::Typed(typed) => {
                typed.attrs.clear();
                if let Pat::Ident(pat) = &mut *typed.pat {
                    pat.mutability = None;
                }
            }
        }
    }
    // A trailing comma would stay behind where the last parameter is taken out.
    sig.inputs = Punctuated::from_iter(sig.inputs);
    sig
}

/// The user's attributes, by the items they belong to.
#[derive(Default)]
pub(crate) struct Attributes {
    /// Conditions and lint levels: all generated items but the original.
    pub(crate) every: Vec<Attribute>,
    /// What is said to callers: the cached function.
    pub(crate) cached: Vec<Attribute>,
    /// What is done to the body (`tracing::instrument`, `inline`): the original.
    pub(crate) original: Vec<Attribute>,
}

impl Attributes {
    pub(crate) fn sorted(attrs: &[Attribute]) -> Self {
        let mut sorted = Self::default();
        for attr in attrs {
            let name = attr.path().get_ident().map(ToString::to_string);
            match name.as_deref().unwrap_or_default() {
                "cfg" | "allow" | "warn" | "deny" | "forbid" => {
                    sorted.every.push(attr.clone());
                    sorted.original.push(attr.clone());
                }
                // What is expected happens in the original; elsewhere it may be or not.
                "expect" => {
                    sorted.every.push(allowing(attr));
                    sorted.original.push(attr.clone());
                }
                "doc" if is_doc_hidden(attr) => {
                    sorted.every.push(attr.clone());
                    sorted.original.push(attr.clone());
                }
                "doc" | "deprecated" | "must_use" => sorted.cached.push(attr.clone()),
                _ => sorted.original.push(attr.clone()),
            }
        }
        sorted
    }
}

fn allowing(attr: &Attribute) -> Attribute {
    let mut attr = attr.clone();
    if let Meta::List(list) = &mut attr.meta {
        let span = list.path.segments[0].ident.span();
        list.path = Path::from(Ident::new("allow", span));
    }
    attr
}

fn is_doc_hidden(attr: &Attribute) -> bool {
    matches!(&attr.meta, Meta::List(list) if list.tokens.to_string() == "hidden")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn self_of_the_function_only() {
        for (body, expected) in [
            (quote!({ Self::load().await }), true),
            (
                quote!({
                    let x: Option<Self> = None;
                }),
                true,
            ),
            (
                quote!({
                    if a {
                        b(Self::X)
                    }
                }),
                true,
            ),
            (quote!({ 1 }), false),
            (
                quote!({
                    impl A {
                        fn new() -> Self {
                            Self
                        }
                    }
                }),
                false,
            ),
            (
                quote!({
                    struct A(Box<Self>);
                }),
                false,
            ),
            (
                quote!({
                    struct A(Box<Self>);
                    Self::load()
                }),
                true,
            ),
            (
                quote!({
                    enum A {
                        B(Box<Self>),
                    }
                    Self::load()
                }),
                true,
            ),
            (
                quote!({
                    trait A where
                        Self: Sized,
                    {
                        fn f(&self) -> Self;
                    }
                }),
                false,
            ),
        ] {
            assert_eq!(mentions_self(body.clone()), expected, "{body}");
        }
    }
}
