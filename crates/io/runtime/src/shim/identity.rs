//! Who a command runs as, looked up in the container's own `/etc/passwd` and `/etc/group`.
//!
//! Called inside the container's root, so that no link in the image can lead to the host's files.

use std::fs::File;
use std::io::Read as _;

use super::Failure;
use crate::bundle::User;

/// User, groups and home of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
    /// All further groups, the primary one among them.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

const FILE_BYTES_MAX: u64 = 4 << 20;

/// Looks up `user` in the files of the current root. A file that does not exist is empty.
pub(super) fn look_up(user: &User, further_groups: &[u32]) -> Result<Identity, Failure> {
    resolve(user, further_groups, &read("/etc/passwd"), &read("/etc/group"))
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    // Neither a missing file nor an unreadable one names anybody.
    let _ = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A line of `/etc/passwd`.
struct Account<'a> {
    name: &'a str,
    user: u32,
    group: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Account { name, user, group, home: fields.nth(1).unwrap_or("") })
    })
}

/// Name, number and members of each group.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name, number, fields.next().unwrap_or("")))
    })
}

fn resolve(user: &User, further_groups: &[u32], passwd: &str, group: &str) -> Result<Identity, Failure> {
    let (number, named_group, forced_group) = match user {
        User::Id { user, group } => (*user, None, *group),
        User::Image { user, group } => {
            let (user, named_group) = match user.split_once(':') {
                Some((user, group)) => (user, Some(group)),
                None => (user.as_str(), None),
            };
            let number = match user {
                "" => 0,
                user => match accounts(passwd).find(|account| account.name == user) {
                    Some(account) => account.user,
                    None => user.parse().map_err(|_| {
                        Failure::new(format!("unable to find user {user}: no matching entries in passwd file"))
                    })?,
                },
            };
            (number, named_group, *group)
        }
    };
    let account = accounts(passwd).find(|account| account.user == number);
    let primary = match (forced_group, named_group) {
        (Some(number), _) => number,
        (None, Some(name)) => match groups(group).find(|(known, ..)| *known == name) {
            Some((_, number, _)) => number,
            None => name
                .parse()
                .map_err(|_| Failure::new(format!("unable to find group {name}: no matching entries in group file")))?,
        },
        (None, None) => account.as_ref().map_or(0, |account| account.group),
    };
    let mut all = vec![primary];
    if let Some(account) = &account {
        let member = |members: &str| members.split(',').any(|member| member == account.name);
        all.extend(groups(group).filter(|(.., members)| member(members)).map(|(_, number, _)| number));
    }
    all.extend(further_groups);
    all.sort_unstable();
    all.dedup();
    let home = account.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(Identity { user: number, group: primary, groups: all, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:102::/var/cache/nginx:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\nnginx:x:102:\nweb:x:200:nginx,other\nmail:x:8:\n";

    fn image(user: &str) -> User {
        User::Image { user: user.to_owned(), group: None }
    }

    #[test]
    fn users_are_found_as_container_runtimes_do() {
        let cases = [
            (image(""), 0, 0, vec![0], "/root"),
            (image("nginx"), 101, 102, vec![102, 200], "/var/cache/nginx"),
            (image("101"), 101, 102, vec![102, 200], "/var/cache/nginx"),
            (image("nginx:mail"), 101, 8, vec![8, 200], "/var/cache/nginx"),
            (image("1000:1001"), 1000, 1001, vec![1001], "/"),
            (image("1000"), 1000, 0, vec![0], "/"),
            (User::Id { user: 101, group: None }, 101, 102, vec![102, 200], "/var/cache/nginx"),
            (User::Id { user: 7, group: Some(9) }, 7, 9, vec![9], "/"),
        ];
        for (user, number, group, groups, home) in cases {
            let identity = resolve(&user, &[], PASSWD, GROUP).unwrap();
            assert_eq!((identity.user, identity.group), (number, group), "{user:?}");
            assert_eq!(identity.groups, groups, "{user:?}");
            assert_eq!(identity.home, home, "{user:?}");
        }
        assert_eq!(resolve(&image("0"), &[5, 3], PASSWD, GROUP).unwrap().groups, [0, 3, 5]);
    }

    #[test]
    fn unknown_names_are_refused() {
        for user in ["nobody", "nginx:nogroup", "-1"] {
            assert!(resolve(&image(user), &[], PASSWD, GROUP).is_err(), "{user}");
        }
    }
}
