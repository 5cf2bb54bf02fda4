"""Where HTTP/2's frames begin in a stream of bytes, and a GOAWAY to put between two of them."""

_HEADER_BYTES = 9
_HEADERS, _PUSH_PROMISE, _GO_AWAY, _CONTINUATION = 1, 5, 7, 9
_END_HEADERS = 4
EVERY_STREAM = 2**31 - 1


def go_away_frame(last_stream_id: int = EVERY_STREAM) -> bytes:
    """A GOAWAY without error: streams above `last_stream_id` count as never seen."""
    payload = last_stream_id.to_bytes(4, "big") + (0).to_bytes(4, "big")
    header = len(payload).to_bytes(3, "big") + bytes([_GO_AWAY, 0, 0, 0, 0, 0])
    return header + payload


class FrameReader:
    """Follows the bytes of a server to its client, chunk by chunk."""

    def __init__(self) -> None:
        self._header = b""
        self._payload_left = 0
        self._block_open = False
        self._began = False

    @property
    def between_frames(self) -> bool:
        """Whether a frame may be put in right here: none is cut, no block of headers is open."""
        return self._began and not (self._header or self._payload_left or self._block_open)

    def boundary(self, data: bytes) -> int | None:
        """Follows `data`; the first offset in it (its end included) that is between two frames."""
        found, at = None, 0
        while at < len(data):
            if self._payload_left:
                step = min(self._payload_left, len(data) - at)
                self._payload_left -= step
            else:
                step = min(_HEADER_BYTES - len(self._header), len(data) - at)
                self._header += data[at : at + step]
                if len(self._header) == _HEADER_BYTES:
                    self._begin()
            at += step
            if found is None and self.between_frames:
                found = at
        return found

    def _begin(self) -> None:
        length, kind, flags = int.from_bytes(self._header[:3], "big"), *self._header[3:5]
        self._header, self._payload_left, self._began = b"", length, True
        if kind in {_HEADERS, _PUSH_PROMISE, _CONTINUATION}:
            self._block_open = not flags & _END_HEADERS
