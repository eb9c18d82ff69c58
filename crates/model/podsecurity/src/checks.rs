//! The standard itself: one list of checks.

mod baseline;
mod profiles;
mod restricted;

pub use baseline::is_safe_sysctl;

use crate::pod::{Pod, Violation};
use crate::policy::Level;

type Run = fn(&Pod<'_>) -> Option<Violation>;

/// A rule of the standard.
pub struct Check {
    /// Its name.
    pub id: &'static str,
    /// The lowest level that has it.
    pub level: Level,
    /// The looser check that it takes the place of.
    pub(crate) replaces: Option<&'static str>,
    /// The rule as it is since each minor version, oldest first.
    versions: &'static [(u32, Run)],
}

impl Check {
    /// The rule as it is in v1.`minor`.
    pub(crate) fn at(&self, minor: u32) -> Option<Run> {
        self.versions.iter().rev().find(|(since, _)| *since <= minor).map(|(_, run)| *run)
    }

    const fn baseline(id: &'static str, versions: &'static [(u32, Run)]) -> Self {
        Self { id, level: Level::Baseline, replaces: None, versions }
    }

    const fn restricted(id: &'static str, replaces: Option<&'static str>, versions: &'static [(u32, Run)]) -> Self {
        Self { id, level: Level::Restricted, replaces, versions }
    }
}

/// Every check; violations are told in this order.
pub const CHECKS: &[Check] = &[
    Check::baseline("appArmorProfile", &[(0, profiles::app_armor)]),
    Check::baseline("capabilities_baseline", &[(0, baseline::capabilities)]),
    Check::baseline("hostNamespaces", &[(0, baseline::host_namespaces)]),
    Check::baseline("hostPathVolumes", &[(0, baseline::host_path_volumes)]),
    Check::baseline("hostPorts", &[(0, baseline::host_ports)]),
    Check::baseline("hostProbesAndHostLifecycle", &[(34, baseline::probe_hosts)]),
    Check::baseline("privileged", &[(0, baseline::privileged)]),
    Check::baseline("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)]),
    Check::baseline("seLinuxOptions", &[(0, profiles::se_linux), (31, profiles::se_linux_1_31)]),
    Check::baseline("seccompProfile_baseline", &[(0, profiles::seccomp_annotations), (19, profiles::seccomp_baseline)]),
    Check::baseline(
        "sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
        ],
    ),
    Check::baseline("windowsHostProcess", &[(0, baseline::windows_host_process)]),
    Check::restricted(
        "allowPrivilegeEscalation",
        None,
        &[(8, restricted::privilege_escalation), (25, restricted::privilege_escalation_1_25)],
    ),
    Check::restricted(
        "capabilities_restricted",
        Some("capabilities_baseline"),
        &[(22, restricted::capabilities), (25, restricted::capabilities_1_25)],
    ),
    Check::restricted("restrictedVolumes", Some("hostPathVolumes"), &[(0, restricted::volumes)]),
    Check::restricted(
        "runAsNonRoot",
        None,
        &[(0, restricted::run_as_non_root), (35, restricted::run_as_non_root_1_35)],
    ),
    Check::restricted("runAsUser", None, &[(23, restricted::run_as_user), (35, restricted::run_as_user_1_35)]),
    Check::restricted(
        "seccompProfile_restricted",
        Some("seccompProfile_baseline"),
        &[(19, profiles::seccomp_restricted), (25, profiles::seccomp_restricted_1_25)],
    ),
];
