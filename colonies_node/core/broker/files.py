"""Files: what the colony knows of them. The contents go between clients and their own storage."""

from __future__ import annotations

from itertools import chain, islice

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.broker.reply import whole
from colonies_node.core.errors import BadRequest, Denied, Internal, NotFound
from colonies_node.core.model import messages as m
from colonies_node.core.model.file import File, FileData, FileLabel, Reference
from colonies_node.core.store import files
from colonies_node.core.store.transaction import Transaction


def check_file(message: m.AddFile) -> None:
    """The request must carry a file with a name, of bounded size."""
    file = message.file
    if file is None:
        raise BadRequest("Failed to add file, msg.File is nil")
    if not file.name:
        raise BadRequest("Failed to add file, the file has no name")
    if file.size < 0:
        raise BadRequest(f"Failed to add file, size must not be negative, got {file.size}")
    for text in (file.label, file.name, file.checksum, file.checksumalg, *_texts(file.ref)):
        if len(text) > limits.MAX_PATH:
            raise BadRequest(f"A text of a file must have at most {limits.MAX_PATH} characters, got {len(text)}")


def _texts(ref: Reference) -> list[str]:
    return [value for value in msgspec.structs.astuple(ref.s3object) if isinstance(value, str)]


def add(tx: Transaction, message: m.AddFile, call: Call) -> File:
    """Store a new revision; the ones before it stay."""
    assert message.file is not None, "checked before access"
    ref = Reference(protocol="s3", s3object=message.file.ref.s3object)
    return files.insert(tx, msgspec.structs.replace(message.file, fileid=tx.new_id(), ref=ref))


def get(tx: Transaction, message: m.GetFile, call: Call) -> list[File]:
    """One revision by id, or the latest or all revisions of a name; a list in each case."""
    if message.fileid:
        file = files.by_id(tx, message.fileid)
        if file is None:
            raise BadRequest("Failed to get file")
        if file.colonyname != message.colonyname:
            raise Denied("msg.ColonyName mismatches file.ColonyName")
        return [file]
    if not (message.label and message.name):
        raise Internal("malformatted get file msg")
    revisions = files.by_name(tx, message.colonyname, message.label, message.name)
    found = list(islice(revisions, 1)) if message.latest else whole(revisions, "get file", "ask for the latest")
    if not found:
        raise NotFound("Failed to get file")
    return found


def wants_all(message: m.GetFile | m.RemoveFile) -> bool:
    """Whether every revision of a name is meant, which may be many."""
    return not (message.fileid or (isinstance(message, m.GetFile) and message.latest))


def get_latest(tx: Transaction, message: m.GetFiles, call: Call) -> list[FileData]:
    """The current revision of every file that carries exactly this label, by name."""
    found = (
        FileData(name=file.name, checksum=file.checksum, size=file.size, s3filename=file.ref.s3object.object)
        for file in files.latest(tx, message.colonyname, message.label)
    )
    kept = whole(found, "get files", "keep so many files under several labels")
    return sorted(kept, key=lambda file: file.name)


def get_labels(tx: Transaction, message: m.GetFileLabels, call: Call) -> list[FileLabel]:
    """All labels, those that begin with a text, or (`exact`) one that is in use and those below it."""
    colonyname, name = message.colonyname, message.name
    if not name:
        found = files.labels(tx, colonyname)
    elif not message.exact:
        found = files.labels_from(tx, colonyname, name)
    else:
        top = files.label(tx, colonyname, name)
        found = iter(()) if top is None else chain([top], files.labels_from(tx, colonyname, name + "/"))
    return whole(found, "get files", "ask for those that begin with a name")


def remove(tx: Transaction, message: m.RemoveFile, call: Call) -> Done:
    """Forget a revision by id, or all revisions of a name; what is not there is no error."""
    if message.fileid:
        files.remove(tx, message.colonyname, message.fileid)
    elif message.label and message.name:
        files.remove_by_name(tx, message.colonyname, message.label, message.name)
    else:
        raise BadRequest("malformatted remove file msg")
    return DONE
