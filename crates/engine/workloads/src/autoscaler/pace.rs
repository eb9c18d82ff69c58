//! How fast the number of replicas may change: stabilisation windows and policies.

use std::cmp::{max, min};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

use super::{Memory, Settings, Step};

/// A number of replicas and why it is that one, for a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reasoned {
    pub(super) replicas: i32,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

/// What limits a change.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) current: i32,
    pub(super) behavior: Option<&'a HorizontalPodAutoscalerBehavior>,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
}

const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const UP_LIMIT: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");

fn reasoned(replicas: i32, (reason, message): (&'static str, &'static str)) -> Reasoned {
    Reasoned { replicas, reason, message }
}

fn seconds(seconds: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(seconds))
}

impl Bounds<'_> {
    fn up(&self) -> Option<&HPAScalingRules> {
        self.behavior?.scale_up.as_ref()
    }

    fn down(&self) -> Option<&HPAScalingRules> {
        self.behavior?.scale_down.as_ref()
    }

    /// How far back recommendations count: upwards, downwards.
    pub(super) fn windows(&self) -> (SignedDuration, SignedDuration) {
        let usual = SignedDuration::try_from(self.settings.downscale_stabilization).unwrap_or(SignedDuration::MAX);
        if self.behavior.is_none() {
            return (SignedDuration::ZERO, usual);
        }
        let up = self.up().and_then(|rules| rules.stabilization_window_seconds).map_or(SignedDuration::ZERO, seconds);
        let down = self.down().and_then(|rules| rules.stabilization_window_seconds).map_or(usual, seconds);
        (up, down)
    }

    /// `desired` held against what was recommended lately, which it joins.
    pub(super) fn stabilize(&self, desired: i32, memory: &mut Memory) -> Reasoned {
        let (up, down) = self.windows();
        let since = |window: SignedDuration| self.now.checked_sub(window).unwrap_or(Timestamp::MIN);
        let (up_since, down_since) = (since(up), since(down));
        let (mut lowest, mut highest) = (desired, desired);
        for recommended in &memory.recommendations {
            if recommended.at > up_since {
                lowest = min(lowest, recommended.replicas);
            }
            if recommended.at > down_since {
                highest = max(highest, recommended.replicas);
            }
        }
        let oldest = min(up_since, down_since);
        memory.recommendations.retain(|recommended| recommended.at > oldest);
        memory.recommendations.push(Step { at: self.now, replicas: desired });
        // Without rules only the way down is damped.
        let stabilized = match self.behavior {
            None => highest,
            Some(_) => min(max(self.current, lowest), highest),
        };
        let why = match stabilized {
            same if same == desired => READY,
            _ if self.behavior.is_none() || desired < self.current => DOWN_STABILIZED,
            _ => UP_STABILIZED,
        };
        reasoned(stabilized, why)
    }

    /// `desired` within minimum, maximum and the rates of change.
    pub(super) fn limit(&self, desired: i32, memory: &Memory) -> Reasoned {
        match self.behavior {
            None => self.limit_by_rule(desired),
            Some(_) => self.limit_by_behavior(desired, memory),
        }
    }

    /// The rule before there were rules: no more than doubled at once.
    fn limit_by_rule(&self, desired: i32) -> Reasoned {
        let fastest = max(self.current.saturating_mul(2), 4);
        let (most, why) = if self.max > fastest { (fastest, UP_LIMIT) } else { (self.max, TOO_MANY) };
        if desired < self.min {
            reasoned(self.min, TOO_FEW)
        } else if desired > most {
            reasoned(most, why)
        } else {
            reasoned(desired, WITHIN)
        }
    }

    fn limit_by_behavior(&self, desired: i32, memory: &Memory) -> Reasoned {
        if desired > self.current {
            let fastest = max(self.fastest_up(memory), self.current);
            let (most, why) = if self.max > fastest { (fastest, UP_LIMIT) } else { (self.max, TOO_MANY) };
            if desired > most {
                return reasoned(most, why);
            }
        } else if desired < self.current {
            let fastest = min(self.fastest_down(memory), self.current);
            let (least, why) = if self.min < fastest { (fastest, DOWN_LIMIT) } else { (self.min, TOO_FEW) };
            if desired < least {
                return reasoned(least, why);
            }
        }
        reasoned(desired, WITHIN)
    }

    /// The number of replicas at the beginning of a period that ends now.
    fn at_start_of(&self, period_seconds: i32, memory: &Memory) -> i32 {
        let since = self.now.checked_sub(seconds(period_seconds)).unwrap_or(Timestamp::MIN);
        let changed = |steps: &[Step]| {
            let recent = steps.iter().filter(|step| step.at > since);
            recent.fold(0_i32, |sum, step| sum.saturating_add(step.replicas))
        };
        self.current.saturating_sub(changed(&memory.ups)).saturating_add(changed(&memory.downs))
    }

    fn fastest_up(&self, memory: &Memory) -> i32 {
        let Some(rules) = self.up() else { return i32::MAX };
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start_of(policy.period_seconds, memory);
            match policy.type_.as_str() {
                "Pods" => start.saturating_add(policy.value),
                _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => self.current,
            Some("Min") => proposals.min().unwrap_or(i32::MAX),
            _ => proposals.max().unwrap_or(i32::MIN),
        }
    }

    fn fastest_down(&self, memory: &Memory) -> i32 {
        let Some(rules) = self.down() else { return i32::MIN };
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start_of(policy.period_seconds, memory);
            match policy.type_.as_str() {
                "Pods" => start.saturating_sub(policy.value),
                _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => self.current,
            // The least change is the highest number.
            Some("Min") => proposals.max().unwrap_or(i32::MIN),
            _ => proposals.min().unwrap_or(i32::MAX),
        }
    }

    /// Remembers a change that was made, as long as some policy asks for it.
    pub(super) fn remember(&self, to: i32, memory: &mut Memory) {
        let longest = |rules: Option<&HPAScalingRules>| {
            let policies = rules.into_iter().flat_map(|rules| rules.policies.iter().flatten());
            policies.map(|policy| policy.period_seconds).max().map_or(SignedDuration::ZERO, seconds)
        };
        let longest = max(longest(self.up()), longest(self.down()));
        let since = self.now.checked_sub(longest).unwrap_or(Timestamp::MIN);
        for steps in [&mut memory.ups, &mut memory.downs] {
            steps.retain(|step| step.at > since);
        }
        if self.behavior.is_none() {
            return;
        }
        let change = to.saturating_sub(self.current);
        let steps = if change > 0 { &mut memory.ups } else { &mut memory.downs };
        steps.push(Step { at: self.now, replicas: change.saturating_abs() });
    }
}
