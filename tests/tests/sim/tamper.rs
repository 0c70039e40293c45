//! Somebody on the path changes bytes.
//!
//! Without keys: every byte of every datagram of the handshake. With the Initial keys, which
//! everybody has who knows the responder's id: every byte of Hello and Reply, and CRYPTO data that
//! nobody sent.

use std::time::Duration;

use pinhole_proto::NetworkKey;
use pinhole_tests::world::{Datagram, Link, World};
use pinhole_transport::testing::{InitialPacket, OpenedInitial, Sender, Status, crypto_frame};

const PATIENCE: Duration = Duration::from_secs(40);

/// Responder 0 and dialer 1.
fn world() -> World {
    let mut world = World::new(1, Link::good(Duration::from_millis(20)));
    world.add();
    world.add();
    world
}

/// Dials; asserts that what is established is established truly.
fn outcome(world: &mut World) -> Status {
    let dial = world.dial(1, 0);
    let status = world.settle(1, dial, PATIENCE);
    world.run_for(Duration::from_secs(1));
    let dialer = world.peer_id(1);
    let accepted = world.established(0, dialer);
    assert_eq!(world.node(0).connections().iter().filter(|c| c.1 != dialer).count(), 0);
    if status == Status::Established {
        let exported = world.node(1).exported(dial);
        assert!(exported.is_some());
        assert!(accepted.iter().all(|&id| world.node(0).exported(id) == exported));
    } else {
        assert_eq!(accepted, [0_u64; 0]);
    }
    status
}

/// Handshake with one byte of datagram `number` changed.
fn flipped(number: usize, position: usize, mask: u8) -> Status {
    let mut world = world();
    let mut seen = 0;
    world.intercept(move |mut datagram| {
        if seen == number
            && let Some(byte) = datagram.bytes.get_mut(position)
        {
            *byte ^= mask;
        }
        seen += 1;
        vec![datagram]
    });
    outcome(&mut world)
}

/// The lengths of the datagrams of an undisturbed handshake.
fn lengths() -> Vec<usize> {
    let mut world = world();
    assert_eq!(outcome(&mut world), Status::Established);
    world.sent.iter().map(|datagram| datagram.bytes.len()).take(4).collect()
}

#[test]
fn a_changed_byte_delays_a_handshake_and_does_no_more() {
    for (number, len) in lengths().into_iter().enumerate() {
        for position in 0..len {
            let mask = 1 << (position % 8);
            let status = flipped(number, position, mask);
            assert_eq!(status, Status::Established, "byte {position} of datagram {number}");
        }
    }
}

#[test]
fn a_cut_datagram_delays_a_handshake_and_does_no_more() {
    for (number, len) in lengths().into_iter().enumerate() {
        for cut in (0..len).step_by(7) {
            let mut world = world();
            let mut seen = 0;
            world.intercept(move |mut datagram| {
                if seen == number {
                    datagram.bytes.truncate(cut);
                }
                seen += 1;
                vec![datagram]
            });
            let status = outcome(&mut world);
            assert_eq!(status, Status::Established, "datagram {number} cut to {cut}");
        }
    }
}

/// The dialer's first connection id, its own id, and the frames of an Initial.
fn open(datagram: &Datagram, world: &World, dcid: &[u8], sender: Sender) -> OpenedInitial {
    let (network, responder) = (NetworkKey::PUBLIC, world.peer_id(0));
    OpenedInitial::open(&datagram.bytes, &network, responder, dcid, sender).unwrap()
}

fn first_dcid(datagram: &[u8]) -> Vec<u8> {
    datagram[6..][..usize::from(datagram[5])].to_vec()
}

/// The CRYPTO data of frames as quinn writes them here.
fn crypto(frames: &[u8]) -> Vec<u8> {
    let at = frames.windows(2).position(|bytes| bytes == [0x06, 0x00]).unwrap();
    let (len, data) = match frames[at + 2] {
        short if short < 0x40 => (usize::from(short), &frames[at + 3..]),
        high => (usize::from(high & 0x3f) << 8 | usize::from(frames[at + 3]), &frames[at + 4..]),
    };
    data[..len].to_vec()
}

/// What the Hello and the Reply of an undisturbed handshake look like.
fn messages() -> (Vec<u8>, Vec<u8>) {
    let mut world = world();
    outcome(&mut world);
    let dcid = first_dcid(&world.sent[0].bytes);
    let hello = open(&world.sent[0], &world, &dcid, Sender::Dialer);
    let reply = open(&world.sent[1], &world, &dcid, Sender::Responder);
    (crypto(&hello.frames), crypto(&reply.frames))
}

/// Replaces datagram `number` by an Initial under the right keys with `frames(its CRYPTO data)`.
fn forged(number: usize, sender: Sender, frames: impl Fn(Vec<u8>) -> Vec<u8> + 'static) -> World {
    let mut world = world();
    let responder = world.peer_id(0);
    let (mut seen, mut dcid) = (0, Vec::new());
    world.intercept(move |mut datagram| {
        if seen == 0 {
            dcid = first_dcid(&datagram.bytes);
        }
        if seen == number {
            let network = NetworkKey::PUBLIC;
            let opened =
                OpenedInitial::open(&datagram.bytes, &network, responder, &dcid, sender).unwrap();
            let mut packet = InitialPacket::new(&network, responder, &opened.dcid, &opened.scid);
            (packet.sender, packet.keys_from) = (sender, dcid.clone());
            datagram.bytes = packet.seal(&frames(crypto(&opened.frames)));
        }
        seen += 1;
        vec![datagram]
    });
    world
}

