//! `#[redis_invalidate(..)]`: what a function that writes says of cached functions.

mod args;
mod check;
mod expand;

use proc_macro2::{Span, TokenStream};
use quote::quote;

use crate::function::Function;

/// On an error the user's function is emitted all the same: its callers have no errors of their own.
pub(crate) fn redis_invalidate(attr: TokenStream, item: &TokenStream) -> TokenStream {
    let function = syn::parse2::<Function>(item.clone());
    match check::read(attr, Span::call_site(), function) {
        Ok(write) => expand::expanded(&write),
        Err(errors) => {
            let errors = errors.to_compile_error();
            quote!(#item #errors)
        }
    }
}
