//! `#[redis_cached::methods]` on a block: its annotated functions, and a place for their siblings.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{ParseStream, Parser};
use syn::{Generics, Path, ReturnType, Signature, Token, Visibility, parse_quote};

use crate::attributes::Attributes;
use crate::block::{Block, Given, Header, Member};
use crate::errors::Errors;
use crate::expand::{Expansion, Placement, Sibling};
use crate::function::ungrouped;
use crate::generics::{Names, name_of, names_in, reduced};
use crate::params::{params, passing_on};
use crate::spec::{self, Spec};

/// On an error the user's block is emitted all the same, without the attributes.
pub(crate) fn methods(attr: TokenStream, item: &TokenStream) -> TokenStream {
    let parsed = options(attr).and_then(|options| Ok((options, Block::parse(item)?)));
    match parsed {
        Ok((options, (block, members))) => expanded(&options, &block, members),
        Err(error) => {
            let error = error.to_compile_error();
            quote!(#item #error)
        }
    }
}

/// `#[redis_cached::methods(extension = RepoCached, vis = pub)]`
#[derive(Default)]
struct Options {
    extension: Option<Ident>,
    vis: Option<Visibility>,
}

fn options(attr: TokenStream) -> syn::Result<Options> {
    let parser = |input: ParseStream<'_>| {
        let mut options = Options::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            let needs_value = |form: &str| {
                syn::Error::new(name.span(), format!("`{name}` needs a value: write `{form}`"))
            };
            let is_assigned = input.parse::<Option<Token![=]>>()?.is_some() && !input.is_empty();
            match name.to_string().as_str() {
                "extension" if !is_assigned => return Err(needs_value("extension = RepoCached")),
                "vis" if !is_assigned => return Err(needs_value("vis = pub(crate)")),
                "extension" => options.extension = Some(input.parse()?),
                "vis" => options.vis = Some(input.parse()?),
                other => {
                    let message = format!(
                        "unknown argument `{other}`: write `extension = RepoCached` to have what is \
                         generated in a trait of that name, or `vis = pub` for its visibility; all else \
                         stands in the `#[redis_cached(..)]` of a function"
                    );
                    return Err(syn::Error::new(name.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    };
    parser.parse2(attr)
}

/// Where the siblings of this block's functions can stand.
enum Home {
    /// In the block itself.
    Inside,
    /// In an inherent `impl` beside it.
    Inherent,
    /// In a trait of their own.
    Extension(Ident),
}

/// `None` if there is no place for them.
fn home(options: &Options, block: &Block, errors: &Errors) -> Option<Home> {
    Some(match (&block.header, &options.extension) {
        (Header::Impl(item), Some(name)) if item.trait_.is_none() => {
            errors.at(
                name.span(),
                "what is generated can stand in this block itself: leave `extension` out",
            );
            Home::Inside
        }
        (_, Some(name)) => Home::Extension(name.clone()),
        (Header::Trait(item), None) => Home::Extension(format_ident!("{}Cached", item.ident)),
        (Header::Impl(item), None) if item.trait_.is_none() => Home::Inside,
        (Header::Impl(item), None) => {
            if !matches!(ungrouped(&item.self_ty), syn::Type::Path(_)) {
                errors.on(
                    &item.self_ty,
                    "what is generated needs a place beside this block, and this type can have no `impl` of \
                     its own: name a trait for it, `#[redis_cached::methods(extension = RepoCached)]`",
                );
                return None;
            }
            Home::Inherent
        }
    })
}

fn expanded(options: &Options, block: &Block, members: Vec<Member>) -> TokenStream {
    let errors = Errors::new();
    let home = home(options, block, &errors);
    let mut inside = TokenStream::new();
    let mut specs = Vec::new();
    let mut annotated = None;
    for member in members {
        match member {
            Member::Other(tokens) => inside.extend(tokens),
            Member::Cached(Given { path, arguments }, function) => {
                let original = quote!(#function);
                let place = path.segments[0].ident.span();
                annotated.get_or_insert(path);
                match spec::read(arguments, place, Ok(*function), Some(block)) {
                    Ok(spec) if home.is_some() => specs.push(spec),
                    Ok(_) => inside.extend(original),
                    Err(error) => {
                        inside.extend(original);
                        errors.push(error);
                    }
                }
            }
        }
    }
    if annotated.is_none() {
        errors.at(
            Span::call_site(),
            "no function of this block has `#[redis_cached(..)]`: put it on one, or leave this attribute out",
        );
    }
    let beside = home.map(|home| home.with_siblings(options, block, &specs, &mut inside));
    let block = block.with(inside);
    let errors = errors.finish().err().map(|errors| errors.to_compile_error());
    let import = annotated.filter(|_| specs.iter().all(|spec| spec.krate.is_none()));
    let import = import.as_ref().and_then(imported);
    quote!(#block #beside #import #errors)
}

/// This attribute has taken the others away, and with them the use of what the user imported for them.
/// Where nothing was imported, the name is that of the crate.
fn imported(path: &Path) -> Option<TokenStream> {
    path.get_ident().map(|name| quote!(const _: () = { #[allow(unused_imports)] use #name as _; };))
}

impl Home {
    /// Adds the cached functions to what stands inside the block; the rest stands beside it.
    fn with_siblings(
        &self,
        options: &Options,
        block: &Block,
        specs: &[Spec],
        inside: &mut TokenStream,
    ) -> TokenStream {
        match self {
            Self::Inside => {
                for spec in specs {
                    let vis = spec.function.vis.clone();
                    let expansion = Expansion::new(spec, placement(block, quote!(Self::), vis));
                    inside.extend(expansion.cached());
                    inside.extend(expansion.siblings().into_iter().map(Sibling::whole));
                }
                TokenStream::new()
            }
            Self::Inherent => inherent(options, block, specs, inside),
            Self::Extension(name) => {
                Extension::new(name, options, block, specs).expanded(specs, inside)
            }
        }
    }
}

fn placement(block: &Block, scope: TokenStream, vis: Visibility) -> Placement<'_> {
    Placement { block: Some(block), scope, moved: Generics::default(), vis }
}

// Input:  impl Repo for Pg { #[redis_cached(..)] async fn load(&self, id: u64) -> User { BODY } }
// Output: impl Repo for Pg { async fn load(&self, id: u64) -> User { … } }
//         impl Pg { pub(crate) async fn load_uncached(&self, id: u64) -> User { BODY } … }
fn inherent(
    options: &Options,
    block: &Block,
    specs: &[Spec],
    inside: &mut TokenStream,
) -> TokenStream {
    let Some(self_type) = block.self_type() else { return TokenStream::new() };
    let used = names_in(self_type);
    let generics = reduced(&block.generics, &used);
    let moved = others(&block.generics, &used);
    let mut siblings = TokenStream::new();
    for spec in specs {
        let vis = options.vis.clone().unwrap_or_else(|| parse_quote!(pub(crate)));
        let placement = Placement { moved: moved.clone(), ..placement(block, quote!(Self::), vis) };
        let expansion = Expansion::new(spec, placement);
        inside.extend(expansion.cached());
        let of_spec = expansion.siblings().into_iter();
        siblings.extend(of_spec.map(|sibling| in_reach(block, sibling).whole()));
    }
    if let Some(implemented) = block.implemented() {
        siblings = qualified(siblings, &block.types, implemented);
    }
    let attrs = Attributes::sorted(block.attrs()).every;
    let clause = &generics.where_clause;
    quote!(#(#attrs)* impl #generics #self_type #clause { #siblings })
}

/// In the `impl` of a trait what the trait has is in reach; beside it only where the trait is imported.
fn in_reach(block: &Block, mut sibling: Sibling) -> Sibling {
    use proc_macro2::{Group, TokenTree};
    if block.implemented().is_some() {
        // What the trait demands is no choice of the function's.
        let attrs = &sibling.attrs;
        let allow = quote!(#[allow(clippy::ptr_arg, clippy::unused_async)]);
        sibling.attrs = quote!(#allow #attrs);
    }
    let path = block.implemented().filter(|path| path.segments.len() > 1);
    let body = sibling.body.clone().into_iter().next();
    if let (Some(path), Some(TokenTree::Group(braces))) = (path, body) {
        let mut path = path.clone();
        path.segments.iter_mut().for_each(|segment| segment.arguments = syn::PathArguments::None);
        let inside = braces.stream();
        let imported = quote!(#[allow(unused_imports)] use #path as _; #inside);
        let mut body = Group::new(braces.delimiter(), imported);
        body.set_span(braces.span());
        sibling.body = TokenTree::Group(body).into();
    }
    sibling
}

/// The generics that are not among `used`, with the conditions that name one of them.
fn others(generics: &Generics, used: &Names) -> Generics {
    let mut others = generics.clone();
    others.params =
        generics.params.iter().filter(|param| !used.contains(&name_of(param))).cloned().collect();
    let names: Names = others.params.iter().map(name_of).collect();
    if let Some(clause) = &mut others.where_clause {
        clause.predicates = std::mem::take(&mut clause.predicates)
            .into_iter()
            .filter(|predicate| !names_in(predicate).is_disjoint(&names))
            .collect();
    }
    others
}

/// `Self::Error` is the trait's associated type only where the trait is implemented: elsewhere it is
/// `<Self as Repo>::Error`.
fn qualified(tokens: TokenStream, types: &Names, implemented: &Path) -> TokenStream {
    use proc_macro2::{Group, TokenTree};
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut qualified = TokenStream::new();
    let mut at = 0;
    while at < trees.len() {
        if let [
            TokenTree::Ident(self_),
            TokenTree::Punct(one),
            TokenTree::Punct(two),
            TokenTree::Ident(name),
            ..,
        ] = &trees[at..]
            && self_ == "Self"
            && one.as_char() == ':'
            && two.as_char() == ':'
            && types.contains(&name.to_string())
        {
            qualified.extend(quote!(<#self_ as #implemented>::#name));
            at += 4;
            continue;
        }
        match &trees[at] {
            TokenTree::Group(group) => {
                let inner = self::qualified(group.stream(), types, implemented);
                let mut inner = Group::new(group.delimiter(), inner);
                inner.set_span(group.span());
                qualified.extend([TokenTree::Group(inner)]);
            }
            other => qualified.extend([other.clone()]),
        }
        at += 1;
    }
    qualified
}

// Input:  trait Repo { #[redis_cached(..)] async fn load(&self, id: u64) -> User { BODY } }
// Output: trait Repo { async fn load(&self, id: u64) -> User { … } }
//         trait RepoCached: Repo { fn load_uncached(&self, id: u64) -> impl Future<Output = User> + Send; … }
//         impl<T: Repo + ?Sized> RepoCached for T { async fn load_uncached(&self, id: u64) -> User { BODY } … }
/// A trait that holds the siblings, with the trait of the block above it.
struct Extension<'a> {
    name: &'a Ident,
    vis: Visibility,
    block: &'a Block,
    /// Of the trait: what its functions' signatures name of the block's.
    generics: Generics,
    above: TokenStream,
}

impl<'a> Extension<'a> {
    fn new(name: &'a Ident, options: &Options, block: &'a Block, specs: &[Spec]) -> Self {
        let (above, vis) = match &block.header {
            Header::Trait(item) => {
                let name = &item.ident;
                let (_, arguments, _) = item.generics.split_for_impl();
                (quote!(#name #arguments), item.vis.clone())
            }
            Header::Impl(_) => {
                let path = block.implemented();
                (quote!(#path), parse_quote!(pub(crate)))
            }
        };
        let mut used = names_in(&above);
        for spec in specs {
            used.extend(names_in(&spec.function.sig));
            used.extend(spec.named_generics());
        }
        let generics = reduced(&block.generics, &used);
        Self { name, vis: options.vis.clone().unwrap_or(vis), block, generics, above }
    }

    fn expanded(&self, specs: &[Spec], inside: &mut TokenStream) -> TokenStream {
        let Self { name, vis, block, generics, above } = self;
        let (_, arguments, _) = generics.split_for_impl();
        let (mut declared, mut defined) = (TokenStream::new(), TokenStream::new());
        for spec in specs {
            let scope = quote!(<Self as #name #arguments>::);
            let expansion = Expansion::new(spec, placement(block, scope, Visibility::Inherited));
            inside.extend(expansion.cached());
            for mut sibling in expansion.siblings() {
                sibling.vis = Visibility::Inherited;
                declared.extend(declaration(&sibling));
                defined.extend(in_reach(block, sibling).whole());
            }
        }
        let attrs = Attributes::sorted(block.attrs()).every;
        let clause = &generics.where_clause;
        let doc = format!(" What the cached functions of [`{}`] have beside them.", plain(above));
        let head = match &block.header {
            Header::Trait(_) => {
                let mut generics = block.generics.clone();
                generics.params.push(parse_quote!(__Self: #above + ?Sized));
                let (parameters, _, clause) = generics.split_for_impl();
                quote!(impl #parameters #name #arguments for __Self #clause)
            }
            Header::Impl(item) => {
                let (parameters, _, clause) = item.generics.split_for_impl();
                let self_type = &item.self_ty;
                quote!(impl #parameters #name #arguments for #self_type #clause)
            }
        };
        quote! {
            #(#attrs)*
            #[doc = #doc]
            #[allow(dead_code)]
            #vis trait #name #generics: #above #clause { #declared }
            #(#attrs)*
            #head { #defined }
        }
    }
}

/// `Repo<T>` as text, without its arguments.
fn plain(path: &TokenStream) -> String {
    let text = path.to_string();
    text.split('<').next().unwrap_or_default().replace(' ', "")
}

fn declaration(sibling: &Sibling) -> TokenStream {
    let attrs = &sibling.attrs;
    let params = params(&sibling.sig);
    let mut sig = passing_on(&sibling.sig, &params);
    send(&mut sig);
    // Attributes of the body (`tracing::instrument`) have nothing to do with a declaration.
    let attrs = if sibling.hidden { quote!(#[doc(hidden)]) } else { documented(attrs) };
    quote!(#attrs #sig;)
}

fn documented(attrs: &TokenStream) -> TokenStream {
    let parsed = syn::Attribute::parse_outer.parse2(attrs.clone()).unwrap_or_default();
    let kept = parsed.into_iter().filter(|attr| {
        attr.path().is_ident("doc") || attr.path().is_ident("cfg") || attr.path().is_ident("allow")
    });
    quote!(#(#kept)*)
}

/// `async fn` does not say in a trait that its future is `Send`.
fn send(sig: &mut Signature) {
    if sig.asyncness.take().is_none() {
        return;
    }
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    sig.output = parse_quote! {
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
}

#[cfg(test)]
mod tests;
