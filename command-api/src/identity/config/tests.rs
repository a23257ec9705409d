#![expect(
    clippy::needless_pass_by_value,
    reason = "values written where they are used"
)]

use super::*;
use serde_json::json;

fn sections() -> IdentitySections {
    IdentitySections::default()
}

fn jwt(issuer: Value) -> IdentitySections {
    IdentitySections {
        jwt: Some(json!({"configs": [issuer]})),
        ..sections()
    }
}

fn tenant(change: Value) -> IdentitySections {
    let mut tenant = json!({
        "enabled": true,
        "system_header": "X-System",
        "dimensions": [{"header": "X-Org", "key": "org", "required": true}],
    });
    for (name, value) in change.as_object().expect("changes") {
        tenant[name] = value.clone();
    }
    IdentitySections {
        tenant: Some(tenant),
        ..sections()
    }
}

fn faults(sections: IdentitySections) -> Vec<String> {
    match IdentityConfig::from_sections(sections) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults,
    }
}

#[track_caller]
fn assert_fault(sections: IdentitySections, expected: &str) {
    let faults = faults(sections);
    assert!(
        faults.iter().any(|fault| fault.starts_with(expected)),
        "{expected}: {faults:?}"
    );
}

#[test]
fn absent_sections_are_off() {
    let config = IdentityConfig::from_sections(sections()).expect("valid");
    assert_eq!(config, IdentityConfig::default());
    assert!(!config.authenticates());
    let null = IdentitySections {
        jwt: Some(Value::Null),
        ..sections()
    };
    assert_eq!(IdentityConfig::from_sections(null), Ok(config));
}

#[test]
fn a_section_is_on_with_the_defaults_of_the_contract() {
    let config = IdentityConfig::from_sections(jwt(json!({
        "issuer_url": "https://i", "jwk_cert_url": "https://i/keys"
    })));
    let config = config.expect("valid");
    assert!(config.authenticates() && !config.authorization.is_enabled());
    let issuer = &config.jwt.configs[0];
    assert_eq!(
        (issuer.header.as_str(), issuer.identity_claim.as_str()),
        ("Authorization", "email")
    );
    assert_eq!(config.notices().len(), 1);
    assert!(config.notices()[0].contains("any authenticated caller may do everything"));
}

#[test]
fn every_fault_of_an_issuer_is_named() {
    let good = json!({"issuer_url": "https://i", "jwk_cert_file": "/keys"});
    assert_eq!(faults(jwt(good.clone())), [] as [String; 0]);
    let with = |name: &str, value: Value| {
        let mut issuer = good.clone();
        issuer[name] = value;
        jwt(issuer)
    };
    let at = "server.jwt.configs[0]";
    assert_fault(
        jwt(json!({"issuer_url": "x"})),
        &format!("{at}.jwk_cert_url: say where"),
    );
    assert_fault(
        jwt(json!({"jwk_cert_file": "/k"})),
        &format!("{at}: missing field `issuer_url`"),
    );
    assert_fault(with("issuer_url", json!("")), &format!("{at}.issuer_url"));
    assert_fault(
        with("issuer_url", json!(5)),
        &format!("{at}.issuer_url: invalid type"),
    );
    assert_fault(
        with("audiance", json!("x")),
        &format!("{at}.audiance: unknown field `audiance`"),
    );
    assert_fault(
        with("jwk_cert_ca_file", json!("/ca")),
        &format!("{at}.jwk_cert_ca_file"),
    );
    assert_fault(
        with("identity_claim_pattern", json!("(")),
        &format!("{at}.identity_claim_pattern: is no regular"),
    );
    assert_fault(
        with("identity_claim", json!("")),
        &format!("{at}.identity_claim"),
    );
    for header in ["Cookie", "set-cookie", "no header", ""] {
        assert_fault(with("header", json!(header)), &format!("{at}.header"));
    }
    for header in [
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "X-API-Key",
        "X-Auth-Token",
        "X-Forwarded-Authorization",
        "Proxy-Authorization",
        "no header",
    ] {
        assert_fault(
            with("identity_header", json!(header)),
            &format!("{at}.identity_header"),
        );
    }
    let mut same = good.clone();
    same["header"] = json!("X-Token");
    same["identity_header"] = json!("x-token");
    assert_fault(
        jwt(same),
        &format!("{at}.identity_header: x-token already carries the token"),
    );
    let none = IdentitySections {
        jwt: Some(json!({"enabled": true})),
        ..sections()
    };
    assert_fault(none, "server.jwt.configs: at least one issuer");
}

#[test]
fn keys_come_over_https_or_from_this_machine() {
    let url = |url: &str| jwt(json!({"issuer_url": "x", "jwk_cert_url": url}));
    for good in [
        "https://issuer.example.com/keys",
        "http://localhost:8080/keys",
        "http://127.0.0.1/keys",
        "http://[::1]:1/keys",
    ] {
        assert_eq!(faults(url(good)), [] as [String; 0], "{good}");
    }
    for bad in [
        "http://issuer.example.com/keys",
        "http://localhost.example.com/keys",
        "http://10.0.0.1/keys",
        "file:///keys",
        "issuer.example.com",
    ] {
        assert_fault(url(bad), "server.jwt.configs[0].jwk_cert_url");
    }
}

