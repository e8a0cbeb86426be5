//! Which generics some tokens mention, and the generics reduced to those.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Arm, AssocType, Block, Expr, ExprClosure, ExprForLoop, ExprIf, ExprLet, ExprPath, ExprWhile,
    GenericParam, Generics, Lifetime, Local, Macro, ParenthesizedGenericArguments, Pat, PatIdent,
    Signature, Token, TypeFnPtr, TypeImplTrait, TypeParamBound, TypeReference, WherePredicate,
    parse_quote,
};

/// Identifiers, and lifetimes with their tick: `&'a T` gives `'a` and `T`.
pub(crate) type Names = BTreeSet<String>;

pub(crate) fn names_in(tokens: impl ToTokens) -> Names {
    let mut names = Names::new();
    collect(tokens.into_token_stream(), &mut names);
    names
}

fn collect(tokens: TokenStream, names: &mut Names) {
    let mut ticked = false;
    for tree in tokens {
        let tick = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '\'');
        match tree {
            TokenTree::Ident(ident) if ticked => {
                names.insert(format!("'{ident}"));
            }
            TokenTree::Ident(ident) => {
                names.insert(ident.unraw().to_string());
            }
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        ticked = tick;
    }
}

/// The names in an expression, apart from those of fields and methods: `ctx` of `ctx.cache`. Texts in macros count: `id`
/// of `format!("{id}")`.
pub(crate) fn variables_in(tokens: impl ToTokens) -> Names {
    fn collect(tokens: TokenStream, in_macro: bool, names: &mut Names) {
        let mut dots = 0;
        let mut bang = false;
        let mut trees = tokens.into_iter().peekable();
        while let Some(tree) = trees.next() {
            match &tree {
                TokenTree::Ident(ident) => {
                    let next = trees.peek();
                    // What a macro makes of a name and a colon is not known.
                    let is_field = !in_macro && next.is_some_and(is_colon);
                    // Behind `..` stands an expression.
                    if dots != 1 && !is_field && !next.is_some_and(is_bang) {
                        names.insert(ident.unraw().to_string());
                    }
                }
                TokenTree::Group(group) => collect(group.stream(), in_macro || bang, names),
                _ => {}
            }
            bang = is_bang(&tree);
            dots = if is_dot(&tree) { dots + 1 } else { 0 };
        }
    }
    let tokens = tokens.into_token_stream();
    let mut names = Names::new();
    collect(tokens.clone(), false, &mut names);
    names.extend(texts_in(tokens).into_iter().flat_map(|(_, asked)| asked));
    names
}

pub(crate) fn is_dot(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '.')
}

/// One that is no half of `::`.
pub(crate) fn is_colon(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Alone)
}

/// One that is no half of `!=`.
fn is_bang(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '!' && punct.spacing() == Spacing::Alone)
}

