//! TLS 1.2 and 1.3, and whom to trust.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use glowplug::clock::rfc3339;
use glowplug::error::{Error, Reason, Result};
use glowplug::fd;
use glowplug::http::Failure;
use rustix::fs::stat;
use rustix::io::Errno;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme, StreamOwned,
};

use crate::connect::Stream;
use crate::time::TrustedTime;

/// The bundle of Debian's package ca-certificates.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The most bytes of the bundle. Debian's has 220 KB.
const MOST_BUNDLE: u64 = 8 << 20;

/// Whom to trust, and at which time.
#[derive(Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    time: TrustedTime,
}

impl Trust {
    /// Reads the system's bundle, and adds the bundles `own` of the config. A certificate of the system that cannot be read is
    /// left out.
    ///
    /// # Errors
    /// [`Reason::Resource`] for a bundle of the config that is not one; [`Reason::Certificate`] if nobody is trusted;
    /// [`Reason::System`] if the system's bundle is there but cannot be read.
    pub fn new(own: &[Cow<'_, [u8]>]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let mut pinned = Vec::new();
        for bundle in own {
            add_bundle(bundle, &mut roots, &mut pinned)?;
        }
        let path = Path::new(BUNDLE);
        let stamp = match fd::read_file(path, MOST_BUNDLE) {
            Ok(text) => {
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
                // A time stamp that cannot be read only leaves the other times.
                stat(path).map_or(0, |stat| u64::try_from(stat.st_mtime).unwrap_or(0))
            }
            Err(Errno::NOENT) => 0,
            Err(errno) => return Err(Error::system_at("read the CA certificates in", path, errno)),
        };
        let time = TrustedTime::new(stamp);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let inner = verifier.map_err(|_| {
            Error::new(Reason::Certificate, format!("there are no CA certificates in {BUNDLE}"))
                .advise("Install the package ca-certificates, or give the CA certificates in the config.")
        })?;
        let builder = ClientConfig::builder_with_details(provider, Arc::new(time))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(Reason::System, format!("set up TLS: {error}")))?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { inner, pinned }))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { config: Arc::new(config), time })
    }

    /// Begins TLS with `host` on `stream`. The handshake is complete when this returns.
    ///
    /// # Errors
    /// A final failure for a certificate that cannot be trusted, and for a host that does not speak TLS as this program does;
    /// otherwise a passing one.
    pub fn begin(
        &self,
        mut stream: Box<dyn Stream>,
        host: &str,
    ) -> std::result::Result<Box<dyn Stream>, Failure> {
        let bad_name = |_| Failure::bad("the name of the host cannot be in a certificate");
        let name = ServerName::try_from(host.to_owned()).map_err(bad_name)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| Failure::passing(format_args!("begin TLS: {error}")))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| self.failure(&error))?;
        }
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }

    /// Returns what a failed handshake means.
    fn failure(&self, error: &io::Error) -> Failure {
        use rustls::Error::{
            AlertReceived, InvalidCertificate, InvalidMessage, NoCertificatesPresented, PeerIncompatible,
            PeerMisbehaved,
        };
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Failure::io("begin TLS", error);
        };
        match tls {
            InvalidCertificate(what) => {
                let what = self.words(what);
                Failure::Final(Error::new(
                    Reason::Certificate,
                    format!("the certificate cannot be trusted: {what}"),
                ))
            }
            NoCertificatesPresented => {
                Failure::Final(Error::new(Reason::Certificate, "the host shows no certificate"))
            }
            InvalidMessage(_) => Failure::bad("the host does not speak TLS"),
            PeerIncompatible(_) => {
                Failure::bad(format!("the host does not speak TLS 1.2 or 1.3 as needed: {tls}"))
            }
            PeerMisbehaved(_) => Failure::bad("the host breaks the rules of TLS"),
            // These two say that nothing in common was found, which stays so.
            AlertReceived(
                rustls::AlertDescription::ProtocolVersion | rustls::AlertDescription::HandshakeFailure,
            ) => Failure::bad("the host refuses TLS 1.2 and 1.3, or all their ciphers that are known here"),
            _ => Failure::passing(format_args!("begin TLS: {tls}")),
        }
    }

    /// Returns what is wrong with a certificate. If its time matters, the text says by which time it was judged.
    fn words(&self, error: &CertificateError) -> String {
        use CertificateError as E;
        let judged = || format!("judged at {} ({})", rfc3339(self.time.seconds), self.time.source);
        match error {
            E::ExpiredContext { not_after, .. } => {
                format!("it expired at {}, {}", rfc3339(not_after.as_secs()), judged())
            }
            E::NotValidYetContext { not_before, .. } => {
                format!("it is valid only from {}, {}", rfc3339(not_before.as_secs()), judged())
            }
            E::UnknownIssuer => {
                "no known CA has issued it. If the CA is the right one, add its certificate to the config, \
                                 and let the server send the whole chain"
                    .to_owned()
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another name".to_owned(),
            E::BadEncoding => "it is malformed".to_owned(),
            E::BadSignature => "its signature is wrong, or made with a key that is too weak".to_owned(),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not for servers".to_owned(),
            E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                "its signature is of a kind that is weak or unknown".to_owned()
            }
            E::Other(other) if is_ca(other) => "it is that of a CA, not of a server".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Adds the certificates of one bundle of the config. Text around them is skipped.
fn add_bundle(
    bundle: &[u8],
    roots: &mut RootCertStore,
    pinned: &mut Vec<CertificateDer<'static>>,
) -> Result<()> {
    let bad = || Error::new(Reason::Resource, "a CA certificate of the config is malformed");
    let mut is_empty = true;
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|_| bad())?;
        roots.add(certificate.clone()).map_err(|_| bad())?;
        pinned.push(certificate);
        is_empty = false;
    }
    if is_empty {
        return Err(Error::new(Reason::Resource, "a CA bundle of the config has no certificate in PEM"));
    }
    Ok(())
}

/// Returns whether the failure is that a CA's certificate is used as that of a server.
fn is_ca(error: &OtherError) -> bool {
    matches!(error.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Judges certificates as webpki does, with one exception: a server may show a certificate that the config itself names,
/// although it is a CA's. `openssl req -x509` makes such certificates, and the reference accepts them.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// The CA certificates of the config.
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // webpki checks the times before it sees that the certificate is a CA's.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if is_ca(&other) && self.pinned.iter().any(|pinned| pinned == certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
