//! Other names of users: on disk before the answer, and in force with it.

use serde_json::{Value, json};

use super::request::Name;
use super::server::{Desk, Refused, unknown};

impl Desk {
    pub(super) async fn alias(
        &self,
        user: &str,
        alias: &str,
        remove: bool,
    ) -> Result<Value, Refused> {
        let (user, alias) = (self.name(user)?, self.name(alias)?);
        let (aor, other) = (user.aor(), alias.aor());
        let aliases = &self.shell.shared.aliases;
        if remove {
            if aliases.find(&other).as_deref() != Some(&*aor) {
                let message = format!("{other} is no other name of {aor}");
                return Err(Refused::new("unknown-alias", message));
            }
            self.accounts.remove_alias((alias.user, alias.domain)).await?;
            aliases.remove(&other);
        } else {
            may_be(&user, &alias, self.shell.shared.accounts.contains(&other))
                .map_err(|why| Refused::new("bad-alias", why))?;
            let names = ((alias.user, alias.domain), (user.user.clone(), user.domain.clone()));
            if !self.accounts.add_alias(names.0, names.1).await? {
                return Err(unknown(&user));
            }
            aliases.set(&other, &aor);
        }
        Ok(json!({"v": 1, "ok": true, "aor": aor, "aliases": aliases.all_of(&aor)}))
    }
}

/// Whether this may be another name of the user. `is_user`: it is somebody's own.
pub fn may_be(user: &Name, alias: &Name, is_user: bool) -> Result<(), String> {
    if is_user {
        return Err(format!("{} is a user", alias.aor()));
    }
    if alias == user {
        return Err(format!("{} is the user himself", alias.aor()));
    }
    Ok(())
}
