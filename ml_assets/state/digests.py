"""Digests of content, by which samples, versions and cached results are known."""

import hashlib


def content_id(*parts: str | bytes) -> str:
    """32 hexadecimal digits that follow from the parts alone (BLAKE2b, each part preceded by its length)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
