//! The image that an argument names: `HOST/repository:tag`, `HOST/repository@digest`.

use crate::cli::people::args;
use crate::problem::Problem;

/// An image of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) repository: String,
    /// A tag or a digest.
    pub(super) reference: String,
    /// As it was written, without the host.
    pub(super) shown: String,
}

impl Image {
    /// The image in what follows the host and its slash; none where that is nothing, or the path
    /// of a server URL.
    pub(super) fn parse(path: &str) -> Result<Option<Self>, Problem> {
        let path = path.trim_end_matches('/');
        if matches!(path, "" | "v1" | "v2") {
            return Ok(None);
        }
        let (rest, digest) = match path.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (path, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        let reference = digest.or(tag).unwrap_or("latest");
        let is_valid =
            is_repository(repository) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        if !is_valid {
            // Only where that is all that is wrong with the name.
            let hint = match !is_repository(repository)
                && is_repository(&repository.to_ascii_lowercase())
            {
                true => "write the repository's name in lower case",
                false => "give an image such as HOST/team/app:1.0 or HOST/team/app@sha256:…",
            };
            let cause = format!("{path:?} is not the name of an image");
            return Err(args::misused(&super::SPEC, cause, Some(hint.to_owned())));
        }
        Ok(Some(Self {
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            shown: path.to_owned(),
        }))
    }

    pub(super) fn is_digest(&self) -> bool {
        self.reference.contains(':')
    }
}

/// As the registries' specification has it: none of it needs escaping in a URL.
fn is_repository(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        ends.is_some_and(|(first, last)| plain(*first) && plain(*last))
            && bytes.iter().all(|b| plain(*b) || b"._-".contains(b))
    };
    name.len() <= 255 && name.split('/').all(is_part)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b".-".contains(&b))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && (32..=128).contains(&hex.len())
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_repository_and_a_reference() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let with_both = format!("team/app:1.0@{digest}");
        for (path, repository, reference) in [
            ("app", "app", "latest"),
            ("team/app:1.0", "team/app", "1.0"),
            ("team/app.x_y--z:_a.B-c", "team/app.x_y--z", "_a.B-c"),
            (with_both.as_str(), "team/app", digest.as_str()),
            ("app/", "app", "latest"),
        ] {
            let image = Image::parse(path).expect(path).expect(path);
            assert_eq!(
                (image.repository.as_str(), image.reference.as_str()),
                (repository, reference)
            );
            assert_eq!(image.is_digest(), path.contains('@'));
        }
        for path in ["", "/", "v2", "v2/"] {
            assert_eq!(Image::parse(path), Ok(None), "{path}");
        }
        let long = "a".repeat(256);
        for path in [
            "App:1",
            "a//b",
            "-a",
            "a:",
            "a:x y",
            "a@sha256:12",
            "a@",
            ":1",
            "a/../b",
            "a?b",
            &long,
        ] {
            assert!(Image::parse(path).is_err(), "{path}");
        }
    }
}
