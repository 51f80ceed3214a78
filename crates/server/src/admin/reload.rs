//! `reload` as the admin socket tells it: what changed, what waits for a restart, what was kept; or what is wrong.

use serde_json::{Value, json};

use super::server::Desk;
use crate::config::Findings;
use crate::config::change::{Change, Comparison};
use crate::reload::{Refused, Reloaded};

impl Desk {
    pub(super) async fn reload(&self, color: bool) -> Value {
        match self.in_force.reload("admin").await {
            Ok(reloaded) => self.done(&reloaded, color),
            Err(refused) => {
                let none = Findings::default();
                let findings = match &refused {
                    Refused::Mistakes { findings } => findings,
                    Refused::Impossible { .. } | Refused::Broken => &none,
                };
                json!({
                    "v": 1, "ok": false, "code": "refused", "error": refused.to_string(),
                    "findings": findings.objects(), "shown": findings.human(color),
                })
            }
        }
    }

    fn done(&self, reloaded: &Reloaded, color: bool) -> Value {
        let Comparison { changed, restart, kept } = &reloaded.comparison;
        let (shell, change) = (
            &self.shell,
            |change: &Change| json!({"setting": change.setting, "before": change.before, "after": change.after}),
        );
        json!({
            "v": 1, "ok": true,
            "config": reloaded.path,
            "changed": changed.iter().map(change).collect::<Vec<_>>(),
            "needs_restart": restart.iter().map(change).collect::<Vec<_>>(),
            "kept": kept,
            "overridden": reloaded.overridden,
            "calls_in_setup": shell.sizes().contexts_active,
            "bindings": shell.shared.location.counts().bindings,
            "bans": shell.shared.bans.len(),
            "findings": reloaded.findings.objects(), "shown": reloaded.findings.human(color),
        })
    }
}
