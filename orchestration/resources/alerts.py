"""Alerts: a line in the log, and a POST to a webhook where one is set. One that cannot be sent fails no run."""

import json
import logging
import urllib.error
import urllib.request
from typing import Any

from models.outcomes import FAILED, NOT_EVALUATED, PASSED
from orchestration.resources.settings import Settings

_SECONDS = 10
_LOGGER = logging.getLogger("mediamix.alerts")


def send_alert(settings: Settings, text: str, **facts: Any) -> str:
    """Say what went wrong; returns passed (sent), failed (could not be sent) or not_evaluated (no webhook is set).

    The body is JSON: ``text`` (what Slack and its kin show) and the facts, all without rows of data.
    """
    _LOGGER.error(text)
    if settings.alert_webhook_url is None:
        return NOT_EVALUATED
    body = json.dumps({"text": text, "source": "mediamix", **facts}, default=str).encode()
    request = urllib.request.Request(
        settings.alert_webhook_url.get_secret_value(), body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):
            return PASSED
    except (urllib.error.URLError, OSError, ValueError) as error:
        # the address may hold a token: it is not repeated
        _LOGGER.error(f"the alert could not be sent to alert_webhook_url ({type(error).__name__})")
        return FAILED
