//! The little of the nftables netlink protocol that Minato needs (`linux/netfilter/nf_tables.h`), IPv4 only.
//!
//! [`wire`] lays out messages and attributes, [`expression`] the parts of rules, [`batch`] the changes of one atomic
//! transaction, [`socket`] talks to the kernel and maps its refusals to what was tried.

pub(crate) mod batch;
pub(crate) mod expression;
pub(crate) mod socket;
pub(crate) mod wire;
