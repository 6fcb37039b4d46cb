"""Files as a colony knows them: where the contents are, which revision it is, and snapshots of labels."""

from __future__ import annotations

from colonies_node.core.model.wire import Int, Record, always, null


class S3Object(Record):
    """Where the contents are, and the keys to get them."""

    server: str = always(str)
    port: Int = always(int)
    tls: bool = always(bool)
    accesskey: str = always(str)
    secretkey: str = always(str)
    region: str = always(str)
    encryptionkey: str = always(str)
    encryptionalg: str = always(str)
    object: str = always(str)
    bucket: str = always(str)


class Reference(Record):
    """How to get the contents; the protocol is always `s3`."""

    protocol: str = always(str)
    s3object: S3Object = always(S3Object)


class File(Record):
    """A revision of a file; `size` in bytes, `sequencenr` counts all revisions of the server."""

    fileid: str = always(str)
    colonyname: str = always(str)
    label: str = always(str)
    name: str = always(str)
    size: Int = always(int)
    sequencenr: Int = always(int)
    checksum: str = always(str)
    checksumalg: str = always(str)
    ref: Reference = always(Reference)
    added: str = always(str)


class FileData(Record):
    """The latest revision of a file, in short."""

    name: str = always(str)
    checksum: str = always(str)
    size: Int = always(int)
    s3filename: str = always(str)


class FileLabel(Record):
    """A label and how many revisions carry exactly it."""

    name: str = always(str)
    files: Int = always(int)


class Snapshot(Record):
    """The latest revisions below a label at one instant."""

    snapshotid: str = always(str)
    colonyname: str = always(str)
    label: str = always(str)
    name: str = always(str)
    fileids: list[str] | None = null()
    added: str = always(str)
