//! The flags `--oidc-*`: one issuer, as an `AuthenticationConfiguration` could say it too.

use super::ALGORITHMS;
use super::config::{AuthenticationFileError, ClaimOrExpression, JwtIssuer, Rule};

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcFlags {
    /// `--oidc-issuer-url`
    pub issuer_url: Option<String>,
    /// `--oidc-client-id`
    pub client_id: Option<String>,
    /// PEM of the authorities of the issuer's server (`--oidc-ca-file`).
    pub certificate_authority: Option<String>,
    /// `--oidc-username-claim`
    pub username_claim: Option<String>,
    /// `--oidc-username-prefix`; `-` for none.
    pub username_prefix: Option<String>,
    /// `--oidc-groups-claim`
    pub groups_claim: Option<String>,
    /// `--oidc-groups-prefix`
    pub groups_prefix: Option<String>,
    /// `--oidc-signing-algs`
    pub signing_algorithms: Vec<String>,
    /// `--oidc-required-claim`: `key=value`.
    pub required_claims: Vec<String>,
}

impl OidcFlags {
    /// The issuer that the flags describe, if they describe one.
    ///
    /// # Errors
    /// [`AuthenticationFileError::Invalid`], with the flag.
    pub fn issuer(&self) -> Result<Option<JwtIssuer>, AuthenticationFileError> {
        if *self == Self::default() {
            return Ok(None);
        }
        let invalid = |why: String| AuthenticationFileError::Invalid(why);
        let (Some(url), Some(client)) = (&self.issuer_url, &self.client_id) else {
            let why = "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set";
            return Err(invalid(why.to_owned()));
        };
        if !url.starts_with("https://") {
            return Err(invalid("oidc-issuer-url: URL scheme must be https".to_owned()));
        }
        let algorithms =
            if self.signing_algorithms.is_empty() { vec!["RS256".to_owned()] } else { self.signing_algorithms.clone() };
        if let Some(unknown) = algorithms.iter().find(|algorithm| !ALGORITHMS.contains(&algorithm.as_str())) {
            return Err(invalid(format!("oidc-signing-algs: unsupported signing algorithm {unknown:?}")));
        }
        let claim = self.username_claim.clone().unwrap_or_else(|| "sub".to_owned());
        // Names of other claims are not unique among issuers, unlike e-mail addresses.
        let prefix = match self.username_prefix.as_deref() {
            Some("-") => String::new(),
            None | Some("") if claim != "email" => format!("{url}#"),
            prefix => prefix.unwrap_or_default().to_owned(),
        };
        let groups = self.groups_claim.clone().map_or(ClaimOrExpression::None, |claim| ClaimOrExpression::Claim {
            claim,
            prefix: self.groups_prefix.clone().unwrap_or_default(),
        });
        let rule = |text: &String| match text.split_once('=') {
            Some((claim, value)) => Ok(Rule::Claim { claim: claim.to_owned(), value: value.to_owned() }),
            None => Err(invalid(format!("oidc-required-claim: {text:?} is not key=value"))),
        };
        Ok(Some(JwtIssuer {
            url: url.clone(),
            certificate_authority: self.certificate_authority.clone(),
            audiences: vec![client.clone()],
            algorithms,
            claim_rules: self.required_claims.iter().map(rule).collect::<Result<_, _>>()?,
            username: ClaimOrExpression::Claim { claim, prefix },
            groups,
            ..JwtIssuer::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_a_configuration_says() {
        let flags = |claim: Option<&str>, prefix: Option<&str>| OidcFlags {
            issuer_url: Some("https://issuer".to_owned()),
            client_id: Some("client".to_owned()),
            username_claim: claim.map(str::to_owned),
            username_prefix: prefix.map(str::to_owned),
            required_claims: vec!["hd=example.com".to_owned()],
            ..OidcFlags::default()
        };
        for (claim, prefix, expected) in [
            (None, None, ("sub", "https://issuer#")),
            (None, Some("-"), ("sub", "")),
            (Some("email"), None, ("email", "")),
            (Some("email"), Some("oidc:"), ("email", "oidc:")),
        ] {
            let issuer = flags(claim, prefix).issuer().unwrap().unwrap();
            let (claim, prefix) = (expected.0.to_owned(), expected.1.to_owned());
            assert_eq!(issuer.username, ClaimOrExpression::Claim { claim, prefix });
            assert_eq!((issuer.audiences, issuer.algorithms), (vec!["client".to_owned()], vec!["RS256".to_owned()]));
            assert_eq!(issuer.claim_rules, [Rule::Claim { claim: "hd".to_owned(), value: "example.com".to_owned() }]);
        }
        assert_eq!(OidcFlags::default().issuer().unwrap(), None);
        for (wrong, expected) in [
            (OidcFlags { client_id: Some("c".to_owned()), ..OidcFlags::default() }, "must be specified together"),
            (OidcFlags { issuer_url: Some("http://x".to_owned()), ..flags(None, None) }, "scheme must be https"),
            (OidcFlags { signing_algorithms: vec!["none".to_owned()], ..flags(None, None) }, "unsupported signing"),
            (OidcFlags { required_claims: vec!["a".to_owned()], ..flags(None, None) }, "is not key=value"),
        ] {
            let error = wrong.issuer().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
