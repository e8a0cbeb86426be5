//! `Spec` + body → tokens. Cannot fail.

mod batch;
mod call;
mod conversion;
mod policy;
mod site;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{
    Attribute, FnArg, GenericParam, Generics, ReturnType, Signature, Type, Visibility, parse_quote,
};

use crate::attributes::Attributes;
use crate::block::Block;
use crate::function::{Function, Returned, ungrouped};
use crate::generics::{Names, name_lifetimes, names_in, reduced};
use crate::params::{Param, passing_on};
use crate::policy::Span as Duration;
use crate::spec::{self, Identity, Spec};

/// On an error the user's function is emitted all the same: its callers have no errors of their own.
pub(crate) fn redis_cached(attr: TokenStream, item: &TokenStream) -> TokenStream {
    let function = Function::under("redis_cached", item.clone());
    match spec::read(attr, Span::call_site(), function, None) {
        Ok(spec) => {
            let expansion = Expansion::new(&spec, Placement::alone(&spec));
            let cached = expansion.cached();
            let siblings = expansion.siblings().into_iter().map(Sibling::whole);
            quote!(#cached #(#siblings)*)
        }
        Err(errors) => {
            let errors = errors.to_compile_error();
            quote!(#item #errors)
        }
    }
}

/// Where the function stands, and where its siblings will.
pub(crate) struct Placement<'a> {
    pub(crate) block: Option<&'a Block>,
    /// How the siblings are called: `Self::` in an `impl`.
    pub(crate) scope: TokenStream,
    /// Generics of the block that the siblings have to declare themselves.
    pub(crate) moved: Generics,
    /// The siblings' visibility.
    pub(crate) vis: Visibility,
}

impl Placement<'_> {
    fn alone(spec: &Spec) -> Self {
        Self {
            block: None,
            scope: if spec.function.is_associated() || spec.mentions_self() {
                quote!(Self::)
            } else {
                quote!()
            },
            moved: Generics::default(),
            vis: spec.function.vis.clone(),
        }
    }
}

/// A generated function beside the cached one.
pub(crate) struct Sibling {
    pub(crate) attrs: TokenStream,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: TokenStream,
    /// Named by nobody but generated code.
    pub(crate) hidden: bool,
}

impl Sibling {
    pub(crate) fn whole(self) -> TokenStream {
        let Self { attrs, vis, sig, body, .. } = self;
        quote!(#attrs #vis #sig #body)
    }
}

pub(crate) struct Expansion<'a> {
    spec: &'a Spec,
    placement: Placement<'a>,
    attrs: Attributes,
    /// The only module that generated code names.
    private: TokenStream,
    /// The function's own generics, and those of the block that its siblings declare.
    generics: Generics,
    site: Ident,
    target: Ident,
    call: Ident,
    /// Stands for `self` where that cannot be a name.
    this: Ident,
}

