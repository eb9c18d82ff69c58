//! From the claims of a token to a user of Kubernetes.

use minato_cel::{Budget, Environment, Program, Type};
use serde_json::{Map, Value, json};

use super::config::{AuthenticationFileError, ClaimOrExpression, JwtIssuer, Rule};
use crate::identity::{User, UserInfo};

/// What all expressions of one token may cost, as upstream has it.
const COST_MAX: u64 = 2_621_440;

/// Why claims name nobody.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ClaimError {
    #[error("oidc: parse {part} claims {claim:?}: claim not present")]
    Absent { part: &'static str, claim: String },
    #[error("oidc: parse {part} claims {claim:?}: not a string or a list of strings")]
    Shape { part: &'static str, claim: String },
    #[error("oidc: username claim cannot be empty")]
    NoName,
    #[error("oidc: email not verified")]
    Unverified,
    #[error("oidc: {part}: {reason}")]
    Expression { part: &'static str, reason: String },
    #[error("oidc: {0}")]
    Rule(String),
}

/// A [`ClaimOrExpression`] that is compiled.
enum Part {
    None,
    Claim { claim: String, prefix: String },
    Expression(Program),
}

enum Condition {
    Claim { claim: String, value: String },
    Expression { program: Program, message: String },
}

/// What an issuer's claims mean.
pub(super) struct Mappings {
    username: Part,
    groups: Part,
    uid: Part,
    extra: Vec<(String, Program)>,
    claim_rules: Vec<Condition>,
    user_rules: Vec<Condition>,
    /// An expression says itself what becomes of addresses that are not verified.
    looks_at_verification: bool,
}

impl Mappings {
    pub(super) fn new(issuer: &JwtIssuer) -> Result<Self, AuthenticationFileError> {
        let environment = |name: &str| Environment::new().with(name, Type::Dyn);
        let compile = |name: &str, source: &str| {
            minato_cel::compile(&environment(name), source).map_err(|error| {
                AuthenticationFileError::Invalid(format!("jwt {}: expression {source:?}: {error}", issuer.url))
            })
        };
        let part = |part: &ClaimOrExpression| {
            Ok(match part {
                ClaimOrExpression::None => Part::None,
                ClaimOrExpression::Claim { claim, prefix } => {
                    Part::Claim { claim: claim.clone(), prefix: prefix.clone() }
                }
                ClaimOrExpression::Expression(source) => Part::Expression(compile("claims", source)?),
            })
        };
        let rules = |rules: &[Rule], name: &str| {
            let rules = rules.iter().map(|rule| {
                Ok(match rule {
                    Rule::Claim { claim, value } => Condition::Claim { claim: claim.clone(), value: value.clone() },
                    Rule::Expression { expression, message } => {
                        let default = || format!("validation expression '{expression}' failed");
                        let message = if message.is_empty() { default() } else { message.clone() };
                        Condition::Expression { program: compile(name, expression)?, message }
                    }
                })
            });
            rules.collect::<Result<Vec<_>, AuthenticationFileError>>()
        };
        let extra = issuer.extra.iter().map(|(key, source)| Ok((key.clone(), compile("claims", source)?)));
        Ok(Self {
            username: part(&issuer.username)?,
            groups: part(&issuer.groups)?,
            uid: part(&issuer.uid)?,
            extra: extra.collect::<Result<_, AuthenticationFileError>>()?,
            claim_rules: rules(&issuer.claim_rules, "claims")?,
            user_rules: rules(&issuer.user_rules, "user")?,
            looks_at_verification: matches!(issuer.username, ClaimOrExpression::Expression(_)),
        })
    }

    /// The user that verified claims speak of.
    pub(super) fn user(&self, claims: &Value) -> Result<User, ClaimError> {
        let mut budget = Budget::new(COST_MAX);
        check(&self.claim_rules, claims, &mut budget)?;
        let one = |part: &Part, name: &'static str, budget: &mut Budget| {
            Ok::<_, ClaimError>(self::strings(part, name, claims, budget)?.into_iter().next().unwrap_or_default())
        };
        if let Part::Claim { claim, .. } = &self.username
            && claim == "email"
            && !self.looks_at_verification
            && claims.get("email_verified").is_some_and(|verified| *verified != true)
        {
            return Err(ClaimError::Unverified);
        }
        let name = one(&self.username, "username", &mut budget)?;
        let bare = match &self.username {
            Part::Claim { prefix, .. } => name.strip_prefix(prefix.as_str()).unwrap_or(&name),
            _ => &name,
        };
        if bare.is_empty() {
            return Err(ClaimError::NoName);
        }
        let mut info = UserInfo {
            uid: one(&self.uid, "uid", &mut budget)?,
            groups: strings(&self.groups, "groups", claims, &mut budget)?,
            name,
            ..UserInfo::default()
        };
        for (key, program) in &self.extra {
            let values = evaluate(program, "extra", claims, &mut budget)?;
            let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
            if !values.is_empty() {
                info.extra.insert(key.clone(), values);
            }
        }
        if !self.user_rules.is_empty() {
            let mut user = Map::from_iter([
                ("username".to_owned(), info.name.as_str().into()),
                ("groups".to_owned(), json!(info.groups)),
                ("extra".to_owned(), json!(info.extra)),
            ]);
            user.insert("uid".to_owned(), info.uid.as_str().into());
            check(&self.user_rules, &Value::Object(user), &mut budget)?;
        }
        Ok(User::authenticated(info))
    }
}

fn strings(part: &Part, name: &'static str, claims: &Value, budget: &mut Budget) -> Result<Vec<String>, ClaimError> {
    match part {
        Part::None => Ok(Vec::new()),
        Part::Expression(program) => evaluate(program, name, claims, budget),
        Part::Claim { claim, prefix } => {
            let Some(value) = claims.get(claim) else {
                // Who has no groups has none; a name one must have.
                let absent = || ClaimError::Absent { part: name, claim: claim.clone() };
                return if name == "groups" { Ok(Vec::new()) } else { Err(absent()) };
            };
            let found = texts(value).ok_or_else(|| ClaimError::Shape { part: name, claim: claim.clone() })?;
            Ok(found.into_iter().map(|text| format!("{prefix}{text}")).collect())
        }
    }
}

fn evaluate(
    program: &Program,
    part: &'static str,
    claims: &Value,
    budget: &mut Budget,
) -> Result<Vec<String>, ClaimError> {
    let failed = |reason: String| ClaimError::Expression { part, reason };
    let value = program
        .evaluate(&[minato_cel::Value::of(claims)], budget)
        .and_then(|value| value.to_json())
        .map_err(|error| failed(error.to_string()))?;
    if value.is_null() {
        return Ok(Vec::new());
    }
    texts(&value).ok_or_else(|| failed("not a string or a list of strings".to_owned()))
}

/// A string, or a list of strings.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn check(rules: &[Condition], subject: &Value, budget: &mut Budget) -> Result<(), ClaimError> {
    for rule in rules {
        match rule {
            Condition::Claim { claim, value } => {
                let found = subject[claim.as_str()].as_str();
                if found != Some(value) {
                    let found = found.unwrap_or_default();
                    let why = format!("claim {claim} does not match required value {value:?}, got {found:?}");
                    return Err(ClaimError::Rule(why));
                }
            }
            Condition::Expression { program, message } => {
                let result = program.evaluate(&[minato_cel::Value::of(subject)], budget);
                let result = result.map_err(|error| ClaimError::Rule(format!("{message}: {error}")))?;
                if result.as_bool() != Some(true) {
                    return Err(ClaimError::Rule(message.clone()));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticate::oidc::AuthenticationFile;

    fn mappings(mappings: &str) -> Mappings {
        let file = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {{url: 'https://i', audiences: [a]}}\n{mappings}"
        );
        let file = AuthenticationFile::parse(&file).unwrap();
        Mappings::new(&file.issuers[0]).unwrap()
    }

    #[test]
    fn claims_become_users() {
        let simple = mappings(
            "  claimMappings: {username: {claim: email, prefix: 'oidc:'}, groups: {claim: groups, prefix: ''}}",
        );
        let user = simple.user(&json!({"email": "a@b", "email_verified": true, "groups": ["x", "y"]})).unwrap();
        assert_eq!((user.name.as_str(), &user.groups[..2]), ("oidc:a@b", &["x".to_owned(), "y".to_owned()][..]));
        assert_eq!(simple.user(&json!({"email": "a@b", "groups": "x"})).unwrap().groups[0], "x");
        assert_eq!(simple.user(&json!({"email": "a@b", "email_verified": false})), Err(ClaimError::Unverified));
        assert_eq!(simple.user(&json!({"email": ""})), Err(ClaimError::NoName));
        let absent = ClaimError::Absent { part: "username", claim: "email".to_owned() };
        assert_eq!(simple.user(&json!({"sub": "a"})), Err(absent));

        let rich = mappings(
            r#"
  claimValidationRules:
  - {claim: hd, requiredValue: example.com}
  - {expression: "claims.level > 2", message: too low}
  claimMappings:
    username: {expression: "'u-' + claims.sub"}
    groups: {expression: "claims.roles.split(',')"}
    uid: {claim: sub}
    extra:
    - {key: example.com/tenant, valueExpression: claims.tenant}
  userValidationRules:
  - {expression: "!user.username.startsWith('system:')", message: reserved}
  - {expression: "user.groups.all(group, group != 'root')", message: no root}
"#,
        );
        let claims = |change: Value| {
            let mut claims = json!({"hd": "example.com", "level": 3, "sub": "7", "roles": "a,b", "tenant": "t"});
            for (key, value) in change.as_object().unwrap() {
                claims[key] = value.clone();
            }
            claims
        };
        let user = rich.user(&claims(json!({}))).unwrap();
        assert_eq!(
            (user.name.as_str(), user.uid.as_str(), &user.groups[..2]),
            ("u-7", "7", &["a".to_owned(), "b".to_owned()][..])
        );
        assert_eq!(user.extra["example.com/tenant"], ["t"]);
        for (change, expected) in [
            (json!({"hd": "x"}), "claim hd does not match required value \"example.com\", got \"x\""),
            (json!({"level": 1}), "too low"),
            (json!({"roles": "root"}), "no root"),
        ] {
            assert_eq!(rich.user(&claims(change)), Err(ClaimError::Rule(expected.to_owned())));
        }
    }
}
