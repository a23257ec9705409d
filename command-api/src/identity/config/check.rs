//! Everything that can be wrong with a configuration that could be read.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::HeaderName;
use regex::Regex;
use reqwest::Url;

use super::{
    AuthorizationConfig, IdentityConfig, IssuerConfig, JwtConfig, RateLimitConfig, TenantConfig,
};

/// Headers that carry credentials: none of them may name a caller or a tenant.
const CREDENTIAL_HEADERS: [&str; 7] = [
    "authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-forwarded-authorization",
    "proxy-authorization",
];

/// Headers that must not carry a token: browsers send and store them by themselves.
const COOKIE_HEADERS: [&str; 2] = ["cookie", "set-cookie"];

/// Least and greatest rate that can be kept: one request in about a quarter of an hour, and more
/// than one process answers.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

pub(super) fn check(config: &IdentityConfig, faults: &mut Vec<String>) {
    if config.jwt.enabled {
        check_jwt(&config.jwt, faults);
    }
    if config.tenant.enabled {
        check_tenant(&config.tenant, faults);
    }
    check_authorization(&config.authorization, config.jwt.enabled, faults);
    if config.rate_limit.enabled {
        check_rate_limit(config.rate_limit, faults);
    }
    check_together(config, faults);
}

fn check_jwt(jwt: &JwtConfig, faults: &mut Vec<String>) {
    if jwt.configs.is_empty() {
        faults.push(
            "server.jwt.configs: at least one issuer is needed when server.jwt.enabled is true"
                .to_owned(),
        );
    }
    for (index, issuer) in jwt.configs.iter().enumerate() {
        let mut fault = |member: &str, reason: String| {
            faults.push(format!("server.jwt.configs[{index}].{member}: {reason}"));
        };
        check_issuer(issuer, &mut fault);
    }
}

fn check_issuer(issuer: &IssuerConfig, fault: &mut impl FnMut(&str, String)) {
    if issuer.issuer_url.trim().is_empty() {
        fault(
            "issuer_url",
            "must name the issuer of the tokens".to_owned(),
        );
    }
    if issuer.jwk_cert_url.is_none() && issuer.jwk_cert_file.is_none() {
        fault(
            "jwk_cert_url",
            "say where the keys are: jwk_cert_url, jwk_cert_file, or both".to_owned(),
        );
    }
    if let Some(reason) = issuer.jwk_cert_url.as_deref().and_then(unusable_url) {
        fault("jwk_cert_url", reason);
    }
    if issuer.jwk_cert_ca_file.is_some() && issuer.jwk_cert_url.is_none() {
        fault(
            "jwk_cert_ca_file",
            "is for jwk_cert_url, which is not set".to_owned(),
        );
    }
    match header(&issuer.header) {
        Err(reason) => fault("header", reason),
        Ok(name) if COOKIE_HEADERS.contains(&name.as_str()) => {
            fault(
                "header",
                format!("{} must not carry a token", issuer.header),
            );
        }
        Ok(_) => {}
    }
    if issuer.identity_claim.is_empty() {
        fault("identity_claim", "must name a claim".to_owned());
    }
    if let Some(Err(error)) = issuer.identity_claim_pattern.as_deref().map(Regex::new) {
        fault(
            "identity_claim_pattern",
            format!("is no regular expression: {error}"),
        );
    }
    if let Some(identity) = &issuer.identity_header {
        if let Err(reason) = trusted_header(identity) {
            fault("identity_header", reason);
        } else if identity.eq_ignore_ascii_case(&issuer.header) {
            fault(
                "identity_header",
                format!("{identity} already carries the token"),
            );
        }
    }
}

/// Why keys must not be fetched from there; `None` when they may.
fn unusable_url(text: &str) -> Option<String> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return Some(format!("is no URL: {error}")),
    };
    match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some("must be https; http is for loopback hosts only".to_owned()),
        other => Some(format!("must be https, not {other}")),
    }
}

/// Whether a URL stays on this machine.
pub(in crate::identity) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))
}

/// A header that a gateway sets and that is trusted as sent.
fn trusted_header(name: &str) -> Result<HeaderName, String> {
    let header = header(name)?;
    if CREDENTIAL_HEADERS.contains(&header.as_str()) {
        return Err(format!("{name} carries credentials and cannot be used"));
    }
    Ok(header)
}

