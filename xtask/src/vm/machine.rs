//! One boot of the emulated machine.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::image::Image;
use super::tools::Tools;

/// Emulation is 13 to 30 times slower than the machine it runs on, and that may be busy.
const LIMIT: Duration = Duration::from_secs(600);

/// How a boot went.
pub(super) struct Run {
    /// What the machine printed.
    pub(super) console: String,
    /// Everything inside ended with 0.
    pub(super) passed: bool,
    /// From start to end.
    pub(super) seconds: f64,
}

/// Boots `kernel` with `image` and waits until the machine switches itself off. To `record`, the verifier's counts may be
/// any.
pub(super) fn boot(tools: &Tools, kernel: &Path, image: &Image, record: bool) -> Result<Run> {
    let scratch = tempfile::tempdir()?;
    let (console, verdict) = (scratch.path().join("console"), scratch.path().join("verdict"));
    let mut qemu = tools.qemu();
    qemu.args([
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max,la57=off",
        "-smp",
        "2",
        "-m",
        "1500M",
    ]);
    qemu.args(["-nographic", "-nodefaults", "-no-reboot"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(&image.0);
    // A panic ends the machine at once; mitigations would only make the emulation slower.
    // What the kernel does not know, it hands to the first process as its environment.
    let told = if record { " VERIFIER_RECORD=1" } else { "" };
    let line = format!("console=ttyS0 panic=-1 quiet rdinit=/init mitigations=off{told}");
    qemu.arg("-append").arg(line);
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    qemu.arg("-serial").arg(format!("file:{}", verdict.display()));
    let started = Instant::now();
    let mut child = qemu.stdin(Stdio::null()).spawn().context("cannot start qemu")?;
    let ended = loop {
        if child.try_wait()?.is_some() {
            break true;
        }
        if started.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            break false;
        }
        thread::sleep(Duration::from_millis(50));
    };
    let mut text = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    if !ended {
        text.push_str(&format!("\nvmtest: not done after {} s", LIMIT.as_secs()));
    }
    let verdict = fs::read_to_string(&verdict).unwrap_or_default();
    Ok(Run {
        console: printable(&text),
        passed: verdict.trim() == "verdict 0",
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Without the firmware's control sequences: they would clear the reader's terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
