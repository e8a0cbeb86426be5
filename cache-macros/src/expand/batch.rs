//! The call of a batch: what is passed to the runtime where one body computes for many keys.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Visibility, parse_quote};

use super::{Expansion, Sibling, is_reference, located, turbofish};
use crate::batch::{Batch, Passed};
use crate::generics::{Names, name_lifetimes};
use crate::params::{Passing, passing_on};

impl Expansion<'_> {
    /// What a function for one key would return.
    pub(super) fn returned_of_batch(&self, batch: &Batch, output: &TokenStream) -> TokenStream {
        let private = self.private_at(self.return_span());
        let is_optional = self.spec.policy.none_ttl.is_some() && !batch.gives_options;
        if is_optional {
            quote_spanned!(self.return_span()=> <#output as #private::Batched>::EachOrNone)
        } else {
            quote_spanned!(self.return_span()=> <#output as #private::Batched>::Each)
        }
    }

    pub(super) fn batch_call(&self) -> Sibling {
        let Some(batch) = &self.spec.batch else { unreachable!("only a batch has one") };
        let (private, output) = (&self.private, self.output());
        let (chosen, args) = (self.chosen_unless_bypassed(), self.args());
        let returns = self.returns_and_errors();
        let (list, target, body) =
            (self.list_closure(batch), self.target_of_one(batch), self.body_for_some(batch));
        let (policy, terms) = (self.policy_closure(), self.terms_closure());
        let refreshing = self.spec.policy.refresh_before.is_some().then(|| {
            let closure = self.body_behind(batch);
            quote!(.refreshing(#closure))
        });
        let errors_of_each = self.spec.values.cache_err_if.as_ref().map(|closure| {
            let private = self.private_at(closure.span());
            quote_spanned!(closure.span()=> #private::errors_of_each::<#output>();)
        });
        let forced = self.forced();
        let mut sig = passing_on(&self.function().sig, &batch.params);
        sig.asyncness = None;
        sig.ident = self.call.clone();
        sig.generics = self.generics.clone();
        let at = usize::from(sig.receiver().is_some());
        sig.inputs.insert(at, parse_quote!(__forced: bool));
        sig.output = parse_quote!(-> impl #private::BatchCalling<Output = #output>);
        name_lifetimes(&mut sig);
        // Input:  #[redis_cached(batch(ids as id), ..)] async fn load(db: &Db, ids: &[u64]) -> HashMap<u64, User> { BODY }
        // Output: fn __load_call(__forced: bool, db: &Db, ids: &[u64]) -> impl BatchCalling<Output = HashMap<u64, User>> {
        //             batch_call(
        //                 __forced,
        //                 Ambient,
        //                 returns,
        //                 (db, ids),
        //                 |(_, ids)| ids.to_vec(),
        //                 |(_, _), id, chosen| __load_target(chosen, id),
        //                 |(db, _), ids| boxed(async move { load_uncached(*db, &ids).await }),
        //             )
        //         }
        let body = quote! {{
            #errors_of_each
            #private::batch_call(#forced, #chosen, #returns, #args, #list, #target, #body) #policy #terms #refreshing
        }};
        let mut call = self.hidden(sig, body);
        if batch.params.len() > 6 {
            // One more than the function has, where seven are allowed.
            call.attrs.extend(quote!(#[allow(clippy::too_many_arguments)]));
        }
        Sibling { vis: Visibility::Inherited, ..call }
    }

    /// The pattern of the arguments, of which the list is called as said, and others are there if they are wanted.
    fn pattern_of_batch(
        &self,
        batch: &Batch,
        list: &TokenStream,
        is_wanted: impl Fn(usize) -> bool,
    ) -> TokenStream {
        super::call::tuple(batch.params.iter().enumerate().map(|(index, param)| {
            if index == batch.list {
                list.clone()
            } else if is_wanted(index) {
                self.binding(param).to_token_stream()
            } else {
                quote!(_)
            }
        }))
    }

    fn list_closure(&self, batch: &Batch) -> TokenStream {
        let private = self.private_at(batch.params[batch.list].ty.span());
        let pattern = self.pattern_of_batch(batch, &quote!(__ids), |_| false);
        quote!(|#pattern| #private::ids(__ids))
    }

    fn target_of_one(&self, batch: &Batch) -> TokenStream {
        let (scope, target) = (&self.placement.scope, &self.target);
        let turbofish = turbofish(&self.key_generics(), &Names::new());
        let pattern = self.pattern_of_batch(batch, &quote!(_), |index| self.spec.entry_uses(index));
        let args = self.spec.params.iter().enumerate();
        let args = args.filter(|(index, _)| self.spec.entry_uses(*index)).map(|(index, param)| {
            let name = if index == batch.list {
                quote!(__id)
            } else {
                self.binding(param).to_token_stream()
            };
            if is_reference(&param.ty) { quote!(*#name) } else { name }
        });
        quote!(|#pattern, __id, __chosen| #scope #target #turbofish (__chosen, #(#args),*))
    }

    /// It may run more than once in a call, so it only lends what it gets.
    fn body_for_some(&self, batch: &Batch) -> TokenStream {
        let private = &self.private;
        let pattern = self.pattern_of_batch(batch, &quote!(_), |_| true);
        let args = batch.params.iter().enumerate().map(|(index, param)| {
            if index == batch.list {
                return passed(batch);
            }
            let span = param.ident.span();
            let name = located(self.binding(param).to_token_stream(), span);
            let private = self.private_at(span);
            match param.passing {
                Passing::Borrowed => quote_spanned!(span=> *#name),
                Passing::Exclusive => quote_spanned!(span=> &mut **#name),
                Passing::Owned => quote_spanned!(span=> #private::once_more(#name)),
            }
        });
        let call = self.call_original(args);
        quote!(|#pattern, __ids| #private::boxed(async move { #call.await }))
    }

    fn body_behind(&self, batch: &Batch) -> TokenStream {
        let private = &self.private;
        let is_cloned = |index: usize| self.spec.replacement(&batch.params[index]).is_none();
        let pattern = self.pattern_of_batch(batch, &quote!(_), is_cloned);
        let others = batch.params.iter().enumerate().filter(|(index, _)| *index != batch.list);
        let owned =
            others.filter(|(index, _)| is_cloned(*index)).map(|(_, param)| self.owned(param));
        let made = self.spec.refresh_with.iter().filter_map(|replacement| self.made(replacement));
        let args = batch.params.iter().enumerate().map(|(index, param)| {
            if index == batch.list { passed(batch) } else { self.passed_behind(param) }
        });
        let call = self.call_original_but(&self.generics_of_replaced(), args);
        // Output: |(db, _)| {
        //             let db = own_ref(*db);
        //             move |ids: Ids<_>| async move { load_uncached(&db, &ids).await }
        //         }
        quote! {
            |#pattern| {
                #(#owned)*
                move |__ids: #private::Ids<_>| async move { #(#made)* #call.await }
            }
        }
    }
}

fn passed(batch: &Batch) -> TokenStream {
    match batch.passed {
        Passed::Borrowed => quote!(&__ids),
        Passed::Owned => quote!(__ids),
    }
}
