//! Who may use which names: two definitions of one group must not share any (upstream's naming controller).

use std::collections::HashSet;

use super::definition::{Definition, KindNames};

/// What becomes of the names that a definition asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// The names it has from now on.
    pub(super) accepted: KindNames,
    /// Reason and message of the first conflict.
    pub(super) conflict: Option<(&'static str, String)>,
}

/// Names that other definitions of the group have.
#[derive(Debug, Default)]
pub(super) struct Taken {
    resources: HashSet<String>,
    kinds: HashSet<String>,
}

impl Taken {
    pub(super) fn add(&mut self, names: &KindNames) {
        let resources = [&names.plural, &names.singular].into_iter().chain(&names.short_names);
        self.resources.extend(resources.filter(|name| !name.is_empty()).cloned());
        self.kinds.extend([&names.kind, &names.list_kind].into_iter().filter(|name| !name.is_empty()).cloned());
    }
}

/// Compares what `definition` asks for and what it has with what is taken.
pub(super) fn decide(definition: &Definition, taken: &Taken) -> Verdict {
    let asked = &definition.spec.names;
    let mut accepted = definition.status.accepted_names.clone();
    let mut conflict = None;
    let mut refuse = |reason, message| {
        conflict.get_or_insert((reason, message));
    };
    let free = |name: &str, have: &str, used: &HashSet<String>| name == have || !used.contains(name);
    let in_use = |name: &str| format!("{name:?} is already in use");
    let resources = &taken.resources;
    let kinds = &taken.kinds;
    for (reason, name, have, used) in [
        ("PluralConflict", &asked.plural, &mut accepted.plural, resources),
        ("SingularConflict", &asked.singular, &mut accepted.singular, resources),
        ("KindConflict", &asked.kind, &mut accepted.kind, kinds),
        ("ListKindConflict", &asked.list_kind, &mut accepted.list_kind, kinds),
    ] {
        if free(name, have, used) {
            have.clone_from(name);
        } else {
            refuse(reason, in_use(name));
        }
    }
    let short: Vec<String> = asked
        .short_names
        .iter()
        .filter(|name| !accepted.short_names.contains(name) && resources.contains(*name))
        .map(|name| in_use(name))
        .collect();
    match short.as_slice() {
        [] => accepted.short_names.clone_from(&asked.short_names),
        [one] => refuse("ShortNamesConflict", one.clone()),
        many => refuse("ShortNamesConflict", format!("[{}]", many.join(", "))),
    }
    accepted.categories.clone_from(&asked.categories);
    Verdict { accepted, conflict }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(plural: &str, kind: &str, short: &[&str]) -> KindNames {
        KindNames {
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            short_names: short.iter().map(|name| (*name).to_owned()).collect(),
            categories: Vec::new(),
        }
    }

    #[test]
    fn conflicts() {
        let mut taken = Taken::default();
        taken.add(&named("foos", "Foo", &["f"]));
        let mut definition = Definition::default();
        definition.spec.names = named("bars", "Bar", &["b"]);
        assert_eq!(decide(&definition, &taken), Verdict { accepted: named("bars", "Bar", &["b"]), conflict: None });

        definition.spec.names = named("bars", "Foo", &["f"]);
        let verdict = decide(&definition, &taken);
        assert_eq!(verdict.conflict, Some(("SingularConflict", "\"foo\" is already in use".to_owned())));
        assert_eq!((verdict.accepted.plural.as_str(), verdict.accepted.kind.as_str()), ("bars", ""));

        // What it has already stays its own.
        definition.status.accepted_names = named("bars", "Foo", &["f"]);
        assert_eq!(decide(&definition, &taken).conflict, None);
    }
}
