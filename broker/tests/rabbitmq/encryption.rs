//! AMQPS, with a certificate authority that nobody else knows.

use std::sync::Arc;

use hyperfleet_broker::{PublishError, Publisher as _, Subscriber as _, Subscription};
use hyperfleet_test_support::{OwnRabbitMq, ServerCertificate, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, Recorder, TOPIC, broker, event, next};

/// An authority of its own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_signer_and_by_nobody_else() {
    // Given a server whose certificate is signed by an authority of its own
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let encrypted = ServerCertificate {
        signers: &authority.pem(),
        certificate: &certificate.pem(),
        key: &key.serialize_pem(),
    };
    let Some(server) = OwnRabbitMq::start(Some(&encrypted)).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signers.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let url = server.encrypted_url();
    // When that authority is trusted
    let trusting = broker(&format!("{url}?cacertfile={}", file.display()));
    let subscription = Subscription::new(TOPIC, "dns");
    eventually(DEADLINE, "the subscription", async || {
        trusting.declare(&subscription).await
    })
    .await;
    // Then events go through
    let (sender, mut deliveries) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let (consumer, token) = (trusting.clone(), shutdown.clone());
    let running = tokio::spawn(async move {
        let handler = Arc::new(Recorder(sender));
        consumer.run(subscription, handler, token).await
    });
    trusting.publish(TOPIC, &event("encrypted")).await.unwrap();
    assert_eq!(next(&mut deliveries).await.envelope, event("encrypted"));
    shutdown.cancel();
    running.await.unwrap().unwrap();
    // And whoever does not trust it sends nothing
    let error = broker(&url).publish(TOPIC, &event("lost")).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, PublishError::Unconfirmed { .. }),
        "{error:?}"
    );
    // And a file that is not there is named
    let missing = broker(&format!("{url}?cacertfile=/no/such/file"));
    let error = missing.check().await.unwrap_err();
    let PublishError::Unconfirmed { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("/no/such/file"), "{source}");
}
