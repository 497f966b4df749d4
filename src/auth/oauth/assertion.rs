//! A client proves who it is with its private key: a signed assertion (RFC 7523, section 3).
//!
//! Owns the key, its signature algorithm, and the form and the life of an assertion (60 seconds). The key
//! is in no output. Pure: the time and the nonce are given.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::Signer;
use serde_json::json;

/// `client_assertion_type` of such an assertion (RFC 7523, section 2.2).
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Seconds that an assertion holds.
const LIFE: u64 = 60;

/// A key that assertions are signed with.
#[derive(Clone)]
pub struct ClientKey {
    signer: Arc<dyn Signer>,
    algorithm: Algorithm,
    /// `kid`
    id: Option<String>,
    /// The issuer that assertions are for.
    audience: String,
}

/// A signature algorithm, named as in RFC 7518, section 3.1, and RFC 8037, section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    EdDsa,
    Es256,
    Es384,
    Rs256,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Es384, Self::Rs256];

    fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
        }
    }

    fn scheme(self) -> SignatureScheme {
        match self {
            Self::EdDsa => SignatureScheme::ED25519,
            Self::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
        }
    }

    /// A signature as JWS has it (RFC 7518, section 3.4): of ECDSA two numbers of a fixed length, which TLS
    /// has as a sequence of two integers.
    fn jws(self, signature: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::EdDsa | Self::Rs256 => Some(signature),
            Self::Es256 => fixed(&signature, 32),
            Self::Es384 => fixed(&signature, 48),
        }
    }
}

impl ClientKey {
    /// The key of a PEM text (PKCS #8, PKCS #1 or SEC 1): Ed25519, P-256, P-384 or RSA.
    ///
    /// # Errors
    /// For people, without the text.
    pub fn from_pem(pem: &[u8], id: Option<&str>, audience: &str) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "no PEM private key is in it")?;
        let key = any_supported_type(&key).map_err(
            |_| "its key is none of Ed25519, P-256, P-384 and RSA of 2,048 to 8,192 bits",
        )?;
        let choose = |algorithm: Algorithm| {
            let signer = key.choose_scheme(&[algorithm.scheme()])?;
            Some((algorithm, signer))
        };
        let chosen = Algorithm::ALL.into_iter().find_map(choose);
        let (algorithm, signer) = chosen.ok_or("its key can't sign an assertion")?;
        Ok(Self {
            signer: Arc::from(signer),
            algorithm,
            id: id.map(str::to_owned),
            audience: audience.to_owned(),
        })
    }

    /// The assertion of a client at this time, in seconds of Unix time. `nonce` is another each time.
    ///
    /// # Errors
    /// If the key can't sign.
    pub fn assertion(&self, client: &str, at: u64, nonce: &str) -> Result<String, String> {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": client,
            "sub": client,
            "aud": self.audience,
            "iat": at,
            "exp": at.saturating_add(LIFE),
            "jti": nonce,
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.signer.sign(signed.as_bytes()).ok();
        let signature = signature.and_then(|signature| self.algorithm.jws(signature));
        let signature = signature.ok_or("the client key can't sign")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Without the key.
impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl PartialEq for ClientKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.signer, &other.signer)
    }
}

impl Eq for ClientKey {}

/// Two numbers of so many bytes each, from `SEQUENCE { r INTEGER, s INTEGER }` in DER (RFC 3279, section
/// 2.2.3) of less than 128 bytes.
fn fixed(der: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let [0x30, length, numbers @ ..] = der else {
        return None;
    };
    if usize::from(*length) != numbers.len() {
        return None;
    }
    let (mut rest, mut both) = (numbers, Vec::with_capacity(2 * bytes));
    for _ in 0..2 {
        let [0x02, length, numbers @ ..] = rest else {
            return None;
        };
        let (number, after) = numbers.split_at_checked(usize::from(*length))?;
        let first = number.iter().position(|byte| *byte != 0);
        let number = &number[first.unwrap_or(number.len())..];
        both.resize(both.len() + bytes.checked_sub(number.len())?, 0);
        both.extend_from_slice(number);
        rest = after;
    }
    rest.is_empty().then_some(both)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    use serde_json::Value;

    use super::*;

    fn part(text: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn an_assertion_is_signed_by_the_algorithm_of_the_key() {
        let cases: [(_, _, &'static dyn VerificationAlgorithm); 3] = [
            (&PKCS_ED25519, "EdDSA", &ED25519),
            (&PKCS_ECDSA_P256_SHA256, "ES256", &ECDSA_P256_SHA256_FIXED),
            (&PKCS_ECDSA_P384_SHA384, "ES384", &ECDSA_P384_SHA384_FIXED),
        ];
        for (kind, name, verifier) in cases {
            let pair = KeyPair::generate_for(kind).unwrap();
            let pem = pair.serialize_pem();
            let key = ClientKey::from_pem(pem.as_bytes(), Some("k1"), "https://a").unwrap();
            let verifier = UnparsedPublicKey::new(verifier, pair.public_key_raw());
            // Numbers of ECDSA are shorter now and then.
            for nonce in 0..300 {
                let assertion = key.assertion("me", 1_000, &nonce.to_string()).unwrap();
                let (signed, signature) = assertion.rsplit_once('.').unwrap();
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                verifier.verify(signed.as_bytes(), &signature).unwrap();
                let (header, claims) = signed.split_once('.').unwrap();
                assert_eq!(
                    part(header),
                    json!({"alg": name, "typ": "JWT", "kid": "k1"})
                );
                let expected = json!({
                    "iss": "me", "sub": "me", "aud": "https://a", "iat": 1_000, "exp": 1_060,
                    "jti": nonce.to_string(),
                });
                assert_eq!(part(claims), expected);
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let certificate = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
        let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        for (pem, expected) in [
            ("secret", "no PEM private key is in it"),
            (certificate, "no PEM private key is in it"),
            (
                broken,
                "its key is none of Ed25519, P-256, P-384 and RSA of 2,048 to 8,192 bits",
            ),
        ] {
            let refused = ClientKey::from_pem(pem.as_bytes(), None, "https://a");
            assert_eq!(refused.unwrap_err(), expected);
        }
        let pem = KeyPair::generate().unwrap().serialize_pem();
        let key = ClientKey::from_pem(pem.as_bytes(), None, "https://a").unwrap();
        assert_eq!(
            format!("{key:?}"),
            "ClientKey { algorithm: Es256, id: None, .. }"
        );
    }

    #[test]
    fn numbers_of_another_form_are_none() {
        assert_eq!(
            fixed(&[0x30, 6, 2, 1, 5, 2, 1, 6], 2),
            Some(vec![0, 5, 0, 6])
        );
        assert_eq!(
            fixed(&[0x30, 7, 2, 2, 0, 0x85, 2, 1, 6], 1),
            Some(vec![0x85, 6])
        );
        for der in [
            &[][..],
            &[0x31, 6, 2, 1, 5, 2, 1, 6],
            &[0x30, 5, 2, 1, 5, 2, 1, 6],
            &[0x30, 6, 3, 1, 5, 2, 1, 6],
            &[0x30, 6, 2, 9, 5, 2, 1, 6],
            &[0x30, 7, 2, 1, 5, 2, 1, 6, 0],
            &[0x30, 8, 2, 3, 1, 2, 3, 2, 1, 6],
        ] {
            assert_eq!(fixed(der, 2), None, "{der:?}");
        }
    }
}
