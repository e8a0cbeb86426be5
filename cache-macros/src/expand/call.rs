//! The call: what is passed to the runtime, and what is evaluated where.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Lifetime, Type, Visibility, parse_quote};

use super::{Expansion, Sibling, is_reference, located, turbofish};
use crate::args::Rebinding;
use crate::function::ungrouped;
use crate::generics::{Names, name_lifetimes, names_in, reduced, tied_to};
use crate::params::{Param, Passing, Pattern, passing_on, renamed_self};
use crate::spec::{Codec, Conversion, Spec, Values};
use crate::tags::RETURNED;

impl Expansion<'_> {
    /// The call of the cached function and of `_refresh`: one, so that both have one type of it.
    pub(super) fn call(&self) -> Sibling {
        let (private, name, output) = (&self.private, &self.call, self.returned());
        let (chosen, args) = (self.chosen_unless_bypassed(), self.args());
        let returns = self.returns_and_errors();
        let (target, body) = (self.target_closure(), self.body_closure());
        let (policy, terms, busy) =
            (self.policy_closure(), self.terms_closure(), self.busy_closure());
        let (near, accepting, converting) = (self.near(), self.accepting(), self.converting());
        let policy_said = &self.spec.policy;
        let outlives = policy_said.refresh_before.is_some() || policy_said.soft_timeout.is_some();
        let refreshing = outlives.then(|| {
            let closure = self.refresh_closure();
            quote!(.refreshing(#closure))
        });
        let forced = self.forced();
        let mut sig = passing_on(&self.function().sig, &self.spec.params);
        sig.asyncness = None;
        sig.ident = name.clone();
        sig.generics = self.generics.clone();
        let at = usize::from(sig.receiver().is_some());
        sig.inputs.insert(at, parse_quote!(__forced: bool));
        sig.output = parse_quote!(-> impl #private::Calling<Output = #output>);
        name_lifetimes(&mut sig);
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: fn __load_call(__forced: bool, db: &Db, id: u64) -> impl Calling<Output = User> {
        //             call(
        //                 __forced,
        //                 Ambient,
        //                 returns,
        //                 (db, id),
        //                 |(_, id), chosen| __load_target(chosen, id),
        //                 |(db, id)| load_uncached(db, id),
        //             )
        //         }
        let body = quote! {{
            #private::call(#forced, #chosen, #returns, #args, #target, #body) #policy #terms #busy #near #accepting #converting #refreshing
        }};
        let mut call = self.hidden(sig, body);
        if self.spec.params.len() > 6 {
            // One more than the function has, where seven are allowed.
            call.attrs.extend(quote!(#[allow(clippy::too_many_arguments)]));
        }
        Sibling { vis: Visibility::Inherited, ..call }
    }

    /// Whether it is to be computed now, whatever is stored.
    pub(super) fn forced(&self) -> TokenStream {
        self.spec.refresh_if.as_ref().map_or(quote!(__forced), |refresh_if| {
            let value = self.evaluated(refresh_if, refresh_if.to_token_stream());
            let forced = located(quote!(__forced), refresh_if.span());
            quote_spanned!(refresh_if.span()=> #forced || #value)
        })
    }

    /// The entry, for a handle.
    pub(super) fn call_target(&self) -> TokenStream {
        let (scope, target) = (&self.placement.scope, &self.target);
        let chosen = self.chosen();
        let turbofish = turbofish(&self.key_generics(), &Names::new());
        let args = self.key_params().map(|param| {
            let name = &param.ident;
            if is_reference(&param.ty) { quote!(#name) } else { quote!(&#name) }
        });
        quote!(#scope #target #turbofish (#chosen, #(#args),*))
    }

    /// The entry, for a call, which has its arguments already.
    fn target_closure(&self) -> TokenStream {
        let (scope, target) = (&self.placement.scope, &self.target);
        let turbofish = turbofish(&self.key_generics(), &Names::new());
        let pattern = tuple(self.spec.params.iter().enumerate().map(|(index, param)| {
            if self.spec.entry_uses(index) {
                self.binding(param).to_token_stream()
            } else {
                quote!(_)
            }
        }));
        let args = self.key_params().map(|param| {
            let name = self.binding(param);
            if is_reference(&param.ty) { quote!(*#name) } else { quote!(#name) }
        });
        quote!(|#pattern, __chosen| #scope #target #turbofish (__chosen, #(#args),*))
    }

    pub(super) fn chosen(&self) -> TokenStream {
        let private = &self.private;
        let Some(cache) = &self.spec.cache else { return quote!(#private::ambient()) };
        let private = self.private_at(cache.span());
        self.evaluated(cache, quote_spanned!(cache.span()=> #private::chosen(&(#cache))))
    }

    pub(super) fn chosen_unless_bypassed(&self) -> TokenStream {
        let private = &self.private;
        match &self.spec.bypass_if {
            Some(bypass_if) => {
                let chosen = self.chosen();
                let bypass_if = self.evaluated(bypass_if, bypass_if.to_token_stream());
                quote!(if #bypass_if { #private::bypassed() } else { #chosen })
            }
            None if self.spec.cache.is_none() => quote!(#private::Ambient),
            None => self.chosen(),
        }
    }

    pub(super) fn key_params(&self) -> impl Iterator<Item = &Param> {
        let params = self.spec.params.iter().enumerate();
        params.filter(|(index, _)| self.spec.entry_uses(*index)).map(|(_, param)| param)
    }

    pub(super) fn key_generics(&self) -> syn::Generics {
        let mut used: Names = self.key_params().flat_map(|param| names_in(&param.ty)).collect();
        used.extend(self.spec.named_generics());
        reduced(&self.generics, &used)
    }

    /// On the return type's span, where errors about it belong.
    pub(super) fn returns(&self) -> TokenStream {
        let private = self.private_at(self.return_span());
        let returned = self.returned();
        let values = &self.spec.values;
        let coding = match (&values.codec, &values.conversion) {
            (Codec::Default, None) => quote!(),
            (_, conversion) => {
                let codec = self.codec();
                let stored =
                    conversion.as_ref().map(|Conversion { stored, .. }| quote!(, stored = #stored));
                quote!(, #codec #stored)
            }
        };
        let mut returns =
            quote_spanned!(self.return_span()=> #private::returns!(#returned #coding));
        let accept_if = match self.spec.accepts_by_arguments() {
            Some(closure) => {
                returns.extend(quote_spanned!(closure.span()=> .accept_by_arguments()));
                &None
            }
            None => &values.accept_if,
        };
        for (method, closure) in [
            ("cache_if", &values.cache_if),
            ("accept_if", accept_if),
            ("ttl_with", &values.ttl_with),
        ] {
            if let Some(closure) = closure {
                let method = format_ident!("{method}");
                returns.extend(quote_spanned!(closure.span()=> .#method(#closure)));
            }
        }
        returns.extend(self.tags_of_value());
        if self.spec.policy.none_ttl.is_some() {
            // What is stored instead of a value does not say that this is a `None`.
            let method =
                if values.conversion.is_some() { "with_none_of_value" } else { "with_none" };
            let method = Ident::new(method, self.return_span());
            returns.extend(quote_spanned!(self.return_span()=> .#method()));
        }
        returns
    }

    pub(super) fn shape(&self) -> TokenStream {
        let (private, returned) = (self.private_at(self.return_span()), self.returned());
        quote_spanned!(self.return_span()=> #private::shape!(#returned))
    }

    /// With what is said of the errors.
    pub(super) fn returns_and_errors(&self) -> TokenStream {
        let Values { cache_err_if, err_ttl_with, share_err, stale_if, .. } = &self.spec.values;
        let timeout = self.spec.policy.timeout.as_ref();
        if [cache_err_if, share_err, stale_if].into_iter().all(Option::is_none) && timeout.is_none()
        {
            return self.returns();
        }
        let (erring, stored) = (self.erring(), self.storing_errors());
        let said =
            [("err_ttl_with", err_ttl_with), ("share_err", share_err), ("stale_if", stale_if)];
        let said = said.into_iter().filter_map(|(method, closure)| {
            let closure = closure.as_ref()?;
            let method = format_ident!("{method}");
            Some(quote_spanned!(closure.span()=> .#method(#closure)))
        });
        // Input:  #[redis_cached(.., cache_err_if = Error::is_not_found, err_ttl = "10s")]
        // Output: erring(returns).cache_err_if::<Bincode>(Error::is_not_found)
        let timed_out = timeout.map(|_| quote_spanned!(self.return_span()=> .timeout()));
        quote!(#erring #stored #(#said)* #timed_out)
    }

    fn erring(&self) -> TokenStream {
        let (private, returns) = (self.private_at(self.return_span()), self.returns());
        quote_spanned!(self.return_span()=> #private::erring(#returns))
    }

    fn storing_errors(&self) -> Option<TokenStream> {
        let closure = self.spec.values.cache_err_if.as_ref()?;
        let codec = self.codec();
        Some(quote_spanned!(closure.span()=> .cache_err_if::<#codec>(#closure)))
    }

    /// [`Self::returns`], for a handle, which speaks of values, but of an entry that may be an error.
    pub(super) fn returns_of_handle(&self) -> TokenStream {
        match self.storing_errors() {
            None => self.returns(),
            Some(stored) => {
                let erring = self.erring();
                quote!(#erring #stored)
            }
        }
    }

    pub(super) fn codec(&self) -> TokenStream {
        match &self.spec.values.codec {
            Codec::Default => {
                let private = &self.private;
                quote!(#private::codec::Bincode)
            }
            Codec::Ours(name, span) => {
                let (name, private) =
                    (format_ident!("{name}", span = *span), self.private_at(*span));
                quote_spanned!(*span=> #private::codec::#name)
            }
            Codec::Theirs(path) => {
                let private = self.private_at(path.span());
                quote_spanned!(path.span()=> #private::codec::Custom<#path>)
            }
        }
    }

    /// What is put on the entry when the value is there.
    fn tags_of_value(&self) -> Option<TokenStream> {
        let private = &self.private;
        let tags: Vec<_> = self.spec.tags.iter().filter(|tag| tag.is_of_value()).collect();
        let tags_with = self.spec.values.tags_with.as_ref().map(|closure| {
            let private = self.private_at(closure.span());
            let own = located(quote!(__value, __tags), closure.span());
            quote_spanned!(closure.span()=> #private::tagged_with(#own, #closure);)
        });
        if tags.is_empty() && tags_with.is_none() {
            return None;
        }
        let templates = (!tags.is_empty()).then(|| {
            let ret = Ident::new(RETURNED, Span::call_site());
            let tags = tags.iter().map(|tag| self.tag(tag));
            quote! {
                use #private::ToldAsItIs as _;
                if let ::core::option::Option::Some(#ret) = #private::Told(__value).__redis_cached_told() {
                    #(__tags.add(&[#tags]);)*
                }
            }
        });
        // Input:  #[redis_cached(.., tags = ["org:{ret.org}"])] async fn load(id: u64) -> Option<User>
        // Output: .tags(|__value, __tags| {
        //             if let Some(ret) = Told(__value).__redis_cached_told() { __tags.add(&[literal("org:"), value(&ret.org)]); }
        //         })
        Some(quote!(.tags(|__value, __tags| { #templates #tags_with })))
    }

    /// `(db, id)`, of which `(id,)` is a tuple as well.
    pub(super) fn args(&self) -> TokenStream {
        tuple(self.spec.params_of_call().iter().map(|param| &param.ident))
    }

    fn pattern(&self) -> TokenStream {
        tuple(self.spec.params.iter().map(|param| self.binding(param)))
    }

    pub(super) fn call_original(&self, args: impl Iterator<Item = TokenStream>) -> TokenStream {
        self.call_original_but(&Names::new(), args)
    }

    /// With the types of these names left to inference.
    pub(super) fn call_original_but(
        &self,
        inferred: &Names,
        args: impl Iterator<Item = TokenStream>,
    ) -> TokenStream {
        let (scope, original) = (&self.placement.scope, self.named("uncached"));
        let turbofish = turbofish(&self.generics, inferred);
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
        let pattern = tuple(self.spec.params.iter().map(|param| {
            if self.spec.replacement(param).is_some() {
                quote!(_)
            } else {
                self.binding(param).to_token_stream()
            }
        }));
        let cloned = self.spec.params.iter();
        let cloned = cloned.filter(|param| self.spec.replacement(param).is_none());
        let owned = cloned.map(|param| self.owned(param));
        let made = self.spec.refresh_with.iter().filter_map(|replacement| self.made(replacement));
        let args = self.spec.params.iter().map(|param| self.passed_behind(param));
        let call = self.call_original_but(&self.generics_of_replaced(), args);
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: |(db, id)| {
        //             let db = own_ref(*db);
        //             let id = own(id);
        //             async move { load_uncached(&db, id).await }
        //         }
        quote! {
            |#pattern| {
                #(#owned)*
                async move { #(#made)* #call.await }
            }
        }
    }

    /// The clone of an argument, for a body in the background.
    pub(super) fn owned(&self, param: &Param) -> TokenStream {
        let span = param.ident.span();
        let (name, private) =
            (located(self.binding(param).to_token_stream(), span), self.private_at(span));
        if param.passing == Passing::Borrowed {
            quote_spanned!(span=> let #name = #private::own_ref(*#name);)
        } else {
            quote_spanned!(span=> let #name = #private::own(#name);)
        }
    }

    /// How that is passed to it.
    pub(super) fn passed_behind(&self, param: &Param) -> TokenStream {
        // An error about what is passed belongs where that comes from.
        let replacement = self.spec.replacement(param);
        let span = replacement.map_or(param.ident.span(), |made| made.value.span());
        let name = located(self.binding(param).to_token_stream(), span);
        match param.passing {
            Passing::Borrowed => quote_spanned!(span=> &#name),
            Passing::Exclusive => quote_spanned!(span=> &mut #name),
            Passing::Owned => name,
        }
    }

    /// The generics that are the business of arguments of `refresh_with` alone: those may have another type.
    pub(super) fn generics_of_replaced(&self) -> Names {
        let (replaced, cloned): (Vec<_>, Vec<_>) =
            self.spec.params.iter().partition(|param| self.spec.replacement(param).is_some());
        let names = replaced.iter().flat_map(|param| names_in(&param.ty)).collect();
        let mut names = tied_to(&self.generics, names);
        let fixed = cloned.iter().flat_map(|param| names_in(&param.ty));
        for name in fixed.chain(names_in(self.returned())).chain(self.spec.named_generics()) {
            names.remove(&name);
        }
        names
    }

    /// An argument that is made when the refresh runs, from those that were cloned.
    pub(super) fn made(&self, replacement: &Rebinding) -> Option<TokenStream> {
        let private = &self.private;
        let find = |param: &&Param| param.ident.unraw() == replacement.param.unraw();
        let param = self.spec.params.iter().find(find)?;
        let mut lent = self.spec.mentioned(&replacement.value);
        lent.retain(|lent| self.spec.replacement(lent).is_none());
        // What is handed over to the body can't be borrowed from.
        let clones = lent.iter().filter(|param| param.passing != Passing::Borrowed).map(|param| {
            let (name, held) = (self.binding(param), held(param));
            quote!(let #held = #private::own(&#name);)
        });
        let lets = lent.iter().map(|param| {
            let is_borrowed = param.passing == Passing::Borrowed;
            let place = if is_borrowed { self.binding(param).clone() } else { held(param) };
            self.lent_from(param, &place)
        });
        let (name, value) = (&param.ident, renamed_self(&replacement.value, &self.this));
        let span = replacement.value.span();
        let mutable = (param.passing == Passing::Exclusive).then(|| quote!(mut));
        // Input:  refresh_with(conn = pool.acquire().await?)
        // Output: let mut conn = { let pool = &pool; pool.acquire().await? };
        Some(quote_spanned! {span=>
            #(#clones)*
            let #mutable #name = {
                #[allow(unused_imports)]
                use #private::LentByReference as _;
                #(#lets)*
                #value
            };
        })
    }

    /// A parameter as an expression sees it, lent from where its clone is held.
    pub(super) fn lent_from(&self, param: &Param, place: &Ident) -> TokenStream {
        let private = &self.private;
        let is_borrowed = param.passing == Passing::Borrowed;
        let name = self.binding(param);
        if let Some(pattern) = &param.pattern {
            let pat = &pattern.pat;
            let place =
                if pattern.in_place && !is_borrowed { quote!(#place) } else { quote!(&#place) };
            let lent = self.lent(pattern);
            quote!(#[allow(unused_variables)] let #pat = #place; #lent)
        } else if is_borrowed {
            quote!(let #name = &#place;)
        } else {
            quote!(let #name = #private::Lent(&#place).__redis_cached_lent();)
        }
    }

    fn busy_closure(&self) -> TokenStream {
        let Some(busy) = &self.spec.busy else { return quote!() };
        let (pattern, lent) = self.lent_from_args(busy);
        let value = renamed_self(busy, &self.this);
        let output = self.returned();
        // Input:  busy = Err(Busy)
        // Output: |(_, _)| -> Result<User, Busy> { Err(Busy) }
        quote!(.busy(|#pattern| -> #output { #lent #value }))
    }

    fn near(&self) -> Option<TokenStream> {
        self.spec.policy.near.as_ref()?;
        let shape = self.shape();
        // Input:  #[redis_cached(.., near = "10s")] async fn load(id: u64) -> User
        // Output: .near(shape!(User))
        Some(quote_spanned!(self.return_span()=> .near(#shape)))
    }

    fn accepting(&self) -> TokenStream {
        let Some(closure) = self.spec.accepts_by_arguments() else { return quote!() };
        let (pattern, lent) = self.lent_to(&self.spec.mentioned_in_closure(closure));
        let (private, shape) = (self.private_at(closure.span()), self.shape());
        let value = renamed_self(closure, &self.this);
        let given = located(quote!(__value), closure.span());
        let accepted = quote_spanned!(closure.span()=> #private::given(#given, #value));
        // Input:  accept_if = |user| user.version >= min
        // Output: .accepting(shape!(User), |(_, min), value| { let min = *min; given(value, |user| ..) })
        quote!(.accepting(#shape, |#pattern, __value| { #lent #accepted }))
    }

    /// The pattern of a function of the arguments, and how it comes to see those that the expressions in it mention.
    pub(super) fn lent_from_args(&self, expressions: &impl ToTokens) -> (TokenStream, TokenStream) {
        self.lent_to(&self.spec.mentioned(expressions))
    }

    pub(super) fn lent_to(&self, mentioned: &[&Param]) -> (TokenStream, TokenStream) {
        let private = &self.private;
        let is_mentioned =
            |param: &Param| mentioned.iter().any(|mentioned| mentioned.ident == param.ident);
        let names = self.spec.params.iter().map(|param| {
            if is_mentioned(param) { self.binding(param).to_token_stream() } else { quote!(_) }
        });
        let pattern = tuple(names);
        let lent = mentioned.iter().map(|param| {
            let name = self.binding(param);
            if let Some(pattern) = &param.pattern {
                let pat = &pattern.pat;
                let place = if pattern.in_place { quote!(*#name) } else { quote!(#name) };
                let lent = self.lent(pattern);
                quote!(#[allow(unused_variables)] let #pat = #place; #lent)
            } else if param.passing == Passing::Borrowed {
                quote!(#[allow(unused_variables)] let #name = *#name;)
            } else {
                quote!(#[allow(unused_variables)] let #name = #private::Lent(#name).__redis_cached_lent();)
            }
        });
        let lent = quote! {
            #[allow(unused_imports)]
            use #private::LentByReference as _;
            #(#lent)*
        };
        (pattern, lent)
    }

    /// `value` with what the expression in it mentions of the patterns of parameters. In a block: one of
    /// the names may be that of the whole parameter, which is passed on.
    pub(super) fn evaluated(&self, expression: &impl ToTokens, value: TokenStream) -> TokenStream {
        let lets = self.lets(expression);
        if lets.is_empty() { value } else { quote!({ #lets #value }) }
    }

    fn lets(&self, expressions: &impl ToTokens) -> TokenStream {
        let lets = self.spec.mentioned(expressions).into_iter().filter_map(|param| {
            let name = &param.ident;
            let pattern = param.pattern.as_ref()?;
            let pat = &pattern.pat;
            let place = if pattern.in_place { quote!(#name) } else { quote!(&#name) };
            let lent = self.lent(pattern);
            Some(quote!(#[allow(unused_variables)] let #pat = #place; #lent))
        });
        quote!(#(#lets)*)
    }

    /// What the body has by value an expression has as a plain parameter has it: by value where it is
    /// `Copy`.
    fn lent(&self, pattern: &Pattern) -> TokenStream {
        if pattern.in_place {
            return quote!();
        }
        let private = &self.private;
        // Alternatives of a pattern bind the same names.
        let names: BTreeSet<&Ident> = pattern.bindings.iter().collect();
        let names = names.into_iter();
        quote! {
            #[allow(unused_imports)]
            use #private::LentByReference as _;
            #(#[allow(unused_variables)] let #names = #private::Lent(#names).__redis_cached_lent();)*
        }
    }

    /// `normalize(email = email.trim())`: the parameter is bound anew, in the type that it has.
    pub(super) fn normalized(&self) -> TokenStream {
        let private = &self.private;
        let Spec { normalize, params, .. } = self.spec;
        let lets = normalize.iter().filter_map(|rebinding| {
            let value = self.evaluated(&rebinding.value, rebinding.value.to_token_stream());
            let param =
                params.iter().find(|param| param.ident.unraw() == rebinding.param.unraw())?;
            let (name, ty) = (&param.ident, &param.ty);
            let span = rebinding.value.span();
            // A handle may have no use for it.
            let allow = quote!(#[allow(unused_variables)]);
            Some(match ungrouped(ty) {
                Type::Reference(reference) if param.passing == Passing::Borrowed => {
                    let held = held(param);
                    let elem = without_lifetimes(&reference.elem);
                    quote_spanned! {span=>
                        let #held = #value;
                        #allow
                        let #name = #private::normalized::<#elem, _>(&#held);
                    }
                }
                Type::ImplTrait(_) => quote_spanned!(span=> #allow let #name = #value;),
                _ => {
                    let ty = without_lifetimes(ty);
                    quote_spanned!(span=> #allow let #name: #ty = #value;)
                }
            })
        });
        quote!(#(#lets)*)
    }
}

/// Where the clone of an argument is held.
pub(super) fn held(param: &Param) -> Ident {
    format_ident!("__{}", param.ident.unraw(), span = Span::mixed_site())
}

/// The new value lives in the function: it has none of the lifetimes of the old one.
fn without_lifetimes(ty: &Type) -> Type {
    struct Eraser;
    impl VisitMut for Eraser {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                lifetime.ident = Ident::new("_", lifetime.ident.span());
            }
        }
    }
    let mut ty = ty.clone();
    Eraser.visit_type_mut(&mut ty);
    ty
}

pub(super) fn tuple(names: impl ExactSizeIterator<Item = impl ToTokens>) -> TokenStream {
    if names.len() == 1 { quote!((#(#names,)*)) } else { quote!((#(#names),*)) }
}
