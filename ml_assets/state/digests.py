"""The hash of content that serves as the id of samples, versions and cached results."""

import hashlib


def content_id(*parts: str | bytes) -> str:
    """A hash of the parts as 32 hexadecimal digits (BLAKE2b; each part is preceded by its length)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
