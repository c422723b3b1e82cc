"""llama.cpp writes a page to stderr per model; this keeps the last complaint instead."""

import ctypes
import threading
from types import TracebackType
from typing import Any, final

import llama_cpp

_ERROR_LEVEL = 4


@final
class _Quiet:
    """Swallows the log; as a context, forgets earlier complaints first."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()
        # llama.cpp keeps the pointer for good, so the callback must live as long.
        self._callback = llama_cpp.llama_log_callback(self._note)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _note(self, level: int, text: bytes, _user_data: Any) -> None:
        with self._lock:
            if level == _ERROR_LEVEL:
                self._lines.append(text.decode(errors="replace").strip())

    @property
    def last(self) -> str:
        """The first complaint, which names the cause, or a word that there was none."""
        said = [line for line in self._lines if line]
        return said[0].rstrip(".") if said else "llama.cpp gave no reason"

    def __enter__(self) -> None:
        self._lines.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


quiet = _Quiet()
