//! Verifying tokens (API contract v1, §7.1 to §7.3). Tokens are never logged, nor is what is wrong
//! with one told to its sender beyond the four refusals.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use hyperfleet_runtime::Clock;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use regex::Regex;
use serde_json::Value;

use super::claims::{self, Claims};
use super::config::{IssuerConfig, JwtConfig};
use super::gate::GateError;
use super::keys::IssuerKeys;
use super::metrics::IdentityMetrics;

/// By how many seconds the clocks of issuers may differ from ours.
const LEEWAY_SECONDS: f64 = 30.0;

/// Why a request proves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    /// No header that could carry a token was sent.
    Missing,
    /// The header does not carry a bearer token.
    NotBearer,
    /// The token was good, once.
    Expired,
    /// Anything else.
    Invalid,
}

/// The issuers, in the order in which they are tried.
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
    clock: Arc<dyn Clock>,
}

struct Issuer {
    config: IssuerConfig,
    header: HeaderName,
    identity_header: Option<HeaderName>,
    pattern: Option<Regex>,
    keys: IssuerKeys,
}

/// Who a good token, or a trusted gateway, says the caller is.
pub(super) struct Authenticated {
    /// What the token claims.
    pub(super) claims: Claims,
    /// The name: none when there is none, or why the one that was sent cannot be used.
    pub(super) name: Result<Option<String>, String>,
}

impl Issuers {
    pub(super) fn new(
        config: &JwtConfig,
        clock: &Arc<dyn Clock>,
        metrics: &IdentityMetrics,
    ) -> Result<Self, GateError> {
        let issuers = config
            .configs
            .iter()
            .enumerate()
            .map(|(index, issuer)| {
                let keys = IssuerKeys::new(index, issuer, Arc::clone(clock), metrics.clone())?;
                Issuer::new(index, issuer, keys)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            issuers,
            clock: Arc::clone(clock),
        })
    }

    /// Keeps the keys of every issuer fresh until it is dropped.
    pub(super) async fn keep_fresh(&self) {
        let all = self.issuers.iter().map(|issuer| issuer.keys.keep_fresh());
        futures::future::join_all(all).await;
    }

    /// Who sends a request with these headers.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
    ) -> Result<Authenticated, TokenRefusal> {
        let mut refusal = TokenRefusal::Missing;
        for issuer in &self.issuers {
            let outcome = match bearer(headers, &issuer.header) {
                Ok(token) => issuer.verify(token, self.now_seconds()).await,
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(claims) => {
                    let name = issuer.name(headers, &claims);
                    return Ok(Authenticated { claims, name });
                }
                // Of several the most telling one counts.
                Err(other) => refusal = weightier(refusal, other),
            }
        }
        Err(refusal)
    }

    fn now_seconds(&self) -> f64 {
        let now = self.clock.now();
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for a quarter of a million years"
        )]
        let milliseconds = now.timestamp_millis() as f64;
        milliseconds / 1000.0
    }
}

