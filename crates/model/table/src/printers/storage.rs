//! Volumes, claims, classes and drivers.

use serde_json::Value;

use crate::cells::{NONE, UNSET, age, at, flag, is_deleted, items, join, name, or, shown_or, text};
use crate::column::{AGE, Column, NAME, Printer};

const ATTRIBUTES_CLASS: Column =
    Column::string("VolumeAttributesClass", "The class of the attributes that may change later.");
const VOLUME_MODE: Column =
    Column::string("VolumeMode", "Whether the volume is a file system or a block device.").wide();

pub(super) const PERSISTENT_VOLUME: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Capacity", "How large the volume is."),
        Column::string("Access Modes", "How the volume can be mounted."),
        Column::string("Reclaim Policy", "What becomes of the volume without its claim."),
        Column::string("Status", "Whether the volume is available, bound or released."),
        Column::string("Claim", "The claim that the volume is bound to."),
        Column::string("StorageClass", "StorageClass of the pv"),
        ATTRIBUTES_CLASS,
        Column::string("Reason", "Why the volume is in that state."),
        AGE,
        VOLUME_MODE,
    ],
    cells: |object, now| {
        let claim = at(object, "spec.claimRef");
        let claim = if claim.is_null() {
            String::new()
        } else {
            format!("{}/{}", text(claim, "namespace"), text(claim, "name"))
        };
        vec![
            name(object),
            or(text(object, "spec.capacity.storage"), "0").into(),
            access_modes(at(object, "spec")).into(),
            text(object, "spec.persistentVolumeReclaimPolicy").into(),
            (if is_deleted(object) { "Terminating" } else { text(object, "status.phase") }).into(),
            claim.into(),
            storage_class(object).into(),
            shown_or(object, "spec.volumeAttributesClassName", UNSET).into(),
            text(object, "status.reason").into(),
            age(object, now),
            shown_or(object, "spec.volumeMode", UNSET).into(),
        ]
    },
};

pub(super) const PERSISTENT_VOLUME_CLAIM: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Status", "Whether the claim is bound."),
        Column::string("Volume", "The volume that the claim is bound to."),
        Column::string("Capacity", "How large the volume is."),
        Column::string("Access Modes", "How the volume can be mounted."),
        Column::string("StorageClass", "StorageClass of the pvc"),
        ATTRIBUTES_CLASS,
        AGE,
        VOLUME_MODE,
    ],
    cells: |object, now| {
        let volume = text(object, "spec.volumeName");
        let (capacity, modes) = match volume {
            "" => (String::new(), String::new()),
            _ => (or(text(object, "status.capacity.storage"), "0").to_owned(), access_modes(at(object, "status"))),
        };
        vec![
            name(object),
            (if is_deleted(object) { "Terminating" } else { text(object, "status.phase") }).into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            storage_class(object).into(),
            shown_or(object, "spec.volumeAttributesClassName", UNSET).into(),
            age(object, now),
            shown_or(object, "spec.volumeMode", UNSET).into(),
        ]
    },
};

/// `RWO,ROX,RWX,RWOP`, in that order, each at most once.
fn access_modes(of: &Value) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let modes = items(of, "accessModes");
    let has = |long: &str| modes.iter().any(|mode| mode.as_str() == Some(long));
    join(SHORT.iter().filter(|(long, _)| has(long)).map(|(_, short)| *short), ",")
}

fn storage_class(object: &Value) -> &str {
    let annotations = at(object, "metadata.annotations");
    let annotation = annotations.get("volume.beta.kubernetes.io/storage-class").and_then(Value::as_str);
    annotation.unwrap_or(text(object, "spec.storageClassName"))
}

pub(super) const STORAGE_CLASS: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Provisioner", "Who makes the volumes."),
        Column::string("ReclaimPolicy", "What becomes of a volume without its claim."),
        Column::string("VolumeBindingMode", "Whether volumes wait for the first pod that needs them."),
        Column::string("AllowVolumeExpansion", "Whether volumes can grow."),
        AGE,
    ],
    cells: |object, now| {
        const DEFAULT: [&str; 2] =
            ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        let annotations = at(object, "metadata.annotations");
        let is_default = DEFAULT.iter().any(|key| annotations.get(key).and_then(Value::as_str) == Some("true"));
        let suffix = if is_default { " (default)" } else { "" };
        vec![
            format!("{}{suffix}", text(object, "metadata.name")).into(),
            text(object, "provisioner").into(),
            or(text(object, "reclaimPolicy"), "Delete").into(),
            or(text(object, "volumeBindingMode"), "Immediate").into(),
            flag(object, "allowVolumeExpansion").into(),
            age(object, now),
        ]
    },
};

pub(super) const VOLUME_ATTRIBUTES_CLASS: Printer = Printer {
    columns: &[NAME, Column::string("DriverName", "The driver that the class is for."), AGE],
    cells: |object, now| vec![name(object), text(object, "driverName").into(), age(object, now)],
};

pub(super) const VOLUME_ATTACHMENT: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Attacher", "The driver that attaches."),
        Column::string("PV", "The volume."),
        Column::string("Node", "The node that it is attached to."),
        Column::boolean("Attached", "Whether it is attached."),
        AGE,
    ],
    cells: |object, now| {
        vec![
            name(object),
            text(object, "spec.attacher").into(),
            text(object, "spec.source.persistentVolumeName").into(),
            text(object, "spec.nodeName").into(),
            flag(object, "status.attached").into(),
            age(object, now),
        ]
    },
};

pub(super) const CSI_NODE: Printer = Printer {
    columns: &[NAME, Column::integer("Drivers", "How many drivers the node has."), AGE],
    cells: |object, now| vec![name(object), items(object, "spec.drivers").len().into(), age(object, now)],
};

pub(super) const CSI_DRIVER: Printer = Printer {
    columns: &[
        NAME,
        Column::boolean("AttachRequired", "Whether volumes are attached before they are mounted."),
        Column::boolean("PodInfoOnMount", "Whether the driver is told of the pod."),
        Column::boolean("StorageCapacity", "Whether the driver publishes how much room there is."),
        Column::string("TokenRequests", "The audiences of the tokens that the driver wants."),
        Column::boolean("RequiresRepublish", "Whether the driver wants to be called again and again."),
        Column::string("Modes", "What kinds of volumes there are."),
        AGE,
    ],
    cells: |object, now| {
        let requests = items(object, "spec.tokenRequests").iter().map(|request| text(request, "audience"));
        let modes = items(object, "spec.volumeLifecycleModes").iter().filter_map(Value::as_str);
        let attach = at(object, "spec.attachRequired").as_bool().unwrap_or(true);
        vec![
            name(object),
            attach.into(),
            flag(object, "spec.podInfoOnMount").into(),
            flag(object, "spec.storageCapacity").into(),
            or(&join(requests, ","), UNSET).into(),
            flag(object, "spec.requiresRepublish").into(),
            or(&join(modes, ","), NONE).into(),
            age(object, now),
        ]
    },
};

pub(super) const CSI_STORAGE_CAPACITY: Printer = Printer {
    columns: &[
        NAME,
        Column::string("StorageClassName", "The class that the room is for."),
        Column::string("Capacity", "How much room there is."),
    ],
    cells: |object, _| {
        let capacity = shown_or(object, "capacity", UNSET);
        vec![name(object), text(object, "storageClassName").into(), capacity.into()]
    },
};
