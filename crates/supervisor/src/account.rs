//! Users and groups, as /etc/passwd and /etc/group have them. A C library would ask other sources
//! too, over code that it loads for that; an account from elsewhere is written as numbers.

use std::fs;
use std::path::PathBuf;

/// Who traffic is served as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: u32,
    pub group: u32,
    /// All groups, that one included.
    pub groups: Vec<u32>,
    /// The directory of the user; the root of all, if it is not known.
    pub home: PathBuf,
}

/// The user who may do everything.
pub const ROOT: u32 = 0;

impl Account {
    /// Looks up a user, and a group in place of the user's first one, by name or by number.
    ///
    /// # Errors
    /// Says which is not there, and what to do.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, String> {
        let read = |path: &str| {
            fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
        };
        // Numbers need no files, and small containers have none.
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        let (users, groups) = match is_number(user) && group.is_some_and(is_number) {
            true => {
                (read("/etc/passwd").unwrap_or_default(), read("/etc/group").unwrap_or_default())
            }
            false => (read("/etc/passwd")?, read("/etc/group")?),
        };
        Self::look_up(user, group, &users, &groups)
    }

    fn look_up(user: &str, group: Option<&str>, users: &str, groups: &str) -> Result<Self, String> {
        let number = user.parse::<u32>().ok();
        let entry = users.lines().filter_map(Entry::of_user).find(|entry| match number {
            Some(number) => entry.number == number,
            None => entry.name == user,
        });
        let id = number.or(entry.as_ref().map(|entry| entry.number)).ok_or_else(|| {
            format!(
                "user: there is no user `{user}` in /etc/passwd: make it (`useradd --system {user}`), \
                 or name another"
            )
        })?;
        let chosen = group.map(|group| group_number(group, groups)).transpose()?;
        let first = chosen.or(entry.as_ref().and_then(|entry| entry.group)).ok_or_else(|| {
            format!("user: {id} is not in /etc/passwd, which says its group: set `group` too")
        })?;
        let home = entry.as_ref().and_then(|entry| entry.home).unwrap_or("/").into();
        let mut all = vec![first];
        // A group that is chosen is the only one.
        if let Some(entry) = entry.filter(|_| chosen.is_none()) {
            let has_it = |line: &&str| members(line).any(|name| name == entry.name);
            all.extend(
                groups.lines().filter(has_it).filter_map(|line| Some(Entry::of(line)?.number)),
            );
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self { user: id, group: first, groups: all, home })
    }
}

fn group_number(group: &str, groups: &str) -> Result<u32, String> {
    let mut entries = groups.lines().filter_map(Entry::of);
    let named = || entries.find(|entry| entry.name == group).map(|entry| entry.number);
    group.parse().ok().or_else(named).ok_or_else(|| {
        format!(
            "group: there is no group `{group}` in /etc/group: make it (`groupadd --system {group}`), \
             or name another"
        )
    })
}

/// A line of either file: `name:password:number:...`.
struct Entry<'a> {
    name: &'a str,
    number: u32,
    /// Of a user.
    group: Option<u32>,
    home: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        Some(Self { name, number, group: None, home: None })
    }

    fn of_user(line: &'a str) -> Option<Self> {
        let mut rest = line.split(':').skip(3);
        let (group, home) = (rest.next()?.parse().ok(), rest.nth(1));
        Self::of(line).map(|entry| Self { group, home, ..entry })
    }
}

fn members(line: &str) -> impl Iterator<Item = &str> {
    line.split(':').nth(3).unwrap_or_default().split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/:/bin/sh\n# broken\nwww-data:x:33:33:www:/var:/bin/false\n\
                         odd:x:notanumber:1::/:\nfair:x:990:991::/:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nwww-data:x:33:fair, other\nfair:x:991:\nadm:x:4:fair\n";

    fn check(user: &str, group: Option<&str>, expected: Result<(u32, u32, &[u32]), &str>) {
        let found = Account::look_up(user, group, USERS, GROUPS);
        match expected {
            Ok((user, group, groups)) => {
                let found = found.unwrap();
                assert_eq!((found.user, found.group), (user, group));
                assert_eq!(found.groups, groups);
            }
            Err(words) => {
                let said = found.unwrap_err();
                assert!(said.contains(words), "{said}");
            }
        }
    }

    #[test]
    fn users_have_names_and_numbers() {
        check("www-data", None, Ok((33, 33, &[33])));
        check("33", None, Ok((33, 33, &[33])));
        check("fair", None, Ok((990, 991, &[4, 33, 991])));
        check("fair", Some("adm"), Ok((990, 4, &[4])));
        check("990", Some("12345"), Ok((990, 12345, &[12345])));
        check("4711", Some("4712"), Ok((4711, 4712, &[4712])));
        check("4711", None, Err("4711 is not in /etc/passwd"));
        check("nobody-here", None, Err("no user `nobody-here`"));
        check("odd", None, Err("no user `odd`"));
        check("fair", Some("none"), Err("no group `none`"));
        check("-1", None, Err("no user `-1`"));
        check("", None, Err("no user ``"));
    }

    #[test]
    fn users_are_at_home_somewhere() {
        let home = |user| Account::look_up(user, Some("adm"), USERS, GROUPS).unwrap().home;
        assert_eq!([home("www-data"), home("4711")], [PathBuf::from("/var"), "/".into()]);
    }
}
