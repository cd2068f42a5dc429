"""Everything a training reads, small enough to be sent to a machine that has nothing of it.

    python -m benchmarks.pack_training runs/road4.zip --size 640x384 --mib 55 --volumes 2

Images at the size they are trained at (never enlarged), as WebP at the best quality that fits into
``--volumes`` archives of ``--mib`` each (``road4.zip``, ``road4.1.zip``, …); labels, and a data set
file for each set. An image that two sets label is one file in here too. What is scored on a packed
set differs a little from what the originals give: figures to publish are measured on those.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from benchmarks.options import in_words
from benchmarks.road4 import SETS, parse_size
from oneglance.models.cpus import available_cpus
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.data.text import YamlFile
from oneglance.perception.cli.outputs import check_made
from oneglance.streams.errors import DataError, OneglanceError, UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import replace_file, write_file

MANIFEST = "manifest.json"
QUALITIES = (90, 85, 80, 75, 70, 60, 50, 40, 30, 20)
_TRIED = 80
_MARGIN = 1.03


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="640x384", help="of the training")
    parser.add_argument("--mib", type=float, default=55, help="of one archive at most")
    parser.add_argument("--volumes", type=int, default=1, help="archives at most")
    parser.add_argument("--without", nargs="+", default=[], choices=list(SETS), metavar="SET")
    parser.add_argument("--only-train", action="store_true", help="without the val splits")
    options = parser.parse_args(words)
    try:
        sets = {name: one for name, one in SETS.items() if name not in options.without}
        if options.only_train:
            sets = {name: one for name, one in sets.items() if one.oversample}
        files = pack(
            {name: one.file for name, one in sets.items() if one.file.is_file()},
            options.out,
            side=max(parse_size(options.size)),
            limit=round(options.mib * 2**20),
            volumes=options.volumes,
            splits=("train",) if options.only_train else ("train", "val"),
        )
    except (OneglanceError, OSError) as error:
        print(f"pack_training: {in_words(error)}", file=sys.stderr)
        return 2
    for file in files:
        print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")
    return 0


def pack(
    sets: Mapping[str, Path],
    out: Path,
    *,
    side: int,
    limit: int,
    volumes: int = 1,
    splits: Sequence[str] = ("train", "val"),
) -> list[Path]:
    """Write the archives of ``sets`` (by name, their data set files); returns them.

    ``side``: of the longer side in pixels, at most. ``limit``: bytes of one archive.

    Raises:
        DataError: a set or an image cannot be used.
        UsageError: it does not fit at any quality.
    """
    if volumes < 1 or limit < 1:
        raise UsageError("an archive has a size above 0, and there is at least one")
    datasets = {name: read_dataset(file) for name, file in sets.items()}
    for number in range(volumes):  # before the work
        check_made(_volume(out, number), sets.values())
    images = _images(datasets, splits)
    texts = dict(_texts(datasets, images, splits))
    texts["packed.json"] = json.dumps({"side": side, "images": len(images)})
    room = volumes * limit - sum(len(text.encode()) + 300 for text in texts.values())
    room -= 300 * len(images)  # an entry's own header, twice
    for quality in QUALITIES:
        if _guess(list(images), side, quality) > room:
            continue
        files = _write(images, texts, out, (side, quality, limit, volumes))
        if files:
            return files
    raise UsageError(
        f"{len(images)} images of {side} px do not fit into {volumes} x {limit / 2**20:.0f} MiB: "
        "allow more --volumes, or pack fewer sets"
    )


def unpack(files: Sequence[Path], out: Path) -> dict[str, Path]:
    """Write what ``files`` hold into ``out``; returns the data set files by the sets' names.

    Done before, nothing is written again.

    Raises:
        DataError: an archive is missing, damaged, or of another packing.
        SinkError: ``out`` is not ours.
    """
    manifest = _check(files)
    place = OutputFolder(out, "pack_training")
    place.check(files)
    names: list[str] = manifest["sets"]
    done = out / MANIFEST
    if _read_manifest(done) != manifest:
        place.claim()
        for file in files:
            with zipfile.ZipFile(file) as archive:
                for entry in archive.namelist():
                    target = out / entry
                    if not target.resolve().is_relative_to(out.resolve()):
                        raise DataError(f"{file}: {entry} would be written outside of {out}")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(entry))
        replace_file(done, json.dumps(manifest))  # last: all is there
    return {name: out / f"{name}.yaml" for name in names}


def _read_manifest(file: Path) -> object:
    """What was unpacked there before; None: nothing that is whole."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _check(files: Sequence[Path]) -> dict[str, Any]:
    manifests = []
    for file in files:
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
                manifests.append(json.loads(archive.read(MANIFEST)))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{file} is not an archive of ours that is whole: {error}") from None
        if damaged is not None:
            raise DataError(f"{file}: {damaged} in it is damaged: send it again")
    first: dict[str, Any] = manifests[0]
    if any(one["packing"] != first["packing"] for one in manifests):
        raise DataError(f"{', '.join(map(str, files))} are not of one packing")
    if sorted(one["volume"] for one in manifests) != list(range(first["volumes"])):
        raise DataError(f"{len(files)} of {first['volumes']} archives are here: give all of them")
    return {key: first[key] for key in ("packing", "sets", "volumes")}


