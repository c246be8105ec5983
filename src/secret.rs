//! A string that must not be printed: passwords, secret access keys, session tokens.
//!
//! It has no `Display`, its `Debug` says nothing, and its memory is zeroed when it is dropped.
//! [`Secret::expose`] marks the few places where a secret leaves this type: where JSON is
//! written, where a token is decoded, and where the AWS SDK takes it over.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A secret string; two are equal if their contents are.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the string over; the caller keeps no copy.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The secret itself: call this only where it has to leave the program.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe_all(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

/// Zeroes bytes that hold secrets. `zeroize`'s own types go byte by byte, which shows in the time
/// of a cached `get`.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

/// The same of all that a vector has allocated.
fn wipe_all(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.capacity(), 0);
    wipe(bytes);
}

/// Bytes that may hold secrets, zeroed when dropped.
#[derive(Clone, Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// An empty buffer that will hold at most `capacity` bytes. Reallocation would leave
    /// un-zeroized copies, so make it large enough for everything that is written to it.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// The bytes as text; none if they are not UTF-8.
    pub fn into_text(mut self) -> Option<Secret> {
        match String::from_utf8(std::mem::take(&mut self.0)) {
            Ok(text) => Some(Secret::new(text)),
            Err(error) => {
                drop(Self(error.into_bytes()));
                None
            }
        }
    }
}

impl Deref for SecretBytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        wipe_all(&mut self.0);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_wiped_buffer() {
        let mut bytes = *b"hunter2";
        wipe(&mut bytes);
        assert_eq!(bytes, [0; 7]);
        let mut bytes = Vec::from(b"hunter2");
        bytes.truncate(3);
        wipe_all(&mut bytes);
        assert!(bytes.len() >= 7 && bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(..) Secret(..)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