fn weightier(one: TokenRefusal, other: TokenRefusal) -> TokenRefusal {
    let weight = |refusal: TokenRefusal| match refusal {
        TokenRefusal::Missing => 0,
        TokenRefusal::NotBearer => 1,
        TokenRefusal::Invalid => 2,
        TokenRefusal::Expired => 3,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

/// The token of a header of the form `Bearer <token>`.
fn bearer<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, TokenRefusal> {
    let mut sent = headers.get_all(name).iter();
    let value = sent.next().ok_or(TokenRefusal::Missing)?;
    if sent.next().is_some() {
        return Err(TokenRefusal::NotBearer);
    }
    let text = value.to_str().map_err(|_| TokenRefusal::NotBearer)?;
    match text.trim().split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer")
                && !token.is_empty()
                && !token.contains(char::is_whitespace) =>
        {
            Ok(token)
        }
        _ => Err(TokenRefusal::NotBearer),
    }
}

impl Issuer {
    fn new(index: usize, config: &IssuerConfig, keys: IssuerKeys) -> Result<Self, GateError> {
        let unusable = |member: &str, reason: String| GateError::Keys {
            key: format!("server.jwt.configs[{index}].{member}"),
            reason,
        };
        let header = |member: &str, name: &str| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| unusable(member, error.to_string()))
        };
        let pattern = config.identity_claim_pattern.as_deref();
        Ok(Self {
            header: header("header", &config.header)?,
            identity_header: config
                .identity_header
                .as_deref()
                .map(|name| header("identity_header", name))
                .transpose()?,
            pattern: pattern
                .map(Regex::new)
                .transpose()
                .map_err(|error| unusable("identity_claim_pattern", error.to_string()))?,
            config: config.clone(),
            keys,
        })
    }

    /// The claims of a token that this issuer signed, for this audience, and that is good now.
    async fn verify(&self, token: &str, now: f64) -> Result<Claims, TokenRefusal> {
        let header = decode_header(token).map_err(|_| TokenRefusal::Invalid)?;
        if header.alg != Algorithm::RS256 {
            return Err(TokenRefusal::Invalid);
        }
        let id = header.kid.as_deref();
        let mut keys = self.keys.candidates(id);
        if keys.is_empty() && self.claims_to_be_ours(token) {
            self.keys.refresh_for_unknown_key().await;
            keys = self.keys.candidates(id);
        }
        let validation = signature_only();
        let claims = keys
            .iter()
            .find_map(|key| decode::<Claims>(token, &key.decoding, &validation).ok())
            .ok_or(TokenRefusal::Invalid)?
            .claims;
        self.check_claims(&claims, now)?;
        Ok(claims)
    }

    /// Whether a token, not yet verified, says that this issuer made it. Keys are fetched for such
    /// tokens only, not for those of the other issuers.
    fn claims_to_be_ours(&self, token: &str) -> bool {
        insecure_decode::<Claims>(token)
            .is_ok_and(|data| text(&data.claims, "iss") == Some(&self.config.issuer_url))
    }

    fn check_claims(&self, claims: &Claims, now: f64) -> Result<(), TokenRefusal> {
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(TokenRefusal::Invalid),
        };
        let expires = seconds("exp")?.ok_or(TokenRefusal::Invalid)?;
        if now >= expires + LEEWAY_SECONDS {
            return Err(TokenRefusal::Expired);
        }
        let begins = seconds("nbf")?.unwrap_or(f64::MIN);
        let is_for_us = self.config.audience.as_deref().is_none_or(|audience| {
            claims::texts(claims, "aud")
                .iter()
                .any(|one| one == audience)
        });
        let is_good = text(claims, "iss") == Some(&self.config.issuer_url)
            && is_for_us
            && now + LEEWAY_SECONDS >= begins;
        if is_good {
            Ok(())
        } else {
            Err(TokenRefusal::Invalid)
        }
    }

    /// The caller's name: what a trusted gateway says, else the claim. A header that cannot be used
    /// is an error and does not fall back to the claim.
    fn name(&self, headers: &HeaderMap, claims: &Claims) -> Result<Option<String>, String> {
        if let Some(header) = &self.identity_header {
            let mut sent = headers
                .get_all(header)
                .iter()
                .filter(|value| !value.as_bytes().trim_ascii().is_empty());
            if let Some(value) = sent.next() {
                let refused = |reason: &str| format!("identity header {header}: {reason}");
                if sent.next().is_some() {
                    return Err(refused("it is sent more than once"));
                }
                let name = std::str::from_utf8(value.as_bytes())
                    .map_err(|_| refused("it is no text"))?
                    .trim();
                return match claims::unusable(name, self.pattern.as_ref()) {
                    Some(reason) => Err(refused(&reason)),
                    None => Ok(Some(name.to_owned())),
                };
            }
        }
        let claim = &self.config.identity_claim;
        let Some(name) = claims::named(claims, claim) else {
            return Ok(None);
        };
        match claims::unusable(&name, self.pattern.as_ref()) {
            Some(reason) => Err(format!("identity claim {claim}: {reason}")),
            None => Ok(Some(name)),
        }
    }
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a String> {
    match claims.get(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Times and names are checked here, against this server's clock, in an order that lets the refusal
/// of an expired token win; the library checks the signature and its algorithm.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &'static str) -> Result<String, TokenRefusal> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value.parse().expect("a header value"));
        bearer(&headers, &HeaderName::from_static("authorization")).map(str::to_owned)
    }

    #[test]
    fn a_bearer_token_is_one_word_after_the_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c"] {
            assert_eq!(sent(value).as_deref(), Ok("a.b.c"), "{value}");
        }
        for value in [
            "Basic x",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "a.b.c",
            "",
            "Bearer  a",
        ] {
            assert_eq!(sent(value), Err(TokenRefusal::NotBearer), "{value:?}");
        }
        let no_headers = HeaderMap::new();
        let none = bearer(&no_headers, &HeaderName::from_static("x"));
        assert_eq!(none, Err(TokenRefusal::Missing));
    }

    #[test]
    fn expired_wins_over_every_other_refusal() {
        use TokenRefusal::{Expired, Invalid, Missing, NotBearer};
        for (one, other, expected) in [
            (Missing, NotBearer, NotBearer),
            (Invalid, Expired, Expired),
            (Expired, Invalid, Expired),
            (Invalid, NotBearer, Invalid),
        ] {
            assert_eq!(weightier(one, other), expected);
        }
    }
}
