//! Collects the errors of one function, so that its author sees them all at once.

use std::cell::{Cell, RefCell};
use std::fmt::Display;

use proc_macro2::Span;
use quote::ToTokens;

/// Must be finished: errors that were collected and never reported would let a wrong key compile.
pub(crate) struct Errors {
    /// Where the attribute stands: for what is missing in it.
    place: Span,
    collected: RefCell<Vec<syn::Error>>,
    finished: Cell<bool>,
}

impl Errors {
    pub(crate) fn new() -> Self {
        Self::of(Span::call_site())
    }

    /// Of the attribute at this place.
    pub(crate) fn of(place: Span) -> Self {
        Self { place, collected: RefCell::new(Vec::new()), finished: Cell::new(false) }
    }

    pub(crate) fn on_attribute(&self, message: impl Display) {
        self.at(self.place, message);
    }

    pub(crate) fn at(&self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    /// Underlines all of `tokens`, not only the first.
    pub(crate) fn on(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn push(&self, error: syn::Error) {
        self.collected.borrow_mut().push(error);
    }

    /// What was checked, if nothing was wrong with it. An error that ended the checks early is told behind the others.
    pub(crate) fn finish_with<T>(self, checked: syn::Result<T>) -> syn::Result<T> {
        match checked {
            Ok(checked) => self.finish().map(|()| checked),
            Err(syntax_error) => {
                self.push(syntax_error.clone());
                self.finish().and(Err(syntax_error))
            }
        }
    }

    pub(crate) fn finish(self) -> syn::Result<()> {
        self.finished.set(true);
        let combined = self.collected.take().into_iter().reduce(|mut all, next| {
            all.combine(next);
            all
        });
        combined.map_or(Ok(()), Err)
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        // A second panic while unwinding would abort and hide the first.
        assert!(
            self.finished.get() || std::thread::panicking(),
            "the collected errors were never checked"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_reported_in_order() {
        let errors = Errors::new();
        errors.at(Span::call_site(), "first");
        errors.at(Span::call_site(), "second");
        let all: Vec<String> = errors
            .finish()
            .expect_err("two were collected")
            .into_iter()
            .map(|error| error.to_string())
            .collect();
        assert_eq!(all, ["first", "second"]);
    }

    #[test]
    fn none_is_ok() {
        assert!(Errors::new().finish().is_ok());
    }

    #[test]
    #[should_panic(expected = "never checked")]
    fn unchecked_errors_panic() {
        drop(Errors::new());
    }
}
