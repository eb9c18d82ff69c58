//! Who may use which names: two definitions of one group must not share any (upstream's naming controller).

use std::collections::HashMap;

use super::definition::{Definition, KindNames};

/// What becomes of the names that a definition asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// The names it has from now on.
    pub(super) accepted: KindNames,
    /// Reason and message of the first conflict.
    pub(super) conflict: Option<(&'static str, String)>,
}

/// Names that definitions of one group have, each counted.
#[derive(Debug, Default)]
pub(super) struct Taken {
    resources: HashMap<String, usize>,
    kinds: HashMap<String, usize>,
}

impl Taken {
    pub(super) fn add(&mut self, names: &KindNames) {
        resources(names).for_each(|name| *self.resources.entry(name.clone()).or_default() += 1);
        kinds(names).for_each(|name| *self.kinds.entry(name.clone()).or_default() += 1);
    }

    /// Takes back one [`Taken::add`].
    pub(super) fn remove(&mut self, names: &KindNames) {
        resources(names).for_each(|name| forget(&mut self.resources, name));
        kinds(names).for_each(|name| forget(&mut self.kinds, name));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.kinds.is_empty()
    }
}

fn resources(names: &KindNames) -> impl Iterator<Item = &String> {
    [&names.plural, &names.singular].into_iter().chain(&names.short_names).filter(|name| !name.is_empty())
}

fn kinds(names: &KindNames) -> impl Iterator<Item = &String> {
    [&names.kind, &names.list_kind].into_iter().filter(|name| !name.is_empty())
}

fn forget(counts: &mut HashMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

/// Compares what `definition` asks for and what it has with what others have taken.
pub(super) fn decide(definition: &Definition, taken: &Taken) -> Verdict {
    let asked = &definition.spec.names;
    let mut accepted = definition.status.accepted_names.clone();
    let mut conflict = None;
    let mut refuse = |reason, message| {
        conflict.get_or_insert((reason, message));
    };
    let free = |name: &str, have: &str, used: &HashMap<String, usize>| name == have || !used.contains_key(name);
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
        .filter(|name| !accepted.short_names.contains(name) && resources.contains_key(*name))
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

        // A name is free when the last who has it is gone.
        definition.status.accepted_names = KindNames::default();
        taken.add(&named("foos", "Foo", &["f"]));
        taken.remove(&named("foos", "Foo", &["f"]));
        assert!(decide(&definition, &taken).conflict.is_some());
        taken.remove(&named("foos", "Foo", &["f"]));
        assert!(taken.is_empty() && decide(&definition, &taken).conflict.is_none());
    }
}
