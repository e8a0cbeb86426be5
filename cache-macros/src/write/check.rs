//! Arguments + function → `Write`: every check of one against the other.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, ExprCall, ExprMethodCall, ExprRange, FieldValue, Macro, Member, Pat, PatIdent, Path,
    Receiver, Signature,
};

use crate::args::Given;
use crate::asked::Asked;
use crate::errors::Errors;
use crate::expand::located;
use crate::function::{Function, Returned};
use crate::generics::{Names, is_colon, is_dot, names_in, variables_in};
use crate::key::Scope;
use crate::params::{self, Param, Passing};
use crate::policy;
use crate::signature::first_impl_trait;
use crate::spelling::names_transaction;
use crate::tags::{self, Asks, RETURNED, Tag};
use crate::write::Does;
use crate::write::args::{self, Args, Target};

/// All that expansion needs, free of contradictions.
pub(crate) struct Write {
    pub(crate) does: Does,
    pub(crate) function: Function,
    pub(crate) params: Vec<Param>,
    pub(crate) targets: Vec<Handle>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) when: Option<Expr>,
    pub(crate) on_failure: OnFailure,
    pub(crate) after_commit: bool,
    /// It says `now`.
    pub(crate) commits: bool,
    pub(crate) cache: Option<Expr>,
    pub(crate) krate: Option<Path>,
}

/// What a target says, with the call by which generated code makes a handle of it.
pub(crate) struct Handle {
    pub(crate) each: Option<(Pat, Expr)>,
    pub(crate) call: Expr,
    /// What is put there; where nothing is said, what is returned.
    pub(crate) value: Option<Expr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Retry,
    Error,
}

impl Handle {
    /// Whether it is known only when the body has returned.
    pub(crate) fn is_of_value(&self) -> bool {
        let over = self.each.as_ref().map(|(_, over)| over);
        mentions_returned(&self.call) || over.is_some_and(mentions_returned)
    }
}

impl Write {
    /// What is asked for when the body has ended.
    fn asked_behind(&self) -> Names {
        let mut names = Names::new();
        for target in &self.targets {
            let Handle { each, call, value } = target;
            // What is put into each of many is put behind the body.
            let is_each_put = self.does == Does::Put && each.is_some();
            if target.is_of_value() || is_each_put {
                names.extend(variables_in(call));
                names.extend(each.iter().flat_map(|(_, over)| variables_in(over)));
            }
            names.extend(value.iter().flat_map(variables_in));
        }
        let when = self.when.iter().filter(|when| mentions_returned(when));
        names.extend(when.flat_map(variables_in));
        let mut tags = self.tags.iter().filter(|tag| tag.is_of_value()).peekable();
        if tags.peek().is_some() {
            names.extend(self.cache.iter().flat_map(variables_in));
        }
        names.extend(tags.flat_map(Tag::names));
        names
    }

    /// Whether the body, which an `async` block holds, can only be lent what is asked for behind it.
    pub(crate) fn lends(&self) -> bool {
        let asked = self.asked_behind();
        let kept = self.kept();
        let names = self.params.iter().flat_map(Param::names);
        names
            .into_iter()
            .any(|name| asked.contains(&name.unraw().to_string()) && !kept.contains(&name))
    }

    /// Of what is asked for behind the body, what that changes or takes with it.
    pub(crate) fn kept(&self) -> Vec<Ident> {
        let mutable = mutable_names(&self.function.sig);
        let is_block =
            matches!(self.function.returned(), Returned::Async(_) | Returned::NoFuture(_));
        let taken = if is_block { Names::new() } else { names_in(&self.function.body) };
        let asked = self.asked_behind();
        let params = self.params.iter().filter(|param| param.passing != Passing::Exclusive);
        let kept = params.flat_map(|param| {
            let is_copied = param.passing == Passing::Borrowed && param.pattern.is_none();
            let is_kept = |name: &Ident| {
                let name = name.unraw().to_string();
                let is_taken = taken.contains(&name) && !is_copied;
                asked.contains(&name) && (is_taken || mutable.contains(&name))
            };
            param.names().into_iter().filter(is_kept).collect::<Vec<_>>()
        });
        kept.collect()
    }

