//! What a key should have named and does not: parameters, and types that can change the value.

use proc_macro2::Ident;
use syn::GenericParam;
use syn::ext::IdentExt;

use crate::block::Block;
use crate::generics::{Names, name_of, names_in, tied_to};
use crate::key::{Key, Scope, written};
use crate::params::Param;
use crate::spelling::{Kind, is_flag, kind};
use crate::tags::Tag;
use crate::template::Form;

impl Scope<'_> {
    pub(crate) fn forgotten(&self, param: &Param, ident: &Ident, key: &Key) {
        let name = ident.unraw().to_string();
        let placeholder = if param.is_self() {
            "{self.field}".to_owned()
        } else if param.pattern.is_some() {
            written(&name, Form::Display)
        } else {
            match kind(&param.ty) {
                Kind::Option => written(&name, Form::Optional),
                Kind::Collection => written(&name, Form::Hash),
                Kind::Other => written(&name, Form::Display),
            }
        };
        let colon = if key.text.ends_with(':') { "" } else { ":" };
        let template = format!("{}{colon}{placeholder}", key.text);
        let skip = self.skip_with(&name);
        let (what, part) = if param.is_self() {
            ("`self`".to_owned(), "those of its fields that influence the value")
        } else {
            (format!("parameter `{name}`"), "it")
        };
        let flag = if let Some(argument) = self.asked.sets_aside(param) {
            format!(
                ". That `{argument}` asks it is not enough, since the body, `save` or `load` mentions it too"
            )
        } else if is_flag(param, &name) {
            format!(", or, if it only asks for a new value, write `refresh_if = {name}`")
        } else if name.split('_').any(|word| ["default", "fallback"].contains(&word)) {
            format!(
                ", or, if it only stands in for a value that is not there, return an `Option` and write \
                 `.unwrap_or({name})` behind the call"
            )
        } else {
            String::new()
        };
        self.errors.at(
            ident.span(),
            format!(
                "{what} is neither in the key nor in `skip`: two calls that differ only in it \
                 would share one value. Put {part} into the key: `key = {template:?}`, or, if it \
                 does not influence the value, write `{skip}`{flag}"
            ),
        );
    }

    /// The user's `skip` with one more name, and without those that are misspelt.
    fn skip_with(&self, name: &str) -> String {
        let generics = self.generics();
        let mut names: Vec<String> = self
            .skip
            .iter()
            .map(|skipped| skipped.unraw().to_string())
            .filter(|skipped| self.position(skipped).is_some() || generics.contains(skipped))
            .collect();
        names.push(name.to_owned());
        format!("skip({})", names.join(", "))
    }

    /// A type or constant that can change the value is in the key by a path that the user names:
    /// nothing in a key may depend on how the compiler names types.
    pub(crate) fn check_generics(&self, key: &Key, tags: &[Tag]) {
        let returned = self.function.returned().ty().map(names_in).unwrap_or_default();
        let named = key.generics();
        let mut skipped = Names::new();
        for (index, param) in self.params.iter().enumerate() {
            let mut mentioned = names_in(&param.ty);
            if param.is_self()
                && let Some(block) = self.block
            {
                mentioned.extend(block.names_in_self());
            }
            if !is_in_entry(key, tags, index) {
                skipped.extend(mentioned);
            }
        }
        let harmless = tied_to(&self.function.sig.generics, skipped);
        for generic in self.generic_params() {
            let name = name_of(generic);
            let is_lifetime = matches!(generic, GenericParam::Lifetime(_));
            if is_lifetime || self.is_skipped(&name) || named.contains(&name) {
                continue;
            }
            // That an argument of this type is in the key says nothing: `UserId(5)` and `TeamId(5)`
            // print alike.
            let influences = returned.contains(&name)
                || !harmless.contains(&name)
                || self.function.body_mentions(&name)
                || self.is_in_key(key, tags, &name);
            if influences {
                self.forgotten_generic(generic, &name, returned.contains(&name), key);
            }
        }
        self.check_self_of_trait(key, &named);
    }

    fn is_in_key(&self, key: &Key, tags: &[Tag], generic: &str) -> bool {
        let used = self.params.iter().enumerate();
        let used = used.filter(|(index, _)| is_in_entry(key, tags, *index));
        used.into_iter().any(|(_, param)| {
            names_in(&param.ty).contains(generic)
                || (param.is_self()
                    && self.block.is_some_and(|block| block.names_in_self().contains(generic)))
        })
    }

    fn forgotten_generic(&self, generic: &GenericParam, name: &str, is_returned: bool, key: &Key) {
        let placeholder = match generic {
            GenericParam::Const(_) => format!("{{{name}}}"),
            _ => format!("{{{name}::KIND}}"),
        };
        let colon = if key.text.ends_with(':') { "" } else { ":" };
        let template = format!("{}{colon}{placeholder}", key.text);
        let what =
            if is_returned { "stands in the return type" } else { "can influence the value" };
        let constant = match generic {
            GenericParam::Const(_) => "",
            _ => " by a constant that a trait gives it, as `const KIND: &str`",
        };
        let because = if is_returned {
            "if the arguments in the key determine it"
        } else {
            "if it does not influence the value"
        };
        self.errors.on(
            generic,
            format!(
                "`{name}` {what}, but is not in the key: calls that differ only in it would share one \
                 key. Put it in{constant}: `key = {template:?}`, or, {because}, write `{}`",
                self.skip_with(name)
            ),
        );
    }

    /// All types that implement a trait run its provided methods.
    fn check_self_of_trait(&self, key: &Key, named: &Names) {
        let is_trait = self.block.is_some_and(Block::is_trait);
        let has_self = self.params.iter().any(Param::is_self);
        if is_trait && !has_self && !named.contains("Self") && !self.is_skipped("Self") {
            let colon = if key.text.ends_with(':') { "" } else { ":" };
            let template = format!("{}{colon}{{Self::KIND}}", key.text);
            self.errors.at(
                self.function.sig.ident.span(),
                format!(
                    "every type that implements this trait has this function, and all would share one \
                     key. Put a constant of the type into it: `key = {template:?}`, or, if the type \
                     does not influence the value, write `{}`",
                    self.skip_with("Self")
                ),
            );
        }
    }
}

/// Whether the parameter at this place names the entry.
fn is_in_entry(key: &Key, tags: &[Tag], index: usize) -> bool {
    key.uses(index) || tags.iter().any(|tag| tag.uses(index))
}
