//! The annotated function: its signature, its body as tokens, and what it promises to return.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, GenericArgument, PathArguments, PathSegment, ReturnType, Signature, Token, Type,
    TypeParamBound, Visibility,
};

/// The body stays unparsed, so that a half-typed one still expands and the editor keeps completing.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: Signature,
    pub(crate) body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        Self::after_attributes(attrs, input)
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, defaultness, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #defaultness #sig #body));
    }
}

impl Function {
    /// One function, of several that may follow each other.
    pub(crate) fn after_attributes(
        attrs: Vec<Attribute>,
        input: ParseStream<'_>,
    ) -> syn::Result<Self> {
        let vis = input.parse()?;
        let defaultness = input.parse()?;
        if input.peek(Token![impl]) || input.peek(Token![trait]) {
            return Err(input.error(
                "`#[redis_cached]` stands on one async function; on the `impl` or `trait` block around \
                 it write `#[redis_cached::methods]`",
            ));
        }
        let sig = input.parse().map_err(|error| {
            syn::Error::new(
                error.span(),
                format!("`#[redis_cached]` stands on an async function: {error}"),
            )
        })?;
        // A body, or the semicolon that stands for none.
        let body = ungrouped_body(input.parse()?).into();
        Ok(Self { attrs, vis, defaultness, sig, body })
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
        fn mentions(tokens: TokenStream, name: &str) -> bool {
            tokens.into_iter().any(|tree| match tree {
                TokenTree::Ident(ident) => ident.unraw() == name,
                TokenTree::Group(group) => mentions(group.stream(), name),
                TokenTree::Literal(literal) => literal.to_string().contains(&format!("{{{name}")),
                TokenTree::Punct(_) => false,
            })
        }
        mentions(self.body.clone(), name)
    }

    pub(crate) fn returned(&self) -> Returned<'_> {
        Returned::of(&self.sig)
    }
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