fn check_tenant(tenant: &TenantConfig, faults: &mut Vec<String>) {
    let mut fault = |member: String, reason: String| {
        faults.push(format!("server.tenant.{member}: {reason}"));
    };
    if tenant.system_header.is_empty() {
        fault(
            "system_header".to_owned(),
            "is needed when server.tenant.enabled is true".to_owned(),
        );
    } else if let Err(reason) = trusted_header(&tenant.system_header) {
        fault("system_header".to_owned(), reason);
    }
    if tenant.dimensions.is_empty() {
        fault("dimensions".to_owned(), "at least one is needed".to_owned());
    } else if !tenant.dimensions.iter().any(|one| one.required) {
        fault(
            "dimensions".to_owned(),
            "at least one must be required".to_owned(),
        );
    }
    let mut headers = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for (index, dimension) in tenant.dimensions.iter().enumerate() {
        let member = |name: &str| format!("dimensions[{index}].{name}");
        if let Err(reason) = trusted_header(&dimension.header) {
            fault(member("header"), reason);
        }
        if dimension.header.eq_ignore_ascii_case(&tenant.system_header) {
            fault(
                member("header"),
                format!("{} already is the system header", dimension.header),
            );
        }
        if !headers.insert(dimension.header.to_lowercase()) {
            fault(
                member("header"),
                format!("{} is used twice", dimension.header),
            );
        }
        if dimension.key.is_empty() || dimension.key.contains(char::is_control) {
            fault(
                member("key"),
                "must be a name without control characters".to_owned(),
            );
        }
        if !keys.insert(&dimension.key) {
            fault(member("key"), format!("{} is used twice", dimension.key));
        }
    }
}

fn check_authorization(
    authorization: &AuthorizationConfig,
    tokens: bool,
    faults: &mut Vec<String>,
) {
    let mut fault = |member: &str, reason: String| {
        faults.push(format!("server.authorization.{member}: {reason}"));
    };
    if authorization.is_enabled() && !tokens {
        let member = if authorization.enabled.is_some() {
            "enabled"
        } else {
            "bindings"
        };
        fault(
            member,
            "needs server.jwt.enabled: without tokens callers cannot be told apart".to_owned(),
        );
    }
    if authorization.is_enabled() && authorization.bindings.is_empty() {
        fault(
            "bindings",
            "at least one is needed, or nobody may do anything".to_owned(),
        );
    }
    if authorization.groups_claim.is_empty() {
        fault("groups_claim", "must name a claim".to_owned());
    }
    for (index, binding) in authorization.bindings.iter().enumerate() {
        let states_something = !binding.subjects.is_empty()
            || !binding.claims.is_empty()
            || !binding.groups.is_empty();
        if !states_something {
            fault(
                &format!("bindings[{index}]"),
                "say for whom: subjects, claims or groups; subjects [\"*\"] means everybody"
                    .to_owned(),
            );
        }
        for (claim, accepted) in &binding.claims {
            if accepted.values().is_empty() {
                fault(
                    &format!("bindings[{index}].claims.{claim}"),
                    "names no value".to_owned(),
                );
            }
        }
    }
}

fn check_rate_limit(rate_limit: RateLimitConfig, faults: &mut Vec<String>) {
    if !RATES.contains(&rate_limit.requests_per_second) {
        faults.push(format!(
            "server.rate_limit.requests_per_second: must be from {} to {}",
            RATES.start(),
            RATES.end()
        ));
    }
    if rate_limit.burst == 0 {
        faults.push("server.rate_limit.burst: must be at least 1".to_owned());
    }
}

/// One header must not mean two things.
fn check_together(config: &IdentityConfig, faults: &mut Vec<String>) {
    if !config.jwt.enabled || !config.tenant.enabled {
        return;
    }
    let tenant = config.tenant.dimensions.iter().map(|one| &one.header);
    let tenant: Vec<&String> = tenant.chain([&config.tenant.system_header]).collect();
    for (index, issuer) in config.jwt.configs.iter().enumerate() {
        let uses = [
            ("header", Some(&issuer.header)),
            ("identity_header", issuer.identity_header.as_ref()),
        ];
        for (member, name) in uses {
            let Some(name) = name else { continue };
            if tenant.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                faults.push(format!(
                    "server.jwt.configs[{index}].{member}: {name} already is a header of server.tenant"
                ));
            }
        }
    }
}