/// The same, apart from those that closures and patterns in it bind: `min` of `|user| user.age >= min`.
pub(crate) fn free_variables_in(expr: &Expr) -> Names {
    struct Finder {
        free: Names,
        /// What closures and patterns around have.
        bound: Vec<Names>,
    }
    impl Finder {
        fn inside(&mut self, visit: impl FnOnce(&mut Self)) {
            self.bound.push(Names::new());
            visit(self);
            self.bound.pop();
        }
        fn bind(&mut self, pat: &Pat) {
            let mut own = Bindings(Names::new());
            own.visit_pat(pat);
            self.bound.last_mut().into_iter().for_each(|names| names.append(&mut own.0));
        }
        fn read(&mut self, name: String) {
            if !self.bound.iter().any(|names| names.contains(&name)) {
                self.free.insert(name);
            }
        }
    }
    impl Visit<'_> for Finder {
        fn visit_expr_path(&mut self, path: &ExprPath) {
            if let Some(ident) = path.path.get_ident() {
                self.read(ident.unraw().to_string());
            }
        }
        fn visit_macro(&mut self, call: &Macro) {
            for name in variables_in(call) {
                self.read(name);
            }
        }
        fn visit_expr_closure(&mut self, closure: &ExprClosure) {
            self.inside(|finder| {
                closure.inputs.iter().for_each(|input| finder.bind(input));
                finder.visit_expr(&closure.body);
            });
        }
        fn visit_block(&mut self, block: &Block) {
            self.inside(|finder| visit::visit_block(finder, block));
        }
        fn visit_local(&mut self, local: &Local) {
            if let Some(init) = &local.init {
                self.visit_local_init(init);
            }
            self.bind(&local.pat);
        }
        fn visit_arm(&mut self, arm: &Arm) {
            self.inside(|finder| {
                finder.bind(&arm.pat);
                visit::visit_arm(finder, arm);
            });
        }
        fn visit_expr_let(&mut self, condition: &ExprLet) {
            self.visit_expr(&condition.expr);
            self.bind(&condition.pat);
        }
        fn visit_expr_if(&mut self, branches: &ExprIf) {
            self.inside(|finder| {
                finder.visit_expr(&branches.cond);
                finder.visit_block(&branches.then_branch);
            });
            if let Some((_, other)) = &branches.else_branch {
                self.visit_expr(other);
            }
        }
        fn visit_expr_while(&mut self, looped: &ExprWhile) {
            self.inside(|finder| visit::visit_expr_while(finder, looped));
        }
        fn visit_expr_for_loop(&mut self, looped: &ExprForLoop) {
            self.visit_expr(&looped.expr);
            self.inside(|finder| {
                finder.bind(&looped.pat);
                finder.visit_block(&looped.body);
            });
        }
    }
    struct Bindings(Names);
    impl Visit<'_> for Bindings {
        fn visit_pat_ident(&mut self, pat: &PatIdent) {
            self.0.insert(pat.ident.unraw().to_string());
        }
    }
    let mut finder = Finder { free: Names::new(), bound: Vec::new() };
    finder.visit_expr(expr);
    finder.free
}

/// The texts in the macros of an expression, with what each may ask for.
pub(crate) fn texts_in(tokens: TokenStream) -> Vec<(Span, Names)> {
    let mut is_macro = false;
    let mut texts = Vec::new();
    for tree in tokens {
        if let TokenTree::Group(group) = &tree {
            let inside = group.stream();
            texts.extend(if is_macro { written_in(inside) } else { texts_in(inside) });
        }
        is_macro = is_bang(&tree);
    }
    texts
}