impl<'a> Expansion<'a> {
    pub(crate) fn new(spec: &'a Spec, placement: Placement<'a>) -> Self {
        let name = spec.function.sig.ident.unraw();
        let krate =
            spec.krate.as_ref().map_or_else(|| quote!(::redis_cached), ToTokens::to_token_stream);
        let mut attrs = Attributes::sorted(&spec.function.attrs);
        if spec.params.iter().any(|param| param.ident.to_string().starts_with('_')) {
            // `_db` is unused in the body, but every other item passes it on.
            attrs.every.push(parse_quote!(#[allow(clippy::used_underscore_binding)]));
        }
        if let Returned::Opaque(_) = spec.function.returned() {
            // Which is no `async fn` because that would not say that it is `Send`.
            let allow = parse_quote!(#[allow(clippy::manual_async_fn)]);
            attrs.original.push(Attribute::clone(&allow));
            attrs.every.push(allow);
        }
        let alone_in_an_impl = placement.block.is_none() && !placement.scope.is_empty();
        let target = if alone_in_an_impl {
            // In the `impl` of a trait nothing may stand that the trait has not (E0407), and this
            // name is all that the compiler's message can say of the repair.
            format_ident!("__{name}_target_in_a_trait_impl_write_redis_cached_methods_on_the_block")
        } else {
            format_ident!("__{name}_target")
        };
        let mut generics = spec.function.sig.generics.clone();
        prepend(&mut generics, &placement.moved);
        Self {
            spec,
            attrs,
            private: quote!(#krate::private),
            generics,
            site: format_ident!("__{name}_site"),
            target,
            call: format_ident!("__{name}_call"),
            this: Ident::new("__this", Span::mixed_site()),
            placement,
        }
    }

    fn named(&self, suffix: &str) -> Ident {
        let mut ident = format_ident!("{}_{suffix}", self.spec.function.sig.ident.unraw());
        ident.set_span(Span::call_site());
        ident
    }

    /// `private`, with errors about it in another place than the attribute.
    fn private_at(&self, span: Span) -> TokenStream {
        located(self.private.clone(), span)
    }

    fn function(&self) -> &'a Function {
        &self.spec.function
    }

    fn sibling(&self, attrs: &TokenStream, sig: Signature, body: TokenStream) -> Sibling {
        let every = &self.attrs.every;
        let vis = self.spec.vis.clone().unwrap_or_else(|| self.placement.vis.clone());
        Sibling { attrs: quote!(#attrs #(#every)*), vis, sig, body, hidden: false }
    }

    /// The cached function, in the place of the user's.
    pub(crate) fn cached(&self) -> TokenStream {
        let (every, cached) = (&self.attrs.every, &self.attrs.cached);
        let Function { vis, defaultness, sig, .. } = self.function();
        let sig = passing_on(sig, self.spec.params_of_call());
        let body = self.answering(false);
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: async fn load(db: &Db, id: u64) -> User {
        //             let mut call = __load_call(false, db, id);
        //             answer(&mut call).await
        //         }
        quote!(#(#cached)* #(#every)* #vis #defaultness #sig #body)
    }

    pub(crate) fn siblings(&self) -> Vec<Sibling> {
        let mut siblings = vec![
            self.target(),
            self.original(),
            self.refresh(),
            self.entry(),
            if self.spec.batch.is_some() { self.batch_call() } else { self.call() },
            self.site(),
        ];
        if self.spec.clearable {
            siblings.push(self.all());
        }
        siblings
    }

    /// The only place of the user's body.
    fn original(&self) -> Sibling {
        let function = self.function();
        let doc = format!(" The body of {}, run without the cache.", self.link());
        let attrs = &self.attrs.original;
        let mut sig = function.sig.clone();
        sig.ident = self.named("uncached");
        sig.generics = self.generics.clone();
        let used = self.used_beside();
        for (input, param) in sig.inputs.iter_mut().zip(self.spec.params_of_call()) {
            if let FnArg::Typed(input) = input
                && used.contains(&param.ident.to_string())
            {
                input.attrs.push(parse_quote!(#[allow(unused_variables)]));
            }
        }
        let body = function.body_without_use(&used);
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: async fn load_uncached(db: &Db, id: u64) -> User { BODY }
        let attrs = quote! {
            #[doc = #doc]
            #[allow(clippy::missing_errors_doc, clippy::missing_panics_doc)]
            #(#attrs)*
        };
        let vis = self.spec.vis.clone().unwrap_or_else(|| self.placement.vis.clone());
        Sibling { attrs, vis, sig, body, hidden: false }
    }

    /// To its author a parameter is used by the key or by an expression as much as by the body.
    fn used_beside(&self) -> Names {
        let mut used = self.mentioned_by_expressions();
        used.extend(self.key_params().map(|param| param.ident.to_string()));
        used
    }

    /// The parameters, by what generated code calls them.
    fn mentioned_by_expressions(&self) -> Names {
        let Spec { cache, bypass_if, refresh_if, no_store_if, busy, .. } = self.spec;
        let Spec { normalize, refresh_with, policy, .. } = self.spec;
        let max_age = policy.max_age.as_ref().and_then(Duration::at_run_time);
        let spans = self.expressions_of_policy().into_iter().chain(max_age);
        let rebound = normalize.iter().chain(refresh_with).map(|rebinding| &rebinding.value);
        let conversion = self.conversion();
        let accept_if = self.spec.accepts_by_arguments();
        let all = quote! {
            #accept_if, #cache, #bypass_if, #refresh_if, #no_store_if, #busy, #(#rebound,)* #(#spans,)* #conversion
        };
        self.spec.mentioned(&all).iter().map(|param| param.ident.to_string()).collect()
    }

    fn refresh(&self) -> Sibling {
        let doc = format!(" Computes {} now, stores the result and returns it.", self.link());
        let mut sig = passing_on(&self.function().sig, self.spec.params_of_call());
        sig.ident = self.named("refresh");
        sig.generics = self.generics.clone();
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: async fn load_refresh(db: &Db, id: u64) -> User {
        //             let mut call = __load_call(true, db, id);
        //             …
        //         }
        let attrs = quote!(#[doc = #doc] #[allow(dead_code, clippy::missing_errors_doc)]);
        self.sibling(&attrs, sig, self.answering(true))
    }

    fn entry(&self) -> Sibling {
        let private = &self.private;
        let doc = format!(" The stored entry of {} for these arguments.", self.link());
        let returned = self.returned();
        let name = self.named("entry");
        let Spec { cache, normalize, .. } = self.spec;
        let spans = self.expressions_of_handle();
        let rebound = normalize.iter().map(|rebinding| &rebinding.value);
        let conversion = self.conversion();
        let inputs = self.inputs_for(&quote!(#cache, #(#spans,)* #(#rebound,)* #conversion), true);
        let generics = self.generics_for(&inputs, &returned);
        let clause = &generics.where_clause;
        let handle = self.handle();
        let normalized = self.normalized();
        let policy = self.policy_of_handle();
        let target = self.call_target();
        // Input:  async fn load(db: &Db, id: u64) -> User { BODY }
        // Output: fn load_entry(id: u64) -> Entry<User> { entry(target) }
        let mut sig =
            parse_quote!(fn #name #generics (#(#inputs),*) -> #private::Entry<#returned> #clause);
        name_lifetimes(&mut sig);
        let body = quote!({ #normalized let __target = #target #policy; #handle });
        self.sibling(&quote!(#[doc = #doc] #[allow(dead_code)]), sig, body)
    }

    fn all(&self) -> Sibling {
        let private = &self.private;
        let (scope, site, name) = (&self.placement.scope, &self.site, self.named("all"));
        let doc = format!(" All stored entries of {}, whatever their arguments.", self.link());
        let cache = &self.spec.cache;
        let inputs = self.inputs_for(&quote!(#cache), false);
        let generics = self.generics_for(&inputs, &quote!());
        let clause = &generics.where_clause;
        let chosen = self.chosen();
        // Input:  #[redis_cached(key = "user:{id}", clearable, ..)] async fn load(db: &Db, id: u64)
        // Output: fn load_all() -> Entries { all(site, chosen) }
        let mut sig = parse_quote!(fn #name #generics (#(#inputs),*) -> #private::Entries #clause);
        name_lifetimes(&mut sig);
        let body = quote!({ #private::all(#scope #site(), #chosen) });
        self.sibling(&quote!(#[doc = #doc] #[allow(dead_code)]), sig, body)
    }

    /// The parameters that the key and these expressions need, in the function's order.
    fn inputs_for(&self, expressions: &TokenStream, key: bool) -> Vec<FnArg> {
        let mentioned = self.spec.mentioned(expressions);
        let sig = &self.function().sig;
        let of_one = self.spec.batch.as_ref().map(|batch| batch.signature_of_one(sig));
        passing_on(of_one.as_ref().unwrap_or(sig), &self.spec.params)
            .inputs
            .into_iter()
            .zip(self.spec.params.iter().enumerate())
            .filter(|(_, (index, param))| {
                (key && self.spec.entry_uses(*index))
                    || mentioned.iter().any(|mentioned| mentioned.ident == param.ident)
            })
            .map(|(input, _)| input)
            .collect()
    }

    fn generics_for(&self, inputs: &[FnArg], returned: &TokenStream) -> Generics {
        let mut used = names_in(quote!(#(#inputs)*));
        used.extend(names_in(returned));
        used.extend(self.spec.named_generics());
        if !returned.is_empty() {
            used.extend(self.spec.values.names());
        }
        reduced(&self.generics, &used)
    }

    /// What is returned for one key.
    fn returned(&self) -> TokenStream {
        let output = self.output();
        match &self.spec.batch {
            Some(batch) => self.returned_of_batch(batch, &output),
            None => output,
        }
    }

    /// What the function returns.
    fn output(&self) -> TokenStream {
        self.function().returned().ty().map_or_else(|| quote!(()), ToTokens::to_token_stream)
    }

    /// What the cached function and `_refresh` do.
    fn answering(&self, forced: bool) -> TokenStream {
        let (private, scope, call) = (&self.private, &self.placement.scope, &self.call);
        let turbofish = turbofish(&self.generics, &Names::new());
        let mut args: Vec<_> =
            self.spec.params_of_call().iter().map(|param| param.ident.to_token_stream()).collect();
        args.insert(usize::from(self.function().sig.receiver().is_some()), quote!(#forced));
        // What a normalized argument borrows from lives as long as the call.
        let normalized = self.normalized();
        let answer = if self.spec.batch.is_some() { quote!(answer_batch) } else { quote!(answer) };
        let steps = quote! {
            #normalized
            let mut __call = #scope #call #turbofish (#(#args),*);
            #private::#answer(&mut __call).await
        };
        match self.function().returned() {
            Returned::Boxed(_) => quote!({ #private::boxed(async move { #steps }) }),
            Returned::Opaque(_) => quote!({ async move { #steps } }),
            Returned::Async(_) | Returned::NoFuture(_) => quote!({ #steps }),
        }
    }

    fn link(&self) -> String {
        let scope = if self.placement.scope.is_empty() { "" } else { "Self::" };
        format!("[`{scope}{}`]", self.function().sig.ident)
    }

    fn has_name_of_its_own(&self) -> bool {
        matches!(self.spec.identity, Identity::Name(_))
    }

    fn return_span(&self) -> Span {
        match &self.function().sig.output {
            ReturnType::Default => Span::call_site(),
            ReturnType::Type(_, ty) => {
                let whole = self.function().returned().ty().unwrap_or(ty);
                syn::spanned::Spanned::span(whole)
            }
        }
    }

    fn binding<'b>(&'b self, param: &'b Param) -> &'b Ident {
        if param.is_self() { &self.this } else { &param.ident }
    }
}

/// Puts the parameters and conditions of `moved` in front: lifetimes have to come first.
fn prepend(generics: &mut Generics, moved: &Generics) {
    if moved.params.is_empty() {
        return;
    }
    let mut params: Vec<GenericParam> = moved.params.iter().cloned().collect();
    params.extend(generics.params.iter().cloned());
    params.sort_by_key(|param| !matches!(param, GenericParam::Lifetime(_)));
    generics.params = params.into_iter().collect();
    generics.lt_token.get_or_insert_default();
    generics.gt_token.get_or_insert_default();
    if let Some(clause) = &moved.where_clause {
        generics.make_where_clause().predicates.extend(clause.predicates.iter().cloned());
    }
}

/// Types of the names in `inferred` are left to inference.
fn turbofish(generics: &Generics, inferred: &Names) -> TokenStream {
    let name = |ident: &Ident| {
        if inferred.contains(&ident.unraw().to_string()) {
            quote!(_)
        } else {
            ident.to_token_stream()
        }
    };
    let names: Vec<TokenStream> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            // Left out they are inferred, and some of them (late-bound) must be.
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(param) => Some(name(&param.ident)),
            GenericParam::Const(param) => Some(name(&param.ident)),
        })
        .collect();
    if names.is_empty() { quote!() } else { quote!(::<#(#names),*>) }
}

/// Tokens that mean what they meant, but are shown elsewhere.
pub(crate) fn located(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut tree| {
            if let TokenTree::Group(group) = &tree {
                let inside = located(group.stream(), span);
                tree = Group::new(group.delimiter(), inside).into();
            }
            tree.set_span(tree.span().located_at(span));
            tree
        })
        .collect()
}

fn is_reference(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Reference(_))
}

#[cfg(test)]
mod tests;
