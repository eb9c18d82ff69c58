//! Changes of size: of one set, and of a Deployment in the middle of a rollout.

use super::annotations::{self, desired_replicas, max_replicas, set_sizes, sizes_differ};
use super::{Member, Step, World};

impl World<'_> {
    /// Whether `spec.replicas` has changed since the sets were scaled.
    pub(super) fn is_being_scaled(&self) -> bool {
        let noted = self.all().filter(|member| member.replicas > 0).filter_map(|member| desired_replicas(&member.set));
        noted.into_iter().any(|noted| noted != self.desired())
    }

    /// Spreads a new size over the sets: all to the only active one, or in proportion if a rollout is under way.
    pub(super) fn scale(&mut self) {
        let active: Vec<usize> = (0..self.old.len()).filter(|position| self.old[*position].replicas > 0).collect();
        let new_is_active = self.new.as_ref().is_some_and(|new| new.replicas > 0);
        let desired = self.desired();
        match (active.as_slice(), new_is_active) {
            // The size is noted even where a set happens to have it already: else the change would never be over.
            ([], _) if self.new.is_some() => {
                self.resize_new(desired);
            }
            ([], _) => {
                if let Some(newest) = self.old.len().checked_sub(1) {
                    self.resize_old(newest, desired);
                }
            }
            ([only], false) => {
                self.resize_old(*only, desired);
            }
            _ if self.new.as_ref().is_some_and(|new| self.is_saturated(new)) => {
                for position in active {
                    self.scale_old(position, 0);
                }
            }
            _ if !self.limits.recreate => self.scale_in_proportion(),
            _ => {}
        }
    }

    /// Whether the new set has all the pods of the Deployment, and they are available.
    fn is_saturated(&self, new: &Member) -> bool {
        let desired = self.desired();
        desired_replicas(&new.set) == Some(desired) && new.replicas == desired && new.available() == desired
    }

    /// Lets each active set grow or shrink by its share, so that a rollout that is stuck keeps its proportions.
    fn scale_in_proportion(&mut self) {
        let mut sets: Vec<Member> = self.all().filter(|member| member.replicas > 0).cloned().collect();
        let total: i32 = sets.iter().map(|member| member.replicas).sum();
        let allowed = if self.desired() > 0 { self.limits.max_total() } else { 0 };
        let to_add = allowed - total;
        // The largest first; of equals the newest grows first and the oldest shrinks first.
        sets.sort_by(|a, b| a.age().cmp(&b.age()));
        if to_add > 0 {
            sets.reverse();
        }
        sets.sort_by_key(|member| std::cmp::Reverse(member.replicas));
        let mut added = 0;
        let mut sizes: Vec<i32> = Vec::with_capacity(sets.len());
        for member in &sets {
            let share = self.share(member, to_add, added);
            added += share;
            sizes.push(member.replicas + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (member, size) in sets.iter().zip(sizes) {
            match self.old.iter().position(|old| old.name() == member.name()) {
                Some(position) => self.resize_old(position, size),
                None => self.resize_new(size),
            };
        }
    }

    fn share(&self, member: &Member, to_add: i32, added: i32) -> i32 {
        let left = to_add - added;
        if left == 0 {
            return 0;
        }
        let fraction = self.fraction(member);
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    /// How much the set would grow if every set kept its proportion of the whole.
    fn fraction(&self, member: &Member) -> i32 {
        if self.desired() == 0 {
            return -member.replicas;
        }
        let before = max_replicas(&member.set).filter(|max| *max > 0).or(self.status.replicas).unwrap_or(0);
        if before == 0 {
            return 0; // never scaled by us and nothing reported yet: leave it to the next look
        }
        let product = i64::from(member.replicas) * i64::from(self.limits.max_total());
        let before = i64::from(before);
        let rounded = (2 * product + before) / (2 * before); // half away from zero; all numbers are positive
        i32::try_from(rounded).unwrap_or(i32::MAX) - member.replicas
    }

    /// Whether the size changed; without a change nothing is written.
    pub(super) fn scale_new(&mut self, size: i32) -> bool {
        self.new.as_ref().is_some_and(|new| new.replicas != size) && self.resize_new(size)
    }

    /// Whether the size changed; without a change nothing is written.
    pub(super) fn scale_old(&mut self, position: usize, size: i32) -> bool {
        self.old[position].replicas != size && self.resize_old(position, size)
    }

    fn resize_new(&mut self, size: i32) -> bool {
        let sizes = self.sizes();
        self.new.as_mut().is_some_and(|new| resize(new, size, sizes, &mut self.steps))
    }

    fn resize_old(&mut self, position: usize, size: i32) -> bool {
        let sizes = self.sizes();
        resize(&mut self.old[position], size, sizes, &mut self.steps)
    }
}

/// Plans the update of one set, as one write even if several steps of the plan touch it.
fn resize(member: &mut Member, size: i32, sizes: annotations::Sizes, steps: &mut Vec<Step>) -> bool {
    if member.replicas == size && !sizes_differ(&member.set, sizes) {
        return false;
    }
    let mut set = (*member.set).clone();
    set.spec.get_or_insert_default().replicas = Some(size);
    set_sizes(&mut set, sizes);
    let before = member.replicas;
    member.replicas = size;
    member.set = set.clone().into();
    let name = &set.metadata.name;
    let planned = steps.iter_mut().find_map(|step| match step {
        Step::Update { replica_set, scaled } if replica_set.metadata.name == *name => Some((replica_set, scaled)),
        _ => None,
    });
    let scale = (before != size).then_some((before, size));
    match planned {
        Some((replica_set, scaled)) => {
            **replica_set = set;
            *scaled = match (*scaled, scale) {
                (Some((first, _)), Some((_, last))) => Some((first, last)),
                (earlier, later) => later.or(earlier),
            };
        }
        None => steps.push(Step::Update { replica_set: Box::new(set), scaled: scale }),
    }
    before != size
}
