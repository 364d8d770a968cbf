"""The systemd units that ``lbcompanion init --systemd`` writes, and how to install them."""

from __future__ import annotations

from collections.abc import Sequence

CONFIG_FOLDER = "/etc/lbcompanion"
USER = "lbcompanion"
NODE_UNIT = "lbcompanion-node@.service"
CRAWLER_UNIT = "lbcompanion-crawler.service"
#: Ports below this one are the system's: only a process with CAP_NET_BIND_SERVICE may listen there.
_FIRST_FREE_PORT = 1024

# KillMode: SIGTERM reaches the main process only, which stops its workers in order; SIGKILL reaches all.
# TimeoutStopSec: a companion stops within 30 s.
_UNIT = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={program} {command}
ExecReload=/bin/kill -HUP $MAINPID
User={user}
Group={user}
WorkingDirectory={folder}
StateDirectory=lbcompanion
StateDirectoryMode=0700
UMask=0077
Restart=on-failure
RestartSec=1
KillMode=mixed
TimeoutStopSec=40
LimitNOFILE=65536
Environment=PYTHONUNBUFFERED=1

# What the service does not need. Check it with: systemd-analyze security {unit}
NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
PrivateUsers={private_users}
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def units(program: str, node_ports: Sequence[int], crawler_port: int) -> dict[str, str]:
    """Return the units: file name to content.

    :param program: the whole path of ``lbcompanion``.
    :param node_ports: the ports on which companions listen.
    :param crawler_port: the port of the crawler's intake.
    """
    return {
        NODE_UNIT: _unit(
            NODE_UNIT, "lbcompanion beside node %i", program, f"node --config {CONFIG_FOLDER}/%i.toml", node_ports
        ),
        CRAWLER_UNIT: _unit(
            CRAWLER_UNIT,
            "The crawler of lbcompanion",
            program,
            f"crawler --config {CONFIG_FOLDER}/crawler.toml",
            [crawler_port],
        ),
    }


def _unit(unit: str, description: str, program: str, command: str, ports: Sequence[int]) -> str:
    is_low = any(port < _FIRST_FREE_PORT for port in ports)
    return _UNIT.format(
        unit=unit.replace("@.", "@NODE."),
        description=description,
        program=program,
        command=command,
        user=USER,
        folder=CONFIG_FOLDER,
        capabilities="CAP_NET_BIND_SERVICE" if is_low else "",
        # In a user namespace of its own, the capability would not count for the machine's ports.
        private_users="no" if is_low else "yes",
    )


def node_commands(folder: str, node: str) -> list[str]:
    """Return the commands that install a node's service, to be run as root on its machine.

    :param folder: where ``init`` has written its files.
    :param node: the node's name.
    """
    return _install_commands(folder, node, NODE_UNIT, f"lbcompanion-node@{node}")


def crawler_commands(folder: str) -> list[str]:
    """Return the commands that install the crawler's service, to be run as root on its machine.

    :param folder: where ``init`` has written its files.
    """
    return _install_commands(folder, "crawler", CRAWLER_UNIT, "lbcompanion-crawler")


def _install_commands(folder: str, config: str, unit: str, service: str) -> list[str]:
    return [
        f"useradd --system --no-create-home --shell /usr/sbin/nologin {USER}",
        f"install -d -m 0750 -o {USER} -g {USER} {CONFIG_FOLDER}",
        f"install -m 0600 -o {USER} -g {USER} {folder}/{config}.toml {folder}/farm.secret {CONFIG_FOLDER}/",
        f"install -m 0644 {folder}/{unit} /etc/systemd/system/",
        f"systemctl daemon-reload && systemctl enable --now {service}",
    ]