    /// An entry is named before the body, and gets its value behind it.
    fn check_unchanged(&self, errors: &Errors) {
        let exclusive = self.params.iter().filter(|param| param.passing == Passing::Exclusive);
        let exclusive = exclusive.filter(|param| !param.is_self()).flat_map(Param::names);
        let exclusive: Names = exclusive.map(|name| name.unraw().to_string()).collect();
        // What names the entry is asked before the body, of what was passed in.
        let mut changed = mutable_names(&self.function.sig);
        changed.extend(exclusive.iter().cloned());
        for Handle { each, call, value } in &self.targets {
            let bound = each.as_ref().map_or_else(Names::new, |(pattern, _)| names_in(pattern));
            let asked = [Some((call, &exclusive)), value.as_ref().map(|value| (value, &changed))];
            for (asked, changed) in asked.into_iter().flatten() {
                let names = variables_in(asked);
                let is_asked = |name: &&String| names.contains(*name) && !bound.contains(*name);
                if let Some(name) = changed.iter().find(is_asked) {
                    errors.on(
                        asked,
                        format!(
                            "`{name}` may be changed by the body, and is then not what was passed in: return what is put, \
                             and write `ret`"
                        ),
                    );
                }
            }
        }
    }

    /// A `&mut` goes where the future of the body goes.
    fn check_exclusive(&self, errors: &Errors) {
        let is_block =
            matches!(self.function.returned(), Returned::Async(_) | Returned::NoFuture(_));
        if is_block {
            return;
        }
        let (asked, taken) = (self.asked_behind(), names_in(&self.function.body));
        for param in self.params.iter().filter(|param| param.passing == Passing::Exclusive) {
            for name in param.names() {
                let text = name.unraw().to_string();
                if !asked.contains(&text) || !taken.contains(&text) {
                    continue;
                }
                let instead = if param.is_self() {
                    "where the key does not ask for it, write `Self::load(..)`, or take it as `&self`"
                } else {
                    "name another parameter"
                };
                errors.at(
                    name.span(),
                    format!(
                        "`{name}` is a `&mut`, which the future of the body has to itself, and what asks for \
                         `{RETURNED}` is evaluated behind that: {instead}"
                    ),
                );
            }
        }
    }
}

/// What is bound by `mut`.
fn mutable_names(sig: &Signature) -> Names {
    struct Finder(Names);
    impl Visit<'_> for Finder {
        fn visit_pat_ident(&mut self, pat: &PatIdent) {
            if pat.mutability.is_some() && pat.by_ref.is_none() {
                self.0.insert(pat.ident.unraw().to_string());
            }
            visit::visit_pat_ident(self, pat);
        }
        fn visit_receiver(&mut self, receiver: &Receiver) {
            if receiver.mutability.is_some() {
                self.0.insert("self".to_owned());
            }
        }
    }
    let mut finder = Finder(Names::new());
    finder.visit_signature(sig);
    finder.0
}

pub(crate) fn mentions_returned(tokens: impl ToTokens) -> bool {
    variables_in(tokens).contains(RETURNED)
}

pub(crate) fn read(
    does: Does,
    attr: TokenStream,
    place: Span,
    function: syn::Result<Function>,
) -> syn::Result<Write> {
    let errors = Errors::of(place);
    let checked = check(does, attr, function, &errors);
    errors.finish_with(checked)
}

