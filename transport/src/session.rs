//! quinn's crypto session over our handshake (shell): which message goes into which packet number
//! space, and when keys change (SPEC §4.4, RFC 9001 §4).

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use pinhole_proto::{NetworkKey, PeerId};
use quinn_proto::{
    ConnectError, ConnectionId, Side as QuicSide, TransportError, TransportErrorCode,
    crypto::{
        ClientConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig,
        Session, UnsupportedVersion,
    },
    transport_parameters::TransportParameters,
};
use ring::aead;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    connection::MAX_EXPORT_LABEL,
    gate::Gate,
    handshake::{
        Accept, Acceptor, Destination, Dialer, EarlySecret, HandshakeError, Hello, InitialSalt,
        InitialSecrets, Message, Pair, Secret, Secrets, SharedSecrets, StaticKey, expand_label,
    },
    protection::{self, Side, Suite},
    pulse::Pulse,
};

/// What a dialer assumes of a responder that it never met, as encoded transport parameters
/// (SPEC §4.6). Every responder offers at least this.
pub(crate) const FLOOR: &[u8] = &[
    0x04, 0x02, 0x60, 0x00, // initial_max_data 8,192
    0x06, 0x02, 0x50, 0x00, // initial_max_stream_data_bidi_remote 4,096
    0x08, 0x01, 0x04, // initial_max_streams_bidi 4
];

/// The suite of Initial, 0-RTT and Handshake packets (SPEC §4.7).
pub(crate) const FIXED_SUITE: Suite = Suite::ChaCha20Poly1305;

/// The peer at the other end of a session, and the counter of the dialer's Hello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerIdentity {
    pub(crate) peer: PeerId,
    pub(crate) counter: u64,
}

/// Everything that a dial needs to start its handshake.
pub(crate) struct DialerConfig {
    pub(crate) key: StaticKey,
    pub(crate) network: NetworkKey,
    pub(crate) responder: PeerId,
    pub(crate) counter: u64,
    /// Fresh random bytes: ephemeral key, early secret.
    pub(crate) ephemeral: Zeroizing<[u8; 32]>,
    pub(crate) early_secret: Zeroizing<[u8; 32]>,
    pub(crate) shared: SharedSecrets,
    pub(crate) pulse: Arc<Pulse>,
}

impl ClientConfig for DialerConfig {
    fn start_session(
        self: Arc<Self>,
        _version: u32,
        _server_name: &str,
        parameters: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let mut encoded = Vec::new();
        parameters.write(&mut encoded);
        let hello = Hello {
            dialer: self.key.peer_id,
            counter: self.counter,
            early_secret: self.early_secret.clone(),
            suites: Suite::offered(),
            parameters: encoded,
        };
        let to = Destination { network: &self.network, responder: self.responder };
        let (dialer, body) =
            Dialer::start(&self.key, to, &hello, self.ephemeral.clone(), &self.shared)
                .map_err(|e| ConnectError::InvalidServerName(e.to_string()))?;
        let early = dialer.early_secret().clone();
        Ok(Box::new(DialerSession {
            salt: InitialSalt::new(&self.network, &self.responder),
            responder: self.responder,
            counter: self.counter,
            suites: hello.suites,
            early,
            inbox: Inbox::default(),
            state: DialerState::Start(dialer, body),
            accept: None,
            keys: None,
            pulse: self.pulse.clone(),
        }))
    }
}

struct DialerSession {
    salt: InitialSalt,
    responder: PeerId,
    counter: u64,
    suites: Vec<u8>,
    early: EarlySecret,
    inbox: Inbox,
    state: DialerState,
    accept: Option<Accept>,
    keys: Option<Traffic>,
    pulse: Arc<Pulse>,
}

enum DialerState {
    /// The Hello is not written yet.
    Start(Dialer, Vec<u8>),
    AwaitReply(Dialer),
    /// The Reply came; the Handshake keys are not handed out yet.
    Replied(Secrets),
    AwaitAccept(Secrets),
    /// The Accept came; our Confirm is not written yet.
    Accepted(Secrets),
    Done,
    /// A message did not authenticate.
    Failed,
}

