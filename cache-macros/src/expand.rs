//! `Spec` + body → tokens. Cannot fail.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, Generics, ReturnType, Signature, Type, parse_quote};

use crate::function::{Attributes, Param, Passing, passing_on, ungrouped};
use crate::generics::{Names, names_in, reduced};
use crate::signature::Stored;
use crate::spec::{self, Segment, Spec};

/// On an error the user's function is emitted all the same: its callers have no errors of their own.
pub(crate) fn redis_cached(attr: TokenStream, item: &TokenStream) -> TokenStream {
    match spec::read(attr, item.clone()) {
        Ok(spec) => Expansion::new(&spec).all(),
        Err(errors) => {
            let errors = errors.to_compile_error();
            quote!(#item #errors)
        }
    }
}

struct Expansion<'a> {
    spec: &'a Spec,
    attrs: Attributes,
    /// The only module that generated code names.
    private: TokenStream,
    /// `Self::` in an `impl`.
    scope: TokenStream,
    original: Ident,
    refresh: Ident,
    entry: Ident,
    target: Ident,
    /// Stands for `self` where that cannot be a name.
    this: Ident,
}

impl<'a> Expansion<'a> {
    fn new(spec: &'a Spec) -> Self {
        let name = spec.function.sig.ident.unraw();
        let krate =
            spec.krate.as_ref().map_or_else(|| quote!(::redis_cached), ToTokens::to_token_stream);
        let mut attrs = Attributes::sorted(&spec.function.attrs);
        if spec.params.iter().any(|param| param.ident.to_string().starts_with('_')) {
            // `_db` is unused in the body, but every other item passes it on.
            attrs.every.push(parse_quote!(#[allow(clippy::used_underscore_binding)]));
        }
        Self {
            spec,
            attrs,
            private: quote!(#krate::private),
            scope: if spec.function.is_associated() { quote!(Self::) } else { quote!() },
            original: format_ident!("{name}_uncached"),
            refresh: format_ident!("{name}_refresh"),
            entry: format_ident!("{name}_entry"),
            target: format_ident!("__{name}_target"),
            this: Ident::new("__this", Span::call_site()),
        }
    }

    fn all(&self) -> TokenStream {
        [self.cached(), self.original(), self.refresh(), self.entry(), self.target()]
            .into_iter()
            .collect()
    }

    /// The cached function, in the place of the user's.
    fn cached(&self) -> TokenStream {
        let Self { private, attrs, .. } = self;
        let (every, cached) = (&attrs.every, &attrs.cached);
        let vis = &self.spec.function.vis;
        let sig = passing_on(&self.spec.function.sig);
        let (target, shape, args) = (self.call_target(), self.shape(), self.args());
        let body = self.body_closure();
        if self.spec.policy.refresh_before.is_none() {
            // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
            // Output: async fn load(db: &Db, id: u64) -> User { read(target, shape, args, body).await }
            return quote! {
                #(#cached)* #(#every)*
                #vis #sig {
                    #private::read(#target, #shape, #args, #body).await
                }
            };
        }
        let refresh = self.refresh_closure();
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: async fn load(db: &Db, id: u64) -> User {
        //             read_refreshing(target, shape, args, body, refresh).await
        //         }
        quote! {
            #(#cached)* #(#every)*
            #vis #sig {
                #private::read_refreshing(#target, #shape, #args, #body, #refresh).await
            }
        }
    }

    /// The only place of the user's body.
    fn original(&self) -> TokenStream {
        let function = &self.spec.function;
        let (attrs, vis, body) = (&self.attrs.original, &function.vis, &function.body);
        let doc = format!(" The body of {}, run without the cache.", self.link());
        let mut sig = function.sig.clone();
        sig.ident = self.original.clone();
        self.allow_unused(&mut sig);
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: async fn load_uncached(db: &Db, id: u64) -> User { BODY }
        quote! {
            #[doc = #doc]
            #[allow(clippy::missing_errors_doc, clippy::missing_panics_doc)]
            #(#attrs)*
            #vis #sig #body
        }
    }

    /// To its author a parameter is used by the key or by `cache` as much as by the body.
    fn allow_unused(&self, sig: &mut Signature) {
        let by_cache = self.names_in_cache();
        for (index, (input, param)) in sig.inputs.iter_mut().zip(&self.spec.params).enumerate() {
            let used =
                self.spec.key.uses(index) || by_cache.contains(&param.ident.unraw().to_string());
            if let FnArg::Typed(input) = input
                && used
            {
                input.attrs.push(parse_quote!(#[allow(unused_variables)]));
            }
        }
    }

    fn names_in_cache(&self) -> Names {
        self.spec.cache.as_ref().map(names_in).unwrap_or_default()
    }

    fn refresh(&self) -> TokenStream {
        let Self { private, attrs, .. } = self;
        let (every, vis) = (&attrs.every, &self.spec.function.vis);
        let doc = format!(" Computes {} now, stores the result and returns it.", self.link());
        let mut sig = passing_on(&self.spec.function.sig);
        sig.ident = self.refresh.clone();
        let (target, shape, args) = (self.call_target(), self.shape(), self.args());
        let body = self.body_closure();
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: async fn load_refresh(db: &Db, id: u64) -> User {
        //             recompute(target, shape, args, body).await
        //         }
        quote! {
            #[doc = #doc]
            #[allow(dead_code, clippy::missing_errors_doc)]
            #(#every)*
            #vis #sig {
                #private::recompute(#target, #shape, #args, #body).await
            }
        }
    }

    fn entry(&self) -> TokenStream {
        let Self { private, attrs, entry, .. } = self;
        let (every, vis) = (&attrs.every, &self.spec.function.vis);
        let doc = format!(" The stored entry of {} for these arguments.", self.link());
        let inputs = self.entry_inputs();
        let value = self.stored();
        let mut used = names_in(quote!(#(#inputs)*));
        used.extend(names_in(&value));
        let generics = reduced(&self.spec.function.sig.generics, &used);
        let clause = &generics.where_clause;
        let target = self.call_target();
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: fn load_entry(id: u64) -> Entry<User> { entry(target) }
        quote! {
            #[doc = #doc]
            #[allow(dead_code)]
            #(#every)*
            #vis fn #entry #generics (#(#inputs),*) -> #private::Entry<#value> #clause {
                #private::entry(#target)
            }
        }
    }

    /// Names the entry: all that differs between functions and is not the body.
    fn target(&self) -> TokenStream {
        let Self { private, attrs, target, .. } = self;
        let every = &attrs.every;
        let inputs = self.key_params().map(|param| {
            let (name, ty) = (self.binding(param), by_reference(&param.ty));
            quote!(#name: #ty)
        });
        let generics = self.key_generics();
        let clause = &generics.where_clause;
        let name = self.spec.function.sig.ident.unraw().to_string();
        let (template, policy) = (self.in_module(&self.spec.key.text), self.policy());
        let segments = self.segments();
        // Its name holds that of the function around, which `module_path!()` does not.
        let (place, owner) = if self.scope.is_empty() {
            (
                quote!(
                    struct __Site;
                ),
                quote!(__Site),
            )
        } else {
            (quote!(), quote!(Self))
        };
        // Input:  #[redis_cached(key = "user:{id}", ttl = "5m")] async fn load(db: &Db, id: u64)
        // Output: fn __load_target(__chosen: Chosen, id: &u64) -> Target {
        //             struct __Site;
        //             static SITE: Site = Site::new(module, "load", "user:{id}", policy);
        //             Target::new(&SITE, owner, __chosen, &[literal("user:"), value(id)])
        //         }
        quote! {
            #(#every)*
            fn #target #generics (
                __chosen: #private::Chosen, #(#inputs),*
            ) -> #private::Target #clause {
                #place
                static SITE: #private::Site =
                    #private::Site::new(::core::module_path!(), #name, #template, #policy);
                #private::Target::new(
                    &SITE, ::core::any::type_name::<#owner>(), __chosen, &[#(#segments),*]
                )
            }
        }
    }

    fn key_params(&self) -> impl Iterator<Item = &'a Param> {
        let key = &self.spec.key;
        self.spec
            .params
            .iter()
            .enumerate()
            .filter(|(index, _)| key.uses(*index))
            .map(|(_, param)| param)
    }

    fn key_generics(&self) -> Generics {
        let used: Names = self.key_params().flat_map(|param| names_in(&param.ty)).collect();
        reduced(&self.spec.function.sig.generics, &used)
    }

    /// What the key and the `cache` expression need, in the order of the function's parameters.
    fn entry_inputs(&self) -> Vec<FnArg> {
        let by_cache = self.names_in_cache();
        passing_on(&self.spec.function.sig)
            .inputs
            .into_iter()
            .zip(self.spec.params.iter().enumerate())
            .filter(|(_, (index, param))| {
                self.spec.key.uses(*index) || by_cache.contains(&param.ident.unraw().to_string())
            })
            .map(|(input, _)| input)
            .collect()
    }

    fn call_target(&self) -> TokenStream {
        let Self { private, scope, target, .. } = self;
        let chosen = if let Some(cache) = &self.spec.cache {
            quote_spanned!(cache.span()=> #private::chosen(&(#cache)))
        } else {
            quote!(#private::ambient())
        };
        let turbofish = turbofish(&self.key_generics());
        let args = self.key_params().map(|param| {
            let name = &param.ident;
            if is_reference(&param.ty) { quote!(#name) } else { quote!(&#name) }
        });
        quote!(#scope #target #turbofish (#chosen, #(#args),*))
    }

    /// On the return type's span, where errors about it belong.
    fn shape(&self) -> TokenStream {
        let private = &self.private;
        let stored = self.stored();
        match &self.spec.function.sig.output {
            ReturnType::Default => quote!(#private::shape!((), #stored)),
            ReturnType::Type(_, ty) => quote_spanned!(ty.span()=> #private::shape!(#ty, #stored)),
        }
    }

    fn stored(&self) -> TokenStream {
        let private = &self.private;
        match Stored::in_return(&self.spec.function.sig.output) {
            Stored::Nothing => quote!(()),
            Stored::Spelled(ty) => ty.to_token_stream(),
            Stored::Behind(ty) => quote_spanned!(ty.span()=> <#ty as #private::Fallible>::Value),
        }
    }

    /// `(db, id)`, of which `(id,)` is a tuple as well.
    fn args(&self) -> TokenStream {
        let names = self.spec.params.iter().map(|param| &param.ident);
        tuple(names)
    }

    fn pattern(&self) -> TokenStream {
        tuple(self.spec.params.iter().map(|param| self.binding(param)))
    }

    fn binding<'b>(&'b self, param: &'b Param) -> &'b Ident {
        if param.is_self() { &self.this } else { &param.ident }
    }

    fn call_original(&self, args: impl Iterator<Item = TokenStream>) -> TokenStream {
        let Self { scope, original, .. } = self;
        let turbofish = turbofish(&self.spec.function.sig.generics);
        quote!(#scope #original #turbofish (#(#args),*))
    }

    fn body_closure(&self) -> TokenStream {
        let pattern = self.pattern();
        let call = self.call_original(
            self.spec.params.iter().map(|param| self.binding(param).to_token_stream()),
        );
        quote!(|#pattern| #call)
    }

    fn refresh_closure(&self) -> TokenStream {
        let private = &self.private;
        let pattern = self.pattern();
        let owned = self.spec.params.iter().map(|param| {
            let name = self.binding(param);
            let span = param.ident.span();
            if param.passing == Passing::Borrowed {
                quote_spanned!(span=> let #name = #private::own_ref(*#name);)
            } else {
                quote_spanned!(span=> let #name = #private::own(#name);)
            }
        });
        let call = self.call_original(self.spec.params.iter().map(|param| {
            let name = self.binding(param);
            if param.passing == Passing::Borrowed {
                quote_spanned!(param.ident.span()=> &#name)
            } else {
                quote!(#name)
            }
        }));
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: |(db, id)| {
        //             let db = own_ref(*db);
        //             let id = own(id);
        //             async move { load_uncached(&db, id).await }
        //         }
        quote! {
            |#pattern| {
                #(#owned)*
                async move { #call.await }
            }
        }
    }

    fn policy(&self) -> TokenStream {
        let private = &self.private;
        let policy = &self.spec.policy;
        let ttl = Literal::u64_unsuffixed(policy.ttl);
        let durations = [
            ("refresh_before", policy.refresh_before),
            ("none_ttl", policy.none_ttl),
            ("lock_ttl", policy.lock_ttl),
            ("wait", policy.wait),
        ];
        let durations = durations
            .into_iter()
            .filter_map(|(name, millis)| Some((name, Literal::u64_unsuffixed(millis?))));
        let jitter = policy
            .jitter_permille
            .map(|permille| ("jitter_permille", Literal::u16_unsuffixed(permille)));
        let version = policy.version.map(|version| ("version", Literal::u32_unsuffixed(version)));
        let said = durations.chain(jitter).chain(version).map(|(name, value)| {
            let name = Ident::new(name, Span::call_site());
            quote!(.#name(#value))
        });
        quote!(#private::Policy::new(#ttl) #(#said)*)
    }

    fn segments(&self) -> Vec<TokenStream> {
        let private = &self.private;
        let mut first = true;
        let segment = |segment: &Segment| match segment {
            Segment::Literal(text) => {
                // Braces are Redis' hash tag, which is the runtime's.
                let text = text.replace('{', "%7B").replace('}', "%7D");
                let text =
                    if std::mem::take(&mut first) { self.in_module(&text) } else { quote!(#text) };
                quote!(#private::literal(#text))
            }
            Segment::Value { param, fields } => {
                let param = &self.spec.params[*param];
                let name = self.binding(param);
                // `str` is no `dyn Display`, `&str` is.
                let place = if fields.is_empty() && !is_reference(&param.ty) {
                    quote!(#name)
                } else {
                    quote!(&#name #(.#fields)*)
                };
                quote_spanned!(param.ty.span()=> #private::value(#place))
            }
        };
        self.spec.key.segments.iter().map(segment).collect()
    }

    /// The default key starts with the path of the function.
    fn in_module(&self, text: &str) -> TokenStream {
        if self.spec.key.in_module {
            quote!(::core::concat!(::core::module_path!(), "::", #text))
        } else {
            quote!(#text)
        }
    }

    fn link(&self) -> String {
        let scope = if self.scope.is_empty() { "" } else { "Self::" };
        format!("[`{scope}{}`]", self.spec.function.sig.ident)
    }
}

fn tuple<'a>(names: impl ExactSizeIterator<Item = &'a Ident>) -> TokenStream {
    if names.len() == 1 { quote!((#(#names,)*)) } else { quote!((#(#names),*)) }
}

fn turbofish(generics: &Generics) -> TokenStream {
    let names: Vec<&Ident> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            // Left out they are inferred, and some of them (late-bound) must be.
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(param) => Some(&param.ident),
            GenericParam::Const(param) => Some(&param.ident),
        })
        .collect();
    if names.is_empty() { quote!() } else { quote!(::<#(#names),*>) }
}

fn is_reference(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Reference(_))
}

fn by_reference(ty: &Type) -> TokenStream {
    if is_reference(ty) { quote!(#ty) } else { quote!(&#ty) }
}

#[cfg(test)]
mod tests;
