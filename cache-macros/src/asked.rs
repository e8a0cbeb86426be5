//! What need not be in the key because it only says how to call: the cache itself, and what expressions ask.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{BinOp, Expr, UnOp, WherePredicate, parse_quote};

use crate::args::{Args, Given};
use crate::function::Function;
use crate::generics::{Names, free_variables_in, names_in};
use crate::key::Scope;
use crate::params::Param;
use crate::policy;
use crate::spelling::{
    is_bool, is_duration, is_optional_transaction, is_transaction, names_transaction,
};

/// The parameter that is the cache says where a value lives, not which one it is; one that only holds
/// the cache (`cache = state.cache`) may hold more, and has to be accounted for. What only says how to call is
/// another matter, unless the body asks it too.
pub(crate) fn aside(args: &Args, asked: &Asked, function: &Function, params: &[Param]) -> Names {
    let cache = args.cache.as_ref().and_then(|given| bare_name(&given.value));
    let mut always = Names::new();
    if let Some(given) = &args.bypass_if {
        decides(&given.value, &mut always);
    }
    let conversion = [&args.save, &args.load];
    let converting: Names = conversion
        .iter()
        .filter_map(|given| Some(free_variables_in(&given.as_ref()?.value)))
        .flatten()
        .collect();
    let flags = params
        .iter()
        .filter(|param| asked.sets_aside(param).is_some())
        .map(|param| param.ident.unraw().to_string())
        .filter(|name| always.contains(name) || !function.body_mentions(name))
        // What is stored is as much a matter of these.
        .filter(|name| !converting.contains(name));
    cache.into_iter().chain(flags).collect()
}

/// What bypasses the cache, beside what `bypass_if` says: rows that are not committed yet must be seen by their own
/// transaction, and published by none. Not where it says something of the transaction, or `false`. Of what is
/// skipped: a `Transaction` in the key is a bank's.
pub(crate) fn bypassing(given: Option<Expr>, params: &[Param], skip: &[Ident]) -> Option<Expr> {
    let transactions: Vec<Expr> =
        unsettled(given.as_ref(), params, skip).filter_map(in_transaction).collect();
    given.into_iter().chain(transactions).reduce(|one, other| parse_quote!((#one) || #other))
}

/// What is skipped, and `bypass_if` does not speak of.
fn unsettled<'a>(
    given: Option<&Expr>,
    params: &'a [Param],
    skip: &'a [Ident],
) -> impl Iterator<Item = &'a Param> {
    let settled = given.map(free_variables_in).unwrap_or_default();
    let settles_all = given.and_then(policy::literal).is_some();
    params.iter().filter(move |param| {
        let is_skipped = skip.iter().any(|name| param.binds(&name.unraw().to_string()));
        is_skipped && !settles_all && !settled.contains(&param.ident.unraw().to_string())
    })
}

/// Whether a call hands over an open transaction.
fn in_transaction(param: &Param) -> Option<Expr> {
    let ident = &param.ident;
    if param.is_self() {
        None
    } else if is_transaction(&param.ty) {
        Some(parse_quote!(true))
    } else {
        is_optional_transaction(&param.ty).then(|| parse_quote!(#ident.is_some()))
    }
}

impl Scope<'_> {
    /// Whether a transaction is in what is skipped, where its type speaks of one and does not say.
    pub(crate) fn check_transactions(&self, bypass_if: Option<&Expr>) {
        for param in unsettled(bypass_if, self.params, self.skip) {
            let speaks = self.names_of(param).iter().any(|name| names_transaction(name));
            if !speaks || in_transaction(param).is_some() {
                continue;
            }
            let name = &param.ident;
            self.errors.at(
                name.span(),
                format!(
                    "`{name}` may be an open transaction, whose rows nobody else may see, and its type does not say \
                     whether it is: say when a call passes by the cache, as in `bypass_if = {name}.is_open()`, or write \
                     `bypass_if = false` where all that is read is committed"
                ),
            );
        }
    }

    /// Those in the parameter's type, and in what is said of those.
    fn names_of(&self, param: &Param) -> Names {
        let mut names = names_in(&param.ty);
        if let Some(block) = self.block
            && param.is_self()
        {
            names.extend(block.names_in_self());
            names.extend(block.names_of_traits());
        }
        let generics = self.block.map(|block| &block.generics);
        for generics in generics.into_iter().chain([&self.function.sig.generics]) {
            for param in generics.type_params() {
                if names.contains(&param.ident.unraw().to_string()) {
                    names.extend(names_in(&param.bounds));
                }
            }
            for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
                if let WherePredicate::Type(predicate) = predicate
                    && !names_in(&predicate.bounded_ty).is_disjoint(&names)
                {
                    names.extend(names_in(&predicate.bounds));
                }
            }
        }
        names
    }
}

/// The arguments that say how to call, with the variables that each reads.
#[derive(Default)]
pub(crate) struct Asked(Vec<(&'static str, Names)>);

impl Asked {
    pub(crate) fn by(args: &Args) -> Self {
        let expressions = [
            ("bypass_if", &args.bypass_if),
            ("refresh_if", &args.refresh_if),
            ("no_store_if", &args.no_store_if),
            ("max_age", &args.max_age),
            ("busy", &args.busy),
            ("accept_if", &args.accept_if),
        ];
        let asked = |(argument, given): (_, &Option<Given<Expr>>)| {
            Some((argument, free_variables_in(&given.as_ref()?.value)))
        };
        Self(expressions.into_iter().filter_map(asked).collect())
    }

    /// The argument because of which this parameter may be left out of the key: of a `bool` that says how to call, a
    /// duration in `max_age`, and whatever is answered instead of waiting, or decides which stored values are taken. What else they ask may influence the
    /// value.
    pub(crate) fn sets_aside(&self, param: &Param) -> Option<&'static str> {
        let name = param.ident.unraw().to_string();
        let is_told_by = |argument: &str| {
            is_bool(&param.ty)
                || (argument == "max_age" && is_duration(&param.ty))
                || (matches!(argument, "busy" | "accept_if")
                    && !param.is_self()
                    && param.pattern.is_none())
        };
        let mut asking = self.0.iter().filter(|(_, names)| names.contains(&name));
        asking.find(|(argument, _)| is_told_by(argument)).map(|(argument, _)| *argument)
    }
}

/// The flags each of which settles the whole: `a` and `b` of `a || !b`. A call that uses the cache has one
/// value of them.
fn decides(expr: &Expr, names: &mut Names) {
    match expr {
        Expr::Binary(or) if matches!(or.op, BinOp::Or(_)) => {
            decides(&or.left, names);
            decides(&or.right, names);
        }
        Expr::Unary(not) if matches!(not.op, UnOp::Not(_)) => names.extend(bare_name(&not.expr)),
        Expr::Paren(paren) => decides(&paren.expr, names),
        other => names.extend(bare_name(other)),
    }
}

fn bare_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(|ident| ident.unraw().to_string()),
        Expr::Group(group) => bare_name(&group.expr),
        _ => None,
    }
}
