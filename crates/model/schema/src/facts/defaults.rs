//! Defaults that the OpenAPI v3 documents of a Kubernetes API server carry.
//!
//! They matter beyond documentation: a list map keyed by a field with a default (`ports` by `containerPort` and
//! `protocol`) finds an item that leaves the field out under the default's value.

/// Definition, field, default.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "cachingMode", "ReadWrite"),
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "fsType", "ext4"),
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "kind", "Shared"),
    ("io.k8s.api.core.v1.ContainerPort", "protocol", "TCP"),
    ("io.k8s.api.core.v1.GRPCAction", "service", ""),
    ("io.k8s.api.core.v1.ISCSIPersistentVolumeSource", "iscsiInterface", "default"),
    ("io.k8s.api.core.v1.ISCSIVolumeSource", "iscsiInterface", "default"),
    ("io.k8s.api.core.v1.RBDPersistentVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("io.k8s.api.core.v1.RBDPersistentVolumeSource", "pool", "rbd"),
    ("io.k8s.api.core.v1.RBDPersistentVolumeSource", "user", "admin"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "pool", "rbd"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "user", "admin"),
    ("io.k8s.api.core.v1.ScaleIOPersistentVolumeSource", "fsType", "xfs"),
    ("io.k8s.api.core.v1.ScaleIOPersistentVolumeSource", "storageMode", "ThinProvisioned"),
    ("io.k8s.api.core.v1.ScaleIOVolumeSource", "fsType", "xfs"),
    ("io.k8s.api.core.v1.ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    ("io.k8s.api.core.v1.ServicePort", "protocol", "TCP"),
];

/// The default of `field` in `definition`.
pub(crate) fn default_of(definition: &str, field: &str) -> Option<&'static str> {
    DEFAULTS.iter().find(|row| row.0 == definition && row.1 == field).map(|row| row.2)
}
