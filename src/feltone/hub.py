"""Models on the hub: `hf:owner/model`, or `hf:owner/model@revision`, kept in the cache of the hub's own client.

A model is the files that its `artifact.json` names, all of one commit; nothing else of a repository is fetched. What
was fetched once needs no network (`HF_HUB_OFFLINE=1` asks for none).
"""

from pathlib import Path
from typing import Any

from feltone import artifact
from feltone.artifact import DESCRIPTION
from feltone.errors import ArtifactError, MissingExtraError

LONGEST = 200  # characters of what the client says


def fetch(address: str) -> Path:
    """Folder of the model at `owner/model` or `owner/model@revision` (a branch, tag or commit).

    Raises:
        ArtifactError: the model, the revision or one of the files is not there, or not for us, or not to be reached.
        MissingExtraError: without `feltone[hub]`.
    """
    repository, _, revision = address.partition("@")
    client = client_for(f"loading hf:{address}")
    try:
        description = Path(client.hf_hub_download(repository, DESCRIPTION, revision=revision or None))
        for name in artifact.described(description.parent).description["files"]:
            client.hf_hub_download(repository, name, revision=description.parent.name)  # named like the commit
    except faults(client) as fault:
        raise ArtifactError(f"hf:{address}: cannot be obtained: {reason(client, fault)}") from None
    return description.parent


def client_for(purpose: str) -> Any:
    """The hub's client, `huggingface_hub`; raises `MissingExtraError` where it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise MissingExtraError(purpose, "hub") from None
    return huggingface_hub


def faults(client: Any) -> tuple[type[Exception], ...]:
    """What the hub's client raises where the request, the hub or the way to it is at fault."""
    errors = client.errors
    return (OSError, errors.HTTPError, errors.EntryNotFoundError, errors.HFValidationError)


def reason(client: Any, fault: BaseException) -> str:
    """The fault and its remedy, in a line, of what the client raised."""
    if isinstance(fault, client.errors.LocalEntryNotFoundError) and fault.__cause__:
        return f"not in the cache, and {reason(client, fault.__cause__)}"
    known = {
        client.errors.HFValidationError: "that is not of the form owner/model",
        client.errors.GatedRepoError: "its owner chooses who may have it; ask on its page, then: hf auth login",
        client.errors.RepositoryNotFoundError: "no such model, or a private one; check the name, or: hf auth login",
        client.errors.RevisionNotFoundError: "there is no such revision; name a branch, tag or commit that is there",
        client.errors.LocalEntryNotFoundError: "not in the cache, and the hub did not answer; check the network",
        client.errors.EntryNotFoundError: "files of a model of Feltone are missing there; check the name",
        client.errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE keeps the hub out of reach; unset it",
    }
    for kind, said in known.items():
        if isinstance(fault, kind):
            return said
    status = getattr(getattr(fault, "response", None), "status_code", None)
    if status == 401:
        return "the hub does not know your token (401); log in again: hf auth login"
    if status == 403:
        return "your token does not allow it (403); use one that does: hf auth login"
    text = " ".join(str(fault).split())[:LONGEST] or type(fault).__name__
    if status is not None and status >= 500:
        return f"the hub answered {status}; try again later"
    if status is None and isinstance(fault, (OSError, client.errors.HTTPError)):
        return f"the hub cannot be reached, or broke off ({text}); check the network and try again"
    return f"the hub refuses it ({text})"