/// What the texts in a macro may ask for: `name` of `format!("{name:?}")`.
fn written_in(tokens: TokenStream) -> Vec<(Span, Names)> {
    let mut texts = Vec::new();
    for tree in tokens {
        match tree {
            TokenTree::Group(group) => texts.extend(written_in(group.stream())),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let holes = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
                let asked = holes.flat_map(|hole| {
                    let (name, form) = hole.split_once(':').unwrap_or((hole, ""));
                    // `width` and `prec` of `{value:width$.prec$}`.
                    let of_form =
                        form.split('$').filter_map(|part| part.rsplit(['.', '<', '>', '^']).next());
                    [name].into_iter().chain(of_form)
                });
                let asked = asked.filter(|name| Ident::parse_any.parse_str(name).is_ok());
                texts.push((literal.span(), asked.map(str::to_owned).collect()));
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
    texts
}

pub(crate) fn name_of(param: &GenericParam) -> String {
    match param {
        GenericParam::Lifetime(param) => param.lifetime.to_string(),
        GenericParam::Type(param) => param.ident.unraw().to_string(),
        GenericParam::Const(param) => param.ident.unraw().to_string(),
    }
}

/// The parameters among `used`, with those of their bounds that mention no other parameter.
pub(crate) fn reduced(generics: &Generics, used: &Names) -> Generics {
    let dropped: Names =
        generics.params.iter().map(name_of).filter(|name| !used.contains(name)).collect();
    let mut reduced = generics.clone();
    reduced.params = generics
        .params
        .iter()
        .filter(|param| !dropped.contains(&name_of(param)))
        .map(|param| with_bounds(param, &dropped))
        .collect();
    if let Some(clause) = &mut reduced.where_clause {
        clause.predicates = std::mem::take(&mut clause.predicates)
            .into_iter()
            .filter(|predicate| names_in(predicate).is_disjoint(&dropped))
            .collect();
    }
    reduced
}

fn with_bounds(param: &GenericParam, dropped: &Names) -> GenericParam {
    let mut param = param.clone();
    match &mut param {
        GenericParam::Lifetime(param) => {
            let kept: Vec<Lifetime> = std::mem::take(&mut param.bounds)
                .into_iter()
                .filter(|bound| !dropped.contains(&bound.to_string()))
                .collect();
            param.bounds = Punctuated::from_iter(kept);
        }
        GenericParam::Type(param) => {
            let kept: Vec<TypeParamBound> = std::mem::take(&mut param.bounds)
                .into_iter()
                .filter(|bound| names_in(bound).is_disjoint(dropped))
                .collect();
            param.bounds = Punctuated::from_iter(kept);
        }
        GenericParam::Const(_) => {}
    }
    param
}

/// Gives the lifetimes names that stand in `impl Executor<'_>`: without one they are for `async fn` only.
pub(crate) fn name_lifetimes(sig: &mut Signature) {
    #[derive(Default)]
    struct Namer {
        inside: bool,
        named: Vec<Lifetime>,
    }
    impl Namer {
        fn name(&mut self) -> Lifetime {
            let symbol = format!("'__{}", self.named.len());
            let lifetime = Lifetime::new(&symbol, Span::mixed_site());
            self.named.push(lifetime.clone());
            lifetime
        }
    }
    impl VisitMut for Namer {
        fn visit_type_impl_trait_mut(&mut self, found: &mut TypeImplTrait) {
            let around = std::mem::replace(&mut self.inside, true);
            visit_mut::visit_type_impl_trait_mut(self, found);
            self.inside = around;
        }
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if self.inside && lifetime.ident == "_" {
                *lifetime = self.name();
            }
        }
        fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
            if self.inside && reference.lifetime.is_none() {
                reference.lifetime = Some(self.name());
            }
            visit_mut::visit_type_reference_mut(self, reference);
        }
        // What a callback takes has lifetimes of its own.
        fn visit_parenthesized_generic_arguments_mut(
            &mut self,
            _: &mut ParenthesizedGenericArguments,
        ) {
        }
        fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
    }
    let mut namer = Namer::default();
    for input in &mut sig.inputs {
        namer.visit_fn_arg_mut(input);
    }
    for (at, lifetime) in namer.named.into_iter().enumerate() {
        sig.generics.params.insert(at, parse_quote!(#lifetime));
    }
}

/// `names` and all generics that they determine: in `E: Executor<Database = D>`, `E` determines `D`. In
/// `T: Table<D>` neither determines the other.
pub(crate) fn tied_to(generics: &Generics, mut names: Names) -> Names {
    let params: Names = generics.params.iter().map(name_of).collect();
    let mut ties: Vec<(Names, Names)> = Vec::new();
    for param in &generics.params {
        if let GenericParam::Type(param) = param {
            let subject = Names::from([param.ident.unraw().to_string()]);
            ties.push((subject, determined(&param.bounds)));
        }
    }
    for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
        if let WherePredicate::Type(predicate) = predicate {
            let mut subject = names_in(&predicate.bounded_ty);
            subject.retain(|name| params.contains(name));
            ties.push((subject, determined(&predicate.bounds)));
        }
    }
    loop {
        let before = names.len();
        for (subject, determined) in &ties {
            if subject.is_subset(&names) {
                names.extend(determined.intersection(&params).cloned());
            }
        }
        if names.len() == before {
            return names;
        }
    }
}

/// What stands for associated types, and in the signatures of closures.
fn determined(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Names {
    struct Finder(Names);
    impl Visit<'_> for Finder {
        fn visit_assoc_type(&mut self, assoc: &AssocType) {
            self.0.extend(names_in(&assoc.ty));
        }
        fn visit_parenthesized_generic_arguments(
            &mut self,
            signature: &ParenthesizedGenericArguments,
        ) {
            self.0.extend(names_in(signature));
        }
    }
    let mut finder = Finder(Names::new());
    bounds.iter().for_each(|bound| finder.visit_type_param_bound(bound));
    finder.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn generics(item: TokenStream) -> Generics {
        syn::parse2::<syn::ItemFn>(item).expect("a function").sig.generics
    }

    fn list(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names() {
        assert_eq!(
            names_in(quote!(&'a Foo<'static, T, { N }>)),
            list(&["'a", "'static", "Foo", "T", "N"])
        );
        assert_eq!(names_in(quote!(r#type)), list(&["type"]));
        assert_eq!(names_in(quote!('x')), list(&[]));
    }

    #[test]
    fn variables() {
        for (expr, names) in [
            (quote!(ctx.cache.get(f(x)) + a..b), &["a", "b", "ctx", "f", "x"][..]),
            (quote!(S { y: z, w, ..rest }), &["S", "rest", "w", "z"]),
            (quote!(0..=ret), &["ret"]),
            (quote!(0..ret), &["ret"]),
            (quote!(f::g(a)), &["a", "f", "g"]),
            (quote!(of(&format!("{id:>width$} {}", b.c))), &["b", "id", "of", "width"]),
            (quote!(json!({ a: { "b": "{c}" } })), &["a", "c"]),
            (quote!(format!("{type}")), &["type"]),
            (quote!(!f("{id}") && a != (b)), &["a", "b", "f"]),
        ] {
            assert_eq!(variables_in(expr.clone()), list(names), "{expr}");
        }
    }

    #[test]
    fn bounds_of_dropped_generics_go() {
        let all = generics(quote! {
            fn f<'a, 'b: 'a, T: Display + Into<U>, U, const N: usize>()
            where T: 'b, T: From<U>, String: Into<T>, [u8; N]: Sized {}
        });
        let kept = reduced(&all, &list(&["'b", "T", "Foo"]));
        let clause = &kept.where_clause;
        assert_eq!(
            quote!(#kept #clause).to_string(),
            quote!(<'b, T: Display> where T: 'b, String: Into<T>).to_string()
        );
    }

    #[test]
    fn lifetimes_in_impl_traits_get_names() {
        let mut sig: Signature = parse_quote!(
            fn f<'a, T>(a: &T, b: impl Executor<'_, &'a u8>, c: &impl Fn(&u8) -> X<'_>, d: (impl Into<&u8>, u8))
        );
        name_lifetimes(&mut sig);
        let expected = quote!(
            fn f<'__0, '__1, 'a, T>(
                a: &T,
                b: impl Executor<'__0, &'a u8>,
                c: &impl Fn(&u8) -> X<'_>,
                d: (impl Into<&'__1 u8>, u8)
            )
        );
        assert_eq!(sig.to_token_stream().to_string(), expected.to_string());
    }

    #[test]
    fn what_closures_have_of_their_own_is_not_free() {
        for (expr, free) in [
            (quote!(|user| user.age >= min), &["min"][..]),
            (quote!(|page| page.ids.iter().all(|id| *id > 0)), &[]),
            (quote!(|(a, b)| a + b + c), &["c"]),
            (quote!(|page| page.ids.iter().any(|id| id == own) && id.is_some()), &["id", "own"]),
            (
                quote!(|value| format!("{prefix}{value:?}{}{{x}}", suffix)),
                &["prefix", "suffix", "x"],
            ),
            (
                quote!(|p| match p.until {
                    Some(at) if at > now => true,
                    _ => false,
                }),
                &["now"],
            ),
            (
                quote!(|p| {
                    let conn = p.conn;
                    conn > other
                }),
                &["other"],
            ),
            (quote!(|p| { if let Some(a) = p.a { a > b } else { a } }), &["a", "b"]),
            (
                quote!(|p| {
                    for id in &p.ids {
                        check(id, own);
                    }
                    id
                }),
                &["check", "id", "own"],
            ),
            (quote!(|value| format!("{value:width$.prec$}")), &["prec", "width"]),
            (quote!(Template::compile), &[]),
            (quote!(compile), &["compile"]),
            (quote!(|value| cipher.seal(value)), &["cipher"]),
        ] {
            let parsed = syn::parse2(expr.clone()).unwrap();
            assert_eq!(free_variables_in(&parsed), list(free), "{expr}");
        }
    }

    #[test]
    fn bounds_tie() {
        let all = generics(quote!(
            fn f<'e, E, D, T: Into<u8>>()
            where
                E: Executor<'e, Database = D>,
            {
            }
        ));
        assert_eq!(tied_to(&all, list(&["E"])), list(&["D", "E"]));
        assert_eq!(tied_to(&all, list(&["D"])), list(&["D"]));
        let all = generics(quote!(
            fn f<D, T: Table<D>, F: Fn(A) -> R, A, R: Future<Output = O>, O>() {}
        ));
        assert_eq!(tied_to(&all, list(&["D"])), list(&["D"]));
        assert_eq!(tied_to(&all, list(&["F"])), list(&["A", "F", "O", "R"]));
        let all = generics(quote!(
            fn f<T: Into<u8>>() {}
        ));
        assert_eq!(tied_to(&all, list(&["T"])), list(&["T"]));
    }
}
