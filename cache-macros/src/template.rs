//! `"user:{id}"` → segments. Knows nothing of tokens.

use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    Placeholder(Placeholder),
}

/// `{user.address.city}`, `{id.as_str()}`, `{T::KIND}`, `{region?}`, `{filter:hash}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// A parameter, or the segments of a path that begins with a type.
    pub(crate) root: Vec<String>,
    /// The path is that of a function, which is called.
    pub(crate) root_is_called: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) form: Form,
}

/// What stands behind a dot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Field(String),
    Method(String),
}

/// How the value is written into the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Display,
    /// `{x?}`: an `Option`, of which `None` and an empty text differ.
    Optional,
    /// `{x:hash}`: a digest of what is only `Serialize`.
    Hash,
}

impl Placeholder {
    /// The parameter, where it is not a path.
    pub(crate) fn name(&self) -> &str {
        &self.root[0]
    }

    pub(crate) fn is_path(&self) -> bool {
        self.root.len() > 1
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}", self.root.join("::"))?;
        if self.root_is_called {
            f.write_str("()")?;
        }
        for step in &self.steps {
            match step {
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Method(name) => write!(f, ".{name}()")?,
            }
        }
        f.write_str(match self.form {
            Form::Display => "}",
            Form::Optional => "?}",
            Form::Hash => ":hash}",
        })
    }
}

/// All mistakes of the template come at once.
pub(crate) fn parse(text: &str) -> Result<Vec<Segment>, Vec<String>> {
    let mut mistakes = Vec::new();
    let segments = split(text, &mut mistakes);
    // What stands between two placeholders is known only when all of them were understood.
    if mistakes.is_empty() {
        check_head(&segments, &mut mistakes);
        check_separators(&segments, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(segments) } else { Err(mistakes) }
}

fn split(text: &str, mistakes: &mut Vec<String>) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(brace) = ["{{", "}}"].into_iter().find(|b| rest.starts_with(b)) {
            literal.push_str(&brace[..1]);
            rest = &rest[2..];
        } else if rest.starts_with('}') {
            mistakes.push("`}` without a `{` before it: write `}}` for a literal brace".to_owned());
            rest = &rest[1..];
        } else {
            let inside = &rest[1..];
            let Some(end) = inside.find(['{', '}']).filter(|end| inside[*end..].starts_with('}'))
            else {
                mistakes.push(format!(
                    "`{rest}` opens a placeholder that is never closed: write `}}` at its end, \
                     or `{{{{` for a literal brace"
                ));
                break;
            };
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            match placeholder(&inside[..end]) {
                Ok(placeholder) => segments.push(Segment::Placeholder(placeholder)),
                Err(mistake) => mistakes.push(mistake),
            }
            rest = &inside[end + 1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        segments.push(Segment::Literal(literal));
    }
    segments
}

fn placeholder(inside: &str) -> Result<Placeholder, String> {
    let (path, form) = if let Some(path) = inside.strip_suffix('?') {
        (path, Form::Optional)
    } else if let Some(path) = inside.strip_suffix(":hash") {
        (path, Form::Hash)
    } else {
        (inside, Form::Display)
    };
    parts(path, form).ok_or_else(|| refused(inside))
}

fn parts(path: &str, form: Form) -> Option<Placeholder> {
    let mut parts = path.split('.');
    let root = parts.next()?;
    let (root, root_is_called) = match root.strip_suffix("()") {
        Some(function) => (function, true),
        None => (root, false),
    };
    let root: Vec<String> = root.split("::").map(str::to_owned).collect();
    let steps = parts.map(step).collect::<Option<Vec<_>>>()?;
    // What is called without a path would be a closure: its value is not known to be a stable one.
    let good = root.iter().all(|name| is_name(name)) && (root.len() > 1 || !root_is_called);
    good.then_some(Placeholder { root, root_is_called, steps, form })
}

fn step(text: &str) -> Option<Step> {
    if let Some(name) = text.strip_suffix("()") {
        return is_name(name).then(|| Step::Method(name.to_owned()));
    }
    ((is_name(text) && text != "await") || is_index(text)).then(|| Step::Field(text.to_owned()))
}

fn refused(inside: &str) -> String {
    let name: String = inside.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let shown = format!("`{{{inside}}}`");
    if inside.trim().is_empty() {
        format!("{shown} names no parameter: write `{{name}}`, or `{{{{}}}}` for literal braces")
    } else if inside.contains(":?") || inside.contains(":#?") {
        format!(
            "{shown}: `Debug` output is not stable, so it cannot be part of a key: \
             implement `Display` and write `{{{name}}}`, name a field, `{{{name}.field}}`, \
             or write `{{{name}:hash}}` for what is `Serialize`"
        )
    } else if inside.contains("await") {
        format!(
            "{shown}: a key is made before anything is waited for: take the result as a parameter"
        )
    } else if inside.contains(['(', '[']) {
        format!(
            "{shown}: only fields and methods without arguments can stand in a key: write \
             `{{{name}.method()}}`, or take the result as a parameter of its own"
        )
    } else if inside.contains(':') && !inside.contains("::") {
        format!("{shown}: formatting is not supported in keys: write `{{{name}}}`")
    } else {
        format!(
            "{shown} is neither a parameter nor a part of one: write `{{name}}`, `{{name.field}}`, \
             `{{name.method()}}`, `{{name?}}` for an `Option`, `{{name:hash}}` for what is only \
             `Serialize`, or `{{T::CONSTANT}}` for a type parameter"
        )
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
        && text != "_"
}

fn is_index(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|n| n.to_string() == text)
}

/// Without a literal head the entries of two functions would meet under one key.
fn check_head(segments: &[Segment], mistakes: &mut Vec<String>) {
    match segments.first() {
        Some(Segment::Literal(_)) => {}
        Some(Segment::Placeholder(first)) => mistakes.push(format!(
            "it starts with the placeholder `{first}`, so keys of other functions could be the \
             same: start with a word of your own, as in `\"user:{first}\"`"
        )),
        None => mistakes.push(
            "it is empty, so keys of other functions could be the same: \
             start with a word of your own, as in `\"user:{id}\"`"
                .to_owned(),
        ),
    }
}

/// A digest is 64 digits, whatever was hashed: it tells by itself where it ends, so only placeholders of
/// any length are to be kept apart.
fn check_separators(segments: &[Segment], mistakes: &mut Vec<String>) {
    // Since the last separator, and what has followed it.
    let mut before: Option<(&Placeholder, String)> = None;
    for segment in segments {
        match segment {
            Segment::Literal(text) if text.contains(separates) => before = None,
            Segment::Literal(text) => {
                if let Some((_, between)) = &mut before {
                    between.push_str(text);
                }
            }
            Segment::Placeholder(next) if next.form == Form::Hash => {
                if let Some((_, between)) = &mut before {
                    between.push_str(&next.to_string());
                }
            }
            Segment::Placeholder(next) => {
                if let Some((previous, between)) = before.replace((next, String::new())) {
                    mistakes.push(joined(previous, &between, next));
                }
            }
        }
    }
}

/// Characters that a rendered value never contains, because they are escaped in it, and that a literal
/// keeps as they are. `%` and the braces are not among them: they are escaped in both.
fn separates(c: char) -> bool {
    matches!(c, ':' | '/' | '|') || c.is_whitespace() || c.is_control()
}

/// Text of the template as it stands in a key. As in values: a brace is Redis' hash tag, which is the
/// runtime's.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('{', "%7B").replace('}', "%7D")
}

