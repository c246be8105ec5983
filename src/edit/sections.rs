//! Sets and removes settings in a file of sections, in the syntax of the AWS config files.
//!
//! Comments, order and blank lines stay. A comment marks what was added here, so that exactly that
//! can be taken back, and nothing that a person wrote.

use super::{Change, newline_of};

/// The line above what was added.
const MARK: &str = "# Added by ecr-login configure.";

/// A line of a text: its range, with and without its line ending.
#[derive(Debug, Clone, Copy)]
struct TextLine<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

impl TextLine<'_> {
    fn is_setting(&self) -> bool {
        let text = self.text;
        !text.trim().is_empty() && !text.starts_with(['#', ';', '['])
    }

    fn is_mark(&self) -> bool {
        self.text.trim_end() == MARK
    }

    fn section(&self) -> Option<&str> {
        let name = self.text.trim_start().strip_prefix('[')?;
        Some(name.split_once(']')?.0.trim())
    }

    /// Key and value; a comment behind the value is not part of it.
    fn pair(&self) -> Option<(&str, &str)> {
        if !self.is_setting() || self.text.starts_with([' ', '\t']) {
            return None;
        }
        let (key, value) = self.text.split_once('=')?;
        let comment = [" #", " ;", "\t#", "\t;"];
        let end = comment.iter().filter_map(|mark| value.find(mark)).min();
        let value = &value[..end.unwrap_or(value.len())];
        Some((key.trim(), value.trim()))
    }
}

fn lines(text: &str) -> Vec<TextLine<'_>> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let end = start + line.len();
        let line = TextLine {
            text: line.trim_end_matches(['\r', '\n']),
            start,
            end,
        };
        start = end;
        line
    });
    lines.collect()
}

