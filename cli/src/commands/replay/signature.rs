//! Ed25519 keys and signatures, in the files that other tools know: PKCS #8 and SPKI as PEM.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use super::Outcome;

/// Characters on a line of PEM.
const LINE: usize = 64;

/// What comes before the key itself in the DER of an Ed25519 public key (RFC 8410, section 4).
const PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Makes a key pair. A file that is there stays.
pub(super) fn generate(private: &Path) -> anyhow::Result<Outcome> {
    let public = beside(private);
    ensure!(
        !public.exists(),
        "{} is there already; choose another name",
        public.display()
    );
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .ok()
        .context("no key could be made")?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())
        .ok()
        .context("the new key cannot be used")?;
    let spki: PublicKeyX509Der<'_> = pair
        .public_key()
        .as_der()
        .ok()
        .context("the public key cannot be written")?;
    write(private, &pem("PRIVATE KEY", document.as_ref()), 0o600)?;
    write(&public, &pem("PUBLIC KEY", spki.as_ref()), 0o644)?;
    println!("private key: {}", private.display());
    println!("public key: {}", public.display());
    Ok(Outcome::Well)
}

/// Signs a text; the signature in base64.
pub(super) fn sign(private: &Path, text: &str) -> anyhow::Result<String> {
    let der = PrivatePkcs8KeyDer::from_pem_file(private)
        .with_context(|| format!("cannot read a private key from {}", private.display()))?;
    let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der())
        .ok()
        .with_context(|| format!("{} holds no Ed25519 key", private.display()))?;
    Ok(STANDARD.encode(pair.sign(text.as_bytes())))
}

/// Whether a signature is that of a text.
pub(super) fn verify(public: &Path, text: &str, signature: &str) -> anyhow::Result<()> {
    let der = SubjectPublicKeyInfoDer::from_pem_file(public)
        .with_context(|| format!("cannot read a public key from {}", public.display()))?;
    let Some(key) = der.as_ref().strip_prefix(&PREFIX) else {
        bail!("{} holds no Ed25519 key", public.display());
    };
    let signature = STANDARD
        .decode(signature)
        .context("the signature is not base64")?;
    let verified = UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature);
    ensure!(
        verified.is_ok(),
        "the signature is not that of the key in {}: the heads were altered, or signed by another key",
        public.display()
    );
    Ok(())
}

fn beside(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    let text = STANDARD.encode(der);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(LINE.min(rest.len()));
        lines.push(line.to_owned());
        rest = more;
    }
    lines.push(format!("-----END {label}-----\n"));
    lines.join("\n")
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
