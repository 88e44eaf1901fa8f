# One image for the API and its workers: the base install and the service's own, no torch and no
# training. Nothing is written but under /data (embedded database and keys) and /tmp, so the root
# file system can be read-only:
#
#   docker build -t rupture-detector .
#   docker run --rm --read-only --tmpfs /tmp -v rupture:/data -p 127.0.0.1:8321:8321 rupture-detector
#
# compose.yaml and deploy/kubernetes.yaml run it beside PostgreSQL; docs/operations.md says how.

FROM python:3.11-slim AS build
RUN python -m venv /opt/rupture
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY detector detector
COPY service service
RUN /opt/rupture/bin/pip install --no-cache-dir --disable-pip-version-check '.[service]'

FROM python:3.11-slim
RUN groupadd --gid 10001 rupture \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin rupture \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/rupture /opt/rupture
ENV PATH=/opt/rupture/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RUPTURE_HOME=/data \
    RUPTURE_HOST=0.0.0.0 \
    RUPTURE_LOG=json
WORKDIR /opt/rupture
VOLUME /data
USER 10001:10001
EXPOSE 8321
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/readyz', timeout=4)"]
ENTRYPOINT ["rupture"]
CMD ["serve"]
