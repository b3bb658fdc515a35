"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

HEAD_BYTES = 512
IMAGE_KINDS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
IMAGE_ENDINGS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
IMAGES_READ = "JPEG, PNG, GIF, BMP, WebP and TIFF"

_IMAGES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "an EPS document"),
    (b"8BPS", "a Photoshop document"),
    (b"SIMPLE  =", "a FITS image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"Rar!", "a RAR archive"),
    (b"RIFF", "a sound or video file"),
    (b"OggS", "a sound or video file"),
    (b"ID3", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def image_kind(head: bytes) -> str | None:
    """One of IMAGE_KINDS by the first bytes of a file, or None if it is no image that is read here.

    >>> image_kind(b"GIF89a...")
    'GIF'
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in _IMAGES if head.startswith(start)), None)


def described(head: bytes) -> str:
    """What the first bytes of something that is not an image look like, in words.

    >>> described(b"<!DOCTYPE html><html>404")
    'HTML text'
    """
    if not head:
        return "empty (0 bytes)"
    other = next((words for start, words in _OTHERS if head.startswith(start)), None)
    if other is not None:
        return other
    if head[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "HTML text"
    if b"<svg" in text:
        return "an SVG drawing"
    if text.startswith(b"<"):
        return "XML text"
    return "text" if _is_text(head) else "of no known kind"


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in (9, 10, 12, 13) for byte in head) and not any(byte == 127 for byte in head)
