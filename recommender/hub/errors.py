"""The hub's refusals in the user's words, for models and data sets alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from presets.errors import InputError
from recommender.hub.connection import endpoint

Kind = Literal["model", "dataset"]


class HubUnreachable(InputError):
    """The hub did not answer, or this machine is told to stay offline."""


class HubRefused(InputError):
    """The hub has it and does not give it to this person: its licence must be accepted, or a token is needed."""


class HubMissing(InputError):
    """The hub has no such model or data set, revision or usable files."""


@contextmanager
def hub_errors(
    kind: Kind,
    hub_id: str,
    revision: str | None,
    otherwise: Callable[[Exception], InputError],
    passing: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Translate exceptions of the hub's library raised inside to one of the errors above.

    Args:
        kind: Of the repository.
        hub_id: As in 'org/name'.
        revision: That was asked for.
        otherwise: Makes an error of all others, such as the transport's, whose classes change with the library's
            version.
        passing: Exceptions that are raised as they are, as InputError is.

    Raises:
        HubRefused: Gated.
        HubMissing: No such repository or revision, or no hub id.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except InputError:
        raise
    except passing:
        raise
    except GatedRepoError as error:
        raise _gated(kind, hub_id, get_token() is not None) from error
    except RevisionNotFoundError as error:
        raise _no_revision(kind, hub_id, revision) from error
    except RepositoryNotFoundError as error:
        raise _missing(kind, hub_id, get_token() is not None) from error
    except HFValidationError as error:
        raise HubMissing(
            f"{hub_id!r} is no hub id.",
            remedy="A hub id is like org/model; a folder is like ./model.",
            detail=str(error),
        ) from error
    except Exception as error:
        raise otherwise(error) from error


def _gated(kind: Kind, hub_id: str, has_token: bool) -> HubRefused:
    page = f"{endpoint()}/{'datasets/' if kind == 'dataset' else ''}{hub_id}"
    what = f"The data set {hub_id}" if kind == "dataset" else hub_id
    terms = "terms" if kind == "dataset" else "licence"
    if has_token:
        return HubRefused(
            f"{what} is gated, and your token has not been given access.",
            remedy=f"Accept its {terms} at {page} with the account of that token, then try again.",
        )
    return HubRefused(
        f"{what} is gated, and there is no token on this machine.",
        remedy=f"Accept its {terms} at {page}, then run 'hf auth login' or set HF_TOKEN.",
    )


def _no_revision(kind: Kind, hub_id: str, revision: str | None) -> HubMissing:
    if kind == "dataset":
        return HubMissing(
            f"The hub keeps no Parquet files of {hub_id}.",
            remedy=f"Fetch it and give its folder: hf download --repo-type dataset {hub_id} --local-dir data.",
        )
    return HubMissing(f"{hub_id} has no revision {revision!r} on the hub.", remedy="Leave it out for main.")


def _missing(kind: Kind, hub_id: str, has_token: bool) -> HubMissing:
    private = "and your token sees no private one" if has_token else "or it is private and there is no token here"
    if kind == "dataset":
        return HubMissing(
            f"There is no file {hub_id}, and no data set of that name on the hub, {private}.",
            remedy="Check the spelling; for a private one run 'hf auth login' or set HF_TOKEN.",
        )
    return HubMissing(
        f"There is no model {hub_id} on the hub, {private}.",
        remedy="Check the spelling; for a private model run 'hf auth login' or set HF_TOKEN.",
    )
