//! Adds and removes a helper in the list `credential-helpers` of podman's registries.conf.
//!
//! The parser says where things are; the text is spliced, so that a removal restores every byte.

use toml_edit::{Array, Document};

use super::{Change, newline_of, position};

const KEY: &str = "credential-helpers";

/// The first of the list: podman's own files. Without it, logins made with `podman login` would no
/// longer be found.
const OWN_FILES: &str = "containers-auth.json";

/// The line above what was added.
const MARK: &str = "# Added by ecr-login configure.";

/// Line and column of what is no valid TOML, or of a list that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TomlError {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

type TomlDocument<'a> = Document<&'a str>;

fn parse(text: &str) -> Result<TomlDocument<'_>, TomlError> {
    Document::parse(text).map_err(|error| at(text, error.span().map_or(0, |span| span.start)))
}

fn at(text: &str, offset: usize) -> TomlError {
    let (line, column) = position(text, offset);
    TomlError { line, column }
}

/// The list, if it is there.
fn list<'a>(document: &'a TomlDocument<'_>, text: &str) -> Result<Option<&'a Array>, TomlError> {
    let Some(item) = document.get(KEY) else {
        return Ok(None);
    };
    let start = item.span().map_or(0, |span| span.start);
    item.as_array().map(Some).ok_or_else(|| at(text, start))
}

/// The helpers in the list; none if it is not set.
pub(crate) fn helpers(text: &str) -> Result<Option<Vec<String>>, TomlError> {
    let document = parse(text)?;
    let list = list(&document, text)?;
    Ok(list.map(|list| {
        list.iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    }))
}

/// Adds a helper to the list, and the list where it is missing.
pub(crate) fn add(text: &str, helper: &str) -> Result<(String, Change), TomlError> {
    let document = parse(text)?;
    let mut edited = text.to_owned();
    if let Some(list) = list(&document, text)? {
        if list.iter().any(|value| value.as_str() == Some(helper)) {
            return Ok((edited, Change::None));
        }
        let last = list.iter().last().and_then(toml_edit::Value::span);
        match (last, list.span()) {
            (Some(last), _) => edited.insert_str(last.end, &format!(", \"{helper}\"")),
            (None, Some(list)) => {
                edited.insert_str(list.start + 1, &format!("\"{OWN_FILES}\", \"{helper}\""));
            }
            (None, None) => {}
        }
        return Ok((edited, Change::Added));
    }
    let newline = newline_of(text);
    let block = format!("{MARK}{newline}{KEY} = [\"{OWN_FILES}\", \"{helper}\"]");
    // Keys of the root stand above the first table: behind the last of them, or on top.
    let spans = document.iter().filter(|(_, item)| item.is_value());
    let last = spans
        .filter_map(|(_, item)| item.span())
        .map(|span| span.end)
        .max();
    match last {
        None => edited.insert_str(0, &format!("{block}{newline}")),
        Some(end) => match text[end..].find('\n') {
            Some(len) => edited.insert_str(end + len + 1, &format!("{block}{newline}")),
            None => edited = format!("{text}{newline}{block}"),
        },
    }
    Ok((edited, Change::Added))
}

/// Takes a helper out of the list, with the list if `add` made that; none if it is not in it.
pub(crate) fn remove(text: &str, helper: &str) -> Result<Option<String>, TomlError> {
    let document = parse(text)?;
    let Some(list) = list(&document, text)? else {
        return Ok(None);
    };
    let spans: Vec<_> = list.iter().filter_map(toml_edit::Value::span).collect();
    let names: Vec<_> = list.iter().map(|value| value.as_str()).collect();
    let (Some(index), Some(whole)) = (
        names.iter().position(|name| *name == Some(helper)),
        list.span(),
    ) else {
        return Ok(None);
    };
    let mut edited = text.to_owned();
    let line = text[..whole.start].rfind('\n').map_or(0, |at| at + 1);
    let above = text[..line].trim_end_matches(['\r', '\n']);
    if names == [Some(OWN_FILES), Some(helper)] && above.ends_with(MARK) {
        let end = text[whole.end..].find('\n').map(|len| whole.end + len + 1);
        let mut start = above.len() - MARK.len();
        if end.is_none() {
            start = text[..start].trim_end_matches(['\r', '\n']).len();
        }
        edited.replace_range(start..end.unwrap_or(text.len()), "");
    } else if names == [Some(OWN_FILES), Some(helper)] && spans[0].start == whole.start + 1 {
        // The list was empty, or holds nothing that its absence would not mean.
        edited.replace_range(whole.start + 1..whole.end - 1, "");
    } else {
        let range = match (index.checked_sub(1), spans.get(index + 1)) {
            (Some(before), _) => spans[before].end..spans[index].end,
            (None, Some(next)) => spans[index].start..next.start,
            (None, None) => spans[index].clone(),
        };
        edited.replace_range(range, "");
    }
    Ok(Some(edited))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "credential-helpers = [\"containers-auth.json\", \"ecr-login\"]";

    #[test]
    fn add_writes_one_line_and_remove_restores() {
        for (before, after) in [
            ("", "MARK\nLINE\n"),
            (
                "# Debian's\nunqualified-search-registries = [\"docker.io\"] # x\n\n[[registry]]\nlocation = \"a\"\n",
                "# Debian's\nunqualified-search-registries = [\"docker.io\"] # x\nMARK\nLINE\n\n[[registry]]\nlocation = \"a\"\n",
            ),
            (
                "# only a table\n[[registry]]\nlocation = \"a\"\n",
                "MARK\nLINE\n# only a table\n[[registry]]\nlocation = \"a\"\n",
            ),
            (
                "short-name-mode = \"enforcing\"",
                "short-name-mode = \"enforcing\"\nMARK\nLINE",
            ),
            (
                "a = 1\r\nb = 2\r\n[t]\r\n",
                "a = 1\r\nb = 2\r\nMARK\r\nLINE\r\n[t]\r\n",
            ),
            (
                "credential-helpers = [ \"containers-auth.json\", 'pass' ] # mine\n",
                "credential-helpers = [ \"containers-auth.json\", 'pass', \"ecr-login\" ] # mine\n",
            ),
            ("credential-helpers = []\n", "LINE\n"),
        ] {
            let (edited, change) = add(before, "ecr-login").expect("TOML");
            let after = after.replace("MARK", MARK).replace("LINE", LINE);
            assert_eq!((edited.as_str(), change), (after.as_str(), Change::Added));
            assert_eq!(add(&edited, "ecr-login"), Ok((after, Change::None)));
            let names = helpers(&edited).expect("TOML").expect("a list");
            assert!(names.contains(&"ecr-login".to_owned()), "{names:?}");
            assert_eq!(remove(&edited, "ecr-login"), Ok(Some(before.to_owned())));
        }
        assert_eq!(remove("a = 1\n", "ecr-login"), Ok(None));
        assert_eq!(
            remove("credential-helpers = ['pass']", "ecr-login"),
            Ok(None)
        );
    }

    #[test]
    fn refused_texts_are_located() {
        let place = |line, column| Err(TomlError { line, column });
        assert_eq!(helpers("a = 1\nb = \n"), place(2, 5));
        assert_eq!(helpers("a = 1\ncredential-helpers = 'x'\n"), place(2, 22));
    }
}
