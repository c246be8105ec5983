//! Which of several names was probably meant by a misspelt one.

/// The name that was probably meant, in whatever case; none if all are too different.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (lower, length) = (word.to_lowercase(), word.chars().count());
    let near = names.into_iter().filter_map(|name| {
        let letters = name.chars().count();
        let most = 1 + letters / 4;
        if letters.abs_diff(length) > most {
            return None;
        }
        let distance = distance(&lower, &name.to_lowercase());
        // If every letter changes, it is not a misspelling.
        (distance <= most && distance < length).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters to insert, remove, replace or swap.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let differs = usize::from(one[i - 1] != other[j - 1]);
                let mut least = rows[i - 1][j - 1] + differs;
                least = least.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped =
                    i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
                if swapped {
                    least.min(rows[i - 2][j - 2] + 1)
                } else {
                    least
                }
            };
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_commands_are_recognised() {
        let names = ["configure", "status", "doctor", "password", "clear"];
        for (word, name) in [
            ("statsu", Some("status")),
            ("config", Some("configure")),
            ("docter", Some("doctor")),
            ("claer", Some("clear")),
            ("login", None),
            ("passwrod", Some("password")),
        ] {
            assert_eq!(nearest(word, names), name, "{word}");
        }
    }

    #[test]
    fn misspelt_profiles_are_recognised() {
        let names = ["prod", "production", "Dev", "eu-west-admin", "a"];
        for (word, name) in [
            ("prdo", Some("prod")),
            ("Prod", Some("prod")),
            ("pro", Some("prod")),
            ("dev", Some("Dev")),
            ("prodction", Some("production")),
            ("eu-west-admn", Some("eu-west-admin")),
            ("staging", None),
            ("p", None),
            ("ü", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), name, "{word}");
        }
        assert_eq!(nearest("prod", []), None);
    }
}