#[test]
fn a_hello_with_a_changed_byte_is_dropped_in_silence() {
    let (hello, _) = messages();
    for position in 0..hello.len() {
        let mut world = forged(0, Sender::Dialer, move |mut hello| {
            hello[position] ^= 1 << (position % 8);
            crypto_frame(0, &hello)
        });
        // The true one comes when the dialer has waited long enough.
        assert_eq!(outcome(&mut world), Status::Established, "byte {position}");
        assert_eq!(world.node(0).gate_counters().unauthenticated, 1, "byte {position}");
    }
}

#[test]
fn a_reply_with_a_changed_byte_ends_the_dial() {
    let (_, reply) = messages();
    for position in 0..reply.len() {
        let mut world = forged(1, Sender::Responder, move |mut reply| {
            reply[position] ^= 1 << (position % 8);
            crypto_frame(0, &reply)
        });
        assert_ne!(outcome(&mut world), Status::Established, "byte {position}");
    }
}

/// Whoever knows the responder's id can add CRYPTO data behind the Reply. If the dialer took it
/// for the beginning of the Accept, it would take the responder's choices from a stranger.
#[test]
fn bytes_behind_the_reply_end_the_dial_at_once() {
    for len in [1, 2, 3, 4, 5, 40, 300] {
        let mut head = [3, 1, 200, 2, 1].to_vec();
        head.resize(len.max(5), 0);
        head.truncate(len);
        let mut world = forged(1, Sender::Responder, move |reply| {
            crypto_frame(0, &[&reply[..], &head].concat())
        });
        let dial = world.dial(1, 0);
        let Status::Closed(reason) = world.settle(1, dial, PATIENCE) else {
            panic!("established with {len} bytes behind the Reply");
        };
        assert!(reason.contains("unexpected"), "{len}: {reason}");
    }
}

/// The same with an Accept of the stranger's making that swallows the true one as a transport
/// parameter that nobody knows.
#[test]
fn an_accept_that_swallows_the_true_one_is_refused() {
    for swallowed in 60..200u16 {
        let mut world = forged_accept(swallowed);
        let dial = world.dial(1, 0);
        let status = world.settle(1, dial, PATIENCE);
        assert!(!world.node(1).early_accepted(dial));
        assert!(matches!(status, Status::Closed(_)), "{swallowed}: {status:?}");
    }
}

fn forged_accept(swallowed: u16) -> World {
    let mut world = world();
    let responder = world.peer_id(0);
    let (mut seen, mut dcid) = (0, Vec::new());
    world.intercept(move |mut datagram| {
        if seen == 0 {
            dcid = first_dcid(&datagram.bytes);
        }
        let mut datagrams = vec![datagram.clone()];
        if seen == 1 {
            let network = NetworkKey::PUBLIC;
            let opened =
                OpenedInitial::open(&datagram.bytes, &network, responder, &dcid, Sender::Responder)
                    .unwrap();
            let parameter = |id: u8, value: &[u8]| [&[id, value.len() as u8][..], value].concat();
            let parameters = [
                parameter(0x00, &dcid),
                parameter(0x0f, &opened.scid),
                parameter(0x04, &[0x80, 1, 0, 0]),
                parameter(0x06, &[0x80, 1, 0, 0]),
                parameter(0x08, &[0x40, 99]),
                [&[0x7f, 0x99][..], &(0x4000 | swallowed).to_be_bytes()].concat(),
            ]
            .concat();
            let len = 2 + parameters.len() as u16 + swallowed;
            let head = [&[3][..], &len.to_be_bytes(), &[1, 1], &parameters].concat();
            let mut packet = InitialPacket::new(&network, responder, &opened.dcid, &opened.scid);
            (packet.sender, packet.keys_from) = (Sender::Responder, dcid.clone());
            packet.number = 77;
            // It overtakes the true Reply and waits for it.
            datagram.bytes = packet.seal(&crypto_frame(51, &head));
            datagrams.insert(0, datagram);
        }
        seen += 1;
        datagrams
    });
    world
}

#[test]
fn messages_out_of_turn_end_the_handshake() {
    let bodies: [&[u8]; 6] = [
        &[1, 0, 0],       // Hello
        &[3, 0, 2, 2, 0], // Accept
        &[4, 0, 0],       // Confirm
        &[0, 0, 0],       // no such type
        &[5, 0, 0],       // no such type
        &[2, 0xff, 0xff], // a Reply that is too long
    ];
    for body in bodies {
        let mut world = forged(1, Sender::Responder, move |_| crypto_frame(0, body));
        assert!(matches!(outcome(&mut world), Status::Closed(_)), "{body:?}");
    }
}
