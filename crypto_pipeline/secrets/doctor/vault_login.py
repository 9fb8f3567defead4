"""
What may be the matter with the login at Vault or OpenBao.

A login is made as the pipeline makes it, and ended at the end. What can be used once, such as a wrapped
secret id, is looked at and left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.doctor.symptom import (
    BrokenError,
    Record,
    Symptom,
    fine,
    note,
    problem,
    problem_of,
    spoken,
    warning,
)
from crypto_pipeline.secrets.doctor.vault_probe import Reply, VaultProbe, not_vault
from crypto_pipeline.secrets.vault_errors import parse_time, wrapped_otherwise, wrapping_is_gone
from crypto_pipeline.secrets.vault_login import AppRoleAuth, JwtAuth, LoginAuth, TokenAuth, VaultAuth
from crypto_pipeline.secrets.vault_session import WRAPPED_SECRET_ID

SOON_SECONDS: Final = 24 * 3_600.0
"""A login that ends within a day, and that nobody here can renew, is worth a warning."""

FEW_LOGINS: Final = 5
"""Every process that starts uses one."""

REFUSALS: Final = (
    (
        r"invalid role or secret id",
        "role-or-secret-id",
        "It does not say whether the role id or the secret id is wrong",
    ),
    (r"role id", "role-id", "There is no role with this role id"),
    (r"secret id", "secret-id", "The secret id is wrong, expired or used up"),
    (r"not found|could not be found|invalid role", "no-role", "It has no role of this name"),
    (r"is expired|token expired", "jwt-ended", "The signed token has ended, or one of the two clocks is wrong"),
    (
        r"not before|not yet valid|\(iat\)",
        "jwt-early",
        "The signed token is not valid yet, so one of the clocks is wrong",
    ),
    (r"signature", "jwt-signer", "Nobody it trusts has signed the token"),
    (r"\((sub|aud|iss)\)|claim|audience|issuer|subject", "jwt-claims", "The role does not accept the token's claims"),
    (r"certificate", "certificate", "It does not know the client certificate"),
    (r"cidr|source address", "address", "The login may not be used from this machine's address"),
)
"""What the server complains about, by its own words in lower case; the first that fits counts."""


class VaultLoginDoctor:
    """
    Logs in, and looks at the login.

    Args:
        probe: the server; it has the login afterwards.
        open_auth: gives the way of logging in, with what the environment holds for it.
        mount: the mount of the secrets, about which anybody with a login may ask.
        record: for refused logins.
    """

    def __init__(self, probe: VaultProbe, open_auth: Callable[[], VaultAuth], *, mount: str, record: Record) -> None:
        self._probe = probe
        self._open_auth = open_auth
        self._mount = mount
        self._record = record
        self._is_ours = False

    def symptoms(self) -> Iterator[Symptom]:
        """
        Log in, and yield what is noticed.

        Raises:
            BrokenError: there is no login that could be used further.
        """
        try:
            auth = self._open_auth()
        except ConfigurationError as error:
            raise BrokenError(problem_of("login", "login-missing", error)) from None
        if isinstance(auth, TokenAuth):
            self._probe.token = auth.token
        else:
            self._probe.token = self._logged_in(auth)
            self._is_ours = True
        yield from self._look(auth)

    def leave(self) -> None:
        """End the login, if it was made here."""
        if self._is_ours:
            with suppress(BrokenError):
                self._probe.ask("auth/token/revoke-self", method="POST")

    def _logged_in(self, auth: LoginAuth) -> Secret:
        if isinstance(auth, AppRoleAuth) and auth.is_wrapped:
            raise BrokenError(self._looked_into(auth.secret_id))
        try:
            fields = auth.fields()
        except ConfigurationError as error:
            raise BrokenError(problem_of("login", "login-file", error)) from None
        path = f"auth/{auth.mount}/login"
        reply = self._probe.ask(path, method="POST", fields=fields)
        token = reply.answer.part("auth").get("client_token")
        if reply.status == 200 and isinstance(token, str):
            return Secret(token)
        if reply.status in {400, 401, 403}:
            self._record.refused(path, "login")
            raise BrokenError(_refused(reply, auth))
        raise not_vault(self._probe.address)

    def _looked_into(self, wrapping: Secret) -> Symptom:
        """Return what is to be said of a wrapped secret id; it is not opened."""
        reply = self._probe.ask("sys/wrapping/lookup", method="POST", fields={"token": wrapping.reveal()})
        if reply.status != 200:
            return problem_of("login", "wrapping-gone", wrapping_is_gone())
        if not WRAPPED_SECRET_ID.fullmatch(str(reply.data.get("creation_path"))):
            return problem_of("login", "wrapped-otherwise", wrapped_otherwise())
        return note(
            "login",
            "wrapped",
            "The wrapped secret id can still be opened, once; it was left for the process that needs it.",
            "To have the rest looked at, log in for the inspection in another way, with the same policies.",
            "CRYPTO_PIPELINE_VAULT_AUTH=token VAULT_TOKEN=… crypto-pipeline secrets doctor",
        )

    def _look(self, auth: VaultAuth) -> Iterator[Symptom]:
        reply = self._probe.ask("auth/token/lookup-self")
        if reply.status == 403:
            yield self._unseen()
            return
        if reply.status != 200:
            raise not_vault(self._probe.address)
        told = reply.data
        yield fine("login", _introduced(auth, told))
        if "root" in _policies(told):
            yield warning(
                "login",
                "root",
                "This is a root login: it may do everything, and so may whoever gets hold of it.",
                "Log in with the policy that `crypto-pipeline access render vault` shows for the pipeline.",
                "bao token create -policy=crypto-pipeline -period=72h",
            )
        if isinstance(auth, TokenAuth):
            yield from _ending(told, reply)
        if isinstance(auth, AppRoleAuth):
            yield from self._secret_id(auth, told, reply)
        if (uses := told.get("num_uses")) and isinstance(uses, int):
            raise BrokenError(_few_uses(uses, auth, told))

    def _unseen(self) -> Symptom:
        """Return what a login is that may not look at itself: a poor one, or none."""
        # Anybody with a login is told what it lacks here; nobody else is.
        asked = self._probe.ask(f"sys/internal/ui/mounts/{self._mount}")
        if asked.status == 200 or "preflight" in asked.answer.complaint:
            return note(
                "login",
                "login-silent",
                "The login is good, but may not look at itself (as `default` lets it), so its end is not known.",
                "Allow it to.",
                'path "auth/token/lookup-self" { capabilities = ["read"] }',
            )
        self._record.refused("auth/token/lookup-self", "login")
        raise BrokenError(
            problem(
                "login",
                "login-ended",
                "The login is none: VAULT_TOKEN is wrong, has expired or was revoked. The server does not say which.",
                "Issue a new token.",
                "bao token create -policy=crypto-pipeline -period=72h",
            )
        )

    def _secret_id(self, auth: AppRoleAuth, told: Mapping[str, Any], reply: Reply) -> Iterator[Symptom]:
        """Yield how much longer the secret id is good, where that may be asked."""
        role = _role_in(told)
        path = f"auth/{auth.mount}/role/{role}/secret-id/lookup"
        looked = self._probe.ask(path, method="POST", fields={"secret_id": auth.secret_id.reveal()})
        new = f"bao write -f auth/{auth.mount}/role/{role}/secret-id"
        if looked.status == 204:
            seen = "The secret id was good for one more login, and this inspection was that one."
            yield problem("login", "secret-id-used-up", seen, "Issue a new one.", new)
        elif looked.status == 200:
            yield _secret_id_left(looked.data, reply, new)
        else:
            yield note(
                "login",
                "secret-id-not-told",
                "How many logins the secret id has left, and when it ends, this login is not allowed to see.",
                "Allow it to, if you want to be warned.",
                f'path "{path}" {{ capabilities = ["update"] }}',
            )


def _refused(reply: Reply, auth: LoginAuth) -> Symptom:
    """Return why the server did not let us in, as far as it tells."""
    where = f"Vault refused the login at 'auth/{auth.mount}'"
    complaint = reply.answer.complaint
    code, why = next(((code, why) for sign, code, why in REFUSALS if re.search(sign, complaint)), ("", ""))
    if why:
        role = f" ({auth.role})" if isinstance(auth, JwtAuth) and code == "no-role" else ""
        return problem("login", f"login-{code}", f"{where}. {why}{role}.", auth.remedy)
    if reply.status == 403:
        return problem(
            "login",
            "login-no-such-way",
            f"{where}, as it does where there is no such way of logging in.",
            "Correct CRYPTO_PIPELINE_VAULT_AUTH, CRYPTO_PIPELINE_VAULT_AUTH_MOUNT or VAULT_NAMESPACE, or enable it.",
            "bao auth list",
        )
    return problem("login", "login-refused", f"{where}.", auth.remedy)


def _role_in(told: Mapping[str, Any]) -> str:
    """Return the role that a login was made with, if the server tells."""
    meta = told.get("meta")
    found = meta.get("role_name") or meta.get("role") if isinstance(meta, Mapping) else None
    return str(found or "")


def _policies(told: Mapping[str, Any]) -> list[str]:
    found = [*(told.get("policies") or ()), *(told.get("identity_policies") or ())]
    return sorted({str(each) for each in found})


def _introduced(auth: VaultAuth, told: Mapping[str, Any]) -> str:
    """Return who is logged in, with which policies, and for how long."""
    ttl, renewable = told.get("ttl"), told.get("renewable") is True
    lasts = f"ends in {spoken(ttl)}" if isinstance(ttl, int) and ttl > 0 else "does not end"
    renewal = ", unless it is renewed" if renewable and lasts != "does not end" else ""
    role = _role_in(told) or told.get("display_name") or "nobody"
    how = "with a token" if isinstance(auth, TokenAuth) else f"at auth/{auth.mount}"
    return f"Logged in {how} as '{role}', policies {', '.join(_policies(told)) or 'none'}; it {lasts}{renewal}."


def _ending(told: Mapping[str, Any], reply: Reply) -> Iterator[Symptom]:
    """Yield that a token ends soon, and that nobody here can help it."""
    seconds = _seconds_left(told, reply)
    if seconds is not None and seconds <= SOON_SECONDS:
        renewal = "can be renewed no further" if told.get("renewable") is True else "cannot be renewed"
        yield warning(
            "login",
            "login-ends-soon",
            f"The token ends in {spoken(seconds)} and {renewal}; then every run fails.",
            "Issue a periodic token, or let the pipeline log in by itself (AppRole, JWT, Kubernetes).",
            "bao token create -policy=crypto-pipeline -period=72h",
        )


def _seconds_left(told: Mapping[str, Any], reply: Reply) -> float | None:
    """Return how long a token lasts at most; None where it does not end, or where that is not told."""
    ttl, longest, made_at = told.get("ttl"), told.get("explicit_max_ttl"), told.get("creation_time")
    if not isinstance(ttl, int) or ttl <= 0:
        return None
    if told.get("renewable") is not True:
        return float(ttl)
    if isinstance(longest, int) and longest > 0 and isinstance(made_at, int) and reply.sent_at:
        return made_at + longest - reply.sent_at.timestamp()
    return None


def _few_uses(uses: int, auth: VaultAuth, told: Mapping[str, Any]) -> Symptom:
    role, command = _role_in(told), "bao token create -policy=crypto-pipeline -period=72h"
    if isinstance(auth, AppRoleAuth) and role:
        command = f"bao write auth/{auth.mount}/role/{role} token_num_uses=0"
    return warning(
        "login",
        "login-uses-limited",
        f"This login is good for {uses} more requests, each question being one; nothing else was asked with it.",
        "Use one without a limit of uses: a process that runs for long can neither count nor renew it.",
        command,
    )


def _secret_id_left(told: Mapping[str, Any], reply: Reply, new: str) -> Symptom:
    uses, ends_at = told.get("secret_id_num_uses"), _time(told.get("expiration_time"))
    seconds = (ends_at - reply.sent_at).total_seconds() if ends_at and reply.sent_at else None
    logins = f"good for {uses} more logins" if uses else "not limited to a number of logins"
    end = f"ends in {spoken(seconds)}" if seconds is not None else "does not end"
    said = f"The secret id is {logins} and {end}."
    if (uses and uses <= FEW_LOGINS) or (seconds is not None and seconds <= SOON_SECONDS):
        remedy = "Issue a new one in time: every process that starts uses one login."
        return warning("login", "secret-id-ends-soon", said, remedy, new)
    return fine("login", said)


def _time(text: object) -> datetime | None:
    """Return a time the server tells; None for none, which it writes as the year 1."""
    with suppress(ValueError, OverflowError):
        found = parse_time(str(text))
        return found if found.year > 1 else None
    return None