impl DialerSession {
    fn read_message(&mut self, message: Message<'_>) -> Result<(), HandshakeError> {
        match (std::mem::replace(&mut self.state, DialerState::Failed), message) {
            (DialerState::AwaitReply(dialer), Message::Reply(body)) => {
                self.state = DialerState::Replied(dialer.finish(body)?);
            }
            (DialerState::AwaitAccept(secrets), Message::Accept(body)) => {
                let accept = Accept::decode(body)?;
                if !self.suites.contains(&accept.suite.code()) {
                    return Err(HandshakeError::Suite);
                }
                self.accept = Some(accept);
                self.state = DialerState::Accepted(secrets);
            }
            _ => return Err(HandshakeError::UnexpectedMessage),
        }
        self.pulse.hear();
        Ok(())
    }
}

impl Session for DialerSession {
    fn initial_keys(&self, dcid: &ConnectionId, side: QuicSide) -> Keys {
        initial_keys(&self.salt, dcid, ours(side))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.accept.as_ref().map(|accept| Box::new(accept.suite) as Box<dyn Any>)
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let identity = PeerIdentity { peer: self.responder, counter: self.counter };
        self.keys.as_ref().map(|_| Box::new(identity) as Box<dyn Any>)
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        Some(early_keys(&self.early))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.accept.as_ref().map(|accept| accept.early_data)
    }

