//! The annotated function: its signature, its body as tokens, and what it promises to return.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{
    AttrStyle, Attribute, GenericArgument, PathArguments, PathSegment, ReturnType, Signature,
    Token, Type, TypeParamBound, Visibility,
};

use crate::generics::Names;

/// The body stays unparsed, so that a half-typed one still expands and the editor keeps completing.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: Signature,
    pub(crate) body: TokenStream,
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, defaultness, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #defaultness #sig #body));
    }
}

impl Function {
    /// What an attribute of this name stands on.
    pub(crate) fn under(attribute: &str, item: TokenStream) -> syn::Result<Self> {
        let parser = |input: ParseStream<'_>| {
            let attrs = input.call(Attribute::parse_outer)?;
            Self::after_attributes(attribute, attrs, input)
        };
        parser.parse2(item)
    }

    /// One function, of several that may follow each other.
    pub(crate) fn after_attributes(
        attribute: &str,
        mut attrs: Vec<Attribute>,
        input: ParseStream<'_>,
    ) -> syn::Result<Self> {
        let vis = input.parse()?;
        let defaultness = input.parse()?;
        if input.peek(Token![impl]) || input.peek(Token![trait]) {
            let instead = if attribute == "redis_cached" {
                "on the `impl` or `trait` block around it write `#[redis_cached::methods]`"
            } else {
                "write it on those of this block that change something"
            };
            return Err(
                input.error(format!("`#[{attribute}]` stands on one async function; {instead}"))
            );
        }
        let sig = input.parse().map_err(|error| {
            syn::Error::new(
                error.span(),
                format!("`#[{attribute}]` stands on an async function: {error}"),
            )
        })?;
        // A body, or the semicolon that stands for none.
        let (inner, body) = without_inner_attributes(ungrouped_body(input.parse()?));
        attrs.extend(inner);
        Ok(Self { attrs, vis, defaultness, sig, body: body.into() })
    }

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

    /// Whether the body names it, be it within a text to be formatted.
    pub(crate) fn body_mentions(&self, name: &str) -> bool {
        mentions(self.body.clone(), name)
    }

    /// The body, in which it is no mistake that these are only bound anew.
    pub(crate) fn body_without_use(&self, names: &Names) -> TokenStream {
        match self.returned() {
            Returned::Boxed(_) => unused_rebindings(self.body.clone(), names),
            _ => self.body.clone(),
        }
    }

    pub(crate) fn returned(&self) -> Returned<'_> {
        Returned::of(&self.sig)
    }
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(tree) = trees.get(at) {
        let passed = rebinding(&trees[at..]);
        let is_mention = match tree {
            _ if passed > 0 => false,
            TokenTree::Ident(ident) if ident == "__self" => name == "self",
            TokenTree::Ident(ident) => ident.unraw() == name,
            TokenTree::Group(group) => mentions(group.stream(), name),
            TokenTree::Literal(literal) => literal.to_string().contains(&format!("{{{name}")),
            TokenTree::Punct(_) => false,
        };
        if is_mention {
            return true;
        }
        at += passed.max(1);
    }
    false
}

/// The length of `let mut name = name;`, where these begin with it. `async_trait` opens each body so, and with `let __self
/// = self;`, whether the author asks for them or not.
fn rebinding(trees: &[TokenTree]) -> usize {
    let is = |at: usize, word: &str| trees.get(at).is_some_and(|tree| tree.to_string() == word);
    let name = if is(1, "mut") { 2 } else { 1 };
    match trees.get(name..name + 4) {
        Some([TokenTree::Ident(bound), _, TokenTree::Ident(value), _])
            if is(0, "let")
                && is(name + 1, "=")
                && is(name + 3, ";")
                && (bound == value || (bound == "__self" && value == "self")) =>
        {
            name + 4
        }
        _ => 0,
    }
}

