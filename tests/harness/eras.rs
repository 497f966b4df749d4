//! A fake of each era says on the wire what that era says, and refuses what it must.

#[test]
fn values_made_safe_are_read_back() {
    for (header, value) in [
        ("us-west1", Some("us-west1")),
        ("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, 世界")),
        ("=?base64?IHBhZGRlZCA=?=", Some(" padded ")),
        ("=?base64?bGluZTEKbGluZTI=?=", Some("line1\nline2")),
        (
            "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
            Some("=?base64?literal?="),
        ),
        ("=?base64?not base64?=", None),
        ("a\tb", None),
        ("", Some("")),
    ] {
        assert_eq!(
            crate::common::headers::decode(header).as_deref(),
            value,
            "{header}"
        );
    }
}
