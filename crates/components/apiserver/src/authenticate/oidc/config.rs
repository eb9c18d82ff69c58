//! The file of `--authentication-config`: `apiserver.config.k8s.io/v1 AuthenticationConfiguration`.

use serde::Deserialize;

use crate::authenticate::config::Anonymous;

/// Issuers of tokens, and who may come without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationFile {
    /// The issuers.
    pub issuers: Vec<JwtIssuer>,
    /// Absent: as the flags say.
    pub anonymous: Option<Anonymous>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationFileError {
    /// Not an `AuthenticationConfiguration`.
    #[error("not an AuthenticationConfiguration: {0}")]
    Malformed(String),
    /// Something in it makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// An issuer of tokens, and what its claims mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtIssuer {
    /// As tokens name it in `iss`.
    pub url: String,
    /// Where its configuration is, if not below its URL.
    pub discovery_url: Option<String>,
    /// PEM of the authorities of its server; absent: those of the system.
    pub certificate_authority: Option<String>,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// Algorithms of signatures that are accepted; empty: all that are known.
    pub algorithms: Vec<String>,
    /// What must be so.
    pub claim_rules: Vec<Rule>,
    /// The user's name.
    pub username: ClaimOrExpression,
    /// The user's groups.
    pub groups: ClaimOrExpression,
    /// The user's id.
    pub uid: ClaimOrExpression,
    /// Other facts: key and expression.
    pub extra: Vec<(String, String)>,
    /// What must be so of the user.
    pub user_rules: Vec<Rule>,
}

/// From what a part of a user is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClaimOrExpression {
    /// Nothing.
    #[default]
    None,
    /// A claim, with text before it.
    Claim {
        /// Its name.
        claim: String,
        /// The text.
        prefix: String,
    },
    /// CEL.
    Expression(String),
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A claim has this value.
    Claim {
        /// Its name.
        claim: String,
        /// The value.
        value: String,
    },
    /// CEL is true.
    Expression {
        /// The source.
        expression: String,
        /// What is said where it is not.
        message: String,
    },
}

impl AuthenticationFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`AuthenticationFileError`].
    pub fn parse(yaml: &str) -> Result<Self, AuthenticationFileError> {
        let file: File =
            serde_saphyr::from_str(yaml).map_err(|error| AuthenticationFileError::Malformed(error.to_string()))?;
        let versions = ["v1", "v1beta1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
        if file.kind != "AuthenticationConfiguration" || !versions.contains(&file.api_version) {
            return Err(AuthenticationFileError::Malformed(format!("found {} {}", file.api_version, file.kind)));
        }
        let issuers = file.jwt.into_iter().enumerate().map(|(index, jwt)| jwt.settle(&format!("jwt[{index}]")));
        let issuers: Vec<JwtIssuer> = issuers.collect::<Result<_, _>>()?;
        for (index, issuer) in issuers.iter().enumerate() {
            if issuers.iter().take(index).any(|other| other.url == issuer.url) {
                let why = format!("jwt[{index}].issuer.url: Duplicate value: {:?}", issuer.url);
                return Err(AuthenticationFileError::Invalid(why));
            }
        }
        let anonymous = file.anonymous.map(|anonymous| Anonymous {
            enabled: anonymous.enabled,
            paths: anonymous.conditions.into_iter().map(|condition| condition.path).collect(),
        });
        Ok(Self { issuers, anonymous })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnonymousEntry {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<PathEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathEntry {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Jwt {
    issuer: IssuerEntry,
    #[serde(default)]
    claim_validation_rules: Vec<RuleEntry>,
    claim_mappings: MappingsEntry,
    #[serde(default)]
    user_validation_rules: Vec<RuleEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IssuerEntry {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    certificate_authority: Option<String>,
    #[serde(default)]
    audiences: Vec<String>,
    audience_match_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleEntry {
    claim: Option<String>,
    required_value: Option<String>,
    expression: Option<String>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MappingsEntry {
    username: MappingEntry,
    groups: Option<MappingEntry>,
    uid: Option<MappingEntry>,
    #[serde(default)]
    extra: Vec<ExtraEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MappingEntry {
    claim: Option<String>,
    prefix: Option<String>,
    expression: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExtraEntry {
    key: String,
    value_expression: String,
}

impl Jwt {
    fn settle(self, at: &str) -> Result<JwtIssuer, AuthenticationFileError> {
        let invalid = |field: &str, why: &str| AuthenticationFileError::Invalid(format!("{at}.{field}: {why}"));
        let issuer = self.issuer;
        if !issuer.url.starts_with("https://") {
            return Err(invalid("issuer.url", "Invalid value: URL scheme must be https"));
        }
        if issuer.discovery_url.as_deref().is_some_and(|url| !url.starts_with("https://") || url == issuer.url) {
            let why = "Invalid value: must be an https URL other than that of the issuer";
            return Err(invalid("issuer.discoveryURL", why));
        }
        if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
            return Err(invalid("issuer.audiences", "Required value: at least one jwt.issuer.audiences is required"));
        }
        match (issuer.audience_match_policy.as_deref().unwrap_or_default(), issuer.audiences.len()) {
            ("", 1) | ("MatchAny", _) => {}
            _ => {
                let why = "Invalid value: audienceMatchPolicy must be MatchAny for multiple audiences";
                return Err(invalid("issuer.audienceMatchPolicy", why));
            }
        }
        let mapping = |entry: Option<MappingEntry>, field: &str, needs_prefix: bool| {
            let Some(entry) = entry else { return Ok(ClaimOrExpression::None) };
            let field = format!("claimMappings.{field}");
            match (entry.claim, entry.expression, entry.prefix) {
                (Some(claim), None, prefix) if prefix.is_some() || !needs_prefix => {
                    Ok(ClaimOrExpression::Claim { claim, prefix: prefix.unwrap_or_default() })
                }
                (Some(_), None, None) => {
                    let why = "prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                    Err(invalid(&field, why))
                }
                (None, Some(expression), None) => Ok(ClaimOrExpression::Expression(expression)),
                (None, None, None) => Ok(ClaimOrExpression::None),
                _ => Err(invalid(&field, "Invalid value: either claim or expression, prefix with a claim alone")),
            }
        };
        let rules = |entries: Vec<RuleEntry>, field: &str| {
            let rules = entries.into_iter().map(|entry| match (entry.claim, entry.expression) {
                (Some(claim), None) if field == "claimValidationRules" => {
                    Ok(Rule::Claim { claim, value: entry.required_value.unwrap_or_default() })
                }
                (None, Some(expression)) => Ok(Rule::Expression { expression, message: entry.message }),
                _ => Err(invalid(field, "Required value: claim or expression is required")),
            });
            rules.collect::<Result<Vec<_>, _>>()
        };
        let mappings = self.claim_mappings;
        let username = mapping(Some(mappings.username), "username", true)?;
        if username == ClaimOrExpression::None {
            return Err(invalid("claimMappings.username", "Required value: claim or expression is required"));
        }
        Ok(JwtIssuer {
            username,
            groups: mapping(mappings.groups, "groups", true)?,
            uid: mapping(mappings.uid, "uid", false)?,
            extra: mappings.extra.into_iter().map(|extra| (extra.key, extra.value_expression)).collect(),
            claim_rules: rules(self.claim_validation_rules, "claimValidationRules")?,
            user_rules: rules(self.user_validation_rules, "userValidationRules")?,
            url: issuer.url,
            discovery_url: issuer.discovery_url,
            certificate_authority: issuer.certificate_authority,
            audiences: issuer.audiences,
            algorithms: Vec::new(),
        })
    }
}