/// The lines of a section: its header's index and that of the line behind its last.
fn find_section(lines: &[TextLine<'_>], name: &str) -> Option<(usize, usize)> {
    let header = lines.iter().position(|line| line.section() == Some(name))?;
    let rest = &lines[header + 1..];
    let len = rest.iter().position(|line| line.section().is_some());
    Some((header, len.map_or(lines.len(), |len| header + 1 + len)))
}

fn find_key(lines: &[TextLine<'_>], range: (usize, usize), key: &str) -> Option<usize> {
    let (header, end) = range;
    (header + 1..end).find(|&at| lines[at].pair().is_some_and(|(found, _)| found == key))
}

/// The names of all sections.
pub(crate) fn names(text: &str) -> Vec<String> {
    lines(text)
        .iter()
        .filter_map(TextLine::section)
        .map(str::to_owned)
        .collect()
}

/// The value of a setting.
pub(crate) fn get(text: &str, section: &str, key: &str) -> Option<String> {
    let lines = lines(text);
    let at = find_key(&lines, find_section(&lines, section)?, key)?;
    Some(lines[at].pair()?.1.to_owned())
}

/// Sets a setting, and adds its section if that is missing.
pub(crate) fn set(text: &str, section: &str, key: &str, value: &str) -> (String, Change) {
    let newline = newline_of(text);
    let lines = lines(text);
    let mut edited = text.to_owned();
    let Some(range) = find_section(&lines, section) else {
        let block = format!("{MARK}{newline}[{section}]{newline}{key} = {value}");
        let edited = match text {
            "" => format!("{block}{newline}"),
            text if text.ends_with('\n') => format!("{text}{newline}{block}{newline}"),
            text => format!("{text}{newline}{newline}{block}"),
        };
        return (edited, Change::Added);
    };
    if let Some(at) = find_key(&lines, range, key) {
        let old = lines[at].pair().map_or("", |(_, old)| old);
        if old == value {
            return (edited, Change::None);
        }
        let equals = lines[at].text.find('=').unwrap_or_default();
        let from = lines[at].start + equals + 1;
        let gap = &text[from..lines[at].end];
        let gap = gap.len() - gap.trim_start_matches([' ', '\t']).len();
        let old = old.to_owned();
        edited.replace_range(from + gap..from + gap + old.len(), value);
        return (edited, Change::Replaced(old));
    }
    let (header, end) = range;
    let last = (header + 1..end).rfind(|&at| lines[at].is_setting());
    let last = lines[last.unwrap_or(header)];
    let added = match text[..last.end].ends_with('\n') {
        true => format!("{MARK}{newline}{key} = {value}{newline}"),
        false => format!("{newline}{MARK}{newline}{key} = {value}"),
    };
    edited.insert_str(last.end, &added);
    (edited, Change::Added)
}

/// Takes back what `set` added; none if a person wrote it, or it is not there.
pub(crate) fn remove_added(text: &str, section: &str, key: &str) -> Option<(String, String)> {
    let lines = lines(text);
    let (header, end) = find_section(&lines, section)?;
    let at = find_key(&lines, (header, end), key)?;
    let value = lines[at].pair()?.1.to_owned();
    let marked = |at: usize| at > 0 && lines[at - 1].is_mark();
    let whole = marked(header) && !(header + 1..end).any(|i| i != at && lines[i].is_setting());
    let (first, blank) = match () {
        () if whole => (header - 1, true),
        () if marked(at) => (at - 1, false),
        () if marked(header) && at == header + 1 => (at, false),
        () => return None,
    };
    let (mut start, end) = (lines[first].start, lines[at].end);
    // At the end of a file without a last line ending, it was added in front.
    let mut endings = usize::from(blank && first > 0);
    endings += usize::from(!text[..end].ends_with('\n'));
    for _ in 0..endings {
        let before = &text[..start];
        let before = before.strip_suffix('\n').unwrap_or(before);
        start = before.strip_suffix('\r').unwrap_or(before).len();
    }
    Some((format!("{}{}", &text[..start], &text[end..]), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files, and the same with `[111122223333] profile = prod`.
    const FILES: &[(&str, &str)] = &[
        ("", "MARK\n[111122223333]\nprofile = prod\n"),
        (
            "# mine\n[*]\nprofile = tools\n",
            "# mine\n[*]\nprofile = tools\n\nMARK\n[111122223333]\nprofile = prod\n",
        ),
        (
            "[*]\nprofile = tools",
            "[*]\nprofile = tools\n\nMARK\n[111122223333]\nprofile = prod",
        ),
        (
            "[*]\r\nprofile = tools\r\n\r\n",
            "[*]\r\nprofile = tools\r\n\r\n\r\nMARK\r\n[111122223333]\r\nprofile = prod\r\n",
        ),
        (
            "[111122223333] # an account\nrole_arn = arn\n\n[x.example.com]\nregistry = y\n",
            "[111122223333] # an account\nrole_arn = arn\nMARK\nprofile = prod\n\n[x.example.com]\nregistry = y\n",
        ),
        ("[111122223333]", "[111122223333]\nMARK\nprofile = prod"),
    ];

    #[test]
    fn set_adds_one_setting_and_remove_restores() {
        for (before, after) in FILES {
            let (edited, change) = set(before, "111122223333", "profile", "prod");
            assert_eq!(edited, after.replace("MARK", MARK), "{before:?}");
            assert_eq!(change, Change::Added);
            let found = get(&edited, "111122223333", "profile");
            assert_eq!(found.as_deref(), Some("prod"), "{before:?}");
            let again = set(&edited, "111122223333", "profile", "prod");
            assert_eq!(again, (edited.clone(), Change::None), "{before:?}");
            let (restored, value) = remove_added(&edited, "111122223333", "profile").expect("ours");
            assert_eq!((restored.as_str(), value.as_str()), (*before, "prod"));
        }
    }

    #[test]
    fn handwritten_settings_are_not_removed() {
        let text = "[111122223333]\nprofile = prod   # the good one\n";
        assert_eq!(remove_added(text, "111122223333", "profile"), None);
        let (edited, change) = set(text, "111122223333", "profile", "dev");
        assert_eq!(change, Change::Replaced("prod".to_owned()));
        assert_eq!(edited, "[111122223333]\nprofile = dev   # the good one\n");
        assert_eq!(get(text, "111122223333", "role_arn"), None);
        assert_eq!(get(text, "*", "profile"), None);
    }

    #[test]
    fn two_settings_of_an_added_section_go_in_any_order() {
        let text = "[a.example.com]\nregistry = b\n";
        let (one, _) = set(text, "*", "profile", "tools");
        let (both, _) = set(&one, "*", "other_registries", "osxkeychain");
        for order in [
            ["profile", "other_registries"],
            ["other_registries", "profile"],
        ] {
            let mut left = both.clone();
            for key in order {
                left = remove_added(&left, "*", key).expect("ours").0;
            }
            assert!(
                !left.contains("profile") && !left.contains("other"),
                "{left}"
            );
        }
        let (left, _) = remove_added(&both, "*", "other_registries").expect("ours");
        assert_eq!(left, one);
    }
}