fn unused_rebindings(tokens: TokenStream, names: &Names) -> TokenStream {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut allowed = TokenStream::new();
    for (at, tree) in trees.iter().enumerate() {
        let length = rebinding(&trees[at..]);
        // In front of the `=` stands the name.
        if length > 0 && names.contains(&trees[at + length - 4].to_string()) {
            allowed.extend(quote!(#[allow(unused_variables)]));
        }
        allowed.extend([match tree {
            TokenTree::Group(group) => {
                let inside = unused_rebindings(group.stream(), names);
                let mut same = Group::new(group.delimiter(), inside);
                same.set_span(group.span());
                same.into()
            }
            other => other.clone(),
        }]);
    }
    allowed
}

/// A `$body:block` of `macro_rules` comes in an invisible group.
fn ungrouped_body(tree: TokenTree) -> TokenTree {
    if let TokenTree::Group(group) = &tree
        && group.delimiter() == Delimiter::None
    {
        let mut inside = group.stream().into_iter();
        if let (Some(only), None) = (inside.next(), inside.next()) {
            return ungrouped_body(only);
        }
    }
    tree
}

/// What `#![allow(..)]` says in a body it says of the function, and the body becomes a part of another one, where it
/// can't be said.
fn without_inner_attributes(body: TokenTree) -> (Vec<Attribute>, TokenTree) {
    let parser = |input: ParseStream<'_>| {
        let mut attrs = input.call(Attribute::parse_inner)?;
        for attr in &mut attrs {
            attr.style = AttrStyle::Outer;
        }
        Ok((attrs, input.parse::<TokenStream>()?))
    };
    match &body {
        TokenTree::Group(group) => match parser.parse2(group.stream()) {
            Ok((attrs, rest)) if !attrs.is_empty() => {
                let mut without = Group::new(group.delimiter(), rest);
                without.set_span(group.span());
                (attrs, without.into())
            }
            _ => (Vec::new(), body),
        },
        _ => (Vec::new(), body),
    }
}

/// How a function comes to its future, and what that future gives.
pub(crate) enum Returned<'a> {
    /// `async fn f() -> T`; `None` is `()`.
    Async(Option<&'a Type>),
    /// `fn f() -> BoxFuture<'_, T>` or `Pin<Box<dyn Future<Output = T> + Send>>`.
    Boxed(&'a Type),
    /// `fn f() -> impl Future<Output = T> + Send`.
    Opaque(&'a Type),
    /// None of these, but `T`.
    NoFuture(Option<&'a Type>),
}

impl<'a> Returned<'a> {
    fn of(sig: &'a Signature) -> Self {
        let output = match &sig.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => Some(ungrouped(ty)),
        };
        if sig.asyncness.is_some() {
            return Self::Async(output);
        }
        match output {
            Some(Type::ImplTrait(opaque)) => opaque
                .bounds
                .iter()
                .find_map(output_of)
                .map_or(Self::NoFuture(output), Self::Opaque),
            Some(Type::Path(path)) => path
                .path
                .segments
                .last()
                .and_then(boxed_output)
                .map_or(Self::NoFuture(output), Self::Boxed),
            _ => Self::NoFuture(output),
        }
    }

    pub(crate) fn ty(&self) -> Option<&'a Type> {
        match self {
            Self::Async(ty) | Self::NoFuture(ty) => *ty,
            Self::Boxed(ty) | Self::Opaque(ty) => Some(ty),
        }
    }
}

/// `T` of `BoxFuture<'a, T>`, or of `Pin<Box<dyn Future<Output = T>>>`.
fn boxed_output(segment: &PathSegment) -> Option<&Type> {
    let inner = type_arguments(segment).next()?;
    if segment.ident == "BoxFuture" {
        return Some(inner);
    }
    let Type::Path(path) = ungrouped(inner) else { return None };
    let boxed = path.path.segments.last()?;
    if segment.ident != "Pin" || boxed.ident != "Box" {
        return None;
    }
    match ungrouped(type_arguments(boxed).next()?) {
        Type::TraitObject(object) => object.bounds.iter().find_map(output_of),
        _ => None,
    }
}

fn output_of(bound: &TypeParamBound) -> Option<&Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    let segment = bound.path.segments.last().filter(|segment| segment.ident == "Future")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(assoc) if assoc.ident == "Output" => Some(&assoc.ty),
        _ => None,
    })
}

fn type_arguments(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The type behind parentheses and the invisible groups of `macro_rules` fragments.
pub(crate) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
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

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn what_is_only_bound_anew_is_not_mentioned() {
        for (body, expected) in [
            (quote!({ id }), true),
            (
                quote!({
                    let id = id;
                }),
                false,
            ),
            (
                quote!({
                    let mut id = id;
                    let other = other;
                }),
                false,
            ),
            (
                quote!({
                    let id = id;
                    load(id)
                }),
                true,
            ),
            (
                quote!({
                    let other = id;
                }),
                true,
            ),
            (
                quote!({
                    let id = id + 1;
                }),
                true,
            ),
            (
                quote!({
                    Box::pin(async move {
                        let __self = self;
                        let id = id;
                        { format!("{id}") }
                    })
                }),
                true,
            ),
            (
                quote!({
                    Box::pin(async move {
                        let __self = self;
                        let id = id;
                        { 1 }
                    })
                }),
                false,
            ),
        ] {
            assert_eq!(mentions(body.clone(), "id"), expected, "{body}");
        }
        assert!(mentions(
            quote!({
                let __self = self;
                __self.db
            }),
            "self"
        ));
        assert!(!mentions(
            quote!({
                let __self = self;
                1
            }),
            "self"
        ));
    }

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
