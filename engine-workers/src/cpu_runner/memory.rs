//! Whether what a model needs fits into memory, asked before any of it is reserved.
//!
//! Available is the least of what the system could give without swapping (`MemAvailable`) and what the process's
//! control group still allows, both versions of it.

use std::fs;
use std::path::Path;

use super::error::LoadError;

/// Bytes that a runner will hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) weight_bytes: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) scratch_bytes: usize,
}

/// # Errors
/// `NotEnoughMemory`. Where the system does not say how much is available nothing is refused.
pub(crate) fn check(need: &Need) -> Result<(), LoadError> {
    match available_bytes(Path::new("/")) {
        Some(available) => check_against(need, available),
        None => Ok(()),
    }
}

fn check_against(need: &Need, available_bytes: usize) -> Result<(), LoadError> {
    let needed = need.weight_bytes.saturating_add(need.cache_bytes).saturating_add(need.scratch_bytes);
    if needed <= available_bytes {
        return Ok(());
    }
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    Err(LoadError::NotEnoughMemory {
        needed_mib: mib(needed),
        weight_mib: mib(need.weight_bytes),
        cache_mib: mib(need.cache_bytes),
        scratch_mib: mib(need.scratch_bytes),
        available_mib: available_bytes >> 20,
    })
}

/// `root` is where the system's files are mounted.
fn available_bytes(root: &Path) -> Option<usize> {
    let groups = [
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "sys/fs/cgroup/memory/memory.usage_in_bytes",
            "sys/fs/cgroup/memory/memory.stat",
        ),
    ];
    let number = |path: &str| fs::read_to_string(root.join(path)).ok()?.trim().parse::<usize>().ok();
    let in_groups = groups.iter().filter_map(|(limit, usage, stat)| {
        let used = number(usage)?.saturating_sub(inactive_file_bytes(&root.join(stat)));
        Some(number(limit)?.saturating_sub(used))
    });
    in_groups.chain(system_available_bytes(root)).min()
}

fn system_available_bytes(root: &Path) -> Option<usize> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Page cache that the group can give back at once; a mapped model file is mostly that.
fn inactive_file_bytes(stat: &Path) -> usize {
    let Ok(text) = fs::read_to_string(stat) else { return 0 };
    text.lines()
        .find_map(|line| line.strip_prefix("inactive_file "))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_tightest_limit_counts() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(available_bytes(root.path()), None);
        write(root.path(), "proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    2048 kB\n");
        assert_eq!(available_bytes(root.path()), Some(2048 * 1024));
        write(root.path(), "sys/fs/cgroup/memory.max", "max\n");
        write(root.path(), "sys/fs/cgroup/memory.current", "600\n");
        assert_eq!(available_bytes(root.path()), Some(2048 * 1024));
        write(root.path(), "sys/fs/cgroup/memory.max", "1000\n");
        assert_eq!(available_bytes(root.path()), Some(400));
        write(root.path(), "sys/fs/cgroup/memory.stat", "anon 300\ninactive_file 250\n");
        assert_eq!(available_bytes(root.path()), Some(650));
    }

    #[test]
    fn refusal_tells_the_numbers() {
        let need = Need { weight_bytes: 100 << 20, cache_bytes: 50 << 20, scratch_bytes: 5 << 20 };
        assert!(check_against(&need, 155 << 20).is_ok());
        let error = check_against(&need, 154 << 20).unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(
            error.to_string(),
            "needs 155 MiB (weights 100, KV cache 50, scratch 5), 154 MiB are available: \
             make the KV cache smaller or take a smaller model"
        );
    }
}
