//! Which standard a namespace asks for.

use std::fmt;

use serde_json::Value;

/// How strict a standard is; the stricter is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything is allowed.
    Privileged,
    /// Known privilege escalations are refused.
    Baseline,
    /// Current hardening practice is demanded.
    Restricted,
}

/// A version of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `v1.<minor>`.
    Minor(u32),
    /// The newest there is.
    Latest,
}

/// A level in a version; prints as `restricted:latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LevelVersion {
    /// How strict.
    pub level: Level,
    /// As of which version.
    pub version: Version,
}

/// What a namespace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pods that violate this are refused.
    pub enforce: LevelVersion,
    /// Violations of this are noted in the audit log.
    pub audit: LevelVersion,
    /// Violations of this are told to the user.
    pub warn: LevelVersion,
}

/// A label with a value that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelError {
    /// The label's key.
    pub label: String,
    /// Its value.
    pub value: String,
    /// What it must be.
    pub message: &'static str,
}

impl Level {
    const NAMES: &str = "must be one of privileged, baseline, restricted";

    fn parse(text: &str) -> Option<Level> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }
}

impl Version {
    const FORMS: &str = "must be \"latest\" or \"v1.x\"";

    fn parse(text: &str) -> Option<Version> {
        if text == "latest" {
            return Some(Version::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let plain = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        if plain { minor.parse().ok().map(Version::Minor) } else { None }
    }
}

impl LevelVersion {
    /// Reads a level and a version as labels write them.
    ///
    /// # Errors
    /// What each must be.
    pub fn parse(level: &str, version: &str) -> Result<Self, &'static str> {
        let level = Level::parse(level).ok_or(Level::NAMES)?;
        Ok(Self { level, version: Version::parse(version).ok_or(Version::FORMS)? })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enforce={}", self.enforce)?;
        for (name, standard) in [("audit", self.audit), ("warn", self.warn)] {
            if standard != self.enforce {
                write!(f, ", {name}={standard}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

impl Default for Policy {
    /// Nothing is refused, nobody is warned.
    fn default() -> Self {
        let anything = LevelVersion { level: Level::Privileged, version: Version::Latest };
        Self { enforce: anything, audit: anything, warn: anything }
    }
}

impl Policy {
    /// The policy of a namespace with these `labels` (a JSON object or null), and what is wrong with the labels.
    ///
    /// A wrong level to enforce counts as `restricted`, to audit or to warn of as `privileged`. A namespace that only
    /// enforces also warns of what it would refuse, so that users of Deployments learn of it.
    pub fn of_labels(labels: &Value) -> (Policy, Vec<LabelError>) {
        Self::of_labels_over(labels, Policy::default())
    }

    /// As [`Policy::of_labels`], where what the labels do not say is as in `policy`.
    pub fn of_labels_over(labels: &Value, mut policy: Policy) -> (Policy, Vec<LabelError>) {
        let Some(labels) = labels.as_object() else { return (policy, Vec::new()) };
        let mut read = Reader { labels, errors: Vec::new() };
        let enforced = read.standard("enforce", &mut policy.enforce, Level::Restricted);
        read.standard("audit", &mut policy.audit, Level::Privileged);
        let warned = read.standard("warn", &mut policy.warn, Level::Privileged);
        if enforced.level == Found::Valid
            && warned == (Standard { level: Found::Nothing, version: Found::Nothing })
            && policy.enforce.level > policy.warn.level
        {
            policy.warn = policy.enforce;
        }
        (policy, read.errors)
    }

    /// Whether pods need not be looked at.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Valid,
    Invalid,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Standard {
    level: Found,
    version: Found,
}

struct Reader<'a> {
    labels: &'a serde_json::Map<String, Value>,
    errors: Vec<LabelError>,
}

impl Reader<'_> {
    fn standard(&mut self, mode: &str, into: &mut LevelVersion, level_if_wrong: Level) -> Standard {
        let key = format!("pod-security.kubernetes.io/{mode}");
        let level = self.label(&key, Level::parse, Level::NAMES, &mut into.level, level_if_wrong);
        let key = format!("{key}-version");
        let version = self.label(&key, Version::parse, Version::FORMS, &mut into.version, Version::Latest);
        Standard { level, version }
    }

    fn label<T>(
        &mut self,
        key: &str,
        parse: fn(&str) -> Option<T>,
        message: &'static str,
        into: &mut T,
        if_wrong: T,
    ) -> Found {
        let Some(value) = self.labels.get(key).and_then(Value::as_str) else { return Found::Nothing };
        match parse(value) {
            Some(parsed) => {
                *into = parsed;
                Found::Valid
            }
            None => {
                *into = if_wrong;
                self.errors.push(LabelError { label: key.to_owned(), value: value.to_owned(), message });
                Found::Invalid
            }
        }
    }
}
