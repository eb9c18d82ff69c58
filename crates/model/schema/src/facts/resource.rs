//! Facts of `resource.k8s.io` (dynamic resource allocation).

use super::{Definition, definition, field};

pub(super) const DEFINITIONS: &[Definition] = &[
    definition("io.k8s.api.resource.v1.AllocatedDeviceStatus", &[field("conditions").map(&["type"])]),
    definition("io.k8s.api.resource.v1.CapacityRequestPolicy", &[field("validValues").atomic()]),
    definition(
        "io.k8s.api.resource.v1.Device",
        &[
            field("bindingConditions").atomic(),
            field("bindingFailureConditions").atomic(),
            field("consumesCounters").atomic(),
            field("taints").atomic(),
        ],
    ),
    definition("io.k8s.api.resource.v1.DeviceAllocationConfiguration", &[field("requests").atomic()]),
    definition("io.k8s.api.resource.v1.DeviceAllocationResult", &[field("config").atomic(), field("results").atomic()]),
    definition(
        "io.k8s.api.resource.v1.DeviceAttribute",
        &[field("bools").atomic(), field("ints").atomic(), field("strings").atomic(), field("versions").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1.DeviceClaim",
        &[field("config").atomic(), field("constraints").atomic(), field("requests").atomic()],
    ),
    definition("io.k8s.api.resource.v1.DeviceClaimConfiguration", &[field("requests").atomic()]),
    definition("io.k8s.api.resource.v1.DeviceClassSpec", &[field("config").atomic(), field("selectors").atomic()]),
    definition("io.k8s.api.resource.v1.DeviceConstraint", &[field("requests").atomic()]),
    definition("io.k8s.api.resource.v1.DeviceRequest", &[field("firstAvailable").atomic()]),
    definition(
        "io.k8s.api.resource.v1.DeviceRequestAllocationResult",
        &[
            field("bindingConditions").atomic(),
            field("bindingFailureConditions").atomic(),
            field("tolerations").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.resource.v1.DeviceSubRequest",
        &[field("selectors").atomic(), field("tolerations").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1.ExactDeviceRequest",
        &[field("selectors").atomic(), field("tolerations").atomic()],
    ),
    definition("io.k8s.api.resource.v1.NetworkDeviceData", &[field("ips").atomic()]),
    definition(
        "io.k8s.api.resource.v1.ResourceClaimStatus",
        &[
            field("devices").map(&["driver", "device", "pool", "shareID"]),
            field("reservedFor").map(&["uid"]).merge("uid"),
        ],
    ),
    definition(
        "io.k8s.api.resource.v1.ResourceSliceSpec",
        &[field("devices").atomic(), field("sharedCounters").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1alpha3.DeviceTaintRuleStatus",
        &[field("conditions").map(&["type"]).merge("type")],
    ),
    definition(
        "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequestStatus",
        &[field("conditions").map(&["type"]).merge("type"), field("pools").atomic()],
    ),
    definition("io.k8s.api.resource.v1beta1.AllocatedDeviceStatus", &[field("conditions").map(&["type"])]),
    definition(
        "io.k8s.api.resource.v1beta1.BasicDevice",
        &[
            field("bindingConditions").atomic(),
            field("bindingFailureConditions").atomic(),
            field("consumesCounters").atomic(),
            field("taints").atomic(),
        ],
    ),
    definition("io.k8s.api.resource.v1beta1.CapacityRequestPolicy", &[field("validValues").atomic()]),
    definition("io.k8s.api.resource.v1beta1.DeviceAllocationConfiguration", &[field("requests").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta1.DeviceAllocationResult",
        &[field("config").atomic(), field("results").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1beta1.DeviceAttribute",
        &[field("bools").atomic(), field("ints").atomic(), field("strings").atomic(), field("versions").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1beta1.DeviceClaim",
        &[field("config").atomic(), field("constraints").atomic(), field("requests").atomic()],
    ),
    definition("io.k8s.api.resource.v1beta1.DeviceClaimConfiguration", &[field("requests").atomic()]),
    definition("io.k8s.api.resource.v1beta1.DeviceClassSpec", &[field("config").atomic(), field("selectors").atomic()]),
    definition("io.k8s.api.resource.v1beta1.DeviceConstraint", &[field("requests").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta1.DeviceRequest",
        &[field("firstAvailable").atomic(), field("selectors").atomic(), field("tolerations").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1beta1.DeviceRequestAllocationResult",
        &[
            field("bindingConditions").atomic(),
            field("bindingFailureConditions").atomic(),
            field("tolerations").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.resource.v1beta1.DeviceSubRequest",
        &[field("selectors").atomic(), field("tolerations").atomic()],
    ),
    definition("io.k8s.api.resource.v1beta1.NetworkDeviceData", &[field("ips").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta1.ResourceClaimStatus",
        &[
            field("devices").map(&["driver", "device", "pool", "shareID"]),
            field("reservedFor").map(&["uid"]).merge("uid"),
        ],
    ),
    definition(
        "io.k8s.api.resource.v1beta1.ResourceSliceSpec",
        &[field("devices").atomic(), field("sharedCounters").atomic()],
    ),
    definition("io.k8s.api.resource.v1beta2.AllocatedDeviceStatus", &[field("conditions").map(&["type"])]),
    definition("io.k8s.api.resource.v1beta2.CapacityRequestPolicy", &[field("validValues").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta2.Device",
        &[
            field("bindingConditions").atomic(),
            field("bindingFailureConditions").atomic(),
            field("consumesCounters").atomic(),
            field("taints").atomic(),
        ],
    ),
    definition("io.k8s.api.resource.v1beta2.DeviceAllocationConfiguration", &[field("requests").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta2.DeviceAllocationResult",
        &[field("config").atomic(), field("results").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1beta2.DeviceAttribute",
        &[field("bools").atomic(), field("ints").atomic(), field("strings").atomic(), field("versions").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1beta2.DeviceClaim",
        &[field("config").atomic(), field("constraints").atomic(), field("requests").atomic()],
    ),
    definition("io.k8s.api.resource.v1beta2.DeviceClaimConfiguration", &[field("requests").atomic()]),
    definition("io.k8s.api.resource.v1beta2.DeviceClassSpec", &[field("config").atomic(), field("selectors").atomic()]),
    definition("io.k8s.api.resource.v1beta2.DeviceConstraint", &[field("requests").atomic()]),
    definition("io.k8s.api.resource.v1beta2.DeviceRequest", &[field("firstAvailable").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta2.DeviceRequestAllocationResult",
        &[
            field("bindingConditions").atomic(),
            field("bindingFailureConditions").atomic(),
            field("tolerations").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.resource.v1beta2.DeviceSubRequest",
        &[field("selectors").atomic(), field("tolerations").atomic()],
    ),
    definition(
        "io.k8s.api.resource.v1beta2.DeviceTaintRuleStatus",
        &[field("conditions").map(&["type"]).merge("type")],
    ),
    definition(
        "io.k8s.api.resource.v1beta2.ExactDeviceRequest",
        &[field("selectors").atomic(), field("tolerations").atomic()],
    ),
    definition("io.k8s.api.resource.v1beta2.NetworkDeviceData", &[field("ips").atomic()]),
    definition(
        "io.k8s.api.resource.v1beta2.ResourceClaimStatus",
        &[
            field("devices").map(&["driver", "device", "pool", "shareID"]),
            field("reservedFor").map(&["uid"]).merge("uid"),
        ],
    ),
    definition(
        "io.k8s.api.resource.v1beta2.ResourceSliceSpec",
        &[field("devices").atomic(), field("sharedCounters").atomic()],
    ),
];