    fn is_handshaking(&self) -> bool {
        self.keys.is_none()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.inbox.push(bytes)?;
        while let Some(message) = self.inbox.pop()? {
            let (message, _) = decode(&message)?;
            self.read_message(message).map_err(refused)?;
        }
        // The next message belongs to the next space. Bytes that already lie here were sent under
        // weaker keys than it will be, and must not become its beginning (SPEC §4.4).
        if !matches!(self.state, DialerState::AwaitReply(_) | DialerState::AwaitAccept(_)) {
            self.inbox.must_be_empty()?;
        }
        Ok(matches!(self.state, DialerState::Accepted(_)))
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let bytes = self.accept.as_ref().map_or(FLOOR, |accept| &accept.parameters);
        read_parameters(QuicSide::Client, bytes).map(Some).map_err(refused)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        match std::mem::replace(&mut self.state, DialerState::Failed) {
            DialerState::Start(dialer, body) => {
                Message::Hello(&body).encode(out);
                self.state = DialerState::AwaitReply(dialer);
                None
            }
            DialerState::Replied(secrets) => {
                let keys = protection::keys(FIXED_SUITE, &secrets.handshake, Side::Dialer);
                self.state = DialerState::AwaitAccept(secrets);
                Some(keys)
            }
            DialerState::Accepted(secrets) => {
                Message::Confirm.encode(out);
                self.state = DialerState::Done;
                let suite = self.accept.as_ref().map_or(FIXED_SUITE, |accept| accept.suite);
                let traffic = Traffic::new(suite, secrets, Side::Dialer, &self.pulse);
                let keys = traffic.keys();
                self.keys = Some(traffic);
                Some(keys)
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.keys.as_mut().map(Traffic::update)
    }

    fn is_valid_retry(&self, orig_dcid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        let Some(split) = payload.len().checked_sub(aead::MAX_TAG_LEN) else { return false };
        let (token, tag) = payload.split_at(split);
        let packet = [header, token].concat();
        retry_tag(&self.salt, orig_dcid, &packet).ct_eq(tag).into()
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        export(self.keys.as_ref(), output, label, context)
    }
}

/// What the session of an inbound connection needs. All but `pulse` is the same for every
/// connection of an endpoint.
#[derive(Clone)]
pub(crate) struct ResponderConfig {
    pub(crate) salt: InitialSalt,
    pub(crate) gate: Arc<Mutex<Gate>>,
    pub(crate) accept_early_data: bool,
    pub(crate) pulse: Arc<Pulse>,
}

impl ServerConfig for ResponderConfig {
    fn initial_keys(&self, _: u32, dcid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        Ok(initial_keys(&self.salt, dcid, Side::Responder))
    }

    fn retry_tag(&self, _: u32, orig_dcid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        retry_tag(&self.salt, orig_dcid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn Session> {
        let mut encoded = Vec::new();
        parameters.write(&mut encoded);
        Box::new(ResponderSession {
            config: self,
            parameters: encoded,
            inbox: Inbox::default(),
            state: ResponderState::AwaitHello,
            dialer: None,
            early: None,
            peer_parameters: None,
            confirmed: false,
            keys: None,
        })
    }
}

struct ResponderSession {
    config: Arc<ResponderConfig>,
    parameters: Vec<u8>,
    inbox: Inbox,
    state: ResponderState,
    dialer: Option<PeerIdentity>,
    early: Option<EarlySecret>,
    peer_parameters: Option<TransportParameters>,
    confirmed: bool,
    keys: Option<Traffic>,
}

enum ResponderState {
    AwaitHello,
    /// The gate let the Hello in; our Reply is not written yet.
    Greeted(Box<Acceptor>),
    /// The Reply is written; our Accept is next.
    Replied(Secrets, Suite),
    AwaitConfirm,
    Failed,
}

impl ResponderSession {
    fn read_message(&mut self, message: Message<'_>) -> Result<(), HandshakeError> {
        match (&self.state, message) {
            (ResponderState::AwaitHello, Message::Hello(body)) => {
                let mut gate = crate::lock(&self.config.gate);
                let admitted = gate.take_admitted(body).ok_or(HandshakeError::Authentication)?;
                drop(gate);
                let hello = &admitted.acceptor.hello;
                self.dialer = Some(PeerIdentity { peer: hello.dialer, counter: hello.counter });
                self.peer_parameters = Some(admitted.parameters);
                if self.config.accept_early_data {
                    self.early = Some(admitted.acceptor.early_secret().clone());
                }
                self.state = ResponderState::Greeted(Box::new(admitted.acceptor));
                Ok(())
            }
            (ResponderState::AwaitConfirm, Message::Confirm) if !self.confirmed => {
                self.confirmed = true;
                self.config.pulse.hear();
                // At once: from now on a copy of the dialer's Initial is dropped (SPEC §5.2).
                if let Some(dialer) = &self.dialer {
                    crate::lock(&self.config.gate).settle(&dialer.peer, dialer.counter);
                }
                Ok(())
            }
            _ => Err(HandshakeError::UnexpectedMessage),
        }
    }
}

impl Session for ResponderSession {
    fn initial_keys(&self, dcid: &ConnectionId, side: QuicSide) -> Keys {
        initial_keys(&self.config.salt, dcid, ours(side))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.keys.as_ref().map(|keys| Box::new(keys.suite) as Box<dyn Any>)
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.dialer.map(|dialer| Box::new(dialer) as Box<dyn Any>)
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.early.as_ref().map(early_keys)
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        !self.confirmed
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.inbox.push(bytes)?;
        let known = self.dialer.is_some();
        while let Some(message) = self.inbox.pop()? {
            let (message, _) = decode(&message)?;
            self.read_message(message).map_err(refused)?;
        }
        if self.confirmed || matches!(self.state, ResponderState::Greeted(_)) {
            self.inbox.must_be_empty()?;
        }
        Ok(!known && self.dialer.is_some())
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        Ok(self.peer_parameters)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        match std::mem::replace(&mut self.state, ResponderState::Failed) {
            ResponderState::Greeted(acceptor) => {
                let suite = Suite::choose(&acceptor.hello.suites);
                let (body, secrets) = acceptor.reply().ok()?;
                Message::Reply(&body).encode(out);
                let keys = protection::keys(FIXED_SUITE, &secrets.handshake, Side::Responder);
                self.state = ResponderState::Replied(secrets, suite);
                Some(keys)
            }
            ResponderState::Replied(secrets, suite) => {
                let parameters = std::mem::take(&mut self.parameters);
                let accept = Accept { suite, early_data: self.early.is_some(), parameters };
                Message::Accept(&accept.encode()).encode(out);
                self.state = ResponderState::AwaitConfirm;
                let traffic = Traffic::new(suite, secrets, Side::Responder, &self.config.pulse);
                let keys = traffic.keys();
                self.keys = Some(traffic);
                Some(keys)
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.keys.as_mut().map(Traffic::update)
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false // only a dialer gets a Retry
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        export(self.keys.as_ref(), output, label, context)
    }
}

/// The secrets of 1-RTT packets, one generation after the other.
struct Traffic {
    suite: Suite,
    side: Side,
    secrets: Pair,
    exporter: Secret,
    pulse: Arc<Pulse>,
}

impl Traffic {
    fn new(suite: Suite, secrets: Secrets, side: Side, pulse: &Arc<Pulse>) -> Self {
        let Secrets { application, exporter, .. } = secrets;
        Self { suite, side, secrets: application, exporter, pulse: pulse.clone() }
    }

    fn keys(&self) -> Keys {
        protection::traffic_keys(self.suite, &self.secrets, self.side, &self.pulse)
    }

    fn update(&mut self) -> KeyPair<Box<dyn PacketKey>> {
        self.secrets.update();
        protection::traffic_packet_keys(self.suite, &self.secrets, self.side, &self.pulse)
    }
}

/// CRYPTO bytes that came in and are not a whole message yet.
#[derive(Default)]
struct Inbox(Vec<u8>);

impl Inbox {
    fn push(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        // Two whole messages at most: quinn hands over what it has in order.
        if self.0.len() + bytes.len() > 4096 {
            return Err(refused(HandshakeError::Length));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn must_be_empty(&self) -> Result<(), TransportError> {
        if self.0.is_empty() { Ok(()) } else { Err(refused(HandshakeError::UnexpectedMessage)) }
    }

    /// The next whole message, as bytes.
    fn pop(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let Some((_, len)) = Message::decode(&self.0).map_err(refused)? else { return Ok(None) };
        let rest = self.0.split_off(len);
        Ok(Some(std::mem::replace(&mut self.0, rest)))
    }
}

fn decode(bytes: &[u8]) -> Result<(Message<'_>, usize), TransportError> {
    Message::decode(bytes).map_err(refused)?.ok_or_else(|| refused(HandshakeError::Length))
}

/// A handshake error as QUIC reports it: crypto error 0x01xx with the alert numbers of SPEC §4.9.
fn refused(error: HandshakeError) -> TransportError {
    let alert = match error {
        HandshakeError::Length => 50,
        HandshakeError::UnexpectedMessage => 10,
        HandshakeError::Authentication => 51,
        HandshakeError::Identity => 42,
        HandshakeError::Suite => 40,
        HandshakeError::TransportParameters => 47,
    };
    TransportError {
        code: TransportErrorCode::crypto(alert),
        frame: None,
        reason: error.to_string(),
    }
}

/// Decodes the peer's transport parameters, as read by `side`.
pub(crate) fn read_parameters(
    side: QuicSide,
    mut bytes: &[u8],
) -> Result<TransportParameters, HandshakeError> {
    TransportParameters::read(side, &mut bytes).map_err(|_| HandshakeError::TransportParameters)
}

fn ours(side: QuicSide) -> Side {
    if side.is_client() { Side::Dialer } else { Side::Responder }
}

fn initial_keys(salt: &InitialSalt, dcid: &[u8], side: Side) -> Keys {
    let InitialSecrets { dialer, responder } = InitialSecrets::new(salt, dcid);
    protection::keys(FIXED_SUITE, &Pair { dialer, responder }, side)
}

fn early_keys(early: &EarlySecret) -> (Box<dyn HeaderKey>, Box<dyn PacketKey>) {
    (protection::header_key(FIXED_SUITE, &early.0), protection::packet_key(FIXED_SUITE, &early.0))
}

/// The Retry integrity tag (SPEC §4.8, RFC 9001 §5.8).
pub(crate) fn retry_tag(salt: &InitialSalt, orig_dcid: &[u8], packet: &[u8]) -> [u8; 16] {
    let (key, nonce) = salt.retry();
    let cid_len = u8::try_from(orig_dcid.len()).unwrap_or(u8::MAX);
    let pseudo_packet = [&[cid_len], orig_dcid, packet].concat();
    let mut tag = [0; 16];
    if let Ok(key) = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, &*key) {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let aad = aead::Aad::from(&*pseudo_packet);
        let sealed = aead::LessSafeKey::new(key).seal_in_place_separate_tag(nonce, aad, &mut []);
        if let Ok(sealed) = sealed {
            tag.copy_from_slice(sealed.as_ref());
        }
    }
    tag
}

/// Keys for the application (SPEC §4.5.3).
fn export(
    keys: Option<&Traffic>,
    output: &mut [u8],
    label: &[u8],
    context: &[u8],
) -> Result<(), ExportKeyingMaterialError> {
    let keys = keys.ok_or(ExportKeyingMaterialError)?;
    if label.len() > MAX_EXPORT_LABEL || output.len() > 255 * 32 {
        return Err(ExportKeyingMaterialError);
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, context);
    expand_label(&keys.exporter, label, hash.as_ref(), output);
    Ok(())
}
