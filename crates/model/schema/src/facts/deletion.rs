//! What a DELETE answers with: most kinds a `Status`, some the deleted object itself.

/// Whether the answer to the deletion of an object of this kind is the object as it was last.
pub fn deletion_answers_with_object(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "PersistentVolume"
                | "PersistentVolumeClaim"
                | "Pod"
                | "PodTemplate"
                | "ResourceQuota"
                | "Service"
                | "ServiceAccount"
        ),
        "resource.k8s.io" => true,
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        _ => false,
    }
}
