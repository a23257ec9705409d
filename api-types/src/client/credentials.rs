//! What a client sends with every request to say who it is.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::Error;

/// Who a client says it is. Nothing, for a server that asks nobody.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    token: Option<String>,
    headers: Vec<(String, String)>,
}

impl Credentials {
    /// The same credentials with a bearer token; white space around it is left out.
    pub fn token(mut self, token: impl AsRef<str>) -> Self {
        self.token = Some(token.as_ref().trim().to_owned());
        self
    }

    /// The same credentials with a header, such as that of a tenant.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn headers(&self) -> Result<HeaderMap, Error> {
        let invalid = |what: String, reason: &str| Error::InvalidCredentials {
            what,
            reason: reason.to_owned(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let what = || format!("header {name:?}");
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid(what(), "that is no header name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| {
                invalid(what(), "its value has a character that headers cannot have")
            })?;
            headers.append(name, value);
        }
        if let Some(token) = &self.token {
            let what = || "the token".to_owned();
            if token.is_empty() {
                return Err(invalid(what(), "it is empty"));
            }
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| invalid(what(), "it has a character that headers cannot have"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

impl fmt::Debug for Credentials {
    /// Without the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("headers", &self.headers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_headers_are_sent_and_the_token_is_not_shown() {
        let credentials = Credentials::default()
            .token(" a.b.c\n")
            .header("X-Org", "a");
        let headers = credentials.headers().expect("good ones");
        assert_eq!(headers["authorization"], "Bearer a.b.c");
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(headers["x-org"], "a");
        assert!(!format!("{credentials:?}").contains("a.b.c"));
    }

    #[test]
    fn what_cannot_be_sent_is_named_without_its_value() {
        for (credentials, what) in [
            (Credentials::default().token("secret\u{7f}"), "the token"),
            (Credentials::default().token("  "), "the token"),
            (
                Credentials::default().header("no name", "v"),
                "header \"no name\"",
            ),
            (
                Credentials::default().header("X-Org", "secret\n"),
                "header \"X-Org\"",
            ),
        ] {
            let error = credentials.headers().expect_err("refused").to_string();
            assert!(error.starts_with(what), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
