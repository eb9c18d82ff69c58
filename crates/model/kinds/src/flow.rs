//! Priority and fairness of requests.

mod mandatory;
mod rules;

pub use mandatory::{mandatory_flow_schema, mandatory_priority_level};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::seen::Seen;
use crate::strategy::Strategy;

pub(crate) struct FlowSchema;

const PRECEDENCE_MAX: i64 = 10_000;
/// The schema and the level that nothing holds back.
const EXEMPT: &str = "exempt";

impl Strategy for FlowSchema {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec")
            && spec.int("matchingPrecedence").unwrap_or(0) == 0
        {
            spec.set("matchingPrecedence", 1000);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let precedence = spec.int("matchingPrecedence").unwrap_or(0);
        let precedence_at = at.field("matchingPrecedence");
        if precedence <= 0 {
            errors.invalid(&precedence_at, precedence, "must be a positive value");
        }
        if precedence > PRECEDENCE_MAX {
            let detail = format!("must not be greater than {PRECEDENCE_MAX}");
            errors.invalid(&precedence_at, precedence, detail);
        }
        let name = object.or_null("metadata").text("name");
        if precedence == 1 && name != EXEMPT {
            let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
            errors.invalid(&precedence_at, precedence, detail);
        }
        if let Some(method) = spec.at("distinguisherMethod")
            && !matches!(method.text("type"), "ByNamespace" | "ByUser")
        {
            let at = at.field("distinguisherMethod");
            errors.not_supported(&at.field("type"), method.clone(), &["ByNamespace", "ByUser"]);
        }
        let level_at = at.field("priorityLevelConfiguration");
        match spec.or_null("priorityLevelConfiguration").text("name") {
            "" => errors.required(&level_at.field("name"), "must reference a priority level"),
            level => errors.each_invalid(&level_at.field("name"), level, names::dns_subdomain(level)),
        }
        let rules_at = at.field("rules");
        for (index, rule) in spec.list("rules").iter().enumerate() {
            rules::validate(rule, &rules_at.index(index), &mut errors);
        }
        if mandatory_flow_schema(name).is_some_and(|fixed| !same(Some(spec), Some(&fixed))) {
            errors.invalid(&at, spec.clone(), format!("spec of '{name}' must equal the fixed value"));
        }
        conditions(object, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        conditions(new, &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// Conditions are known by their types.
fn conditions(object: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    let at = at.field("conditions");
    let conditions = object.or_null("status").list("conditions");
    let mut seen = Seen::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        let kind = condition.text("type");
        if seen.again(kind) {
            errors.duplicate(&at.field("type"), kind);
        }
        if kind.is_empty() {
            errors.required(&at.field("type"), "must not be empty");
        }
    }
}

pub(crate) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        match spec.text("type") {
            "Limited" => {
                let Some(limited) = spec.make("limited") else { return };
                limited.fill("nominalConcurrencyShares", 30);
                limited.fill("lendablePercent", 0);
                if let Some(queuing) = limited.inside("limitResponse").and_then(|response| {
                    let queues = response.text("type") == "Queue";
                    if queues { response.make("queuing") } else { None }
                }) {
                    for (field, number) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                        if queuing.int(field).unwrap_or(0) == 0 {
                            queuing.set(field, number);
                        }
                    }
                }
            }
            "Exempt" => {
                if let Some(exempt) = spec.make("exempt") {
                    exempt.fill("nominalConcurrencyShares", 0);
                    exempt.fill("lendablePercent", 0);
                }
            }
            _ => {}
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let kind = spec.text("type");
        let name = object.or_null("metadata").text("name");
        if (name == EXEMPT) != (kind == "Exempt") {
            errors.invalid(&at.field("type"), kind, "type must be 'Exempt' if and only if name is 'exempt'");
        }
        match kind {
            "Exempt" => {
                if spec.has("limited") {
                    errors.forbidden(&at.field("limited"), "must be nil if the type is not Limited");
                }
                let exempt_at = at.field("exempt");
                check::nonnegative(spec.or_null("exempt"), "nominalConcurrencyShares", &exempt_at, &mut errors);
                lendable(spec.or_null("exempt"), &exempt_at, &mut errors);
            }
            "Limited" => {
                if spec.has("exempt") {
                    errors.forbidden(&at.field("exempt"), "must be nil if the type is Limited");
                }
                match spec.at("limited") {
                    None => errors.required(&at.field("limited"), "must not be empty when type is Limited"),
                    Some(limited) => self::limited(limited, &at.field("limited"), &mut errors),
                }
            }
            kind => errors.not_supported(&at.field("type"), kind, &["Exempt", "Limited"]),
        }
        if let Some(fixed) = mandatory_priority_level(name) {
            let differs = match kind {
                "Exempt" if name == EXEMPT => spec.has("limited"),
                _ => !same(Some(spec), Some(&fixed)),
            };
            if differs {
                errors.invalid(&at, spec.clone(), format!("spec of '{name}' must equal the fixed value"));
            }
        }
        conditions(object, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        conditions(new, &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn lendable(level: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(percent) = level.int("lendablePercent").filter(|percent| !(0..=100).contains(percent)) {
        errors.invalid(&at.field("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn limited(limited: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(shares) = limited.int("nominalConcurrencyShares").filter(|shares| *shares < 0) {
        errors.invalid(&at.field("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    let response = limited.or_null("limitResponse");
    let response_at = at.field("limitResponse");
    let queuing_at = response_at.field("queuing");
    match (response.text("type"), response.at("queuing")) {
        ("Reject", Some(_)) => {
            errors.forbidden(&queuing_at, "must be nil if limited.limitResponse.type is not Limited");
        }
        ("Reject", None) => {}
        ("Queue", None) => {
            errors.required(&queuing_at, "must not be empty if limited.limitResponse.type is Limited");
        }
        ("Queue", Some(queuing)) => self::queuing(queuing, &queuing_at, errors),
        (kind, _) => errors.not_supported(&response_at.field("type"), kind, &["Queue", "Reject"]),
    }
    lendable(limited, at, errors);
    if let Some(percent) = limited.int("borrowingLimitPercent").filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.invalid(&at.field("borrowingLimitPercent"), percent, detail);
    }
}

fn queuing(queuing: &Value, at: &At<'_>, errors: &mut Errors) {
    const QUEUES_MAX: i64 = 10_000_000;
    const HASH_BITS_MAX: u32 = 60;
    let number = |field: &str| queuing.int(field).unwrap_or(0);
    let (length, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if length <= 0 {
        errors.invalid(&at.field("queueLengthLimit"), length, "must be positive");
    }
    if queues <= 0 {
        errors.invalid(&at.field("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        errors.invalid(&at.field("queues"), queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    let hand_at = at.field("handSize");
    if hand <= 0 {
        errors.invalid(&hand_at, hand, "must be positive");
    } else if hand > queues {
        errors.invalid(&hand_at, hand, format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"
        );
        errors.invalid(&hand_at, hand, detail);
    }
}

/// How many bits of a hash it takes to deal a hand of queues: the logarithm of their falling factorial, rounded up.
fn entropy_bits(queues: i64, hand: i64) -> u32 {
    let bits: f64 = (0..hand).take(64).map(|dealt| ((queues - dealt) as f64).log2()).sum();
    bits.ceil() as u32
}
