"""What each method needs, who a caller is, and whether the two fit."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab_server.domain.access import Caller, Role, token_digest
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import AccessDenied

# Roles that allow a method; the first is the one to ask an operator for.
Allowing = tuple[Role, ...]

ANYBODY: Allowing = ()
OPERATORS: Allowing = (Role.OPERATE,)
_RECORDERS = (Role.INGEST, Role.OPERATE)
_READERS = (Role.READ, Role.OPERATE)
_RECORDERS_AND_READERS = (Role.INGEST, Role.READ, Role.OPERATE)

_METHODS: dict[str, dict[Allowing, str]] = {
    "trimtab.v1.EventService": {
        _RECORDERS: "RecordEvent RecordEvents StreamEvents",
        # A recorder asks for its own rejections when it comes back after a lost acknowledgement.
        _RECORDERS_AND_READERS: "ListRejectedEvents",
        _READERS: "GetEvent ListEvents WatchEvents GetStats",
    },
    "trimtab.v1.SignalGateService": {
        _RECORDERS_AND_READERS: "ShouldAllowSignals WatchSignalGate",
        _READERS: "ListBreakers",
        OPERATORS: "SetTradingState TripBreaker ResetBreaker",
    },
    "trimtab.v1.ReportService": {
        _READERS: "GetLearningReport ListLearningReports GetBlockedOpportunityCost"
        " GetGuardEffectiveness GetStrategyLeaderboard GetSignalDecay ComparePerformance"
        " RunWhatIf RunWhatIfSweep",
    },
    "trimtab.v1.AdminService": {_RECORDERS_AND_READERS: "GetServerInfo GetHealth"},
    # Probes and load balancers have no token, and learn nothing from it but ready or not.
    "grpc.health.v1.Health": {ANYBODY: "Check Watch List"},
    "grpc.reflection.v1alpha.ServerReflection": {_READERS: "ServerReflectionInfo"},
    "grpc.reflection.v1.ServerReflection": {_READERS: "ServerReflectionInfo"},
}


def _table() -> Mapping[str, Allowing]:
    return {
        f"/{service}/{name}": roles
        for service, methods in _METHODS.items()
        for roles, names in methods.items()
        for name in names.split()
    }


ALLOWING: Mapping[str, Allowing] = _table()
"""Full name of a method -> the roles that allow it. What is not in it needs `operate`."""


class Access:
    """Holds every call against the access file. It reads no clock and does no I/O."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._with_token = tuple(each for each in callers if each.token_sha256)
        self._with_certificate = {each.certificate: each for each in callers if each.certificate}
        # Digests of tokens that were found before. Only known ones are kept, so it never holds
        # more than there are callers, and nobody can push another's out.
        self._found: dict[bytes, Caller] = {}

    def admit(self, method: str, context: Any) -> None:
        """Returns when the caller may use the method. Raises AccessDenied.

        context: the call's servicer context. A token, when one is sent, decides alone: a wrong one
        beside a good certificate is refused.
        """
        allowing = ALLOWING.get(method, OPERATORS)
        if not allowing:
            return
        caller = self._caller(context)
        if caller.roles.isdisjoint(allowing):
            words = f"{caller.name} has not the role for it: {' or '.join(allowing)}"
            raise AccessDenied(Reason.PERMISSION_DENIED, words, {"role": allowing[0].value})

    def may_probe(self, context: Any) -> bool:
        """Whether the caller's signals may take probes: those of one who only reads never have an
        outcome, and would keep the places of others. Raises AccessDenied."""
        return not self._caller(context).roles.isdisjoint(_RECORDERS)

    def _caller(self, context: Any) -> Caller:
        sent = [value for key, value in context.invocation_metadata() if key == "authorization"]
        if sent:
            found = self._by_token(sent)
            words = "the token is not known"
        else:
            found = self._by_certificate(context) if self._with_certificate else None
            words = "no token was sent (authorization: Bearer ...)"
            if self._with_certificate:
                words += ", and the client certificate is not known"
        if found is None:
            raise AccessDenied(Reason.UNAUTHENTICATED, words)
        return found

    def _by_token(self, sent: Sequence[str]) -> Caller | None:
        scheme, _, token = sent[0].partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer":
            return None
        digest = token_digest(token.strip())
        found = self._found.get(digest)
        if found is not None:
            return found
        # All of them, whichever it is: how long it takes tells nothing about where it stands.
        for caller in self._with_token:
            if hmac.compare_digest(caller.token_sha256, digest):
                found = caller
        if found is not None:
            self._found[digest] = found
        return found

    def _by_certificate(self, context: Any) -> Caller | None:
        """The caller of a certificate that the handshake has verified: by a DNS name, else by its
        common name."""
        known: Mapping[str, Iterable[bytes]] = context.auth_context()
        for key in ("peer_dns", "x509_common_name"):
            for name in known.get(key, ()):
                found = self._with_certificate.get(name.decode(errors="replace"))
                if found is not None:
                    return found
        return None