fn check(
    does: Does,
    attr: TokenStream,
    function: syn::Result<Function>,
    errors: &Errors,
) -> syn::Result<Write> {
    let args = args::parse(attr, errors)?;
    let function = function?;
    check_function(does, &function, errors);
    let params = params::params(&function.sig);
    check_names(does, &args, &params, errors);
    let on_failure = on_failure(does, &args, errors);
    match does {
        Does::Invalidate => {
            check_transaction(&args, &function, errors);
            check_no_values(&args, errors);
        }
        Does::Put => {
            check_commits(&args, &function, errors);
            check_values(&args, errors);
        }
    }
    let scope = Scope {
        function: &function,
        block: None,
        params: &params,
        skip: &[],
        aside: Names::new(),
        asked: Asked::default(),
        errors,
    };
    let tags = tags::tags(args.tags.as_ref().map(|given| &given.value), Asks::Both, &scope);
    match does {
        Does::Invalidate if args.targets.is_empty() && args.tags.is_none() => errors.on_attribute(
            "nothing is invalidated: name the cached functions, `load_user(id)`, or `tags = [\"team:{team}\"]`",
        ),
        Does::Put if args.targets.is_empty() => errors.on_attribute(
            "nothing is put: name the cached functions whose entries get what is returned, `load_user(ret.id)`",
        ),
        _ => {}
    }
    let given = |argument: Option<Given<Expr>>| argument.map(|given| given.value);
    let targets = args.targets.into_iter().filter_map(|target| handle(target, errors)).collect();
    let write = Write {
        does,
        targets,
        tags,
        when: given(args.when),
        on_failure: on_failure.unwrap_or(OnFailure::Retry),
        after_commit: args.after_commit.is_some(),
        commits: args.now.is_some(),
        cache: given(args.cache),
        krate: args.krate.map(|given| given.value),
        params,
        function,
    };
    write.check_exclusive(errors);
    if does == Does::Put {
        write.check_unchanged(errors);
    }
    Ok(write)
}

fn check_function(does: Does, function: &Function, errors: &Errors) {
    let attribute = does.name();
    let sig = &function.sig;
    let name = &sig.ident;
    if let Returned::NoFuture(_) = function.returned() {
        errors.on(
            sig.fn_token,
            format!(
                "`#[{attribute}]` needs an async function: write `async fn {name}`, or return a \
                 `BoxFuture<'_, T>` or an `impl Future<Output = T>`"
            ),
        );
    }
    if let Some(opaque) = function.returned().ty().and_then(first_impl_trait) {
        errors.on(
            opaque,
            "what is returned needs a type that has a name, as the cache is told between the body and the caller: \
             return a `Box<dyn ..>`, or collect it",
        );
    }
    if !function.has_body() {
        errors.on(
            &sig.ident,
            format!("`{name}` has no body: write `#[{attribute}]` where it has one"),
        );
    }
}

/// In targets `ret` is what is returned.
fn check_names(does: Does, args: &Args, params: &[Param], errors: &Errors) {
    struct Finder<'a>(&'a Errors);
    impl Visit<'_> for Finder<'_> {
        fn visit_pat_ident(&mut self, pat: &PatIdent) {
            if pat.ident == RETURNED {
                self.0.on(
                    &pat.ident,
                    format!(
                        "`{RETURNED}` is the value that is returned: give what is bound here another name"
                    ),
                );
            }
            visit::visit_pat_ident(self, pat);
        }
    }
    let mut finder = Finder(errors);
    for Target { each, call, value } in &args.targets {
        if let Some((pattern, over)) = each {
            finder.visit_pat(pattern);
            finder.visit_expr(over);
        }
        [Some(call), value.as_ref()].into_iter().flatten().for_each(|expr| finder.visit_expr(expr));
    }
    args.when.iter().for_each(|when| finder.visit_expr(&when.value));
    let Some(param) = params.iter().find(|param| param.binds(RETURNED)) else { return };
    let of_targets = args.targets.iter().any(|target| {
        let over = target.each.as_ref().map(|(_, over)| over);
        let of_value = match &target.value {
            None => does == Does::Put,
            Some(value) => mentions_returned(value),
        };
        of_value || mentions_returned(&target.call) || over.is_some_and(mentions_returned)
    });
    if of_targets || args.when.as_ref().is_some_and(|when| mentions_returned(&when.value)) {
        errors.at(
            param.ident.span(),
            format!(
                "`{RETURNED}` is the value that is returned, and a parameter is called so too: give the \
                 parameter another name"
            ),
        );
    }
}

