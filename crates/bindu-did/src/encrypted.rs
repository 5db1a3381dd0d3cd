//! Private keys under a password: PKCS#8 `EncryptedPrivateKeyInfo` with PBES2
//! (RFC 8018).

use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo, SecretDocument, pkcs5::pbes2};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::DidError;

/// PBKDF2 rounds of keys we write, as OWASP advises for HMAC-SHA256; any number
/// is read.
const ROUNDS: u32 = 600_000;

pub(crate) fn decrypt(der: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, DidError> {
    let info = EncryptedPrivateKeyInfo::try_from(der)
        .map_err(|_| DidError::NotPem { what: "private key" })?;
    let document = info.decrypt(password).map_err(|_| DidError::PasswordWrong)?;
    Ok(document.to_bytes())
}

pub(crate) fn encrypt(der: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, DidError> {
    let mut salt = [0; 16];
    let mut iv = [0; 16];
    let random = SystemRandom::new();
    random.fill(&mut salt).map_err(|_| DidError::Randomness)?;
    random.fill(&mut iv).map_err(|_| DidError::Randomness)?;
    wrap(der, password, ROUNDS, &salt, &iv)
        .map(|document| document.to_bytes())
        .map_err(|_| DidError::NotEd25519 { what: "private key" })
}

fn wrap(
    der: &[u8],
    password: &str,
    rounds: u32,
    salt: &[u8; 16],
    iv: &[u8; 16],
) -> pkcs8::Result<SecretDocument> {
    let parameters = pbes2::Parameters::pbkdf2_sha256_aes256cbc(rounds, salt, iv)?;
    PrivateKeyInfo::try_from(der)?.encrypt_with_params(parameters, password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningKey, pem};

    #[test]
    fn the_number_of_rounds_is_read_from_the_file() {
        let key = SigningKey::from_seed(&[9; 32]);
        let plain = pem::parse(&key.to_pkcs8_pem()).unwrap().der;
        for rounds in [1, 2048] {
            let der = wrap(&plain, "pw", rounds, &[1; 16], &[2; 16]).unwrap();
            let text = pem::write(pem::ENCRYPTED_PRIVATE_KEY, der.as_bytes());
            let again = SigningKey::from_pem(&text, Some("pw")).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            let wrong = SigningKey::from_pem(&text, Some("px")).unwrap_err();
            assert!(matches!(wrong, DidError::PasswordWrong), "{wrong}");
            let none = SigningKey::from_pem(&text, None).unwrap_err();
            assert!(matches!(none, DidError::PasswordMissing), "{none}");
        }
    }
}
