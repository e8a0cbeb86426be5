//! What the spelling of a type or a name tells. Aliases are left to the compiler.

use syn::Type;

use crate::function::ungrouped;
use crate::params::Param;
use crate::signature::{first_type_argument, spaceless};

/// What can be told of a type by its spelling; aliases are left to the compiler.
pub(crate) enum Kind {
    Option,
    Collection,
    Other,
}

pub(crate) fn kind(ty: &Type) -> Kind {
    match ungrouped(ty) {
        Type::Reference(reference) => kind(&reference.elem),
        Type::Slice(_) | Type::Array(_) => Kind::Collection,
        Type::Tuple(tuple) if !tuple.elems.is_empty() => Kind::Collection,
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last().map(|segment| segment.ident.to_string());
            match last.as_deref() {
                Some("Option") => match first_type_argument(ty).map(kind) {
                    Some(Kind::Collection) => Kind::Collection,
                    _ => Kind::Option,
                },
                Some(
                    "Vec" | "HashMap" | "HashSet" | "BTreeMap" | "BTreeSet" | "VecDeque"
                    | "PathBuf" | "Path",
                ) => Kind::Collection,
                _ => Kind::Other,
            }
        }
        _ => Kind::Other,
    }
}

pub(crate) fn undisplayable(ty: &Type, name: &str) -> Option<String> {
    match kind(ty) {
        Kind::Option => Some(format!(
            "an `Option` has no `Display`: write `{{{name}?}}`, of which `None` and an empty text differ"
        )),
        Kind::Collection => Some(format!(
            "`{}` has no `Display`: write `{{{name}:hash}}`, a digest of all that is in it, or a part of \
             it, as in `{{{name}.part}}`",
            spaceless(ty)
        )),
        Kind::Other => None,
    }
}

pub(crate) fn is_option(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Path(path)
        if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

pub(crate) fn is_bool(ty: &Type) -> bool {
    match ungrouped(ty) {
        Type::Reference(reference) => is_bool(&reference.elem),
        Type::Path(path) => path.path.is_ident("bool"),
        _ => false,
    }
}

/// A `Duration`, or an `Option` of one.
pub(crate) fn is_duration(ty: &Type) -> bool {
    match ungrouped(ty) {
        Type::Reference(reference) => is_duration(&reference.elem),
        _ if is_option(ty) => first_type_argument(ty).is_some_and(is_duration),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Duration"),
        _ => false,
    }
}

/// What a transaction is handed about in, and what is in it can be asked.
const LENDERS: [&str; 12] = [
    "Arc",
    "Box",
    "MappedMutexGuard",
    "MutexGuard",
    "OwnedMutexGuard",
    "OwnedRwLockReadGuard",
    "OwnedRwLockWriteGuard",
    "Pin",
    "Rc",
    "RefMut",
    "RwLockReadGuard",
    "RwLockWriteGuard",
];
/// What has to be locked for that.
const LOCKS: [&str; 3] = ["Mutex", "RefCell", "RwLock"];

/// An open transaction, by the name of its type: `Transaction` of sqlx and `rusqlite`, `PgTransaction`,
/// `DatabaseTransaction` of `SeaORM`.
pub(crate) fn is_transaction(ty: &Type) -> bool {
    match ungrouped(ty) {
        Type::Reference(reference) => is_transaction(&reference.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let name = last.ident.to_string();
            let holds = LENDERS.contains(&name.as_str()) || LOCKS.contains(&name.as_str());
            names_transaction(&name)
                || (holds && first_type_argument(ty).is_some_and(is_transaction))
        }),
        _ => false,
    }
}

/// An `Option` of one.
pub(crate) fn is_optional_transaction(ty: &Type) -> bool {
    match ungrouped(ty) {
        Type::Reference(reference) => is_optional_transaction(&reference.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let inside = first_type_argument(ty);
            if last.ident == "Option" {
                inside.is_some_and(is_transaction)
            } else {
                LENDERS.iter().any(|lender| last.ident == lender)
                    && inside.is_some_and(is_optional_transaction)
            }
        }),
        _ => false,
    }
}

pub(crate) fn names_transaction(name: &str) -> bool {
    name.ends_with("Transaction")
}

/// A `bool` that is called like the wish for a new value.
pub(crate) fn is_flag(param: &Param, name: &str) -> bool {
    const WISHES: [&str; 12] = [
        "force",
        "forced",
        "refresh",
        "reload",
        "recompute",
        "renew",
        "fresh",
        "bust",
        "bypass",
        "skip",
        "nocache",
        "no",
    ];
    is_bool(&param.ty) && name.split('_').any(|word| WISHES.contains(&word))
}
