//! `#[redis_invalidate(..)]` and `#[redis_put(..)]`: what a function that writes says of cached functions.

mod args;
mod check;
mod expand;

use proc_macro2::{Span, TokenStream};
use quote::quote;

use crate::function::Function;

/// What becomes of the entries that are named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Invalidate,
    /// They get what was written; where they can't, they are invalidated.
    Put,
}

impl Does {
    fn name(self) -> &'static str {
        match self {
            Self::Invalidate => "redis_invalidate",
            Self::Put => "redis_put",
        }
    }
}

/// On an error the user's function is emitted all the same: its callers have no errors of their own.
pub(crate) fn attribute(does: Does, attr: TokenStream, item: &TokenStream) -> TokenStream {
    let function = Function::under(does.name(), item.clone());
    match check::read(does, attr, Span::call_site(), function) {
        Ok(write) => expand::expanded(&write),
        Err(errors) => {
            let errors = errors.to_compile_error();
            quote!(#item #errors)
        }
    }
}
