//! A short, stable name for a pod template.

use k8s_openapi::api::core::v1::PodTemplateSpec;

/// The label that tells the pods of one revision from those of another.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The hash of a template as a label value and part of a name: FNV-1a (32 bits) over its canonical JSON (sorted keys,
/// no nulls), then over the collision count, written without vowels and look-alikes so that no word arises.
///
/// The value is not upstream's (which hashes Go's memory layout). Nothing depends on that: which ReplicaSet belongs to
/// a template is found by comparing templates, and the hash only names new ones.
#[must_use]
pub fn template_hash(template: &PodTemplateSpec, collision_count: Option<i32>) -> String {
    // A template came out of JSON, so it goes back into it: its maps have text keys and its numbers are finite.
    let canonical = serde_json::to_value(template).map(|value| value.to_string()).unwrap_or_default();
    let mut hash = fnv1a(0x811c_9dc5, canonical.as_bytes());
    if let Some(count) = collision_count {
        hash = fnv1a(hash, &count.to_le_bytes());
    }
    safe_text(hash)
}

fn fnv1a(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The decimal digits, each shifted into an alphabet without vowels, 0, 1 and 3, as upstream's `SafeEncodeString`.
fn safe_text(hash: u32) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_stable() {
        let template: PodTemplateSpec = serde_json::from_str(
            r#"{"metadata":{"labels":{"b":"2","a":"1"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#,
        )
        .unwrap();
        // These texts are part of the names of objects in people's clusters: they must never change.
        let canonical =
            r#"{"metadata":{"labels":{"a":"1","b":"2"}},"spec":{"containers":[{"image":"i:1","name":"c"}]}}"#;
        assert_eq!(template_hash(&template, None), safe_text(fnv1a(0x811c_9dc5, canonical.as_bytes())));
        assert_eq!(template_hash(&template, None), "7c4fb9cddf");
        assert_ne!(template_hash(&template, Some(1)), template_hash(&template, None));
        assert_ne!(template_hash(&template, Some(1)), template_hash(&template, Some(2)));
        assert_eq!(fnv1a(0x811c_9dc5, b"foobar"), 0xbf9c_f968, "the published test vector");
        assert_eq!(safe_text(1_234_567_890), "56789bcdf4");
    }
}
