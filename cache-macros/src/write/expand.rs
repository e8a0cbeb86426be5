//! `Write` + body → tokens. Cannot fail.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::expand::located;
use crate::function::{Function, Returned};
use crate::generics::texts_in;
use crate::key::{Segment, Source, Step, Value};
use crate::params::renamed_self;
use crate::tags::{RETURNED, Tag};
use crate::template::Form;
use crate::write::Does;
use crate::write::check::{Handle, OnFailure, Write, mentions_returned, with_returned};

pub(crate) fn expanded(write: &Write) -> TokenStream {
    let krate =
        write.krate.as_ref().map_or_else(|| quote!(::redis_cached), ToTokens::to_token_stream);
    Expansion { write, private: quote!(#krate::private) }.function()
}

/// Tokens whose names nobody else means, and that mean nobody's.
macro_rules! own {
    ($($tokens:tt)*) => { quote_spanned!(Span::mixed_site()=> $($tokens)*) };
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
    //             Writing::add(&mut __writing, &load_entry(id));
    //             let __returned: Result<User, DbError> = async move { BODY }.await;
    //             let __value = Ended(&__returned).__redis_cached_value();
    //             if let Some(__ret) = __value.and_then(|value| Told(value).__redis_cached_told()) {
    //                 Writing::tag(&mut __writing, ambient(), &[literal("org:"), value(&(*__ret).org)]);
    //             }
    //             Writing::retried(__writing, __value.is_some()).await;
    //             __returned
    //         }
    // `#[redis_put(load(id), ..)]` begins with `Writing::putting(ambient()).await`, keeps the handle, and adds
    // `__put0.__redis_cached_put_by(&mut __writing, &*__ret)` behind the body.
    fn steps(&self) -> TokenStream {
        let Self { write, private } = self;
        let ty = self.returned();
        let chosen = self.chosen();
        let begin = match write.does {
            Does::Put => {
                let commits = write.commits;
                quote!(putting(#chosen, #commits).await)
            }
            Does::Invalidate if write.after_commit => quote!(after_commit()),
            Does::Invalidate => quote!(begin()),
        };
        let (before, behind) = (self.targets(false), self.targets(true));
        let is_asked_before = |when: &&syn::Expr| !mentions_returned(when);
        let when = write.when.as_ref();
        let changes = Ident::new("__changes", Span::mixed_site());
        let only_before = when.filter(is_asked_before).map(|when| {
            let only_if = self.only_if(&changes.to_token_stream(), when.span());
            quote_spanned!(when.span()=> let #changes: bool = #when; #only_if)
        });
        let only_behind = when.filter(|when| mentions_returned(when)).map(|when| {
            let only_if = self.only_if(&with_returned(when, &self.ret()), when.span());
            self.told(&quote!(#when), &only_if)
        });
        let (clones, kept) = self.kept();
        let told = quote!(#kept #behind #only_behind);
        let told = match self.write.kept().into_iter().find(|name| name == "self") {
            Some(name) => renamed_self(told, &held(&name)),
            None => told,
        };
        let of_value = (!behind.is_empty() || only_behind.is_some()).then(|| {
            let ret = Ident::new("__ret", Span::mixed_site());
            own! {
                if let ::core::option::Option::Some(__value) = __value {
                    #[allow(unused_imports)]
                    use #private::ToldAsItIs as _;
                    if let ::core::option::Option::Some(#ret) = #private::Told(__value).__redis_cached_told() {
                        #told
                    }
                }
            }
        });
        let of_value = match (&only_before, of_value) {
            (Some(_), Some(of_value)) => Some(quote!(if #changes { #of_value })),
            (_, of_value) => of_value,
        };
        let span = write.function.returned().ty().map_or_else(Span::call_site, Spanned::span);
        let unwritten = located(own!(#private::unwritten(__error)), span);
        let unreported = located(own!(#private::unreported(__returned, __error)), span);
        let is_error = write.on_failure == OnFailure::Error;
        let refused = (is_error && write.after_commit).then(|| {
            own! {
                if let ::core::result::Result::Err(__error) = #private::Writing::refused(&mut __writing) {
                    return #unwritten;
                }
            }
        });
        // What was handed on can't be taken back, where `when` says so behind the body.
        let join = (write.after_commit && only_behind.is_none())
            .then(|| own!(#private::Writing::join(&mut __writing);));
        let join_later = (write.after_commit && is_error && of_value.is_some()).then(|| {
            let join_later = own!(#private::Writing::joins_later(&mut __writing););
            match only_before {
                Some(_) => quote!(if #changes { #join_later }),
                None => join_later,
            }
        });
        let run = self.run();
        let end = if is_error {
            own! {
                match #private::Writing::sent(__writing, __succeeded).await {
                    ::core::result::Result::Ok(()) => __returned,
                    ::core::result::Result::Err(__error) => #unreported,
                }
            }
        } else {
            own! {
                #private::Writing::retried(__writing, __succeeded).await;
                __returned
            }
        };
        own! {
            let mut __writing = #private::Writing::#begin;
            #before
            #only_before
            #join
            #join_later
            #refused
            #clones
            let __returned: #ty = #run.await;
            let __succeeded = {
                #[allow(unused_imports)]
                use #private::EndedWell as _;
                let __value = #private::Ended(&__returned).__redis_cached_value();
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
                    let __future = (move || #output #body)();
                    __future
                });
            }
            Returned::Opaque(_) => return quote!((move || #body)()),
        }
        let ty = self.returned();
        let returned = Ident::new("__returned", Span::mixed_site());
        let inside = spliced(body);
        // An `async` block has no return type to coerce to, but all it returns is coerced to what it returns first.
        let body = quote!({
            if let ::core::option::Option::Some(#returned) = ::core::option::Option::None::<#ty> {
                return #returned;
            }
            #inside
        });
        if self.write.lends() { quote!(async #body) } else { quote!(async move #body) }
    }

    /// An argument is what was passed in, to what asks for it behind the body.
    fn kept(&self) -> (TokenStream, TokenStream) {
        let kept = self.write.kept();
        let clones = kept.iter().map(|name| {
            let (private, held) = (located(self.private.clone(), name.span()), held(name));
            quote_spanned!(name.span()=> let #held = #private::kept_for_target(&#name);)
        });
        let is_self = |name: &&Ident| *name == "self";
        let lets = kept.iter().filter(|name| !is_self(name)).map(|name| {
            let held = held(name);
            quote!(#[allow(unused_variables)] let #name = #held;)
        });
        (quote!(#(#clones)*), quote!(#(#lets)*))
    }

    fn returned(&self) -> TokenStream {
        self.write.function.returned().ty().map_or_else(|| quote!(()), ToTokens::to_token_stream)
    }

    fn targets(&self, of_value: bool) -> TokenStream {
        let private = &self.private;
        let targets = self.write.targets.iter().enumerate();
        let targets = targets.map(|(at, target)| match self.write.does {
            Does::Invalidate if target.is_of_value() == of_value => self.added(target),
            Does::Invalidate => TokenStream::new(),
            Does::Put => self.put(at, target, of_value),
        });
        let tags = self.write.tags.iter().filter(|tag| tag.is_of_value() == of_value);
        let tags = tags.map(|tag| {
            let segments = self.segments(tag);
            let chosen = self.chosen();
            own!(#private::Writing::tag(&mut __writing, #chosen, &[#(#segments),*]);)
        });
        quote!(#(#targets)* #(#tags)*)
    }

    fn added(&self, target: &Handle) -> TokenStream {
        let handle = with_returned(&target.call, &self.ret());
        self.of_each(target, &self.add(&handle, target.call.span()))
    }

    /// A handle over the parameters is made before the body, which may take those; one of many is made twice.
    fn put(&self, at: usize, target: &Handle, behind: bool) -> TokenStream {
        let Handle { each, call, value } = target;
        let put = format_ident!("__put{at}", span = Span::mixed_site());
        let handle = with_returned(call, &self.ret());
        let span = call.span();
        let kept = self.add(&put.to_token_stream(), span);
        let kept = quote_spanned!(span=> let #put = #handle; #kept);
        let ret = self.ret();
        let by_value = match value {
            Some(value) => {
                let put_by = put_by(&put, &with_returned(value, &ret), value.span());
                self.told(&quote!(#value), &put_by)
            }
            None => put_by(&put, &ret, span),
        };
        match (behind, target.is_of_value(), each) {
            (false, true, _) => TokenStream::new(),
            (false, false, None) => kept,
            // What only the value asks for is not used here.
            (false, false, Some(_)) => {
                let added = self.added(target);
                quote!(#[allow(unused_variables)] #added)
            }
            (true, false, None) => by_value,
            (true, ..) => self.of_each(target, &quote!(#kept #by_value)),
        }
    }

    // What is said of a target is shown where that is, but the names in it are what they are here: a target may be named
    // by a `macro_rules`, and has other names in reach. Methods are called by their paths: a trait may have others of
    // their names, for all types.

    fn add(&self, target: &TokenStream, span: Span) -> TokenStream {
        let add = self.of_writing(&quote!(add), span);
        let writing = located(own!(&mut __writing), span);
        quote_spanned!(span=> #add(#writing, &#target);)
    }

    fn only_if(&self, when: &TokenStream, span: Span) -> TokenStream {
        let only_if = self.of_writing(&quote!(only_if), span);
        let writing = located(own!(&mut __writing), span);
        quote_spanned!(span=> #only_if(#writing, #when);)
    }

    fn of_writing(&self, method: &TokenStream, span: Span) -> TokenStream {
        let private = &self.private;
        located(quote!(#private::Writing::#method), span)
    }

    fn of_each(&self, target: &Handle, one: &TokenStream) -> TokenStream {
        let call = &target.call;
        match &target.each {
            Some((pattern, over)) => {
                let of_each = with_returned(over, &self.ret());
                let each =
                    quote!(#[allow(for_loops_over_fallibles)] for #pattern in #of_each { #one });
                self.told(&quote!(#over, #call), &each)
            }
            None => self.told(&quote!(#call), one),
        }
    }

    /// Texts ask by name.
    fn told(&self, expressions: &TokenStream, told: &TokenStream) -> TokenStream {
        let texts = texts_in(expressions.clone()).into_iter();
        let asking = texts.filter(|(_, asked)| asked.contains(RETURNED));
        let lets: Vec<_> = asking
            .map(|(span, _)| {
                let (name, ret) = (Ident::new(RETURNED, span), self.ret());
                quote!(#[allow(unused_variables)] let #name = &#ret;)
            })
            .collect();
        // Input:  named(&format!("{ret}"))
        // Output: { let ret = &(*__ret); Writing::add(&mut __writing, &named_entry(&format!("{ret}"))); }
        if lets.is_empty() { told.clone() } else { quote!({ #(#lets)* #told }) }
    }

    /// The cache whose tags, or entries, are meant.
    fn chosen(&self) -> TokenStream {
        let private = &self.private;
        self.write.cache.as_ref().map_or_else(
            || quote!(#private::ambient()),
            |cache| quote_spanned!(cache.span()=> #private::chosen(&(#cache))),
        )
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

fn put_by(put: &Ident, value: &TokenStream, span: Span) -> TokenStream {
    let writing = located(own!(&mut __writing), span);
    // By reference: it may be a part of what is returned.
    quote_spanned!(span=> #put.__redis_cached_put_by(#writing, &(#value));)
}

/// Where a second one of an argument is held.
fn held(name: &Ident) -> Ident {
    format_ident!("__{}", name.unraw(), span = Span::mixed_site())
}

/// What is in the braces.
fn spliced(body: &TokenStream) -> TokenStream {
    match body.clone().into_iter().next() {
        Some(TokenTree::Group(braces)) => braces.stream(),
        _ => body.clone(),
    }
}
