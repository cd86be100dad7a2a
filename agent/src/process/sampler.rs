//! CPU and memory of processes, from `/proc`.

use std::collections::HashMap;
use std::time::Duration;

use super::identity::ProcessId;

/// State of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Which process.
    pub id: ProcessId,
    /// CPU since the sample before, percent of one core (200 = two cores busy); `None` at the first look.
    pub cpu_pct: Option<f64>,
    /// Resident memory, MiB.
    pub mem_mb: f64,
}

/// What `/proc` says about a process's use of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    id: ProcessId,
    /// User and system time, seconds.
    cpu: f64,
    mem_mb: f64,
}

/// Measures processes; remembers each one's last CPU time. Keep one, and call it once a second.
#[derive(Debug, Default)]
pub struct Sampler {
    last: HashMap<ProcessId, (f64, Duration)>,
}

impl Sampler {
    /// Measures the processes at `now`, any monotonic time. Those that are gone are left out; those not asked for are
    /// forgotten. The agent's own pid is as good as any other.
    pub fn sample(&mut self, pids: impl IntoIterator<Item = u32>, now: Duration) -> Vec<Sample> {
        self.take(pids.into_iter().filter_map(usage), now)
    }

    fn take(&mut self, usages: impl Iterator<Item = Usage>, now: Duration) -> Vec<Sample> {
        let before = std::mem::take(&mut self.last);
        usages
            .map(|usage| {
                let cpu_pct = before.get(&usage.id).and_then(|&(cpu, at)| {
                    let passed = now.checked_sub(at).filter(|passed| !passed.is_zero())?;
                    Some(((usage.cpu - cpu) / passed.as_secs_f64() * 100.0).max(0.0))
                });
                self.last.insert(usage.id, (usage.cpu, now));
                Sample { id: usage.id, cpu_pct, mem_mb: usage.mem_mb }
            })
            .collect()
    }
}

/// proc_pid_stat(5) fields 14, 15, 22; proc_pid_statm(5) field 2.
fn usage(pid: u32) -> Option<Usage> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let resident = process.statm().ok()?.resident;
    #[expect(clippy::cast_precision_loss, reason = "ticks and pages are far below 2^52")]
    Some(Usage {
        id: ProcessId { pid, start: stat.starttime },
        cpu: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        mem_mb: (resident * procfs::page_size()) as f64 / f64::from(1 << 20),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage_of(pid: u32, start: u64, cpu: f64) -> Usage {
        Usage { id: ProcessId { pid, start }, cpu, mem_mb: 10.0 }
    }

    #[test]
    fn cpu_is_percent_of_one_core_over_the_time_that_passed() {
        let mut sampler = Sampler::default();
        let first = sampler.take([usage_of(1, 5, 10.0)].into_iter(), Duration::from_secs(100));
        assert_eq!(first[0].cpu_pct, None);
        let second = sampler.take([usage_of(1, 5, 13.0)].into_iter(), Duration::from_secs(102));
        assert_eq!(second[0].cpu_pct, Some(150.0));
    }

    #[test]
    fn reused_pid_inherits_no_cpu_time() {
        let mut sampler = Sampler::default();
        sampler.take([usage_of(1, 5, 10.0)].into_iter(), Duration::from_secs(1));
        let other = sampler.take([usage_of(1, 900, 0.5)].into_iter(), Duration::from_secs(2));
        assert_eq!(other[0].cpu_pct, None);
    }

    #[test]
    fn process_that_is_gone_is_forgotten() {
        let mut sampler = Sampler::default();
        sampler.take([usage_of(1, 5, 10.0)].into_iter(), Duration::from_secs(1));
        assert!(sampler.take([].into_iter(), Duration::from_secs(2)).is_empty());
        assert!(sampler.last.is_empty());
    }

    #[test]
    fn own_process_uses_memory_and_a_pid_that_is_none_is_left_out() {
        let samples = Sampler::default().sample([std::process::id(), u32::MAX], Duration::ZERO);
        assert_eq!(samples.len(), 1);
        assert!(samples[0].mem_mb > 0.5, "{samples:?}");
    }
}
