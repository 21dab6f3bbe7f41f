"""`feltone push`: a sealed model to the hub, in one commit, after asking whether it may be shared.

What a model was trained on stands in its ledger. Weights trained on a corpus that lets nobody share them
(`Corpus.shippable`) are refused; of recordings that Feltone knows no licence of, the owner answers with a flag.
"""

import re
import warnings
from pathlib import Path
from typing import Any

from feltone import __version__, hub
from feltone.artifact import DESCRIPTION, Artifact, load
from feltone.doors import console
from feltone.errors import ConfigError, FeltoneError
from feltone.lab import ledger
from feltone.lab.corpora import CORPORA, whole

CARD = "README.md"
NAME = re.compile(r"[\w.-]+/[\w.-]+")


def push_model(
    model: str,
    repository: str,
    *,
    private: bool,
    revision: str | None,
    message: str | None,
    may_share: bool,
    dry_run: bool,
) -> int:
    """Upload the files of a model, and nothing else, after verifying them; returns the exit code.

    Args:
        model: as for `feltone.load`.
        repository: `owner/model`; made when missing.
        private: whether others are kept out; a public repository of that name is then refused.
        revision: branch, made when missing; None for the main one.
        message: of the commit; None for the model's name.
        may_share: whether the owner of recordings without a known licence allows it.
        dry_run: print what would be uploaded, and ask the hub nothing.

    Raises:
        ArtifactError: the model fails verification.
        ConfigError: no name of a repository, or a model that may not be shared.
        FeltoneError: no token, no permission, no network.
    """
    if not NAME.fullmatch(repository):
        raise ConfigError(f"{repository}: not the name of a repository; write owner/model")
    artifact = load(model)
    refuse_what_may_not_be_shared(artifact, may_share)
    files = files_of(artifact)
    if dry_run:
        console.table(["file", "bytes"], [[file.name, f"{file.stat().st_size:,}"] for file in files], numeric=(1,))
        console.say(f"would be uploaded to {repository}; next: the same command without --dry-run")
        return 0
    done = upload(files, repository, private, revision, message or f"{artifact.name}, by Feltone {__version__}")
    console.out.print(done, markup=False)
    if not (artifact.folder / CARD).read_bytes().startswith(b"---\n"):
        console.say("its card is of an older form, which tells the hub neither licence nor language")
    at = f"@{revision}" if revision else ""
    console.say(f"next: feltone predict AUDIO --model hf:{repository}{at}")
    return 0


def files_of(artifact: Artifact) -> list[Path]:
    """The sealed files of a model and their seal."""
    return [artifact.folder / name for name in sorted([*artifact.description["files"], DESCRIPTION])]


def refuse_what_may_not_be_shared(artifact: Artifact, may_share: bool) -> None:
    """Raise `ConfigError` for a model trained on recordings whose terms do not let its weights be shared."""
    told = set(map(whole, str(artifact.description["origin"]["corpus"]).split("+")))
    seen = {clip.corpus for clip in ledger.read(artifact.folder)} | told
    closed = [CORPORA[name] for name in sorted(seen & set(CORPORA)) if not CORPORA[name].shippable]
    if closed:
        terms = ", ".join(f"{corpus.title} ({corpus.licence})" for corpus in closed)
        raise ConfigError(f"{artifact.name}: was trained on {terms}; the terms do not let its weights be shared")
    unknown = sorted(seen - set(CORPORA))
    if unknown and not may_share:
        raise ConfigError(
            f"{artifact.name}: was trained on '{', '.join(unknown)}', of which Feltone knows no licence; if you may "
            f"share the weights, and {ledger.FILE}, which names recordings and speakers, add --i-may-share"
        )


def upload(files: list[Path], repository: str, private: bool, revision: str | None, message: str) -> str:
    """Make the repository where it is missing, and commit files to it, all or none; returns the commit's address.

    Raises:
        FeltoneError: one line: no token, no permission, no network, or the hub's reason.
    """
    client = hub.client_for("pushing")
    if client.get_token() is None:
        raise FeltoneError("the hub must know who you are: set HF_TOKEN to a token that may write, or: hf auth login")
    expected: tuple[type[Exception], ...] = (*hub.faults(client), RuntimeError, ValueError)  # the last two wrap others
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the client, about a card without a header: `push_model` says so
            return _commit(client, files, repository, private, revision, message)
    except expected as fault:
        cause = fault.__cause__ if isinstance(fault, RuntimeError) else None
        raise FeltoneError(f"{repository}: cannot be pushed: {hub.reason(client, cause or fault)}") from None


def _commit(client: Any, files: list[Path], repository: str, private: bool, revision: str | None, message: str) -> str:
    api = client.HfApi(library_name="feltone", library_version=__version__)
    api.create_repo(repository, private=private or None, exist_ok=True)
    if private and not api.repo_info(repository).private:
        raise ConfigError(f"{repository}: exists and is public; make it private on its page, or choose another name")
    if revision:
        api.create_branch(repository, branch=revision, exist_ok=True)
    additions = [client.CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files]
    done = api.create_commit(repository, additions, commit_message=message, revision=revision)
    return str(done.commit_url)
