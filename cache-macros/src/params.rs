//! The parameters of the annotated function, and the names that they bind.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    FnArg, Pat, PatIdent, Path, Receiver, ReceiverKind, Signature, Type, TypePath, TypeReference,
    parse_quote,
};

use crate::function::ungrouped;

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
    /// What generated code calls it: `self`, its own name, or the names of its pattern, joined.
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) passing: Passing,
    /// What it is destructured by, as it binds from a borrowed parameter.
    pub(crate) pattern: Option<Pattern>,
}

/// `Point { x, y }: Point`
pub(crate) struct Pattern {
    pub(crate) pat: Pat,
    pub(crate) bindings: Vec<Ident>,
    /// The pattern is matched with the parameter itself, and binds by `ref`. Otherwise with a
    /// reference to it.
    pub(crate) in_place: bool,
}

impl Param {
    fn new(ident: Ident, ty: Type, pattern: Option<Pattern>) -> Self {
        let passing = passing(&ty);
        Self { ident, ty, passing, pattern }
    }

    pub(crate) fn is_self(&self) -> bool {
        self.ident == "self"
    }

    /// The names that a key and `skip` can refer to.
    pub(crate) fn names(&self) -> Vec<Ident> {
        match &self.pattern {
            Some(pattern) => pattern.bindings.clone(),
            None => vec![self.ident.clone()],
        }
    }

    pub(crate) fn binds(&self, name: &str) -> bool {
        self.names().iter().any(|binding| binding.unraw() == name)
    }
}

pub(crate) fn params(sig: &Signature) -> Vec<Param> {
    let mut params = Vec::new();
    let plain = plain_names(sig);
    for input in &sig.inputs {
        let param = match input {
            FnArg::Receiver(receiver) => Param::new(
                Ident::new("self", receiver.self_token.span),
                receiver_type(receiver),
                None,
            ),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                    Param::new(pat.ident.clone(), (*typed.ty).clone(), None)
                }
                pat => {
                    let pattern = Pattern::new(pat, &typed.ty);
                    let ident = pattern.joined_name(&plain, &params);
                    Param::new(ident, (*typed.ty).clone(), Some(pattern))
                }
            },
        };
        params.push(param);
    }
    params
}

/// Of the parameters that are not destructured, those behind included.
fn plain_names(sig: &Signature) -> Vec<String> {
    let names = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(pat) => Some(pat.ident.unraw().to_string()),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    });
    names.collect()
}

impl Pattern {
    fn new(pat: &Pat, ty: &Type) -> Self {
        let mut pat = pat.clone();
        // A reference pattern can't be matched through another reference. The others are, so that
        // what is a reference deeper inside binds the same way.
        let in_place = has_reference(&pat) || matches!(ungrouped(ty), Type::Reference(_));
        let by_ref = in_place
            && !matches!((&pat, ungrouped(ty)), (pat, Type::Reference(_)) if !is_reference(pat));
        let mut binder = Binder { by_ref, bindings: Vec::new() };
        binder.visit_pat_mut(&mut pat);
        Self { pat, bindings: binder.bindings, in_place }
    }

    /// A name for the parameter as a whole, which none of the others has.
    fn joined_name(&self, plain: &[String], others: &[Param]) -> Ident {
        let names: Vec<String> =
            self.bindings.iter().map(|binding| binding.unraw().to_string()).collect();
        let mut name = if names.is_empty() { "__ignored".to_owned() } else { names.join("_") };
        while plain.contains(&name)
            || others.iter().any(|param| param.ident.unraw() == name || param.binds(&name))
        {
            name.push('_');
        }
        let span = self.bindings.first().map_or_else(Span::call_site, Ident::span);
        // A single binding may be a keyword.
        let mut ident =
            syn::parse_str::<Ident>(&name).unwrap_or_else(|_| Ident::new_raw(&name, span));
        ident.set_span(span);
        ident
    }
}

fn is_reference(pat: &Pat) -> bool {
    match pat {
        Pat::Reference(_) => true,
        Pat::Paren(paren) => is_reference(&paren.pat),
        _ => false,
    }
}

