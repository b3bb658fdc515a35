"""All cases about files, images, labels and splits; tables and run folders have files of their own."""

from __future__ import annotations

from faults.file_cases import FILE_CASES
from faults.harness import Case
from faults.image_cases import IMAGE_CASES
from faults.label_cases import LABEL_CASES

CASES: tuple[Case, ...] = (*FILE_CASES, *IMAGE_CASES, *LABEL_CASES)
