//! The first message of a TLS connection: the key exchange groups that it offers. With whichever TLS
//! library the program was built.

use std::io::Read;
use std::net::TcpListener;

use crate::support::run::Helper;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const P256: u16 = 0x17;
/// P-256, P-384, P-521 and x25519.
const ELLIPTIC: [u16; 4] = [P256, 0x18, 0x19, 0x1d];
const SUPPORTED_GROUPS: u16 = 10;
const KEY_SHARE: u16 = 51;

/// Takes `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (front, rest) = bytes.split_first_chunk().expect("more bytes");
    *bytes = rest;
    *front
}

fn take_u16(bytes: &mut &[u8]) -> u16 {
    u16::from_be_bytes(take(bytes))
}

/// A vector whose length stands before it in two bytes.
fn take_vector<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = take_u16(bytes).into();
    let (front, rest) = bytes.split_at(length);
    *bytes = rest;
    front
}

/// The body of an extension of a ClientHello (RFC 8446, section 4.1.2).
fn extension(mut hello: &[u8], wanted: u16) -> &[u8] {
    let _type_and_length: [u8; 4] = take(&mut hello);
    let _version_and_random: [u8; 34] = take(&mut hello);
    let [session_id] = take(&mut hello);
    hello = &hello[session_id.into()..];
    take_vector(&mut hello);
    let [compression] = take(&mut hello);
    hello = &hello[compression.into()..];
    let mut extensions = take_vector(&mut hello);
    while !extensions.is_empty() {
        let kind = take_u16(&mut extensions);
        let body = take_vector(&mut extensions);
        if kind == wanted {
            return body;
        }
    }
    panic!("no extension {wanted}");
}

#[test]
fn a_key_share_is_sent_for_p256_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("https://{}", listener.local_addr().expect("bound"));
    let helper = Helper::new().keys().env("AWS_ENDPOINT_URL", endpoint);
    let running = helper
        .env("AWS_ECR_TIMEOUT", "5")
        .run_of("get")
        .stdin(HOST)
        .spawn();
    let (mut stream, _) = listener.accept().expect("a client");
    let mut header = [0; 5];
    stream.read_exact(&mut header).expect("a record");
    let mut hello = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
    stream.read_exact(&mut hello).expect("the whole record");
    drop((stream, listener));
    assert_eq!(running.wait().code, Some(1));

    let mut groups = take_vector(&mut extension(&hello, SUPPORTED_GROUPS));
    let mut named = Vec::new();
    while !groups.is_empty() {
        named.push(take_u16(&mut groups));
    }
    // AWS's FIPS policies take P-256 alone. A post-quantum group without a share costs a round trip
    // at a server that prefers it.
    assert_eq!(named[0], P256);
    assert!(
        named.iter().all(|group| ELLIPTIC.contains(group)),
        "{named:x?}"
    );
    let mut shares = take_vector(&mut extension(&hello, KEY_SHARE));
    assert_eq!(take_u16(&mut shares), P256);
    take_vector(&mut shares);
    assert!(shares.is_empty(), "one share");
}
