//! `jetmill erase`: what was asked and answered goes, what happened stays.

mod files;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use audit::Life;
use bus::{ErasedBy, ErasureScope, EventLog, StoredFile, erase_content, num_keys};
use clap::Args;
use schemas::v1::FileCreated;
use schemas::v1::envelope::Fact;
use schemas::{InferenceId, TenantId, end_user_fingerprint};

use crate::broker::Broker;
use crate::config::Config;
use crate::instance;
use crate::record::print_line;

use self::files::files_of;

const DEFAULT_TENANT: &str = "default";
const REST: &str = "not erased by this: uploaded files of which no batch has run the lines (delete them by the Files API), \
                    tokens that were streamed in the last half hour, and copies of the keys in older backups";

/// Whose content is erased.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// Inferences that have ended.
    #[arg(required_unless_present_any = ["user", "tenant"], conflicts_with_all = ["user", "tenant"])]
    ids: Vec<InferenceId>,
    /// An end user, by the name that the client gave in `safety_identifier`, `user` or `metadata.user_id`.
    #[arg(long)]
    user: Option<String>,
    /// A tenant: all of it, or with --user the one whose end user it is [default: default].
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Does it; without this, it only says what would be erased.
    #[arg(long)]
    yes: bool,
}

/// Erases and says what.
pub(crate) async fn run(config: &Config, arguments: &Erase) -> Result<()> {
    Broker::use_existing(config, async |broker| erase_all(&broker.stored_log(), arguments).await).await
}

/// What of whom, in words that are shown.
struct Target {
    tenant: TenantId,
    scope: ErasureScope,
    name: String,
}

async fn erase_all(log: &Arc<dyn EventLog>, arguments: &Erase) -> Result<()> {
    let targets = targets(log.as_ref(), arguments).await?;
    let writer = format!("cli/{}", instance::name());
    let mut num_left = 0;
    let mut files = BTreeMap::new();
    for Target { tenant, scope, .. } in &targets {
        // The keys tell which they are, so this comes first.
        let named = files_of(log, tenant, scope).await?.into_iter();
        files.extend(named.map(|StoredFile { id, created, .. }| (id, created)));
    }
    for (id, FileCreated { purpose, filename, num_bytes, .. }) in files {
        print_line(&format!(
            "{id} is not erased by this, delete it by the Files API: {purpose}, {num_bytes} bytes, {filename:?}"
        ));
    }
    let log = log.as_ref();
    for Target { tenant, scope, name } in &targets {
        if !arguments.yes {
            let num = num_keys(log, tenant, scope).await?;
            print_line(&format!("{name}: {} would be destroyed", keys(num)));
            num_left += num;
            continue;
        }
        let by = ErasedBy { caller: "", writer: &writer, stamp: instance::stamps()() };
        let num = erase_content(log, tenant, scope, by).await?;
        print_line(&format!("{name}: content erased, {} destroyed", keys(num)));
    }
    print_line(REST);
    if num_left > 0 {
        bail!("nothing was erased; this cannot be undone: repeat it with --yes");
    }
    Ok(())
}

fn keys(num: u64) -> String {
    if num == 1 { "1 key".to_owned() } else { format!("{num} keys") }
}

/// Nothing is erased unless all of them can be.
async fn targets(log: &dyn EventLog, arguments: &Erase) -> Result<Vec<Target>> {
    let tenant = arguments.tenant.clone().unwrap_or_else(|| TenantId::slug(DEFAULT_TENANT));
    if let Some(user) = &arguments.user {
        let scope = ErasureScope::EndUser(end_user_fingerprint(user));
        return Ok(vec![Target { name: format!("end user '{user}' of tenant {tenant}"), tenant, scope }]);
    }
    if arguments.ids.is_empty() {
        return Ok(vec![Target { name: format!("tenant {tenant}"), tenant, scope: ErasureScope::Tenant }]);
    }
    let mut targets = Vec::with_capacity(arguments.ids.len());
    for id in &arguments.ids {
        let life = Life::read(log, *id).await?.with_context(|| format!("the log holds no inference {id}"))?;
        if !life.facts.iter().any(|fact| matches!(fact.envelope.fact, Some(Fact::Ended(_)))) {
            bail!("{id} has not ended; cancel it first");
        }
        let first = life.facts.first().with_context(|| format!("the log holds no inference {id}"))?;
        let tenant = first.envelope.tenant()?;
        targets.push(Target { tenant, scope: ErasureScope::Inference(*id), name: id.to_string() });
    }
    Ok(targets)
}
