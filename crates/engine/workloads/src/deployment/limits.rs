//! How many pods a rollout may have too many and too few.

use k8s_openapi::api::apps::v1::DeploymentSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::share::{Round, scaled};

/// The numbers of a Deployment's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// `spec.replicas`
    pub desired: i32,
    /// How many pods more than desired there may be.
    pub surge: i32,
    /// How many pods fewer than desired may be available.
    pub unavailable: i32,
    /// The strategy is Recreate: both limits are 0 and old pods end before new ones start.
    pub recreate: bool,
}

impl Limits {
    pub(super) fn of(spec: &DeploymentSpec) -> Self {
        let desired = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return Self { desired, surge: 0, unavailable: 0, recreate: true };
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let quarter = IntOrString::String("25%".to_owned());
        let limit = |field: Option<&IntOrString>, round| scaled(field.unwrap_or(&quarter), desired, round);
        let surge = limit(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Round::Up);
        let mut unavailable = limit(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Round::Down);
        if surge == 0 && unavailable == 0 {
            // Validation refuses 0 and 0, but percentages may come to that: something must give, or nothing moves.
            unavailable = 1;
        }
        Self { desired, surge, unavailable: unavailable.min(desired), recreate: false }
    }

    pub(super) fn min_available(self) -> i32 {
        self.desired - self.unavailable
    }

    pub(super) fn max_total(self) -> i32 {
        self.desired.saturating_add(self.surge)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};

    use super::*;

    #[test]
    fn limits_of_specs() {
        let parse = |text: &str| match text.parse() {
            Ok(number) => IntOrString::Int(number),
            Err(_) => IntOrString::String(text.to_owned()),
        };
        #[rustfmt::skip]
        let cases = [
            // replicas, maxSurge, maxUnavailable → surge, unavailable
            (10, "25%",  "25%",  3, 2),
            (3,  "25%",  "25%",  1, 0),
            (1,  "25%",  "25%",  1, 0),
            (10, "0",    "1",    0, 1),
            (10, "1",    "0",    1, 0),
            (10, "0%",   "5%",   0, 1),
            (10, "100%", "100%", 10, 10),
            (2,  "5",    "5",    5, 2),
            (0,  "25%",  "25%",  0, 0),
            (0,  "1",    "1",    1, 0),
        ];
        for (replicas, surge, unavailable, expected_surge, expected_unavailable) in cases {
            let rolling =
                RollingUpdateDeployment { max_surge: Some(parse(surge)), max_unavailable: Some(parse(unavailable)) };
            let strategy =
                DeploymentStrategy { type_: Some("RollingUpdate".to_owned()), rolling_update: Some(rolling) };
            let limits = Limits::of(&DeploymentSpec {
                replicas: Some(replicas),
                strategy: Some(strategy),
                ..Default::default()
            });
            let expected =
                Limits { desired: replicas, surge: expected_surge, unavailable: expected_unavailable, recreate: false };
            assert_eq!(limits, expected, "{replicas} {surge} {unavailable}");
        }
    }
}
