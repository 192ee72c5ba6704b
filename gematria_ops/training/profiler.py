"""TensorFlow's profiler server, which makes a trace whenever a client asks (TensorBoard's "capture profile")."""

from __future__ import annotations

import errno
import logging
import socket

import tensorflow as tf

from gematria_ops.config import SummaryConfig
from gematria_ops.config.runner import spell
from ops_common.errors import ServiceError

logger = logging.getLogger(__name__)


def start_profiler(config: SummaryConfig) -> None:
    """Start the server if the settings say so; it ends with the process.

    Raises:
        ServiceError: The port is in use, or may not be used.
    """
    if not config.run_tf_profiler:
        return
    port = config.tf_profiler_port
    _check_free(port)
    tf.profiler.experimental.server.start(port)
    logger.info("the profiler listens at port %d", port)


def _check_free(port: int) -> None:
    """TensorFlow logs a line about a port that it cannot have, and goes on without a server."""
    both = socket.has_dualstack_ipv6()
    try:
        with socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both):
            pass
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise ServiceError(
            f"{spell('summary.tf_profiler_port')}: port {port} {reason}",
            "choose another port, or end what listens there (another training?)",
        ) from None
