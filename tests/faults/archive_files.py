"""Tars to damage, and damage to the fields of their headers with checksums that fit again."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from functools import cache
from random import Random

from tests.faults.image_files import image_seeds
from tests.faults.mutation import mutate

BLOCK = tarfile.BLOCKSIZE
ODD_SIZES = (
    b"00000000000\0", b"00000000001\0", b"00000000777\0", b"77777777777\0", b"-0000000001\0", b"99999999999\0",
    b"            ", b"0x10\0\0\0\0\0\0\0\0", b"\x80" + bytes(11), b"\x80" + bytes(9) + b"\x02\0", b"\xff" * 12,
    b"\xff" * 10 + b"\xfe\0", b"\x80" + b"\xff" * 11, b"\x80\0\0\0\x7f" + b"\xff" * 7,
    b"\xff\xff\xff\xff\x80" + bytes(7),
)  # fmt: skip
ODD_NAMES = (
    b"", b".", b"..", b"/", b".png", b"../up.png", b"/etc/x.png", b"a//b.png", b"a/", b"a.png/", b"C:\\x.png",
    b"\xff\xfe.png",
    b"a\n.png", b"x" * 100, b"a.PNG", b"s0.png", b"s1.png", b"s1.jpg", b"a/./b.png", b"\xe2\x80\xae.png", b"-rf.png",
    b"...png",
)  # fmt: skip
TYPES = tuple(b"0\x001234567LKSxgXVMNAZ\xff" [i : i + 1] for i in range(21))
PAX = (
    "size=-512", "size=0", "size=99999999999999999999", "size=1e9", "size=x", "path=", "path=../../up.png",
    "path=/x.png",
    "path=s0.png", "path=\udcff.png", "path=a.png\0b", "hdrcharset=BINARY", "hdrcharset=x", "mtime=nan", "uid=-1",
    "GNU.sparse.map=0,1,5", "GNU.sparse.map=x", "GNU.sparse.size=5", "GNU.sparse.major=1", "GNU.sparse.minor=0",
    "GNU.sparse.realsize=99999999999", "GNU.sparse.realsize=-1", "GNU.sparse.name=z.png", "GNU.sparse.numblocks=1",
    "GNU.sparse.map=5,100,0,5", "GNU.sparse.map=10,-5,0,100", "GNU.sparse.size=4096", "comment=x",
    "linkpath=/etc/passwd",
)  # fmt: skip


@cache
def archive_seeds() -> dict[str, bytes]:
    """Tars of small photographs with captions, as the tools of the world write them."""
    images = image_seeds()
    members: dict[str, bytes] = {}
    for index, (name, suffix) in enumerate((("png", "png"), ("jpeg", "jpg"), ("webp", "webp"), ("gif", "gif"))):
        members[f"d/s{index}.{suffix}"] = images[name]
        members[f"d/s{index}.txt"] = f"caption {index}".encode()
    long = {("é" * 70 + "/") * 2 + name: data for name, data in members.items()}
    gnu, pax, plain = (
        tar_of(held, form)
        for held, form in ((long, tarfile.GNU_FORMAT), (long, tarfile.PAX_FORMAT), (members, tarfile.USTAR_FORMAT))
    )
    return {"gnu": gnu, "pax": pax, "plain": plain, "gzip": gzip.compress(plain, mtime=0)}


def tar_of(members: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A whole tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def sealed_header(header: bytes) -> bytes:
    """A header block with the checksum that belongs to it."""
    blank = header[:148] + b" " * 8 + header[156:BLOCK]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def mutate_archive(name: str, data: bytes, rng: Random) -> bytes:
    """Damage a tar: its bytes at random, or one to three of its headers."""
    if name == "gzip":
        if rng.random() < 0.5:
            return mutate(data, rng, archive_seeds()["plain"])
        return gzip.compress(mutate_archive("plain", gzip.decompress(data), rng), 1, mtime=0)
    if rng.random() < 0.25:
        return mutate(data, rng, archive_seeds()[rng.choice(sorted(archive_seeds()))])
    for _ in range(rng.choice((1, 1, 2, 3))):
        headers = _headers(data)
        if not headers:
            break
        data = _edited(data, rng.choice(headers), headers, rng)
    return mutate(data, rng) if rng.random() < 0.1 else data


def _headers(data: bytes) -> list[int]:
    return [at for at in range(0, len(data) - BLOCK + 1, BLOCK) if data[at + 257 : at + 262] == b"ustar"]


def _edited(data: bytes, at: int, headers: list[int], rng: Random) -> bytes:
    header, rest = data[at : at + BLOCK], data[at + BLOCK :]
    kind = rng.randrange(8)
    if kind < 2:
        header = header[:124] + rng.choice(ODD_SIZES)[:12] + header[136:]
    elif kind == 2:
        header = rng.choice(ODD_NAMES)[:100].ljust(100, b"\0") + header[100:]
    elif kind == 3:
        header = header[:156] + rng.choice(TYPES) + header[157:]
    elif kind == 4:
        return data[:at] + _extended(rng) + header + rest
    elif kind == 5:
        other = rng.choice(headers)
        return data[:other] + data[at:]
    elif kind == 6:
        field = rng.choice(((100, 108), (136, 148), (157, 257), (263, 265), (345, 500), (386, 512)))
        header = header[: field[0]] + rng.randbytes(field[1] - field[0]) + header[field[1] :]
    else:
        header = header[:156] + b"S" + header[157:386] + _sparse_map(rng) + header[495:]
    return data[:at] + sealed_header(header) + rest


def _extended(rng: Random) -> bytes:
    """An extended header of a kind that states something odd of the member after it."""
    if rng.random() < 0.3:
        body = rng.choice(ODD_NAMES) * rng.choice((1, 1, 40)) + b"\0"
        info = tarfile.TarInfo("././@LongLink")
        info.type = rng.choice((tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK))
    else:
        lines = [rng.choice(PAX).encode("utf-8", "surrogateescape") for _ in range(rng.choice((1, 2, 4)))]
        body = b"".join(b"%d %s\n" % (len(line) + 4 if len(line) < 95 else len(line) + 5, line) for line in lines)
        body = mutate(body, rng) if rng.random() < 0.3 else body
        info = tarfile.TarInfo("PaxHeader")
        info.type = rng.choice((tarfile.XHDTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE))
    info.size = len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % BLOCK)


def _sparse_map(rng: Random) -> bytes:
    """The map of an old GNU sparse header: four pieces, the mark of more, the real size."""
    numbers = [rng.choice((b"%011o\0" % rng.choice((0, 1, 100, 512, 5000, 8**11 - 1)), b"\xff" * 12, bytes(12)))
               for _ in range(8)]
    size = b"%011o\0" % rng.choice((0, 1, 600, 5000, 10**6, 8**11 - 1))
    return b"".join(numbers) + rng.choice((b"\0", b"\1")) + size