fn has_reference(pat: &Pat) -> bool {
    struct Finder(bool);
    impl syn::visit::Visit<'_> for Finder {
        fn visit_pat_reference(&mut self, _: &syn::PatReference) {
            self.0 = true;
        }
    }
    let mut finder = Finder(false);
    syn::visit::Visit::visit_pat(&mut finder, pat);
    finder.0
}

/// Has a pattern bind references, and notes their names.
struct Binder {
    by_ref: bool,
    bindings: Vec<Ident>,
}

impl VisitMut for Binder {
    fn visit_pat_ident_mut(&mut self, pat: &mut PatIdent) {
        self.bindings.push(pat.ident.clone());
        pat.mutability = None;
        pat.by_ref = self.by_ref.then(|| parse_quote!(ref));
        visit_mut::visit_pat_ident_mut(self, pat);
    }
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

/// The signature of a function that only passes its parameters on: each is a plain name.
pub(crate) fn passing_on(sig: &Signature, params: &[Param]) -> Signature {
    let mut sig = sig.clone();
    for (input, param) in sig.inputs.iter_mut().zip(params) {
        match input {
            FnArg::Receiver(receiver) => {
                receiver.attrs.clear();
                receiver.mutability = None;
            }
            FnArg::Typed(typed) => {
                typed.attrs.clear();
                let name = &param.ident;
                *typed.pat = parse_quote!(#name);
            }
        }
    }
    // A trailing comma would stay behind where the last parameter is taken out.
    sig.inputs = Punctuated::from_iter(sig.inputs);
    sig
}

/// Tokens in which `self` is called something else.
pub(crate) fn renamed_self(tokens: impl ToTokens, name: &Ident) -> TokenStream {
    tokens
        .into_token_stream()
        .into_iter()
        .map(|tree| match tree {
            TokenTree::Ident(ident) if ident == "self" => {
                Ident::new(&name.to_string(), name.span().located_at(ident.span())).into()
            }
            TokenTree::Group(group) => {
                let inside = renamed_self(group.stream(), name);
                let mut renamed = proc_macro2::Group::new(group.delimiter(), inside);
                renamed.set_span(group.span());
                renamed.into()
            }
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn patterns_bind_references() {
        for (param, pat, names, joined) in [
            (quote!((a, b): (u64, u64)), "(a , b)", &["a", "b"][..], "a_b"),
            (quote!((mut a, _): (u64, u64)), "(a , _)", &["a"], "a"),
            (quote!(Path(id): Path<u64>), "Path (id)", &["id"], "id"),
            (
                quote!(Page { at, size: n, .. }: Page),
                "Page { at , size : n , .. }",
                &["at", "n"],
                "at_n",
            ),
            (quote!(&(a, b): &(u64, u64)), "& (ref a , ref b)", &["a", "b"], "a_b"),
            (quote!((a, b): &(u64, u64)), "(a , b)", &["a", "b"], "a_b"),
            (quote!((a, &b): (u64, &u64)), "(ref a , & ref b)", &["a", "b"], "a_b"),
            (quote!([first, ..]: [u64; 3]), "[first , ..]", &["first"], "first"),
            (quote!(_: u64), "_", &[], "__ignored"),
        ] {
            let item: syn::ItemFn = parse_quote!(fn f(#param) {});
            let params = params(&item.sig);
            let pattern = params[0].pattern.as_ref().expect("a pattern");
            assert_eq!(pattern.pat.to_token_stream().to_string(), pat);
            assert_eq!(params[0].names(), names, "{param}");
            assert_eq!(params[0].ident, joined, "{param}");
        }
    }

    #[test]
    fn whole_parameters_have_names_of_their_own() {
        let item: syn::ItemFn = parse_quote!(
            fn f(id: u8, Path(id2): P, _: u8, _: u8, Q(id): P, (a_b, c): R, (a, b): R) {}
        );
        let names: Vec<String> =
            params(&item.sig).iter().map(|param| param.ident.to_string()).collect();
        assert_eq!(names, ["id", "id2", "__ignored", "__ignored_", "id_", "a_b_c", "a_b_"]);
    }
}
