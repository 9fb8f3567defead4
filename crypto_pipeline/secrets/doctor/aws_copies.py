"""
Whether the copies of secrets in other regions are what they should be.

Part of the doctor (`aws`). A copy is asked for only while the first region is down, and then it is too late to find
out that there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crypto_pipeline.secrets.doctor.aws_probe import SECRETS_MANAGER, AwsConnections, AwsProbe, AwsReply, aws_command
from crypto_pipeline.secrets.doctor.symptom import BrokenError, Record, Symptom, fine, warning


def compare_copies(
    connections: AwsConnections, record: Record, regions: Sequence[str], versions: Mapping[str, str]
) -> Iterator[Symptom]:
    """
    Yield for each region whether it has the same versions; secrets with the same fault are told together.

    Args:
        connections: the login.
        record: where each question is recorded.
        regions: those that are to have copies.
        versions: the current version of each secret in the first region.
    """
    for region in regions if versions else ():
        about = f"copies in {region}"
        try:
            probe = AwsProbe(connections, SECRETS_MANAGER, record, region=region)
            replies = {name: probe.ask("DescribeSecret", name, SecretId=name) for name in versions}
        except BrokenError as broken:
            yield warning(about, f"copies-{broken.symptom.code}", broken.symptom.seen, broken.symptom.remedy)
            continue
        faults: dict[str, list[str]] = {}
        for name, reply in replies.items():
            faults.setdefault(_fault(reply, versions[name]), []).append(name)
        if faults.keys() == {""}:
            yield fine(about, f"{region} has the same versions.")
        yield from (_told(about, fault, names, connections.region, region) for fault, names in faults.items() if fault)


def _fault(reply: AwsReply, version: str) -> str:
    """Return what is the matter with a copy; empty if nothing is."""
    if reply.is_missing:
        return "missing"
    if reply.code:
        return "denied"
    stages = reply.body.get("VersionIdsToStages") or {}
    return "" if "AWSCURRENT" in stages.get(version, ()) else "behind"


def _told(about: str, fault: str, names: Sequence[str], home: str, region: str) -> Symptom:
    listed = ", ".join(f"'{name}'" for name in names)
    if fault == "missing":
        return warning(
            about,
            "copy-missing",
            f"There is no copy in {region} of {listed}, so an outage of {home} is not bridged.",
            "Replicate it, or take the region off CRYPTO_PIPELINE_AWS_REPLICA_REGIONS.",
            *(
                aws_command("replicate-secret-to-regions", home, name, "--add-replica-regions", f"Region={region}")
                for name in names
            ),
        )
    if fault == "denied":
        seen = f"{region} denies this login secretsmanager:DescribeSecret on {listed}."
        return warning(about, "copy-denied", seen, "Let the policy of the login hold in that region too.")
    return warning(
        about,
        "copy-behind",
        f"Of {listed} another version is current in {region} than in {home}.",
        "Wait a minute and look again; if it stays so, replicate it anew.",
        *(aws_command("describe-secret", home, name, "--query", "ReplicationStatus") for name in names),
    )
