"""The file under a video: whatever happens to the disk, it ends with a complete fragment."""

from __future__ import annotations

import io
import os
from contextlib import suppress

from oneglance.streams.files.boxes import top_level_boxes
from oneglance.streams.outputs import write_whole


class FragmentedMp4:
    """What libav writes an MP4 or MOV to; it stops quietly at the first error.

    libav goes on writing after a failed write: the index of a file whose data is missing, or a
    new header over the old one. So after an error nothing more reaches the disk: ``error``
    holds what happened, and ``truncate_to_fragment`` removes what is half written.
    """

    def __init__(self, file: io.FileIO) -> None:
        """``file``: open for reading and writing."""
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of ``data``, or nothing once there was an error."""
        if self.error is None:
            try:
                write_whole(self.file, data)
            except OSError as error:
                self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as files do."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return self.file.tell()

    def empty(self) -> None:
        """Drop what the file held before; an error counts as one of writing."""
        try:
            self.file.truncate(0)
        except OSError as error:
            self.error = error

    def close(self) -> None:
        """Close the file; an error counts as one of writing."""
        try:
            self.file.close()
        except OSError as error:
            self.error = self.error or error

    def truncate_to_fragment(self) -> int:
        """Truncate after the last complete fragment, as far as the disk allows; the bytes up to
        there."""
        end = end_of_fragments(self.file)
        with suppress(OSError):  # what was wrong is known
            self.file.truncate(end)
        return end

    @property
    def size(self) -> int:
        """Bytes in the file, while it is open."""
        return os.fstat(self.file.fileno()).st_size


def end_of_fragments(file: io.FileIO) -> int:
    """Where the last complete ``mdat`` box of an MP4 file ends; 0 when there is none.

    A fragment is an index (``moov`` or ``moof``) and then its data (``mdat``).
    """
    size = file.seek(0, os.SEEK_END)
    data = [end for name, end in top_level_boxes(file, size) if name == b"mdat"]
    return max((end for end in data if end is not None and end <= size), default=0)
