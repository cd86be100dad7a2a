//! Names from where a process runs: its control group and its directory.

use std::path::Path;

use super::is_generic;

/// Units that run other people's programs and do not name them.
const HOSTS_OF_OTHERS: &[&str] = &[
    "ssh",
    "sshd",
    "cron",
    "crond",
    "atd",
    "docker",
    "containerd",
    "podman",
    "crio",
    "kubelet",
    "user",
    "supervisor",
    "supervisord",
    "display-manager",
    "gdm",
    "lightdm",
    "sddm",
    "getty",
    "serial-getty",
    "console-getty",
    "init",
    "dbus",
    "rc-local",
    "cloud-final",
    "cloud-init",
    "snapd",
    "emergency",
    "rescue",
];

/// Directories that hold services but are none.
const PLACES: &[&str] = &[
    "",
    "srv",
    "opt",
    "home",
    "root",
    "usr",
    "var",
    "tmp",
    "www",
    "workspace",
    "workspaces",
    "local",
    "mnt",
    "data",
    "html",
    "site-packages",
    "dist-packages",
    "sbin",
    "libexec",
    "share",
];

/// Name of the systemd unit (systemd.unit(5), cgroup path `/system.slice/shop.service`): `shop.service` -> `shop`,
/// `worker@2.service` -> `worker`. Units that only host others do not count.
pub(super) fn unit(control_group: &str) -> Option<String> {
    let unit = control_group.rsplit('/').find_map(|part| part.strip_suffix(".service"))?;
    let name = unit.split('@').next().unwrap_or(unit);
    // `run-r0123.service` and `run-u12.service` are made by systemd-run for one command.
    let transient = ["run-r", "run-u", "run-p"].iter().any(|prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
    });
    let hosts = HOSTS_OF_OTHERS.contains(&name) || name.starts_with("systemd-") || transient;
    (!name.is_empty() && !hosts).then(|| unescape(name))
}

/// systemd.unit(5) writes bytes that unit names cannot hold as `\x2d`.
fn unescape(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(&part[2..]);
            }
            None => text.push_str(part),
        }
    }
    text
}

/// Name of a project's directory: the nearest above that tells something and is not a place where projects lie.
pub(super) fn directory(path: Option<&Path>, home: Option<&Path>) -> Option<String> {
    path?
        .ancestors()
        .take_while(|directory| Some(*directory) != home)
        .filter(|directory| directory.parent().is_none_or(|parent| parent != Path::new("/home")))
        .filter_map(|directory| directory.file_name()?.to_str())
        .map(|name| name.trim_start_matches('.'))
        .find(|name| !is_generic(name) && !PLACES.contains(name) && !matches!(*name, "venv" | "env"))
        .map(str::to_owned)
}

/// `service.name` in `key=value,key=value`, values percent-encoded (OpenTelemetry's resource specification; W3C
/// Baggage).
pub(in crate::process) fn otel_resource_service(attributes: &str) -> Option<String> {
    attributes.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == "service.name" && !value.trim().is_empty()).then(|| percent_decoded(value.trim()))
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Id of the container in a control group's path: the last run of 64 hexadecimal digits (`/docker/ID`,
/// `docker-ID.scope`, `cri-containerd-ID.scope`, `libpod-ID.scope`).
pub(in crate::process) fn container_id(control_group: &str) -> Option<String> {
    control_group.split(|c: char| !c.is_ascii_hexdigit()).rfind(|run| run.len() == 64).map(str::to_owned)
}
