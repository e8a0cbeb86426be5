//! `Write` + body → tokens. Cannot fail.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::expand::located;
use crate::function::{Function, Returned};
use crate::generics::variables_in;
use crate::key::{Segment, Source, Step, Value};
use crate::params::Param;
use crate::tags::Tag;
use crate::template::Form;
use crate::write::check::{Handle, OnFailure, Write, mentions_returned, with_returned};

pub(crate) fn expanded(write: &Write) -> TokenStream {
    let krate =
        write.krate.as_ref().map_or_else(|| quote!(::redis_cached), ToTokens::to_token_stream);
    Expansion { write, private: quote!(#krate::private) }.function()
}

struct Expansion<'a> {
    write: &'a Write,
    /// The only module that generated code names.
    private: TokenStream,
}

impl Expansion<'_> {
    fn function(&self) -> TokenStream {
        let Function { attrs, vis, defaultness, sig, .. } = &self.write.function;
        let steps = self.steps();
        let private = &self.private;
        let body = match self.write.function.returned() {
            Returned::Boxed(_) => quote!({ #private::boxed(async move { #steps }) }),
            Returned::Opaque(_) => quote!({ async move { #steps } }),
            Returned::Async(_) | Returned::NoFuture(_) => quote!({ #steps }),
        };
        quote! {
            #(#attrs)*
            #[allow(clippy::let_unit_value, clippy::unit_arg, clippy::manual_async_fn)]
            #vis #defaultness #sig #body
        }
    }

    // Input:  #[redis_invalidate(load(id), tags = ["org:{ret.org}"], on_failure = "retry")]
    //         async fn rename(db: &Db, id: u64) -> Result<User, DbError> { BODY }
    // Output: async fn rename(db: &Db, id: u64) -> Result<User, DbError> {
    //             let mut __writing = Writing::begin();
    //             __writing.add(&load_entry(id));
    //             let __returned: Result<User, DbError> = async move { BODY }.await;
    //             let __value = Ended(&__returned).value();
    //             if let Some(__ret) = __value.and_then(|value| Told(value).told()) {
    //                 __writing.tag(ambient(), &[literal("org:"), value(&(*__ret).org)]);
    //             }
    //             __writing.retried(__value.is_some()).await;
    //             __returned
    //         }
    fn steps(&self) -> TokenStream {
        let Self { write, private } = self;
        let ty =
            write.function.returned().ty().map_or_else(|| quote!(()), ToTokens::to_token_stream);
        let begin = if write.after_commit { quote!(after_commit) } else { quote!(begin) };
        let (before, behind) = (self.targets(false), self.targets(true));
        let is_asked_before = |when: &&syn::Expr| !mentions_returned(when);
        let when = write.when.as_ref();
        let only_before = when
            .filter(is_asked_before)
            .map(|when| quote_spanned!(when.span()=> __writing.only_if(#when);));
        let only_behind = when.filter(|when| mentions_returned(when)).map(|when| {
            let when = with_returned(when, &self.ret());
            quote_spanned!(when.span()=> __writing.only_if(#when);)
        });
        let of_value = (!behind.is_empty() || only_behind.is_some()).then(|| {
            let ret = Ident::new("__ret", Span::mixed_site());
            quote! {
                if let ::core::option::Option::Some(__value) = __value {
                    #[allow(unused_imports)]
                    use #private::ToldAsItIs as _;
                    if let ::core::option::Option::Some(#ret) = #private::Told(__value).told() {
                        #behind
                        #only_behind
                    }
                }
            }
        });
        let span = write.function.returned().ty().map_or_else(Span::call_site, Spanned::span);
        let unwritten = located(quote!(#private::unwritten(__error)), span);
        let unreported = located(quote!(#private::unreported(__returned, __error)), span);
        let is_error = write.on_failure == OnFailure::Error;
        let refused = (is_error && write.after_commit).then(|| {
            quote! {
                if let ::core::result::Result::Err(__error) = __writing.refused() {
                    return #unwritten;
                }
            }
        });
        let join = write.after_commit.then(|| quote!(__writing.join();));
        let run = self.run();
        let end = if is_error {
            quote! {
                match __writing.sent(__succeeded).await {
                    ::core::result::Result::Ok(()) => __returned,
                    ::core::result::Result::Err(__error) => #unreported,
                }
            }
        } else {
            quote! {
                __writing.retried(__succeeded).await;
                __returned
            }
        };
        quote! {
            let mut __writing = #private::Writing::#begin();
            #before
            #only_before
            #join
            #refused
            let __returned: #ty = #run.await;
            let __succeeded = {
                #[allow(unused_imports)]
                use #private::EndedWell as _;
                let __value = #private::Ended(&__returned).value();
                #of_value
                __value.is_some()
            };
            #end
        }
    }

    /// The body's future. It gets the parameters themselves, unless something behind it asks for them.
    fn run(&self) -> TokenStream {
        let body = &self.write.function.body;
        let output = &self.write.function.sig.output;
        match self.write.function.returned() {
            Returned::Async(_) | Returned::NoFuture(_) => {}
            // It may say `return`. What a target asks for is bound anew in it by `async_trait`, and not used.
            Returned::Boxed(_) => {
                return quote!({
                    #[allow(unused_variables)]
                    let __body = move || #output #body;
                    __body()
                });
            }
            Returned::Opaque(_) => return quote!((move || #body)()),
        }
        let behind = self.targets(true);
        let when = self.write.when.as_ref().filter(|when| mentions_returned(when));
        let names = variables_in(quote!(#behind #when));
        let asks = self.write.params.iter().flat_map(Param::names);
        let asks = asks.map(|name| name.to_string()).any(|name| names.contains(&name));
        if asks { quote!(async #body) } else { quote!(async move #body) }
    }

    fn targets(&self, of_value: bool) -> TokenStream {
        let private = &self.private;
        let targets = self.write.targets.iter().filter(|target| target.is_of_value() == of_value);
        let targets = targets.map(|Handle { each, handle }| {
            let handle = with_returned(handle, &self.ret());
            let add = quote_spanned!(handle.span()=> __writing.add(&#handle););
            match each {
                Some((pattern, over)) => {
                    let over = with_returned(over, &self.ret());
                    quote!(#[allow(for_loops_over_fallibles)] for #pattern in #over { #add })
                }
                None => add,
            }
        });
        let tags = self.write.tags.iter().filter(|tag| tag.is_of_value() == of_value);
        let tags = tags.map(|tag| {
            let segments = self.segments(tag);
            let chosen = self.write.cache.as_ref().map_or_else(
                || quote!(#private::ambient()),
                |cache| quote_spanned!(cache.span()=> #private::chosen(&(#cache))),
            );
            quote!(__writing.tag(#chosen, &[#(#segments),*]);)
        });
        quote!(#(#targets)* #(#tags)*)
    }

    fn segments(&self, tag: &Tag) -> Vec<TokenStream> {
        let private = &self.private;
        let segments = tag.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => quote!(#private::literal(#text)),
            Segment::Value(value) => self.value(value),
        });
        segments.collect()
    }

    fn value(&self, value: &Value) -> TokenStream {
        let private = &self.private;
        let steps = value.steps.iter().map(|step| match step {
            Step::Field(member) => quote_spanned!(member.span()=> .#member),
            Step::Method(name) => quote_spanned!(name.span()=> .#name()),
        });
        let place = match &value.source {
            Source::Name { name, .. } => quote!(#name),
            Source::Path { path, called: true } => quote!(#path()),
            Source::Path { path, called: false } => quote!(#path),
            Source::Returned(_) => self.ret(),
        };
        match value.form {
            Form::Display => quote!(#private::value(&#place #(#steps)*)),
            Form::Optional => quote!(#private::optional(&#place #(#steps)*)),
            Form::Hash => quote!(#private::value(&#private::hashed(&#place #(#steps)*))),
        }
    }

    /// What `ret` stands for: the value itself, so that it can be borrowed as its author would.
    #[expect(clippy::unused_self, reason = "as the other tokens")]
    fn ret(&self) -> TokenStream {
        let ret = Ident::new("__ret", Span::mixed_site());
        quote!((*#ret))
    }
}
