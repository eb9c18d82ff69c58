//! The two strategies: from the pods of old revisions to those of the new one.

use super::revision::IfMissing;
use super::{Member, World};
use crate::pod::is_finished;

impl World<'_> {
    /// RollingUpdate: new pods come and old ones go within the limits.
    pub(super) fn roll(&mut self) {
        self.sync_new_revision(IfMissing::Create);
        if self.grow_new() || self.shrink_old() {
            return;
        }
        if self.is_complete() {
            self.clean_up();
        }
    }

    /// Recreate: all old pods end, then new ones start.
    pub(super) fn recreate(&mut self) {
        self.sync_new_revision(IfMissing::Leave);
        if self.scale_all_old_to_zero() || self.old_pods_run() {
            return;
        }
        self.sync_new_revision(IfMissing::Create);
        if self.new.as_ref().is_some_and(|new| !new.planned) {
            self.scale_new(self.desired());
        }
        if self.is_complete() {
            self.clean_up();
        }
    }

    /// The size that the new set may have now, given that it has `current`.
    pub(super) fn size_of_new(&self, current: i32) -> i32 {
        if self.limits.recreate {
            return self.desired();
        }
        let others: i32 = self.old.iter().map(|member| member.replicas).sum();
        let room = self.limits.max_total() - others - current;
        if room <= 0 { current } else { current + room.min(self.desired() - current) }
    }

    /// Whether the new set's size had to change.
    fn grow_new(&mut self) -> bool {
        let Some(new) = &self.new else { return false };
        if new.planned || new.replicas == self.desired() {
            return false;
        }
        let size = if new.replicas > self.desired() { self.desired() } else { self.size_of_new(new.replicas) };
        self.scale_new(size)
    }

    /// Whether an old set could shrink: first by its unhealthy pods, then as far as enough others are available.
    fn shrink_old(&mut self) -> bool {
        let Some(new) = self.new.as_ref().filter(|_| self.old.iter().any(|member| member.replicas > 0)) else {
            return false;
        };
        let unavailable_new = new.replicas - new.available();
        let room = self.total_replicas() - self.limits.min_available() - unavailable_new;
        if room <= 0 {
            return false;
        }
        // Unhealthy pods of old revisions help nobody: they go first, and never count as available.
        let cleaned = self.shrink_old_by(room, |member| (member.replicas - member.available()).max(0));
        let spare = self.available_replicas() - self.limits.min_available();
        let shrunk = spare > 0 && self.shrink_old_by(spare, |member| member.replicas);
        cleaned || shrunk
    }

    /// Takes up to `budget` replicas from old sets, oldest first, of each at most what `share` says.
    fn shrink_old_by(&mut self, budget: i32, share: impl Fn(&Member) -> i32) -> bool {
        let mut left = budget;
        for position in 0..self.old.len() {
            let member = &self.old[position];
            let size = member.replicas - share(member).min(left).min(member.replicas);
            left -= member.replicas - size;
            self.scale_old(position, size);
        }
        left < budget
    }

    fn scale_all_old_to_zero(&mut self) -> bool {
        let mut scaled = false;
        for position in 0..self.old.len() {
            scaled |= self.scale_old(position, 0);
        }
        scaled
    }

    fn old_pods_run(&self) -> bool {
        let new_uid = self.new.as_ref().and_then(|new| new.set.metadata.uid.as_deref());
        let of_old = self.observed.pods.iter().filter(|(uid, _)| Some(uid.as_str()) != new_uid);
        self.old.iter().any(|member| member.existing() > 0)
            || of_old.flat_map(|(_, pods)| pods).any(|pod| !is_finished(pod))
    }
}
