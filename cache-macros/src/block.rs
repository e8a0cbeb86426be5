//! The `impl` or `trait` block around annotated functions.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Generics, ImplItem, ItemImpl, ItemTrait, Meta, Path, Token, TraitItem, Type};

use crate::function::{Function, ungrouped};
use crate::generics::{Names, name_of, names_in};

pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) generics: Generics,
    /// The names of the associated types that it declares.
    pub(crate) types: Names,
}

/// The block without its members.
pub(crate) enum Header {
    Impl(ItemImpl),
    Trait(ItemTrait),
}

pub(crate) enum Member {
    /// A function with its `#[redis_cached(..)]`.
    Cached(Given, Box<Function>),
    Other(TokenStream),
}

/// What `#[redis_cached(..)]` says, and the path by which it is named.
pub(crate) struct Given {
    pub(crate) path: Path,
    pub(crate) arguments: TokenStream,
}

impl Block {
    /// Bodies stay unparsed, so that half-typed ones still expand.
    pub(crate) fn parse(item: &TokenStream) -> syn::Result<(Self, Vec<Member>)> {
        let mut trees: Vec<TokenTree> = item.clone().into_iter().collect();
        let Some(TokenTree::Group(braces)) = trees.pop().filter(is_braces) else {
            return Err(syn::Error::new_spanned(item, NOT_A_BLOCK));
        };
        let mut empty = Group::new(Delimiter::Brace, TokenStream::new());
        empty.set_span(braces.span());
        trees.push(empty.into());
        let header = header(trees.into_iter().collect())
            .map_err(|error| syn::Error::new(error.span(), format!("{NOT_A_BLOCK}: {error}")))?;
        let is_trait = matches!(header, Header::Trait(_));
        let parser = |input: ParseStream<'_>| {
            let (mut members, mut types) = (Vec::new(), Names::new());
            while !input.is_empty() {
                members.push(member(input, is_trait, &mut types)?);
            }
            Ok((members, types))
        };
        let (members, types) = parser.parse2(braces.stream())?;
        let generics = match &header {
            Header::Impl(item) => item.generics.clone(),
            Header::Trait(item) => item.generics.clone(),
        };
        Ok((Self { header, generics, types }, members))
    }

    pub(crate) fn is_trait(&self) -> bool {
        matches!(self.header, Header::Trait(_))
    }

    /// `Repo` of `impl Repo for Pg`.
    pub(crate) fn implemented(&self) -> Option<&Path> {
        match &self.header {
            Header::Impl(item) => item.trait_.as_ref().map(|(path, _)| path),
            Header::Trait(_) => None,
        }
    }

    pub(crate) fn self_type(&self) -> Option<&Type> {
        match &self.header {
            Header::Impl(item) => Some(&item.self_ty),
            Header::Trait(_) => None,
        }
    }

    /// What a `self` can be different in.
    pub(crate) fn names_in_self(&self) -> Names {
        match self.self_type() {
            Some(ty) => names_in(ty),
            None => self.generics.params.iter().map(name_of).collect(),
        }
    }

    /// What a `self` is known as, beside its type.
    pub(crate) fn names_of_traits(&self) -> Names {
        match &self.header {
            Header::Impl(_) => self.implemented().map(names_in).unwrap_or_default(),
            Header::Trait(item) => {
                let (name, above) = (&item.ident, &item.supertraits);
                names_in(quote!(#name #above))
            }
        }
    }

    pub(crate) fn has_type_parameters(&self) -> bool {
        self.is_trait()
            || self
                .generics
                .params
                .iter()
                .any(|param| !matches!(param, syn::GenericParam::Lifetime(_)))
    }

    /// The type's own name, where it has one that tells it apart.
    pub(crate) fn type_name(&self) -> Option<String> {
        match ungrouped(self.self_type()?) {
            Type::Path(path) if path.qself.is_none() && !self.has_type_parameters() => {
                path.path.segments.last().map(|segment| segment.ident.to_string())
            }
            _ => None,
        }
    }

    pub(crate) fn attrs(&self) -> &[Attribute] {
        match &self.header {
            Header::Impl(item) => &item.attrs,
            Header::Trait(item) => &item.attrs,
        }
    }

    /// The block with these members.
    pub(crate) fn with(&self, members: TokenStream) -> TokenStream {
        let tokens = match &self.header {
            Header::Impl(item) => item.to_token_stream(),
            Header::Trait(item) => item.to_token_stream(),
        };
        let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
        // The last tree is the pair of empty braces.
        trees.pop();
        trees.push(Group::new(Delimiter::Brace, members).into());
        trees.into_iter().collect()
    }
}

/// What stands on the functions of a block.
const ATTRIBUTE: &str = "redis_cached";

const NOT_A_BLOCK: &str = "`#[redis_cached::methods]` stands on an `impl` or `trait` block, some of whose functions have \
     `#[redis_cached(..)]`";

fn is_braces(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn header(tokens: TokenStream) -> syn::Result<Header> {
    let parser = |input: ParseStream<'_>| {
        let ahead = input.fork();
        ahead.call(Attribute::parse_outer)?;
        ahead.parse::<syn::Visibility>()?;
        ahead.parse::<Option<Token![unsafe]>>()?;
        if ahead.peek(Token![trait]) || ahead.peek(Token![auto]) {
            input.parse().map(Header::Trait)
        } else {
            input.parse().map(Header::Impl)
        }
    };
    parser.parse2(tokens)
}

fn member(input: ParseStream<'_>, is_trait: bool, types: &mut Names) -> syn::Result<Member> {
    if !is_function(input)? {
        if is_trait {
            let item: TraitItem = input.parse()?;
            if let TraitItem::Type(item) = &item {
                types.insert(item.ident.to_string());
            }
            return Ok(Member::Other(item.to_token_stream()));
        }
        let item: ImplItem = input.parse()?;
        if let ImplItem::Type(item) = &item {
            types.insert(item.ident.to_string());
        }
        return Ok(Member::Other(item.to_token_stream()));
    }
    let mut attrs = input.call(Attribute::parse_outer)?;
    let Some(at) = attrs.iter().position(is_redis_cached) else {
        return Ok(Member::Other(
            Function::after_attributes(ATTRIBUTE, attrs, input)?.to_token_stream(),
        ));
    };
    let meta = attrs.remove(at).meta;
    let path = meta.path().clone();
    let arguments = match meta {
        Meta::List(list) => list.tokens,
        Meta::Path(_) | Meta::NameValue(_) => TokenStream::new(),
    };
    let function = Box::new(Function::after_attributes(ATTRIBUTE, attrs, input)?);
    Ok(Member::Cached(Given { path, arguments }, function))
}

fn is_redis_cached(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|segment| segment.ident == ATTRIBUTE)
}

/// A constant begins like a `const fn`.
fn is_function(input: ParseStream<'_>) -> syn::Result<bool> {
    let ahead = input.fork();
    ahead.call(Attribute::parse_outer)?;
    ahead.parse::<syn::Visibility>()?;
    ahead.parse::<Option<Token![default]>>()?;
    loop {
        if ahead.peek(Token![fn]) {
            return Ok(true);
        }
        let qualifies = ahead.peek(Token![const])
            || ahead.peek(Token![async])
            || ahead.peek(Token![unsafe])
            || ahead.peek(Token![extern])
            || ahead.peek(syn::LitStr);
        if !qualifies {
            return Ok(false);
        }
        ahead.parse::<TokenTree>()?;
    }
}
