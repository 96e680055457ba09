//! The keyed hashes and the cipher of suites 3 and 17: IPMI 2.0, 13.28 to 13.32.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};

/// The whole keyed hash of a suite.
pub(super) fn keyed_hash(suite: u8, key: &[u8], data: &[u8]) -> Vec<u8> {
    if suite == 17 { hash::<Hmac<sha2::Sha256>>(key, data) } else { hash::<Hmac<sha1::Sha1>>(key, data) }
}

fn hash<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    <M as KeyInit>::new_from_slice(key)
        .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

/// Bytes of the hash that a packet and RAKP message 4 carry.
pub(super) fn short(suite: u8) -> usize {
    if suite == 17 { 16 } else { 12 }
}

/// A vector and the encrypted message.
pub(super) fn encrypt(key: &[u8; 16], message: &[u8]) -> Vec<u8> {
    let vector: [u8; 16] = rand::random();
    let mut block = message.to_vec();
    let mut pad = 0_u8;
    while block.len() % 16 != 15 {
        pad += 1;
        block.push(pad);
    }
    block.push(pad);
    let length = block.len();
    let cipher = cbc::Encryptor::<aes::Aes128>::new(key.into(), (&vector).into());
    let encrypted = cipher.encrypt_padded::<NoPadding>(&mut block, length).unwrap_or_default();
    [&vector, encrypted].concat()
}

/// The message in a payload; `None` when it cannot have been made by [`encrypt`]'s like.
pub(super) fn decrypt(key: &[u8; 16], payload: &[u8]) -> Option<Vec<u8>> {
    let vector: [u8; 16] = payload.get(..16)?.try_into().ok()?;
    let mut block = payload.get(16..)?.to_vec();
    let cipher = cbc::Decryptor::<aes::Aes128>::new(key.into(), (&vector).into());
    let plain = cipher.decrypt_padded::<NoPadding>(&mut block).ok()?;
    let pad = usize::from(*plain.last()?);
    Some(plain.get(..plain.len().checked_sub(pad + 1)?)?.to_vec())
}
