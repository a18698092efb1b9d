# The search page and the REST API, over data/, models/ and metrics/ that are mounted: docs/how-to/deploy.md says how.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
# Annoy has no wheels. Its own default, -march=native, would crash on processors older than the one that built the image.
ENV ANNOY_COMPILER_ARGS=-O3,-ffast-math,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14
# No version: Debian keeps one per release, and a pinned one is gone after its next fix.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY docker/requirements.txt /
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --requirement /requirements.txt

FROM python:${PYTHON}-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv /venv
WORKDIR /similarity
# dvc.yaml is not read: without it, a missing model would be reported as a wrong folder.
COPY dvc.yaml .
COPY src src
# By number, as Kubernetes' runAsNonRoot needs it; it owns nothing here.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# What follows the image's name in `docker run` are further options, such as --max-upload-mb 50.
ENTRYPOINT ["python", "src/serve.py", "--host", "0.0.0.0", "--port", "8000"]