fn on_failure(does: Does, args: &Args, errors: &Errors) -> Option<OnFailure> {
    const BOTH: &str = "`on_failure = \"retry\"` (the function returns what it has done, and the invalidation is tried \
                        again behind it) or `on_failure = \"error\"` (it returns an error, whose type has a \
                        `From<redis_cached::InvalidateError>`)";
    let Some(given) = &args.on_failure else {
        if args.after_commit.is_none() || does == Does::Put {
            errors.on_attribute(format!(
                "say what happens when the cache can't be told of the change: {BOTH}"
            ));
        }
        return None;
    };
    let text = match policy::literal(&given.value) {
        Some(syn::Lit::Str(text)) => text.value(),
        _ => String::new(),
    };
    match text.as_str() {
        "retry" => Some(OnFailure::Retry),
        "error" => Some(OnFailure::Error),
        _ => {
            errors.on(&given.value, format!("write {BOTH}"));
            None
        }
    }
}

fn check_no_values(args: &Args, errors: &Errors) {
    for value in args.targets.iter().filter_map(|target| target.value.as_ref()) {
        errors.on(
            value,
            "an entry is invalidated here, and gets no value: `#[redis_put]` is for that",
        );
    }
}

fn check_values(args: &Args, errors: &Errors) {
    for Target { each, call, value } in &args.targets {
        if value.is_none() && each.is_some() {
            errors.on(
                call,
                "say what is put into each of these: `for user in &ret => load_user(user.id) = user`",
            );
        }
        let all = match call {
            Expr::Call(ExprCall { args, .. }) | Expr::MethodCall(ExprMethodCall { args, .. }) => {
                is_all(args.iter())
            }
            _ => false,
        };
        if all {
            errors.on(
                call,
                "one value is put into one entry: name its arguments, or write `#[redis_invalidate]` for all entries",
            );
        }
    }
    if let Some(tags) = &args.tags {
        errors.on(
            &tags.value,
            "tags are invalidated, not put: write `#[redis_invalidate(tags = [..])]` beside this",
        );
    }
}

/// What is put must be what is committed.
fn check_commits(args: &Args, function: &Function, errors: &Errors) {
    if let Some(after_commit) = args.after_commit {
        errors.at(
            after_commit,
            "what is not committed yet can't be put: write `#[redis_invalidate(.., after_commit)]`, or put it where the \
             transaction is committed",
        );
    } else if args.now.is_none()
        && let Some(input) = transaction(function)
    {
        errors.on(
            input,
            "this function takes a transaction, and what is not committed yet can't be put: write \
             `#[redis_invalidate(.., after_commit)]`, or `now` where this function commits it",
        );
    }
}

fn transaction(function: &Function) -> Option<&syn::FnArg> {
    let takes = |input: &&syn::FnArg| names_in(input).iter().any(|name| names_transaction(name));
    function.sig.inputs.iter().find(takes)
}

/// What is invalidated before the commit is read again, as it was, and stored again.
fn check_transaction(args: &Args, function: &Function, errors: &Errors) {
    match (args.after_commit, args.now) {
        (Some(_), Some(now)) => {
            errors.at(now, "`after_commit` and `now` exclude each other: keep one of them");
        }
        (None, None) => {
            if let Some(input) = transaction(function) {
                errors.on(
                    input,
                    "this function takes a transaction, and an invalidation before its commit is followed by reads of the \
                     old rows: write `after_commit` where the caller commits, inside \
                     `redis_cached::Invalidation::collect(..)`, or `now` where this function does",
                );
            }
        }
        _ => {}
    }
}

