//! The one form of an identity.
//!
//! An identity is a UUID. Upper case, braces, `urn:uuid:`, missing hyphens or spaces around it make no other identity of
//! it. The contracts write it in lower case with hyphens before a message is kept, so ClickHouse and people find it as text.

use uuid::Uuid;

/// Reads an identity as people and engines write it. The UUID of zeros names nobody, as in ClickHouse.
pub(crate) fn identity(text: &str) -> Option<[u8; 16]> {
    Uuid::try_parse(text.trim()).ok().filter(|id| !id.is_nil()).map(Uuid::into_bytes)
}

/// Returns an identity as it is kept.
pub(crate) fn text(id: [u8; 16]) -> String {
    Uuid::from_bytes(id).hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_one_however_it_is_written() {
        let kept = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";
        let id = identity(kept).unwrap();
        assert_eq!(text(id), kept);
        for written in [
            "B8A1F6F1-3A5B-4D0E-9D2F-6F1F0C7B9E10",
            "b8a1f6f13a5b4d0e9d2f6f1f0c7b9e10",
            "{B8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10}",
            "urn:uuid:b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10",
            " \tb8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10\r\n",
        ] {
            assert_eq!(identity(written), Some(id), "{written}");
        }
        for nobody in ["", "me", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(identity(nobody), None, "{nobody}");
        }
    }
}
