//! Proof of possession of the key that a console session is bound to (RFC 9449), with ES256.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::PrivateSec1KeyDer;
use rustls::pki_types::pem::PemObject;

/// Of a private key, and of each coordinate of a public one.
const LENGTH: usize = 32;

/// A P-256 key.
pub(super) struct DpopKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl DpopKey {
    /// From the form in which `aws login` writes it: PEM of a SEC 1 key.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        let pem = pem.replace("\\n", "\n");
        let der = PrivateSec1KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (private, public) = sec1_parts(der.secret_sec1_der())?;
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &random);
        Some(Self {
            pair: pair.ok()?,
            random,
        })
    }

    /// The value of the `DPoP` header for one request.
    pub(super) fn proof(&self, method: &str, url: &str, now: DateTime<Utc>) -> Option<String> {
        let mut id = [0; 16];
        self.random.fill(&mut id).ok()?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // An uncompressed point: a byte that says so, then the coordinates.
        let (x, y) = self
            .pair
            .public_key()
            .as_ref()
            .get(1..)?
            .split_at_checked(LENGTH)?;
        let header = serde_json::json!({
            "typ": "dpop+jwt",
            "alg": "ES256",
            "jwk": { "kty": "EC", "x": encode(x), "y": encode(y), "crv": "P-256" },
        });
        let payload = serde_json::json!({
            "jti": encode(&id),
            "htm": method,
            "htu": url,
            "iat": now.timestamp(),
        });
        let message = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(payload.to_string().as_bytes())
        );
        let signature = self.pair.sign(&self.random, message.as_bytes()).ok()?;
        Some(format!("{message}.{}", encode(signature.as_ref())))
    }
}

/// The private and the public key in `ECPrivateKey` (RFC 5915): `SEQUENCE { INTEGER 1, OCTET
/// STRING, [0] parameters, [1] BIT STRING }`.
fn sec1_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (members, _) = element(der, 0x30)?;
    let (version, rest) = element(members, 0x02)?;
    let (private, mut rest) = element(rest, 0x04)?;
    if version != [1] || private.len() != LENGTH {
        return None;
    }
    if let Some((_, after)) = element(rest, 0xa0) {
        rest = after;
    }
    let (public, _) = element(rest, 0xa1)?;
    let (public, _) = element(public, 0x03)?;
    // The number of unused bits comes first.
    let public = public.strip_prefix(&[0])?;
    Some((private, public))
}

/// The content of the first element, which has to have this tag, and what follows it. All lengths
/// of such a key are below 256.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (length, rest) = match rest {
        [0x81, length, rest @ ..] => (*length, rest),
        [length @ ..=0x7f, rest @ ..] => (*length, rest),
        _ => return None,
    };
    rest.split_at_checked(length.into())
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// From the documentation of `aws login`'s file format.
    const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIFDZHUzOG1Pzq+6F0mjMlOSp1syN9LRPBuHMoCFXTcXhoAoGCCqGSM49\\nAwEHoUQDQgAE9qhj+KtcdHj1kVgwxWWWw++tqoh7H7UHs7oXh8jBbgF47rrYGC+t\\ndjiIaHK3dBvvdE7MGj5HsepzLm3Kj91bqA==\\n-----END EC PRIVATE KEY-----\\n";

    #[test]
    fn a_proof_is_signed_by_the_key_in_its_header() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        for pem in [PEM.to_owned(), PEM.replace("\\n", "\n")] {
            let key = DpopKey::from_pem(&pem).expect("a key");
            let url = "https://us-east-1.signin.aws.amazon.com/v1/token";
            let proof = key.proof("POST", url, now).expect("signed");
            let parts: Vec<_> = proof.split('.').collect();
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
            let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)).expect("JSON");
            let (header, payload) = (json(parts[0]), json(parts[1]));
            assert_eq!(header["typ"], "dpop+jwt");
            assert_eq!(payload["htu"], url);
            assert_eq!(payload["htm"], "POST");
            assert_eq!(payload["iat"], 1_800_000_000);
            let jwk = |name: &str| decode(header["jwk"][name].as_str().expect("text"));
            let point = [vec![4], jwk("x"), jwk("y")].concat();
            let message = format!("{}.{}", parts[0], parts[1]);
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message.as_bytes(), &decode(parts[2]))
                .expect("a signature of that key");
            let again = key.proof("POST", url, now).expect("signed");
            assert_ne!(
                json(again.split('.').nth(1).expect("payload"))["jti"],
                payload["jti"]
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(DpopKey::from_pem("").is_none());
        assert!(
            DpopKey::from_pem("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----")
                .is_none()
        );
        let pem = PEM.replace("\\n", "\n");
        let der = PrivateSec1KeyDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        let der = der.secret_sec1_der();
        assert!(sec1_parts(der).is_some());
        for length in 0..der.len() {
            assert!(sec1_parts(&der[..length]).is_none(), "{length}");
        }
    }
}
