//! `stored`, `save` and `load`: what each sees of the arguments.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned;

use super::call::held;
use super::{Expansion, located};
use crate::params::{Param, Passing, renamed_self};
use crate::spec::Conversion;

impl Expansion<'_> {
    /// The names of the parameters that it mentions.
    pub(super) fn conversion(&self) -> TokenStream {
        let conversion = self.spec.values.conversion.iter();
        let mentioned = conversion
            .flat_map(|Conversion { save, load, .. }| [save, load])
            .flat_map(|closure| self.spec.mentioned_in_closure(closure));
        let names = mentioned.flat_map(Param::names);
        quote!(#(#names)*)
    }

    /// For a call, which has its arguments until its body runs.
    pub(super) fn converting(&self) -> TokenStream {
        let Some(Conversion { stored, save, load }) = &self.spec.values.conversion else {
            return quote!();
        };
        let codec = self.codec();
        let saver = self.keeping("saver", stored, save);
        let (save_pattern, _) = self.lent_to(&self.spec.mentioned_in_closure(save));
        let (load_pattern, lent) = self.lent_to(&self.spec.mentioned_in_closure(load));
        let (load, shape) = (renamed_self(load, &self.this), self.shape());
        let at_load = self.private_at(load.span());
        let given = located(quote!(__stored), load.span());
        let loaded = quote_spanned! {load.span()=>
            #at_load::loaded(#shape, #at_load::given(#given, #load))
        };
        // Input:  stored = String, save = |regex| regex.as_str().to_owned(), load = |text| Regex::new(&text)
        // Output: .converting::<String, Bincode, _, _>(
        //             shape!(Regex),
        //             |(_,)| saver::<String, Bincode, _, _, _>(shape!(Regex), move |value| given(value, |regex| ..)),
        //             |(_,), stored| loaded(shape!(Regex), given(stored, |text| Regex::new(&text))),
        //         )
        quote! {
            .converting::<#stored, #codec, _, _>(
                #shape,
                |#save_pattern| #saver,
                |#load_pattern, __stored| { #lent #loaded },
            )
        }
    }

    /// The handle, which has no body and so keeps what it needs of the arguments.
    pub(super) fn handle(&self) -> TokenStream {
        let (private, returns) = (&self.private, self.returns_of_handle());
        let Some(Conversion { stored, save, load }) = &self.spec.values.conversion else {
            return quote!(#private::entry(__target, #returns));
        };
        let borrowed = |expr: &Expr| {
            let lets = self.spec.mentioned_in_closure(expr).into_iter().map(|param| {
                let (name, param) = (self.binding(param), &param.ident);
                quote!(let #name = &#param;)
            });
            quote!(#(#lets)*)
        };
        let (of_save, of_load) = (borrowed(save), borrowed(load));
        let (saver, loader) =
            (self.keeping("saver", stored, save), self.keeping("loader", stored, load));
        quote! {
            #private::entry_converting(
                __target, #returns, { #of_save #saver }, { #of_load #loader },
            )
        }
    }

    /// A closure with clones of the arguments that it mentions: what it is asked for comes when they are gone.
    fn keeping(&self, what: &str, stored: &syn::Type, closure: &Expr) -> TokenStream {
        let (private, codec) = (&self.private, self.codec());
        let what = Ident::new(what, closure.span());
        let mentioned = self.spec.mentioned_in_closure(closure);
        let clones = mentioned.iter().map(|param| {
            let span = param.ident.span();
            let (name, private) = (self.binding(param), self.private_at(span));
            let (name, held) = (located(quote!(#name), span), held(param));
            if param.passing == Passing::Borrowed {
                quote_spanned!(span=> let #held = #private::kept_ref(*#name);)
            } else {
                quote_spanned!(span=> let #held = #private::kept(#name);)
            }
        });
        let lets = mentioned.iter().map(|param| self.lent_from(param, &held(param)));
        let (closure, shape) = (renamed_self(closure, &self.this), self.shape());
        let span = closure.span();
        let at_closure = self.private_at(span);
        quote_spanned! {span=> {
            #(#clones)*
            #at_closure::#what::<#stored, #codec, _, _, _>(#shape, move |__value| {
                #[allow(unused_imports)]
                use #private::LentByReference as _;
                #(#lets)*
                #at_closure::given(__value, #closure)
            })
        }}
    }
}
