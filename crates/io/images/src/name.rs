//! Image names, completed as Docker does: `nginx` is `docker.io/library/nginx:latest`.

use std::fmt;
use std::str::FromStr;

/// A complete image name: registry, repository, and a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Registry and repository, such as `docker.io/library/nginx`.
    repository: String,
    /// `:latest` or `@sha256:…`.
    suffix: String,
}

/// A string that is not an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid image name {name:?}: {reason}")]
pub struct ParseNameError {
    name: String,
    reason: &'static str,
}

const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

impl ImageName {
    /// Registry and repository, such as `docker.io/library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest (`sha256:…`), if the name has one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.suffix.strip_prefix('@')
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.repository, self.suffix)
    }
}

impl FromStr for ImageName {
    type Err = ParseNameError;

    fn from_str(name: &str) -> Result<Self, ParseNameError> {
        let error = |reason| ParseNameError { name: name.to_owned(), reason };
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (name, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            _ => (rest, None),
        };
        if rest.is_empty() {
            return Err(error("the repository is missing"));
        }
        if rest.len() > NAME_BYTES_MAX {
            return Err(error("longer than 255 bytes"));
        }
        let (domain, path) = match rest.split_once('/') {
            Some((first, path)) if is_domain(first) => (first, path.to_owned()),
            Some(_) => ("docker.io", rest.to_owned()),
            None => ("docker.io", format!("library/{rest}")),
        };
        let (domain, path) = match domain {
            "index.docker.io" => ("docker.io", path),
            domain => (domain, path),
        };
        let path = if domain == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        if !path.split('/').all(is_path_component) {
            return Err(error("the repository must be of lower-case letters, digits and single separators"));
        }
        let suffix = match (tag, digest) {
            (_, Some(digest)) if is_digest(digest) => format!("@{digest}"),
            (_, Some(_)) => return Err(error("the digest must be sha256: and 64 hexadecimal digits")),
            (Some(tag), None) if is_tag(tag) => format!(":{tag}"),
            (Some(_), None) => return Err(error("the tag must be of letters, digits, '_', '.' and '-'")),
            (None, None) => ":latest".to_owned(),
        };
        Ok(Self { repository: format!("{domain}/{path}"), suffix })
    }
}

/// The part before the first slash is a registry if it could not be a Docker Hub user.
fn is_domain(first: &str) -> bool {
    (first.contains('.') || first.contains(':') || first == "localhost")
        && first.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
        && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

fn is_path_component(component: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    edge(component.bytes().next())
        && edge(component.bytes().last())
        && component.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        && !component.contains("..")
        && !component.contains("___")
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= TAG_BYTES_MAX
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub(crate) fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(is_hex)
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn is_hex(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("minato/guestbook:dev", "docker.io/minato/guestbook:dev"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("registry.k8s.io/e2e-test-images/agnhost:2.53", "registry.k8s.io/e2e-test-images/agnhost:2.53"),
            ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
        ];
        for (name, complete) in cases {
            assert_eq!(name.parse::<ImageName>().unwrap().to_string(), complete);
            assert_eq!(complete.parse::<ImageName>().unwrap().to_string(), complete, "idempotent");
        }
        let name = format!("busybox:1@{digest}").parse::<ImageName>().unwrap();
        assert_eq!(name.to_string(), format!("docker.io/library/busybox@{digest}"));
        assert_eq!(name.digest(), Some(digest.as_str()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for name in [
            "",
            ":tag",
            "UPPER",
            "a//b",
            "a/",
            "/a",
            "a:b:c",
            "a:-b",
            "a@sha256:12",
            "../a",
            "a b",
            "a:",
            long.as_str(),
        ] {
            assert!(name.parse::<ImageName>().is_err(), "{name:?}");
        }
    }
}
