//! How long values live, and the terms of a call: what is constant, and what is evaluated when.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned;

use super::{Expansion, located};
use crate::params::renamed_self;
use crate::policy::{Span as Duration, Window};
use crate::spec::Method;

impl Expansion<'_> {
    /// Durations that are known only at run time, with the method of `Policy` that takes each.
    fn run_time_spans(&self) -> Vec<(Ident, &Expr)> {
        self.spec
            .policy
            .spans()
            .filter_map(|(name, span)| match span {
                Duration::AtRunTime(expr) => Some((format_ident!("{name}_at_run_time"), expr)),
                Duration::Millis(_) => None,
            })
            .collect()
    }

    /// Those that say something of what a handle does: it runs no body.
    fn spans_of_handle(&self) -> Vec<(Ident, &Expr)> {
        let mut spans = self.run_time_spans();
        spans.retain(|(method, _)| {
            method != "timeout_at_run_time" && method != "soft_timeout_at_run_time"
        });
        spans
    }

    pub(super) fn expressions_of_policy(&self) -> Vec<&Expr> {
        self.run_time_spans().into_iter().map(|(_, expr)| expr).collect()
    }

    pub(super) fn expressions_of_handle(&self) -> Vec<&Expr> {
        self.spans_of_handle().into_iter().map(|(_, expr)| expr).collect()
    }

    /// Evaluated when a body is about to run, from the arguments that it will take.
    pub(super) fn policy_closure(&self) -> TokenStream {
        let spans = self.run_time_spans();
        if spans.is_empty() {
            return quote!();
        }
        let expressions = self.expressions_of_policy();
        let (pattern, lent) = self.lent_from_args(&quote!(#(#expressions),*));
        let said = spans.iter().map(|(method, expr)| {
            let expr = renamed_self(expr, &self.this);
            let private = self.private_at(expr.span());
            quote_spanned!(expr.span()=> .#method(#private::span(#expr)))
        });
        // Input:  ttl = self.config.ttl
        // Output: |(this, _), policy| {
        //             let this = *this;
        //             *policy = policy.ttl_at_run_time(span(this.config.ttl));
        //         }
        quote! {
            .policy(|#pattern, __policy| {
                #lent
                *__policy = (*__policy) #(#said)*;
            })
        }
    }

    /// What the call says of itself, asked before it looks into the store.
    pub(super) fn terms_closure(&self) -> TokenStream {
        let (no_store_if, max_age) = (&self.spec.no_store_if, &self.spec.policy.max_age);
        if !self.has_terms() {
            return quote!();
        }
        let reads_only = no_store_if.as_ref().map(|expr| {
            let value = renamed_self(expr, &self.this);
            let terms = located(quote!(__terms), expr.span());
            quote_spanned!(expr.span()=> if #value { #terms.read_only(); })
        });
        let age = max_age.as_ref().map(|max_age| match max_age {
            Duration::Millis(millis) => {
                let millis = proc_macro2::Literal::u64_unsuffixed(*millis);
                quote!(__terms.max_age(#millis);)
            }
            Duration::AtRunTime(expr) => {
                let value = renamed_self(expr, &self.this);
                let terms = located(quote!(__terms), expr.span());
                quote_spanned!(expr.span()=> #terms.max_age_at_run_time(#value);)
            }
        });
        let max_age = max_age.as_ref().and_then(Duration::at_run_time);
        let (pattern, lent) = self.lent_from_args(&quote!(#no_store_if, #max_age));
        // Input:  no_store_if = preview, max_age = "30s"
        // Output: |(_, preview), terms| {
        //             let preview = *preview;
        //             if preview { terms.read_only(); }
        //             terms.max_age(30000);
        //         }
        quote!(.terms(|#pattern, __terms| { #lent #reads_only #age }))
    }

    pub(super) fn has_terms(&self) -> bool {
        self.spec.no_store_if.is_some() || self.spec.policy.max_age.is_some()
    }

    /// A handle has no body: its policy is evaluated when it is made.
    pub(super) fn policy_of_handle(&self) -> TokenStream {
        let spans = self.spans_of_handle();
        if spans.is_empty() {
            return quote!();
        }
        let said = spans.iter().map(|(method, expr)| {
            let private = self.private_at(expr.span());
            quote_spanned!(expr.span()=> .#method(#private::span(#expr)))
        });
        let expressions = self.expressions_of_handle();
        let policy = self.evaluated(&quote!(#(#expressions),*), quote!((*__policy) #(#said)*));
        quote!(.resolved(|__policy| *__policy = #policy))
    }

    /// The durations whose numbers the macro knows, and all else that is constant.
    pub(super) fn constant_policy(&self) -> TokenStream {
        let private = &self.private;
        let policy = &self.spec.policy;
        let number = |number: u64| proc_macro2::Literal::u64_unsuffixed(number);
        let ttl = number(policy.ttl.as_ref().and_then(Duration::millis).unwrap_or_default());
        let mut said: Vec<(&str, u64)> = Vec::new();
        for (name, span) in policy.spans().filter(|(name, _)| *name != "ttl") {
            match span {
                Duration::Millis(millis) => said.push((name, *millis)),
                // That there is one is known without its length.
                Duration::AtRunTime(_)
                    if matches!(name, "refresh_before" | "stale_if_error" | "near") =>
                {
                    said.push((name, 0));
                }
                Duration::AtRunTime(_) => {}
            }
        }
        if let Some(Window::Percent(percent)) = policy.refresh_before {
            said.push(("refresh_percent", percent.into()));
        }
        let numbers = [
            ("jitter_permille", policy.jitter_permille.map(u64::from)),
            ("version", policy.version.map(u64::from)),
            ("max_concurrency", policy.max_concurrency.map(u64::from)),
        ];
        said.extend(numbers.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let said = said.into_iter().map(|(name, value)| {
            let (name, value) = (format_ident!("{name}"), number(value));
            quote!(.#name(#value))
        });
        let has_terms = self.has_terms().then(|| quote!(.has_terms()));
        let judges_bodies = self.spec.judges_bodies().then(|| quote!(.judges_bodies()));
        let refuses =
            self.spec.accepts_by_arguments().is_some() || self.spec.policy.max_age.is_some();
        let refuses_by_call = refuses.then(|| quote!(.refuses_by_call()));
        let compress = self.spec.values.compression.map(|(method, span, above)| {
            // Below this, what is saved is not worth the work.
            let above = number(above.map_or(1024, u64::from));
            let method = match method {
                Method::Lz4 => quote_spanned!(span=> lz4),
                Method::Zstd => quote_spanned!(span=> zstd),
            };
            let private = self.private_at(span);
            quote_spanned!(span=> .compress(#private::codec::#method::<()>(#above)))
        });
        quote!(#private::Policy::new(#ttl) #(#said)* #compress #has_terms #refuses_by_call #judges_bodies)
    }
}
