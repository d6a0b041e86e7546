"""Who may listen: credentials between scheduler and workers, addresses of dashboards."""

from __future__ import annotations

import importlib.util
import os

from distributed.security import Security

from cluster.config import ClusterConfig
from cluster.errors import ConfigError

LOOPBACK = "127.0.0.1:0"


def security(config: ClusterConfig) -> Security | None:
    """Credentials that a configuration asks for: its files, or temporary ones; None without TLS.

    Raises
    ------
    ConfigError
        When temporary credentials cannot be made.
    """
    if not config.tls:
        return None
    if config.tls_ca is None:
        if importlib.util.find_spec("cryptography") is None:
            raise ConfigError("cluster.tls needs cryptography, which is not installed: pip install 'gammasurvey[tls]'")
        return Security.temporary()
    for name in ("tls_ca", "tls_cert", "tls_key"):
        path = getattr(config, name)
        if not os.path.isfile(path):
            raise ConfigError(f"cluster.{name}: there is no file {path}; mend the path")
    roles = {f"tls_{role}_{part}": getattr(config, f"tls_{part}")
             for role in ("client", "scheduler", "worker") for part in ("cert", "key")}  # fmt: skip
    return Security(tls_ca_file=config.tls_ca, require_encryption=True, **roles)


def dashboard_address(dashboard: bool | str) -> str | None:
    """Where the scheduler's dashboard listens: on the loopback unless another address is asked for; None when off.

    Raises
    ------
    ConfigError
        When it is wanted and cannot be drawn.
    """
    if dashboard and importlib.util.find_spec("bokeh") is None:
        raise ConfigError("cluster.dashboard needs bokeh, which is not installed; install bokeh or turn it off")
    return LOOPBACK if dashboard is True else dashboard or None
