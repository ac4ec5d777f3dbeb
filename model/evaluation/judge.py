"""A language model as judge: any endpoint that speaks OpenAI's chat completions; each verdict is asked for once.

A verdict is kept under the hash of what was asked (model, messages, settings), so that scoring again costs nothing
and gives the same figure.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infimm_data.errors import ConfigError, InfiMMError

MAX_ANSWER_BYTES = 1 << 20
RETRIED = frozenset([408, 429, 500, 502, 503, 504])


@dataclass(kw_only=True)
class Judge:
    """url: up to and without /chat/completions; cache: a file of JSON lines, or None; key_variable: an environment
    variable with the key, sent only if it is set; timeout_s: of one request; attempts: per question.
    """

    url: str
    model: str
    cache: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    attempts: int = 4
    wait_s: float = 1.0
    _known: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Read the verdicts of earlier runs; a line that a killed run left half written is passed over."""
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"--judge {self.url}: expected an address like http://localhost:8000/v1")
        if self.cache and Path(self.cache).is_file():
            for line in Path(self.cache).read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                    self._known[str(record["key"])] = str(record["answer"])
                except (ValueError, KeyError, TypeError):
                    continue

    def ask(self, prompt: str, *, max_tokens: int, temperature: float = 0.0, repeat: int = 0) -> str:
        """Return the answer to one user message. repeat: asks the same again, for a second opinion.

        Raises InfiMMError when the endpoint cannot be reached or refuses.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        key = hashlib.sha256(json.dumps([body, repeat], sort_keys=True).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = self._post(body)
            if self.cache:
                Path(self.cache).parent.mkdir(parents=True, exist_ok=True)
                with Path(self.cache).open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "model": self.model, "answer": self._known[key]}) + "\n")
        return self._known[key]

    def _post(self, body: dict[str, Any]) -> str:
        for attempt in range(self.attempts):
            try:
                return self._post_once(body)
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}"
                if error.code not in RETRIED:
                    break
            except (OSError, TimeoutError) as error:
                problem = str(getattr(error, "reason", None) or error)
            except (ValueError, KeyError, IndexError, TypeError):
                problem = "an answer that is no chat completion"
                break
            if attempt + 1 < self.attempts:
                time.sleep(self.wait_s * 2**attempt)
        raise InfiMMError(f"judge {self.url}, model {self.model}: {problem}; verdicts so far are kept, run again")

    def _post_once(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if secret := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {secret}"
        request = urllib.request.Request(  # noqa: S310  # the scheme is checked above
            f"{self.url.rstrip('/')}/chat/completions", data=json.dumps(body).encode(), headers=headers
        )
        with urllib.request.urlopen(request, timeout=self.timeout_s) as reply:  # noqa: S310  # as above
            found = json.loads(reply.read(MAX_ANSWER_BYTES))
        return str(found["choices"][0]["message"]["content"] or "")
