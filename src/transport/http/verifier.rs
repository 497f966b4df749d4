//! Verifies servers of a backend that has a `ca_file`.
//!
//! Owns that a server's own certificate in that file is trusted like one of an authority: people make
//! one with `openssl req -x509` and put that into the file. It must be the same byte for byte, and its
//! names and dates are checked. All else is decided by the system's roots and those of the file.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Trusts the system's roots, authorities in a file, and the very certificates in it.
#[derive(Debug)]
pub(super) struct FileVerifier {
    roots: Verifier,
    in_file: Vec<CertificateDer<'static>>,
}

impl FileVerifier {
    /// # Errors
    /// When the system's verifier can't be used.
    pub(super) fn new(
        in_file: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let roots = Verifier::new_with_extra_roots(in_file.iter().cloned(), provider)?;
        Ok(Self { roots, in_file })
    }
}

impl ServerCertVerifier for FileVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.roots.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if verified.is_ok() || !self.in_file.contains(end_entity) {
            return verified;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        let validity = Validity::of(end_entity).ok_or(CertificateError::BadEncoding)?;
        validity.check(now.as_secs())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}

/// `validity` of a certificate (RFC 5280, section 4.1.2.5): seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
struct Validity {
    not_before: u64,
    not_after: u64,
}

/// Tags of DER (ITU-T X.690).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    fn of(certificate: &[u8]) -> Option<Self> {
        let mut outer = Der(certificate);
        let mut certificate = Der(outer.next(SEQUENCE)?);
        let mut signed = Der(certificate.next(SEQUENCE)?);
        if signed.tag() == Some(VERSION) {
            signed.any()?;
        }
        // serialNumber, signature, issuer
        for _ in 0..3 {
            signed.any()?;
        }
        let mut validity = Der(signed.next(SEQUENCE)?);
        let mut next = || {
            let (tag, text) = validity.any()?;
            time(tag, text)
        };
        Some(Self {
            not_before: next()?,
            not_after: next()?,
        })
    }

    fn check(&self, now: u64) -> Result<(), CertificateError> {
        match now {
            now if now < self.not_before => Err(CertificateError::NotValidYet),
            now if now > self.not_after => Err(CertificateError::Expired),
            _ => Ok(()),
        }
    }
}

/// What is left of a DER encoding.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The contents of the next value, which must have this tag.
    fn next(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any()
            .and_then(|(found, contents)| (found == tag).then_some(contents))
    }

    /// The next value: its tag and contents.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                digits
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, in seconds since 1970.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |at: usize| rest[at..at + 2].parse::<u64>().ok();
    let (month, day) = (pair(0)?, pair(2)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of years that begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + pair(4)? * 3_600 + pair(6)? * 60 + pair(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_certificates_are_read() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "240229235959Z", Some(1_709_251_199)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "240229235959", None),
            (UTC_TIME, "2402292359Z", None),
            (UTC_TIME, "241329235959Z", None),
            (GENERALIZED_TIME, "x0500101000000Z", None),
            (2, "240229235959Z", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_that_breaks_off_has_no_validity() {
        let whole = [0x30, 3, 0x30, 1, 0];
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None);
        }
    }
}
