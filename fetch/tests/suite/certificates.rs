//! Certificates of all kinds, made by openssl(1) when a test asks for them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A directory of the test's own, which goes with the value. Everybody may look into it.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("glowplug-fetch-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a certificate is to be made.
pub struct Issue<'i> {
    /// The extensions, as openssl's configuration has them.
    pub extensions: &'i str,
    pub start: &'i str,
    pub end: &'i str,
    pub digest: &'i str,
    /// The arguments of `openssl genpkey` for the key.
    pub key: &'i [&'i str],
}

pub const EC: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub const CA: &str = "basicConstraints=critical,CA:TRUE";
pub const LOCALHOST: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

impl Default for Issue<'_> {
    fn default() -> Self {
        Self {
            extensions: LOCALHOST,
            start: "20200101000000Z",
            end: "20990101000000Z",
            digest: "sha256",
            key: EC,
        }
    }
}

/// A CA, and a directory for what it makes.
pub struct Authority {
    pub directory: TempDir,
}

impl Authority {
    /// Makes a CA named `ca`.
    pub fn new() -> Self {
        Self::with_key(EC)
    }

    pub fn with_key(key: &[&str]) -> Self {
        let authority = Self { directory: TempDir::new() };
        fs::write(authority.path("index.txt"), "").unwrap();
        fs::write(authority.path("index.txt.attr"), "unique_subject = no\n").unwrap();
        authority.issue("ca", None, &Issue { extensions: CA, key, ..Issue::default() });
        authority
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    /// Returns the certificate `name` as PEM.
    pub fn pem(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(&format!("{name}.pem"))).unwrap()
    }

    /// Makes the certificate `name`, signed by `issuer`, or by itself.
    pub fn issue(&self, name: &str, issuer: Option<&str>, issue: &Issue<'_>) {
        let file = |kind: &str| format!("{name}.{kind}");
        self.openssl(&[&["genpkey", "-out", &file("key")], issue.key].concat());
        let config = format!(
            "[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\npolicy=p\n\
             unique_subject=no\n[p]\ncommonName=supplied\n[e]\n{}\n[req]\ndistinguished_name=d\n[d]\n",
            issue.extensions
        );
        fs::write(self.path("openssl.cnf"), config).unwrap();
        let subject = format!("/CN={name}");
        let (key, request, pem) = (file("key"), file("csr"), file("pem"));
        self.openssl(&[
            "req",
            "-new",
            "-key",
            &key,
            "-subj",
            &subject,
            "-out",
            &request,
            "-config",
            "openssl.cnf",
        ]);
        let mut arguments = vec![
            "ca",
            "-batch",
            "-notext",
            "-config",
            "openssl.cnf",
            "-extensions",
            "e",
            "-in",
            &request,
            "-out",
            &pem,
            "-startdate",
            issue.start,
            "-enddate",
            issue.end,
            "-md",
            issue.digest,
        ];
        let (issuer_key, issuer_pem) =
            (issuer.map(|i| format!("{i}.key")), issuer.map(|i| format!("{i}.pem")));
        match (&issuer_key, &issuer_pem) {
            (Some(key), Some(pem)) => arguments.extend(["-keyfile", key, "-cert", pem]),
            _ => arguments.extend(["-selfsign", "-keyfile", &key]),
        }
        self.openssl(&arguments);
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.directory.0).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {text}");
    }

    /// Returns the configuration of a server with the key `names[0]`, which shows the certificates `names`.
    pub fn server(&self, names: &[&str]) -> ServerConfig {
        self.server_with(names, rustls::DEFAULT_VERSIONS)
    }

    pub fn server_with(
        &self,
        names: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        let chain =
            names.iter().map(|name| CertificateDer::from_pem_slice(&self.pem(name)).unwrap()).collect();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{}.key", names[0]))).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        ServerConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap()
    }

    /// Issues the certificate `leaf` for localhost and returns the configuration of a server that shows it.
    pub fn localhost(&self) -> ServerConfig {
        self.issue("leaf", Some("ca"), &Issue::default());
        self.server(&["leaf"])
    }
}
