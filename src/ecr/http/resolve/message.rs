//! DNS messages (RFC 1035): queries for addresses, and what of a response is needed.
//!
//! Every length is checked and nothing is followed: names in a response are only skipped, so a
//! compression loop cannot hold anything up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The type of record that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn record_type(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// The response of a name server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DnsAnswer {
    /// None of them: the name exists, but not in this family.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL, REFUSED and the like.
    Failed,
    /// The response does not fit into a datagram.
    Truncated,
}

const CLASS_IN: u16 = 1;
const HEADER: usize = 12;

/// A query, none for text that is not a domain name.
pub(super) fn query(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.extend(id.to_be_bytes());
    // Recursion desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if !(1..=63).contains(&length) {
            return None;
        }
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(family.record_type().to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    Some(message)
}

/// The answer to `query`; none for a message that is not a response to it.
pub(super) fn answer(query: &[u8], message: &[u8], family: Family) -> Option<DnsAnswer> {
    let question = query.get(HEADER..)?;
    let (header, rest) = message.split_at_checked(HEADER)?;
    let (asked, mut records) = rest.split_at_checked(question.len())?;
    // Response bit set, standard query, one question, and the same one.
    let ours = header.get(..2) == query.get(..2)
        && header[2] & 0xf8 == 0x80
        && header[4..6] == [0, 1]
        && asked.eq_ignore_ascii_case(question);
    if !ours {
        return None;
    }
    if header[2] & 2 != 0 {
        return Some(DnsAnswer::Truncated);
    }
    match header[3] & 0xf {
        0 => {}
        3 => return Some(DnsAnswer::NoSuchName),
        _ => return Some(DnsAnswer::Failed),
    }
    let mut addresses = Vec::new();
    for _ in 0..u16::from_be_bytes([header[6], header[7]]) {
        let Some((address, rest)) = record(records, family) else {
            return Some(DnsAnswer::Failed);
        };
        addresses.extend(address);
        records = rest;
    }
    Some(DnsAnswer::Addresses(addresses))
}

/// One record: its address if it has one of this family, and what follows it.
fn record(bytes: &[u8], family: Family) -> Option<(Option<IpAddr>, &[u8])> {
    let (fixed, rest) = skip_name(bytes)?.split_at_checked(10)?;
    let number = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let (data, rest) = rest.split_at_checked(usize::from(number(8)))?;
    let wanted = number(0) == family.record_type() && number(2) == CLASS_IN;
    let address = match family {
        _ if !wanted => None,
        Family::V4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?))),
        Family::V6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?))),
    };
    Some((address, rest))
}

fn skip_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            1..=63 => bytes = rest.get(usize::from(length)..)?,
            // A pointer ends the name.
            192.. => return rest.get(1..),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(query: &[u8], flags: [u8; 2], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2..4].copy_from_slice(&flags);
        message[7] = u8::try_from(records.len()).expect("few");
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
            message.extend(*data);
        }
        message
    }

    #[test]
    fn addresses_of_the_family_are_taken() {
        let query = query(7, "a.example.", Family::V4).expect("name");
        assert_eq!(&query[12..], b"\x01a\x07example\0\0\x01\0\x01");
        let records: &[(u16, &[u8])] = &[
            (5, b"\x01b\xc0\x0e"),
            (1, &[192, 0, 2, 1]),
            (28, &[0; 16]),
            (1, &[192, 0, 2, 2]),
        ];
        let good = response(&query, [0x81, 0x80], records);
        let expected = ["192.0.2.1", "192.0.2.2"].map(|a| a.parse().expect("address"));
        assert_eq!(
            answer(&query, &good, Family::V4),
            Some(DnsAnswer::Addresses(expected.to_vec()))
        );
        let mut upper = good.clone();
        upper[13] = b'A';
        assert!(answer(&query, &upper, Family::V4).is_some());
        for end in 0..query.len() {
            assert_eq!(answer(&query, &good[..end], Family::V4), None);
        }
        for end in query.len()..good.len() {
            let cut = answer(&query, &good[..end], Family::V4);
            assert_eq!(cut, Some(DnsAnswer::Failed));
        }
    }

    #[test]
    fn codes_are_told_apart() {
        let query = query(7, "a.example", Family::V6).expect("name");
        for (flags, expected) in [
            ([0x81, 0x80], DnsAnswer::Addresses(Vec::new())),
            ([0x81, 0x83], DnsAnswer::NoSuchName),
            ([0x81, 0x82], DnsAnswer::Failed),
            ([0x81, 0x85], DnsAnswer::Failed),
            ([0x83, 0x80], DnsAnswer::Truncated),
        ] {
            let message = response(&query, flags, &[]);
            assert_eq!(answer(&query, &message, Family::V6), Some(expected));
        }
    }

    #[test]
    fn only_the_response_to_the_query_counts() {
        let ours = query(7, "a.example", Family::V4).expect("name");
        let good = [0x81, 0x80];
        for other in [
            query(8, "a.example", Family::V4),
            query(7, "b.example", Family::V4),
            query(7, "a.example", Family::V6),
        ] {
            let message = response(&other.expect("name"), good, &[]);
            assert_eq!(answer(&ours, &message, Family::V4), None);
        }
        let query_again = response(&ours, [0x01, 0], &[]);
        assert_eq!(answer(&ours, &query_again, Family::V4), None);
    }

    #[test]
    fn names_that_cannot_be_asked_for_are_refused() {
        let long = "a".repeat(64);
        let many = ["a"; 128].join(".");
        for name in ["", ".", "a..b", ".a", "a..", &long, &many] {
            assert_eq!(query(1, name, Family::V4), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_panic(
            message in proptest::collection::vec(any::<u8>(), 0..600),
            tail in proptest::collection::vec(any::<u8>(), 0..300),
            count in any::<[u8; 2]>(),
        ) {
            let query = query(7, "a.example", Family::V6).expect("name");
            answer(&query, &message, Family::V6);
            let mut like = query.clone();
            like[2..4].copy_from_slice(&[0x81, 0x80]);
            like[6..8].copy_from_slice(&count);
            like.extend(tail);
            prop_assert!(answer(&query, &like, Family::V6).is_some());
        }
    }
}
