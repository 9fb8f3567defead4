"""What commands about secrets begin with."""

from __future__ import annotations

import pytest

from crypto_pipeline.audit import secret_access
from crypto_pipeline.audit.configuration import user_name
from crypto_pipeline.commands.secrets_opened import open_store
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline_tests.commands.stocked import Stocked


@pytest.mark.parametrize(
    ("store", "folder"),
    [("environment", ""), ("dotenv", ".env.local:"), ("files", "/run/secrets:")],
)
def test_the_folder_is_what_stands_before_all_names(elsewhere: Stocked, store: str, folder: str) -> None:
    elsewhere.set(CRYPTO_PIPELINE_SECRETS=store, CRYPTO_PIPELINE_ENVIRONMENT="development")

    assert open_store("secrets_list").folder == folder


def test_the_record_is_kept_in_the_name_of_the_command_and_the_user(elsewhere: Stocked) -> None:
    opened = open_store("secrets_list")

    opened.audit.record(secret_access("name", opened.accessor))

    (event,) = elsewhere.events()
    assert (event["accessor"], event["asset"]) == ("crypto_pipeline/secrets_list", "secrets_list")
    assert event["user"] == user_name()


def test_without_a_store_there_is_nothing_to_open(elsewhere: Stocked) -> None:
    elsewhere.set(CRYPTO_PIPELINE_SECRETS="none")

    with pytest.raises(ConfigurationError, match="No store of secrets is configured"):
        open_store("secrets_list")
