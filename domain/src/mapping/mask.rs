//! Which values expressions must not see.

/// What stands for a masked value.
pub(super) const REDACTED: &str = "***REDACTED***";

/// How deep values are looked through for secrets; what is nested deeper is masked as a whole.
pub(super) const DEPTH: usize = 20;

/// Parts of keys whose values are secrets.
const SECRET: [&str; 21] = [
    "password",
    "secret",
    "token",
    "apikey",
    "api_key",
    "privatekey",
    "accesskey",
    "sshkey",
    "encryptionkey",
    "accountkey",
    "servicekey",
    "registrykey",
    "signingkey",
    "credential",
    "passphrase",
    "private",
    "auth",
    "connection",
    "cert",
    "kubeconfig",
    "bearer",
];

/// Whether the value of this key is a secret. Case does not count.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_a_part_of_their_key() {
        for key in [
            "adminPassword",
            "SECRETKEY",
            "pullSecret",
            "x_api_key",
            "Authorization",
            "tlsCert",
            "connectionString",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["name", "key", "keys", "region", "pass"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
