//! An issuer of tokens for tests: a key of its own, made when the test runs, and what it publishes.

use std::io::Write as _;
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// An issuer of tokens.
pub struct TestIssuer {
    /// What its tokens have as `iss`.
    pub url: String,
    key: KeyPair,
    key_id: String,
    file: NamedTempFile,
}

impl TestIssuer {
    /// An issuer with a new key of this id, published in a file.
    pub fn new(url: &str, key_id: &str) -> Self {
        let issuer = Self {
            url: url.to_owned(),
            key: KeyPair::generate(KeySize::Rsa2048).expect("a key can be made"),
            key_id: key_id.to_owned(),
            file: NamedTempFile::new().expect("a temporary file"),
        };
        issuer.publish(&issuer.key_document());
        issuer
    }

    /// The file with its keys.
    pub fn key_file(&self) -> &Path {
        self.file.path()
    }

    /// Replaces what the file says.
    pub fn publish(&self, document: &Value) {
        let mut file = self.file.reopen().expect("the temporary file is there");
        let text = document.to_string();
        file.set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .expect("the temporary file can be written");
    }

    /// The public key as issuers publish it.
    pub fn key_document(&self) -> Value {
        json!({"keys": [self.public_key()]})
    }

    fn public_key(&self) -> Value {
        let public = self.key.public_key();
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
            "e": URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// One of `server.jwt.configs` for this issuer.
    pub fn config(&self) -> Value {
        json!({"issuer_url": self.url, "jwk_cert_file": self.key_file()})
    }

    /// The claims of a good token: made by this issuer, for `email`, good for an hour.
    pub fn claims(&self, now: DateTime<Utc>, email: &str) -> Value {
        json!({
            "iss": self.url,
            "sub": "0000-1111",
            "aud": ["hyperfleet", "other"],
            "iat": now.timestamp(),
            "exp": now.timestamp() + 3600,
            "email": email,
        })
    }

    /// A token with these claims, signed with the key of this issuer.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let message = message(&header, claims);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .expect("the key can sign");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token that claims to be signed with a secret, which is the public key: what a careless
    /// verifier would accept.
    pub fn sign_with_public_key(&self, claims: &Value) -> String {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": self.key_id});
        let message = message(&header, claims);
        let secret = self.key.public_key().as_ref().to_vec();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signature = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token without a signature that says so.
    pub fn unsigned(&self, claims: &Value) -> String {
        let header = json!({"alg": "none", "typ": "JWT", "kid": self.key_id});
        format!("{}.", message(&header, claims))
    }

    /// A good token for `email`, as the value of the header.
    pub fn bearer(&self, now: DateTime<Utc>, email: &str) -> String {
        format!("Bearer {}", self.sign(&self.claims(now, email)))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}
