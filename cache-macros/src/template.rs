//! `"user:{id}"` → segments. Knows nothing of tokens.

use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    Placeholder(Placeholder),
}

/// `{user.address.city}`: a parameter and the path of fields behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}", self.name)?;
        for field in &self.fields {
            write!(f, ".{field}")?;
        }
        f.write_str("}")
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
    let mut parts = inside.split('.').map(str::to_owned);
    let name = parts.next().unwrap_or_default();
    let fields: Vec<String> = parts.collect();
    if is_name(&name) && fields.iter().all(|field| is_name(field) || is_index(field)) {
        Ok(Placeholder { name, fields })
    } else {
        Err(unsupported(inside))
    }
}

fn unsupported(inside: &str) -> String {
    let name: String = inside.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let shown = format!("`{{{inside}}}`");
    if inside.trim().is_empty() {
        format!("{shown} names no parameter: write `{{name}}`, or `{{{{}}}}` for literal braces")
    } else if inside.contains("::") {
        format!(
            "{shown}: paths are not supported in keys yet: \
             take what tells the types apart as a parameter of its own"
        )
    } else if inside.contains(":?") || inside.contains(":#?") {
        format!(
            "{shown}: `Debug` output is not stable, so it cannot be part of a key: \
             implement `Display` and write `{{{name}}}`, or name a field, `{{{name}.field}}`"
        )
    } else if inside.ends_with(":hash") {
        format!(
            "{shown}: `:hash` is not supported in keys yet: name the fields that tell the values \
             apart, `{{{name}.field}}`"
        )
    } else if inside.contains(':') {
        format!("{shown}: formatting is not supported in keys: write `{{{name}}}`")
    } else if inside.contains('(') {
        format!(
            "{shown}: method calls are not supported in keys yet: \
             take the result as a parameter of its own"
        )
    } else if inside.ends_with('?') {
        format!(
            "{shown}: optional placeholders are not supported in keys yet: \
             take a parameter that is not an `Option`"
        )
    } else {
        format!(
            "{shown} is neither a parameter nor a field of one: write `{{name}}` or `{{name.field}}`"
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

fn check_separators(segments: &[Segment], mistakes: &mut Vec<String>) {
    let mut before: Option<(&Placeholder, &str)> = None;
    for segment in segments {
        match segment {
            Segment::Literal(text) => {
                if let Some((_, between)) = &mut before {
                    *between = text;
                }
            }
            Segment::Placeholder(next) => {
                if let Some((previous, between)) = before
                    && !between.contains(separates)
                {
                    mistakes.push(joined(previous, between, next));
                }
                before = Some((next, ""));
            }
        }
    }
}

/// Characters that a rendered value never contains, because they are escaped in it. `%` and the
/// braces are not among them: a rendered value contains `%`, as the start of an escape, and a
/// literal brace is itself written as one (`"{a}%{b}"` would give `x%25%25` for `x`, `25%` and
/// for `x%`, `25`).
fn separates(c: char) -> bool {
    matches!(c, ':' | '/' | '|') || c.is_whitespace() || c.is_control()
}

fn joined(previous: &Placeholder, between: &str, next: &Placeholder) -> String {
    let shown = if between.is_empty() { "nothing".to_owned() } else { format!("only {between:?}") };
    format!(
        "{shown} stands between `{previous}` and `{next}`, so different arguments could give the \
         same key: separate them by `:`, `/`, `|` or a space, which are escaped in values: \
         `{previous}:{next}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lit<name.field>lit`, which no template can be mistaken for.
    fn shown(segments: &[Segment]) -> String {
        segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Placeholder(p) => {
                    let path: Vec<&str> =
                        std::iter::once(&p.name).chain(&p.fields).map(String::as_str).collect();
                    format!("<{}>", path.join("."))
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
            ("u:{x:hash}", &["`{x:hash}`: `:hash` is not supported"]),
            ("u:{x:>5}", &["`{x:>5}`: formatting is not supported"]),
            ("u:{x.len()}", &["`{x.len()}`: method calls are not supported"]),
            ("u:{x?}", &["`{x?}`: optional placeholders"]),
            ("u:{T::KIND}", &["`{T::KIND}`: paths are not supported"]),
            ("u:{x:?}:{y?}", &["`{x:?}`", "`{y?}`"]),
            ("u:{a}{b}", &["nothing stands between `{a}` and `{b}`"]),
            ("u:{a}-{b}", &["only \"-\" stands between `{a}` and `{b}`"]),
            ("u:{a}%{b}", &["only \"%\""]),
            ("u:{a}}}{{{b}", &["only \"}{\""]),
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
