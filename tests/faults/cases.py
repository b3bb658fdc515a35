"""All cases about files, images, labels and splits; tables, texts and run folders have files of their own."""

from __future__ import annotations

from tests.faults.file_cases import FILE_CASES
from tests.faults.harness import Case
from tests.faults.image_cases import IMAGE_CASES
from tests.faults.label_cases import LABEL_CASES

CASES: tuple[Case, ...] = (*FILE_CASES, *IMAGE_CASES, *LABEL_CASES)