#[test]
fn every_fault_of_tenants_is_named() {
    assert_eq!(faults(tenant(json!({}))), [] as [String; 0]);
    let dimensions = |dimensions: Value| tenant(json!({"dimensions": dimensions}));
    let org = json!({"header": "X-Org", "key": "org", "required": true});
    assert_fault(
        tenant(json!({"system_header": ""})),
        "server.tenant.system_header",
    );
    assert_fault(
        tenant(json!({"system_header": "Cookie"})),
        "server.tenant.system_header",
    );
    assert_fault(
        dimensions(json!([])),
        "server.tenant.dimensions: at least one is needed",
    );
    let optional = json!([{"header": "X-Org", "key": "org"}]);
    assert_fault(
        dimensions(optional),
        "server.tenant.dimensions: at least one must be required",
    );
    for (second, expected) in [
        (
            json!({"header": "x-system", "key": "b"}),
            "header: x-system already is the system header",
        ),
        (
            json!({"header": "x-org", "key": "b"}),
            "header: x-org is used twice",
        ),
        (
            json!({"header": "X-Team", "key": "org"}),
            "key: org is used twice",
        ),
        (json!({"header": "X-Team", "key": ""}), "key"),
        (json!({"header": "X Team", "key": "b"}), "header"),
        (json!({"header": "Authorization", "key": "b"}), "header"),
        (json!({"header": "X-Team"}), "missing field `key`"),
    ] {
        let sections = dimensions(json!([org, second]));
        let separator = if expected.starts_with("missing") {
            ": "
        } else {
            "."
        };
        assert_fault(
            sections,
            &format!("server.tenant.dimensions[1]{separator}{expected}"),
        );
    }
    assert_fault(
        tenant(json!({"isolation": "some"})),
        "server.tenant.isolation: unknown variant",
    );
    let off = tenant(json!({"enabled": false, "system_header": ""}));
    assert_eq!(faults(off), [] as [String; 0]);
}

#[test]
fn one_header_does_not_mean_two_things() {
    let mut both = tenant(json!({}));
    both.jwt = Some(json!({"configs": [
        {"issuer_url": "x", "jwk_cert_file": "/k", "identity_header": "x-org"}
    ]}));
    assert_fault(
        both,
        "server.jwt.configs[0].identity_header: x-org already is a header of server.tenant",
    );
}

#[test]
fn roles_need_tokens_and_somebody_to_have_them() {
    let tokens = json!({"configs": [{"issuer_url": "x", "jwk_cert_file": "/k"}]});
    let roles = |authorization: Value| IdentitySections {
        jwt: Some(tokens.clone()),
        authorization: Some(authorization),
        ..sections()
    };
    let viewer = json!({"role": "viewer", "subjects": ["*"]});
    assert_eq!(
        faults(roles(json!({"bindings": [viewer]}))),
        [] as [String; 0]
    );
    let bindings = "server.authorization.bindings";
    assert_fault(roles(json!({"enabled": true})), bindings);
    assert_fault(
        roles(json!({"bindings": [{"role": "viewer"}]})),
        &format!("{bindings}[0]: say for whom"),
    );
    let unknown = roles(json!({"bindings": [{"role": "owner", "subjects": ["*"]}]}));
    assert_fault(
        unknown,
        &format!("{bindings}[0].role: unknown variant `owner`"),
    );
    let empty = roles(json!({"bindings": [{"role": "viewer", "claims": {"env": []}}]}));
    assert_fault(empty, &format!("{bindings}[0].claims.env"));
    let mut untold = roles(json!({"bindings": [viewer]}));
    untold.jwt = None;
    assert_fault(untold, &format!("{bindings}: needs server.jwt.enabled"));
    let off = roles(json!({"enabled": false, "bindings": [viewer]}));
    let off = IdentityConfig::from_sections(off).expect("valid");
    assert!(!off.authorization.is_enabled());
}

#[test]
fn a_rate_is_one_that_can_be_kept() {
    let rate = |rate: Value| IdentitySections {
        rate_limit: Some(rate),
        ..sections()
    };
    assert_eq!(faults(rate(json!({"enabled": true}))), [] as [String; 0]);
    for bad in [json!(0), json!(-1), json!(1e9), json!(0.0001)] {
        let sections = rate(json!({"enabled": true, "requests_per_second": bad}));
        assert_fault(sections, "server.rate_limit.requests_per_second");
    }
    assert_fault(
        rate(json!({"enabled": true, "burst": 0})),
        "server.rate_limit.burst",
    );
    assert_fault(rate(json!({"burst": -1})), "server.rate_limit.burst");
}

#[test]
fn all_faults_are_told_at_once() {
    let mut many = tenant(json!({"system_header": ""}));
    many.rate_limit = Some(json!({"enabled": true, "burst": 0}));
    let error = IdentityConfig::from_sections(many).expect_err("faults");
    assert_eq!(error.faults.len(), 2);
    assert_eq!(error.to_string(), error.faults.join("\n"));
}
