//! Which of the generated items each attribute of the user's function belongs to.

use proc_macro2::Ident;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Path, Token, parse_quote};

/// The user's attributes, by the items they belong to.
#[derive(Default)]
pub(crate) struct Attributes {
    /// Conditions and lint levels: all generated items but the original.
    pub(crate) every: Vec<Attribute>,
    /// What is said to callers: the cached function.
    pub(crate) cached: Vec<Attribute>,
    /// What is done to the body (`tracing::instrument`, `inline`): the original.
    pub(crate) original: Vec<Attribute>,
}

impl Attributes {
    pub(crate) fn sorted(attrs: &[Attribute]) -> Self {
        let mut sorted = Self::default();
        for attr in attrs {
            match conditional(attr) {
                Some((condition, metas)) => {
                    for meta in metas {
                        let inner = parse_quote!(#[#meta]);
                        sorted.sort(&inner, |attr| {
                            let meta = &attr.meta;
                            parse_quote!(#[cfg_attr(#condition, #meta)])
                        });
                    }
                }
                None => sorted.sort(attr, Attribute::clone),
            }
        }
        sorted
    }

    fn sort(&mut self, attr: &Attribute, written: impl Fn(&Attribute) -> Attribute) {
        let name = attr.path().get_ident().map(ToString::to_string);
        match name.as_deref().unwrap_or_default() {
            "cfg" | "allow" | "warn" | "deny" | "forbid" => {
                self.every.push(written(attr));
                self.original.push(written(attr));
            }
            // What is expected happens in the original; elsewhere it may be or not.
            "expect" => {
                self.every.push(written(&allowing(attr)));
                self.original.push(written(attr));
            }
            "doc" if is_doc_hidden(attr) => {
                self.every.push(written(attr));
                self.original.push(written(attr));
            }
            "doc" | "deprecated" | "must_use" => self.cached.push(written(attr)),
            _ => self.original.push(written(attr)),
        }
    }
}

/// The condition of a `cfg_attr`, and the attributes that it puts there.
fn conditional(attr: &Attribute) -> Option<(Meta, Vec<Meta>)> {
    let Meta::List(list) = &attr.meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(list.tokens.clone()).ok()?;
    let mut metas = metas.into_iter();
    Some((metas.next()?, metas.collect()))
}

fn allowing(attr: &Attribute) -> Attribute {
    let mut attr = attr.clone();
    if let Meta::List(list) = &mut attr.meta {
        let span = list.path.segments[0].ident.span();
        list.path = Path::from(Ident::new("allow", span));
    }
    attr
}

fn is_doc_hidden(attr: &Attribute) -> bool {
    matches!(&attr.meta, Meta::List(list) if list.tokens.to_string() == "hidden")
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;

    #[test]
    fn each_attribute_goes_where_it_belongs() {
        for (attr, every, cached, original) in [
            (parse_quote!(#[cfg(a)]), "#[cfg (a)]", "", "#[cfg (a)]"),
            (parse_quote!(#[allow(a)]), "#[allow (a)]", "", "#[allow (a)]"),
            (parse_quote!(#[expect(a)]), "#[allow (a)]", "", "#[expect (a)]"),
            (parse_quote!(#[doc = "a"]), "", "#[doc = \"a\"]", ""),
            (parse_quote!(#[doc(hidden)]), "#[doc (hidden)]", "", "#[doc (hidden)]"),
            (parse_quote!(#[must_use]), "", "#[must_use]", ""),
            (parse_quote!(#[inline]), "", "", "#[inline]"),
            (
                parse_quote!(#[tracing::instrument(skip(db))]),
                "",
                "",
                "#[tracing :: instrument (skip (db))]",
            ),
            (
                parse_quote!(#[cfg_attr(a, allow(b), must_use, inline)]),
                "#[cfg_attr (a , allow (b))]",
                "#[cfg_attr (a , must_use)]",
                "#[cfg_attr (a , allow (b))] #[cfg_attr (a , inline)]",
            ),
        ] {
            let sorted = Attributes::sorted(&[attr]);
            let text = |attrs: &[Attribute]| {
                let all: Vec<String> =
                    attrs.iter().map(|attr| attr.to_token_stream().to_string()).collect();
                all.join(" ").replace("# [", "#[")
            };
            assert_eq!(text(&sorted.every), every);
            assert_eq!(text(&sorted.cached), cached);
            assert_eq!(text(&sorted.original), original);
        }
    }
}
