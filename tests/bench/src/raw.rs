//! The yardstick: quinn with rustls (ring) and mutual Ed25519 certificates.
//!
//! Both ends verify as little as strangers can: the signature of the handshake under the key in
//! the certificate, and, when dialing, that it is the certificate that was expected. A chain or
//! self-signature check, session tickets or a configuration made for each dial would only make
//! the yardstick slower.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use quinn::TokioRuntime;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use socket2::SockRef;

use crate::stack::{CHUNK, REQUEST_LIMIT, Stack, Target};

/// quinn + rustls.
pub struct Raw;

/// First byte of a stream whose bytes come back.
const ECHO: u8 = b'e';
/// First byte of a stream whose bytes are counted.
const SINK: u8 = b's';
/// What pinhole asks the kernel to buffer, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    key: Arc<PrivatePkcs8KeyDer<'static>>,
}

/// quinn's endpoint, and the certificate that it shows.
#[derive(Clone)]
pub struct Endpoint {
    quinn: quinn::Endpoint,
    certificate: CertificateDer<'static>,
}

impl Stack for Raw {
    const NAME: &'static str = "raw";
    type Identity = Certificate;
    type Endpoint = Endpoint;
    type Connection = quinn::Connection;

    fn identity() -> Result<Certificate> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let params = rcgen::CertificateParams::new(vec!["peer".to_owned()])?;
        let der = params.self_signed(&key)?.der().clone();
        Ok(Certificate { der, key: Arc::new(PrivatePkcs8KeyDer::from(key.serialize_der())) })
    }

    fn bind(identity: &Certificate) -> Result<Endpoint> {
        let server = Some(server_config(identity)?);
        let (config, runtime) = (quinn::EndpointConfig::default(), Arc::new(TokioRuntime));
        let mut quinn = quinn::Endpoint::new(config, server, socket()?, runtime)?;
        quinn.set_default_client_config(client_config(identity)?);
        Ok(Endpoint { quinn, certificate: identity.der.clone() })
    }

    fn target(endpoint: &Endpoint) -> Result<Target> {
        let identity = endpoint.certificate.to_vec();
        Ok(Target { addr: endpoint.quinn.local_addr()?, identity })
    }

    async fn connect(endpoint: &Endpoint, target: &Target) -> Result<quinn::Connection> {
        let connection = endpoint.quinn.connect(target.addr, "peer")?.await?;
        ensure!(shown(&connection).as_deref() == Some(&target.identity), "another peer answered");
        Ok(connection)
    }

    async fn accept(endpoint: &Endpoint) -> Option<quinn::Connection> {
        loop {
            if let Ok(connection) = endpoint.quinn.accept().await?.await {
                return Some(connection);
            }
        }
    }

    async fn serve(connection: quinn::Connection) {
        while let Ok((send, recv)) = connection.accept_bi().await {
            tokio::spawn(answer(send, recv));
        }
    }

    /// TLS has no early data for a peer never met: a full handshake, then the request.
    async fn first_request(endpoint: &Endpoint, target: &Target, body: &[u8]) -> Result<Vec<u8>> {
        let connection = Self::connect(endpoint, target).await?;
        Self::request(&connection, body).await
    }

    async fn request(connection: &quinn::Connection, body: &[u8]) -> Result<Vec<u8>> {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(&[ECHO]).await?;
        send.write_all(body).await?;
        send.finish()?;
        Ok(recv.read_to_end(REQUEST_LIMIT).await?)
    }

    async fn upload(connection: &quinn::Connection, bytes: u64) -> Result<()> {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(&[SINK]).await?;
        let chunk = vec![0x5a; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(CHUNK as u64) as usize;
            send.write_all(&chunk[..now]).await?;
            left -= now as u64;
        }
        send.finish()?;
        let count = recv.read_to_end(8).await?;
        ensure!(count == bytes.to_be_bytes(), "the peer did not read everything");
        Ok(())
    }

    fn close(connection: &quinn::Connection) {
        connection.close(0u32.into(), b"");
    }
}

/// The certificate that the peer proved to hold.
fn shown(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Some(chain.first()?.to_vec())
}

async fn answer(mut send: quinn::SendStream, mut recv: quinn::RecvStream) -> Result<()> {
    let mut kind = [0];
    recv.read_exact(&mut kind).await?;
    if kind == [ECHO] {
        let body = recv.read_to_end(REQUEST_LIMIT).await?;
        send.write_all(&body).await?;
    } else {
        send.write_all(&drain(&mut recv).await?.to_be_bytes()).await?;
    }
    send.finish()?;
    Ok(())
}

async fn drain(recv: &mut quinn::RecvStream) -> Result<u64> {
    let mut bytes = 0;
    while let Some(chunk) = recv.read_chunk(CHUNK, true).await? {
        bytes += chunk.bytes.len() as u64;
    }
    Ok(bytes)
}

fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

fn server_config(own: &Certificate) -> Result<quinn::ServerConfig> {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Verifier(provider())))
        .with_single_cert(vec![own.der.clone()], own.key.clone_key().into())?;
    tls.alpn_protocols = vec![b"bench".to_vec()];
    // A ticket is of no use between strangers, and costs CPU.
    tls.send_tls13_tickets = 0;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?)))
}

fn client_config(own: &Certificate) -> Result<quinn::ClientConfig> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier(provider())))
        .with_client_auth_cert(vec![own.der.clone()], own.key.clone_key().into())?;
    tls.alpn_protocols = vec![b"bench".to_vec()];
    tls.resumption = Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls).context("no suite for QUIC")?;
    Ok(quinn::ClientConfig::new(Arc::new(crypto)))
}

/// ring, with the one suite that pinhole too takes on a machine with AES in hardware.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

#[derive(Debug)]
struct Verifier(Arc<CryptoProvider>);

impl Verifier {
    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
