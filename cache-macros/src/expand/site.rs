//! The `static` that describes the function, and the key of one call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Path, parse_quote};

use super::{Expansion, Sibling, is_reference, located};
use crate::key::{Segment, Source, Step, Value};
use crate::params::Param;
use crate::spec::Identity;
use crate::tags::Tag;
use crate::template::{self, Form};

impl Expansion<'_> {
    pub(super) fn site(&self) -> Sibling {
        let (private, site) = (&self.private, &self.site);
        let name = self.function().sig.ident.unraw().to_string();
        let (template, policy) = (self.in_module(&self.spec.key.text), self.constant_policy());
        // Its name holds that of the function around, which `module_path!()` does not. A method's
        // type does that for it.
        let (place, named) = if self.placement.scope.is_empty() {
            (
                quote!(
                    struct Place;
                ),
                quote!(::core::any::type_name::<Place>),
            )
        } else {
            (quote!(), quote!(#private::nowhere))
        };
        let mut said = match &self.spec.identity {
            Identity::Place => quote!(),
            Identity::Name(name) => quote!(.name(#name)),
            Identity::SameAs(other) => {
                let other = Self::site_of(other);
                quote!(.same_entries_as(#other))
            }
        };
        if !self.spec.tags.is_empty() {
            let tags = self.spec.tags.iter().map(|tag| &tag.text);
            said.extend(quote!(.tags(&[#(#tags),*])));
        }
        if self.spec.clearable {
            said.extend(quote!(.clearable()));
        }
        if !said.is_empty() {
            said = quote!(.with(&#private::Extras::new() #said));
        }
        // Input:  #[redis_cached(key = "user:{id}", ttl = "5m")] async fn load(db: &Db, id: u64)
        // Output: fn __load_site() -> &'static Site {
        //             struct Place;
        //             static SITE: Site = Site::new(module, "load", type_name::<Place>, "user:{id}", policy);
        //             &SITE
        //         }
        let body = quote! {{
            #place
            static SITE: #private::Site =
                #private::Site::new(::core::module_path!(), #name, #named, #template, &#policy) #said;
            &SITE
        }};
        self.hidden(parse_quote!(fn #site() -> &'static #private::Site), body)
    }

    /// `users::load` → `users::__load_site`
    fn site_of(other: &Path) -> Path {
        let mut path = other.clone();
        if let Some(last) = path.segments.last_mut() {
            let name = format!("__{}_site", last.ident.unraw());
            last.ident = proc_macro2::Ident::new(&name, last.ident.span());
        }
        path
    }

    /// Names the entry of a call.
    pub(super) fn target(&self) -> Sibling {
        let (private, target) = (&self.private, &self.target);
        let (scope, site) = (&self.placement.scope, &self.site);
        let inputs = self.key_params().map(|param| {
            let (name, ty) = (self.binding(param), &param.ty);
            if is_reference(ty) { quote!(#name: #ty) } else { quote!(#name: &#ty) }
        });
        let generics = self.key_generics();
        let clause = &generics.where_clause;
        let lets = self.key_params().filter_map(|param| self.destructured(param));
        let segments = self.segments();
        let tags = self.tags();
        let owner = self.owner();
        // Input:  #[redis_cached(key = "user:{id}", ttl = "5m")] async fn load(db: &Db, id: u64)
        // Output: fn __load_target(__chosen: Chosen, id: &u64) -> Target {
        //             Target::new(__load_site(), owner, __chosen, &[literal("user:"), value(id)])
        //         }
        let body = quote! {{
            #(#lets)*
            #private::Target::new(#scope #site(), #owner, __chosen, &[#(#segments),*]) #tags
        }};
        let sig = parse_quote! {
            fn #target #generics (__chosen: #private::Chosen, #(#inputs),*) -> #private::Target #clause
        };
        let mut target = self.hidden(sig, body);
        // All parameters are borrowed here, and there is one more of them.
        target.attrs.extend(
            quote!(#[allow(clippy::ptr_arg, clippy::ref_option_ref, clippy::too_many_arguments)]),
        );
        Sibling { vis: syn::Visibility::Inherited, ..target }
    }

    pub(super) fn hidden(&self, sig: syn::Signature, body: TokenStream) -> Sibling {
        let mut sibling = self.sibling(&quote!(#[doc(hidden)]), sig, body);
        sibling.hidden = true;
        sibling
    }

    /// The type whose method this is: others may have one of the same name. In an `impl` without type
    /// parameters a name of its own is enough, and survives a move of the type.
    fn owner(&self) -> TokenStream {
        let is_free = self.placement.scope.is_empty();
        let is_plain = self.placement.block.is_some_and(|block| !block.has_type_parameters());
        if is_free || (is_plain && self.has_name_of_its_own()) {
            quote!("")
        } else {
            quote!(::core::any::type_name::<Self>())
        }
    }

    /// Binds what a pattern binds, from the borrowed parameter.
    fn destructured(&self, param: &Param) -> Option<TokenStream> {
        let name = self.binding(param);
        let pattern = param.pattern.as_ref()?;
        let pat = &pattern.pat;
        let place = if pattern.in_place && !is_reference(&param.ty) {
            quote!(*#name)
        } else {
            quote!(#name)
        };
        Some(quote!(#[allow(unused_variables)] let #pat = #place;))
    }

    fn segments(&self) -> Vec<TokenStream> {
        let private = &self.private;
        let mut first = true;
        let segment = |segment: &Segment| match segment {
            Segment::Literal(text) => {
                let text = template::escaped(text);
                let text =
                    if std::mem::take(&mut first) { self.in_module(&text) } else { quote!(#text) };
                quote!(#private::literal(#text))
            }
            Segment::Value(value) => self.value(value),
        };
        self.spec.key.segments.iter().map(segment).collect()
    }

    /// The tags that are known before the body runs.
    fn tags(&self) -> TokenStream {
        let tags: Vec<_> = self.spec.tags.iter().filter(|tag| !tag.is_of_value()).collect();
        if tags.is_empty() {
            return quote!();
        }
        let tags = tags.into_iter().map(|tag| self.tag(tag));
        quote!(.tags(&[#(&[#tags]),*]))
    }

    /// Its text is not escaped: whoever invalidates it by hand writes what it reads like.
    pub(super) fn tag(&self, tag: &Tag) -> TokenStream {
        let private = &self.private;
        let segments = tag.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => quote!(#private::literal(#text)),
            Segment::Value(value) => self.value(value),
        });
        quote!(#(#segments),*)
    }

    fn value(&self, value: &Value) -> TokenStream {
        let steps = value.steps.iter().map(|step| match step {
            Step::Field(member) => quote_spanned!(member.span()=> .#member),
            Step::Method(name) => quote_spanned!(name.span()=> .#name()),
        });
        // A part of a parameter is to be seen in the key only.
        let part = value.steps.first().map(|step| match step {
            Step::Field(member) => member.span(),
            Step::Method(name) => name.span(),
        });
        let (place, span) = match &value.source {
            Source::Path { path, called } => {
                let called = if *called { quote!(()) } else { quote!() };
                let span = path.span();
                (quote_spanned!(span=> &#path #called #(#steps)*), span)
            }
            Source::Returned(name) => {
                let span = part.unwrap_or_else(|| name.span());
                // Bound by generated code.
                let name = Ident::new(&name.to_string(), Span::call_site());
                let name = located(name.to_token_stream(), span);
                (
                    if value.steps.is_empty() {
                        name
                    } else {
                        quote_spanned!(span=> &#name #(#steps)*)
                    },
                    span,
                )
            }
            Source::Name { param, name } => {
                let param = &self.spec.params[*param];
                let name = if param.is_self() { &self.this } else { name };
                // `str` is no `dyn Display`, `&str` is.
                let is_borrowed =
                    value.steps.is_empty() && param.pattern.is_none() && !is_reference(&param.ty);
                let span = part.unwrap_or_else(|| param.ty.span());
                let name = match part {
                    Some(span) => located(name.to_token_stream(), span),
                    None => name.to_token_stream(),
                };
                let place =
                    if is_borrowed { name } else { quote_spanned!(span=> &#name #(#steps)*) };
                (place, span)
            }
        };
        let private = self.private_at(span);
        match value.form {
            Form::Display => quote_spanned!(span=> #private::value(#place)),
            Form::Optional => quote_spanned!(span=> #private::optional(#place)),
            Form::Hash => quote_spanned!(span=> #private::value(&#private::hashed(#place))),
        }
    }

    /// The default key starts with the path of the function.
    fn in_module(&self, text: &str) -> TokenStream {
        let of_type = self.placement.block.and_then(crate::block::Block::type_name);
        match of_type {
            _ if !self.spec.key.in_module => quote!(#text),
            Some(ty) => quote!(::core::concat!(::core::module_path!(), "::", #ty, "::", #text)),
            None => quote!(::core::concat!(::core::module_path!(), "::", #text)),
        }
    }
}