fn joined(previous: &Placeholder, between: &str, next: &Placeholder) -> String {
    let shown = if between.is_empty() { "nothing".to_owned() } else { format!("only {between:?}") };
    format!(
        "{shown} stands between `{previous}` and `{next}`, so different arguments could give the \
         same key: separate them by `:`, `/`, `|` or a space, which are escaped in values: \
         `{previous}:{next}`"
    )
}

// By its path, as `tests/fuzz` includes this file from elsewhere.
#[cfg(test)]
#[path = "template/properties.rs"]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    /// `lit<name.field>lit`, which no template can be mistaken for.
    fn shown(segments: &[Segment]) -> String {
        segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Placeholder(placeholder) => {
                    let text = placeholder.to_string();
                    format!("<{}>", &text[1..text.len() - 1])
                }
            })
            .collect::<Vec<_>>()
            .join("·")
    }

    #[test]
    fn templates() {
        for (input, expected) in [
            ("all", "all"),
            ("user:{id}", "user:·<id>"),
            ("user:{id}:v", "user:·<id>·:v"),
            ("u{a}:{b}", "u·<a>·:·<b>"),
            ("u{a}-:-{b}", "u·<a>·-:-·<b>"),
            ("u{a}/{b}|{c} {d}", "u·<a>·/·<b>·|·<c>· ·<d>"),
            ("u{a}\t{b}", "u·<a>·\t·<b>"),
            ("u{a}\u{a0}{b}", "u·<a>·\u{a0}·<b>"),
            ("u:{user.id}", "u:·<user.id>"),
            ("u:{user.address.city}", "u:·<user.address.city>"),
            ("u:{id.0}", "u:·<id.0>"),
            ("u:{id.0.1}", "u:·<id.0.1>"),
            ("u:{self.tenant}", "u:·<self.tenant>"),
            ("u:{self}", "u:·<self>"),
            ("u:{_db}", "u:·<_db>"),
            ("u:{type}", "u:·<type>"),
            ("u:{größe}", "u:·<größe>"),
            ("u:{id.as_str()}", "u:·<id.as_str()>"),
            ("u:{a.b().0.c()}", "u:·<a.b().0.c()>"),
            ("u:{region?}", "u:·<region?>"),
            ("u:{a.region()?}", "u:·<a.region()?>"),
            ("u:{req:hash}", "u:·<req:hash>"),
            ("u:{a.b:hash}", "u:·<a.b:hash>"),
            ("u:{a:hash}{b}", "u:·<a:hash>·<b>"),
            ("u:{a}-{b:hash}{c:hash}", "u:·<a>·-·<b:hash>·<c:hash>"),
            ("u:{T::KIND}", "u:·<T::KIND>"),
            ("u:{Self::kind()}", "u:·<Self::kind()>"),
            ("u:{T::Row::NAME.0?}", "u:·<T::Row::NAME.0?>"),
            ("{{u}}:{id}", "{u}:·<id>"),
            ("u:{{{id}}}", "u:{·<id>·}"),
            ("u{{", "u{"),
            ("ключ:{id}", "ключ:·<id>"),
        ] {
            let found = parse(input).map(|segments| shown(&segments));
            assert_eq!(found, Ok(expected.to_owned()), "{input}");
        }
    }

    #[test]
    fn mistakes() {
        for (input, expected) in [
            ("", &["it is empty"][..]),
            ("{id}", &["starts with the placeholder `{id}`"]),
            ("{a}:{b}", &["as in `\"user:{a}\"`"]),
            ("u:{}", &["`{}` names no parameter"]),
            ("u:{ }", &["`{ }` names no parameter"]),
            ("u:{id", &["`{id` opens a placeholder that is never closed"]),
            ("u:{a{b}", &["`{a{b}` opens a placeholder that is never closed"]),
            ("u:id}", &["`}` without a `{`"]),
            ("u:}{", &["`}` without a `{`", "never closed"]),
            ("u:{ id }", &["`{ id }` is neither a parameter"]),
            ("u:{0}", &["`{0}` is neither a parameter"]),
            ("u:{_}", &["`{_}` is neither a parameter"]),
            ("u:{a.}", &["`{a.}` is neither a parameter"]),
            ("u:{a..b}", &["`{a..b}` is neither a parameter"]),
            ("u:{a.01}", &["`{a.01}` is neither a parameter"]),
            ("u:{a-b}", &["`{a-b}` is neither a parameter"]),
            ("u:{x:?}", &["`{x:?}`: `Debug` output is not stable"]),
            ("u:{x:#?}", &["`{x:#?}`: `Debug` output is not stable"]),
            ("u:{x:>5}", &["`{x:>5}`: formatting is not supported"]),
            ("u:{x:Hash}", &["`{x:Hash}`: formatting is not supported"]),
            ("u:{x.get(1)}", &["`{x.get(1)}`: only fields and methods without arguments"]),
            ("u:{x[0]}", &["`{x[0]}`: only fields and methods without arguments"]),
            ("u:{x()}", &["`{x()}`: only fields and methods"]),
            ("u:{x.load().await}", &["`{x.load().await}`: a key is made before"]),
            ("u:{x??}", &["`{x??}` is neither"]),
            ("u:{?}", &["`{?}` is neither"]),
            ("u:{T::}", &["`{T::}` is neither"]),
            ("u:{<T>::KIND}", &["`{<T>::KIND}` is neither"]),
            ("u:{x:?}:{y[0]}", &["`{x:?}`", "`{y[0]}`"]),
            ("u:{a}{b}", &["nothing stands between `{a}` and `{b}`"]),
            ("u:{a}-{b}", &["only \"-\" stands between `{a}` and `{b}`"]),
            ("u:{a}%{b}", &["only \"%\""]),
            ("u:{a}}}{{{b}", &["only \"}{\""]),
            ("u:{a}-{b:hash}{c}", &["only \"-{b:hash}\" stands between `{a}` and `{c}`"]),
            ("u:{a}{b}{c}", &["`{a}` and `{b}`", "`{b}` and `{c}`"]),
            ("{a}{b}", &["starts with", "nothing stands between"]),
        ] {
            let found = parse(input).expect_err(input);
            assert_eq!(found.len(), expected.len(), "{input}: {found:?}");
            for (message, part) in found.iter().zip(expected) {
                assert!(message.contains(part), "{input}: {message}");
            }
        }
    }
}
