# syntax=docker/dockerfile:1
# Serves the run that is mounted at /run:
#   docker build -t deepen .
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -e DEEPEN_TOKEN -v "$PWD/runs/digits-lenet:/run:ro" deepen
# In a container it listens on all interfaces, so it needs a token: set DEEPEN_TOKEN, or read the one in its log.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/deepen
ENV PATH="/opt/deepen/bin:$PATH" PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt ./
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt ".[serve,images,text]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin deepen
COPY --from=build /opt/deepen /opt/deepen
ENV PATH="/opt/deepen/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DEEPEN_CACHE=/tmp/deepen
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["deepen", "serve", "/run", "--host", "0.0.0.0", "--port", "8000"]
