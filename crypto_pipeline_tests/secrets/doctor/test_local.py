"""The doctors of this machine: each fault is planted in real files, and seen as itself and as nothing else."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from crypto_pipeline.secrets.doctor.local import FilesDoctor
from crypto_pipeline_tests.secrets.doctor.local_faults import FAULTS, Ward
from crypto_pipeline_tests.secrets.doctor.seen import Seen, assert_hidden, assert_only, events_in, record_in
from crypto_pipeline_tests.secrets.stores import VolumeStore


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    """A place of the test's own."""
    return Ward(tmp_path)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen_and_nothing_else(name: str, ward: Ward) -> None:
    """No secret stands in what is said, nor in the record."""
    plant, code, severity = FAULTS[name]

    with plant(ward) as doctor:
        seen = Seen(doctor)

    if code == "environment":
        assert (seen.problems, seen.warnings) == ([], [])
    else:
        assert_only(seen, code, severity)
    assert_hidden(seen, ward.folder, ward.planted)


@pytest.mark.parametrize("kind", ["files", "dotenv"])
def test_a_store_that_is_well_has_nothing_wrong_with_it(kind: str, ward: Ward) -> None:
    """And the credential is described as the source itself would."""
    store = ward.files() if kind == "files" else ward.dotenv()
    doctor = ward.files_doctor() if kind == "files" else ward.dotenv_doctor()

    seen = Seen(doctor)

    assert (seen.problems, seen.warnings) == ([], [])
    assert doctor.described == {"okx": store.source.describe("okx")}


def test_a_volume_of_kubernetes_that_is_well_has_nothing_wrong_with_it(ward: Ward) -> None:
    """Its folder is open to all, and sticky."""
    volume = VolumeStore(ward.folder / "secrets")
    volume.put("okx", ward.parts())

    seen = Seen(ward.files_doctor())

    assert (seen.problems, seen.warnings) == ([], [])


def test_one_issuers_fault_does_not_hide_another(ward: Ward) -> None:
    store = ward.files()
    store.put("bybit", ward.parts("bybit"))
    (store.folder / "okx_passphrase").unlink()

    doctor = FilesDoctor(store.folder, ("okx", "bybit"), record_in(ward.folder))
    seen = Seen(doctor)

    assert seen.problems == ["file-missing"]
    assert list(doctor.described) == ["bybit"]


def test_each_credential_that_is_looked_for_is_on_the_record(ward: Ward) -> None:
    store = ward.files()
    doctor = FilesDoctor(store.folder, ("okx", "bybit"), record_in(ward.folder))

    Seen(doctor)

    assert [(event["secret_name"], event["success"], event["error"]) for event in events_in(ward.folder)] == [
        (f"{store.folder}:okx_api_key", True, None),
        (f"{store.folder}:bybit_api_key", False, "SecretNotFoundError"),
    ]


MENDED = (
    "others_may_change_the_folder",
    "the_folder_is_somebody_elses",
    "others_may_change_a_file",
    "a_file_is_somebody_elses",
    "others_may_read_the_variables",
    "the_variables_are_somebody_elses",
    "others_may_replace_the_file_of_variables",
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", MENDED)
def test_the_command_that_is_advised_does_it(name: str, ward: Ward) -> None:
    plant, code, _ = FAULTS[name]
    with plant(ward) as doctor:
        (command,) = Seen(doctor).one(code).commands

        subprocess.run(shlex.split(command), check=True, timeout=20)

        seen = Seen(doctor)
    assert (seen.problems, seen.warnings) == ([], [])
