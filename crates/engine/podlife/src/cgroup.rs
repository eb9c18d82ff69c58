//! The numbers the kernel gets for a container's requests and limits.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::qos::{QosClass, amount, qos_class};

/// Length of the CPU accounting period, microseconds.
pub const CPU_PERIOD_MICROS: u64 = 100_000;
const CPU_QUOTA_MIN_MICROS: i64 = 1_000;
const SHARES_PER_CPU: i64 = 1024;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const SYSTEM_CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// Limits and weights of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupNumbers {
    /// Relative weight under contention.
    pub cpu_shares: u64,
    /// Microseconds of CPU time per [`CPU_PERIOD_MICROS`]; `None` is unlimited.
    pub cpu_quota_micros: Option<i64>,
    /// Bytes; `None` is unlimited.
    pub memory_limit_bytes: Option<i64>,
    /// From -1000 (never killed) to 1000 (killed first).
    pub oom_score_adj: i32,
}

/// The numbers of one container of a pod on a machine with that much memory.
pub fn numbers(pod: &Pod, container: &Container, memory_capacity_bytes: i64) -> CgroupNumbers {
    let resources = container.resources.as_ref();
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let cpu_limit = amount(limits, "cpu").map(|cpu| cpu.milli_value());
    let cpu_request = amount(requests, "cpu").map(|cpu| cpu.milli_value()).or(cpu_limit);
    let memory_limit_bytes = amount(limits, "memory").map(|memory| memory.value());
    let memory_request = amount(requests, "memory").map(|memory| memory.value()).or(memory_limit_bytes);
    let shares = cpu_request.unwrap_or(0).saturating_mul(SHARES_PER_CPU) / 1000;
    CgroupNumbers {
        cpu_shares: shares.clamp(SHARES_MIN, SHARES_MAX).unsigned_abs(),
        cpu_quota_micros: cpu_limit.map(|milli| (milli.saturating_mul(100)).max(CPU_QUOTA_MIN_MICROS)),
        memory_limit_bytes,
        oom_score_adj: oom_score_adj(pod, memory_request.unwrap_or(0), memory_capacity_bytes),
    }
}

/// Which container dies first when memory runs out: best effort before burstable (big requests last) before guaranteed.
fn oom_score_adj(pod: &Pod, memory_request: i64, memory_capacity_bytes: i64) -> i32 {
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
    match qos_class(pod) {
        _ if priority >= SYSTEM_CRITICAL_PRIORITY => -997,
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let share = i128::from(memory_request) * 1000 / i128::from(memory_capacity_bytes.max(1));
            i32::try_from(1000 - share).unwrap_or(3).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: i64 = 1 << 30;

    fn check(resources: &str, expected: CgroupNumbers) {
        let text = format!(r#"{{"metadata":{{}},"spec":{{"containers":[{{"name":"a","resources":{resources}}}]}}}}"#);
        let pod: Pod = serde_json::from_str(&text).unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        assert_eq!(numbers(&pod, container, 4 * GIB), expected, "{resources}");
    }

    #[test]
    fn as_upstream() {
        let numbers = |cpu_shares, cpu_quota_micros, memory_limit_bytes, oom_score_adj| CgroupNumbers {
            cpu_shares,
            cpu_quota_micros,
            memory_limit_bytes,
            oom_score_adj,
        };
        for (resources, expected) in [
            ("{}", numbers(2, None, None, 1000)),
            (r#"{"requests":{"cpu":"500m"}}"#, numbers(512, None, None, 999)),
            (r#"{"requests":{"cpu":"1m"}}"#, numbers(2, None, None, 999)),
            (r#"{"limits":{"cpu":"250m"}}"#, numbers(256, Some(25_000), None, 999)),
            (r#"{"limits":{"cpu":"1m"}}"#, numbers(2, Some(1000), None, 999)),
            (r#"{"requests":{"memory":"1Gi"}}"#, numbers(2, None, None, 750)),
            (r#"{"requests":{"memory":"64Gi"}}"#, numbers(2, None, None, 3)),
            (r#"{"limits":{"cpu":"2","memory":"1Gi"}}"#, numbers(2048, Some(200_000), Some(GIB), -997)),
            (r#"{"limits":{"memory":"128Mi"}}"#, numbers(2, None, Some(128 << 20), 969)),
            (r#"{"requests":{"cpu":"1000"}}"#, numbers(262_144, None, None, 999)),
        ] {
            check(resources, expected);
        }
    }
}