/// `users::load(id)` → `users::load_entry(id)`, `load(..)` → `load_all()`
fn handle(target: Target, errors: &Errors) -> Option<Handle> {
    let Target { each, call, value } = target;
    let call = match call {
        Expr::Call(mut call) => match &mut *call.func {
            Expr::Path(path) => {
                let all = is_all(call.args.iter());
                if let Some(last) = path.path.segments.last_mut() {
                    last.ident = sibling(&last.ident, all);
                }
                if all {
                    call.args.clear();
                }
                Expr::Call(call)
            }
            other => {
                refuse(other, errors);
                return None;
            }
        },
        Expr::MethodCall(mut call) => {
            let all = is_all(call.args.iter());
            call.method = sibling(&call.method, all);
            if all {
                call.args.clear();
            }
            Expr::MethodCall(call)
        }
        other => {
            refuse(&other, errors);
            return None;
        }
    };
    Some(Handle { each, call, value })
}

fn refuse(target: &Expr, errors: &Errors) {
    errors.on(
        target,
        "a target is a call of a cached function with the arguments that its key is made of: write \
         `load_user(team, user.id)`, `self.load(id)`, or `load_user(..)` for all entries of one that is `clearable`",
    );
}

fn is_all<'a>(mut args: impl ExactSizeIterator<Item = &'a Expr>) -> bool {
    args.len() == 1
        && matches!(args.next(), Some(Expr::Range(ExprRange { start: None, end: None, .. })))
}

fn sibling(name: &Ident, all: bool) -> Ident {
    let suffix = if all { "all" } else { "entry" };
    format_ident!("{}_{suffix}", name.unraw(), span = name.span())
}

/// An expression in which `ret` is what stands for the value that was returned.
pub(crate) fn with_returned(expr: &Expr, place: &TokenStream) -> TokenStream {
    let mut expr = expr.clone();
    InPlace(place).visit_expr_mut(&mut expr);
    expr.into_token_stream()
}

struct InPlace<'a>(&'a TokenStream);

impl VisitMut for InPlace<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Path(path) if path.path.is_ident(RETURNED) => {
                *expr = Expr::Verbatim(located(self.0.clone(), path.span()));
            }
            Expr::Verbatim(tokens) => *tokens = self.in_tokens(tokens.clone()),
            other => visit_mut::visit_expr_mut(self, other),
        }
    }

    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        // `Filter { ret }` names a field, too.
        if matches!(&field.member, Member::Named(name) if name == RETURNED) {
            field.colon_token.get_or_insert_default();
        }
        visit_mut::visit_field_value_mut(self, field);
    }

    fn visit_macro_mut(&mut self, call: &mut Macro) {
        call.tokens = self.in_tokens(std::mem::take(&mut call.tokens));
    }
}

impl InPlace<'_> {
    fn in_tokens(&self, tokens: TokenStream) -> TokenStream {
        let mut dots = 0;
        let mut placed = TokenStream::new();
        let mut trees = tokens.into_iter().peekable();
        while let Some(tree) = trees.next() {
            let behind_dots = dots;
            dots = if is_dot(&tree) { dots + 1 } else { 0 };
            let is_field = behind_dots == 1 || trees.peek().is_some_and(is_colon);
            match tree {
                TokenTree::Ident(ident) if ident == RETURNED && !is_field => {
                    placed.extend(located(self.0.clone(), ident.span()));
                }
                TokenTree::Group(group) => {
                    let inside = self.in_tokens(group.stream());
                    let mut renamed = Group::new(group.delimiter(), inside);
                    renamed.set_span(group.span());
                    placed.extend([TokenTree::from(renamed)]);
                }
                other => placed.extend([other]),
            }
        }
        placed
    }
}