def _images(datasets: Mapping[str, Dataset], splits: Sequence[str]) -> dict[Path, str]:
    """Each image of all sets, by where it lies, and its name in the archive."""
    found: dict[Path, str] = {}
    for name, dataset in datasets.items():
        for split in splits:
            for image in dataset.images(split) if split in dataset.folders else ():
                file = image.resolve()
                found.setdefault(file, f"images/{name}-{split}-{len(found):05d}.webp")
    return found


def _texts(
    datasets: Mapping[str, Dataset], images: Mapping[Path, str], splits: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Labels, lists of images and data set files: name in the archive, content."""
    for name, dataset in datasets.items():
        content = YamlFile(dataset.file).content
        kept: dict[str, Any] = {
            key: content[key] for key in ("names", "classes", "labels") if key in content
        }
        entry: dict[str, Any] = {"path": ".", "annotations": f"labels-{name}", **kept}
        for split in splits:
            if split not in dataset.folders:
                continue
            entry[split] = f"{name}-{split}.txt"
            shown = dataset.images(split)
            yield entry[split], "".join(f"{images[image.resolve()]}\n" for image in shown)
            for image in shown:
                stem = Path(images[image.resolve()]).stem
                yield f"labels-{name}/{stem}.txt", _labels(dataset, image)
        yield f"{name}.yaml", yaml.safe_dump(entry, sort_keys=False)


def _labels(dataset: Dataset, image: Path) -> str:
    labels = dataset.read_labels(image)
    if any(box.crowd for box in labels.boxes):
        raise DataError(f"{image}: crowd regions cannot be packed")
    return "".join(
        f"{box.class_id} {box.x:.6f} {box.y:.6f} {box.width:.6f} {box.height:.6f}\n"
        for box in labels.boxes
    )


def _encode(file: Path, side: int, quality: int) -> bytes:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"cannot read image {file}")
    height, width = image.shape[:2]
    ratio = side / max(width, height)
    if ratio < 1:
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded: bytes = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    return encoded


def _guess(files: Sequence[Path], side: int, quality: int) -> float:
    """Bytes that all images will take about, by some of them."""
    some = files[:: max(1, len(files) // _TRIED)]
    with ThreadPoolExecutor(available_cpus()) as threads:
        sizes = list(threads.map(lambda file: len(_encode(file, side, quality)), some))
    return _MARGIN * float(np.mean(sizes)) * len(files)


def _write(
    images: Mapping[Path, str],
    texts: Mapping[str, str],
    out: Path,
    how: tuple[int, int, int, int],
) -> list[Path]:
    """The archives; [] where they did not fit after all."""
    side, quality, limit, volumes = how
    contents = _volumes(_encoded(images, side, quality), texts, limit)
    if len(contents) > volumes:
        return []
    digest = hashlib.sha256()
    for content in contents:
        for data in content.values():
            digest.update(data)
    sets = sorted(Path(name).stem for name in texts if name.endswith(".yaml"))
    out.parent.mkdir(parents=True, exist_ok=True)
    files = []
    for number, content in enumerate(contents):
        file = _volume(out, number)
        manifest = {
            "packing": digest.hexdigest(),
            "volume": number,
            "volumes": len(contents),
            "quality": quality,
            "side": side,
            "sets": sets,
        }
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                how_stored = zipfile.ZIP_STORED if name.endswith(".webp") else None
                archive.writestr(name, data, compress_type=how_stored)
            archive.writestr(MANIFEST, json.dumps(manifest))
        write_file(file, packed.getvalue())
        files.append(file)
    return files


def _volume(out: Path, number: int) -> Path:
    return out if number == 0 else out.with_suffix(f".{number}{out.suffix}")


def _encoded(images: Mapping[Path, str], side: int, quality: int) -> Iterable[tuple[str, bytes]]:
    with ThreadPoolExecutor(available_cpus()) as threads:
        encoded = threads.map(lambda file: _encode(file, side, quality), images)
        yield from zip(images.values(), encoded, strict=True)


def _volumes(
    encoded: Iterable[tuple[str, bytes]], texts: Mapping[str, str], limit: int
) -> list[dict[str, bytes]]:
    """What lies in which archive; an entry costs its name twice and some 130 bytes."""
    contents: list[dict[str, bytes]] = [{}]
    left = limit - 4096
    items = [(name, text.encode()) for name, text in texts.items()]
    for name, data in (*items, *encoded):
        cost = len(data) + 2 * len(name) + 130
        if cost > left:
            contents.append({})
            left = limit - 4096
        contents[-1][name] = data
        left -= cost
    return contents


if __name__ == "__main__":
    sys.exit(main())
