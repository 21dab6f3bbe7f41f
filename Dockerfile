# feltone serve, page included: docker build -t feltone . && docker run -p 8000:8000 feltone
# docker/rehearse.py goes through these lines on a machine without a container engine; .ci/run calls it.

FROM node:22.21-bookworm-slim AS page
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY web/ ./
RUN npm run build

FROM python:3.11-slim-bookworm AS package
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY benchmarks/ benchmarks/
COPY src/ src/
COPY --from=page /build/src/feltone/doors/page/ src/feltone/doors/page/
RUN python -m venv --without-pip /opt/feltone
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/feltone/bin/python install --constraint constraints.txt '.[serve,media]'

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Feltone" \
      org.opencontainers.image.description="Recognises emotion in speech, over HTTP and WebSocket" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin feltone
COPY --from=package /opt/feltone/ /opt/feltone/
ENV PATH="/opt/feltone/bin:$PATH" ORT_DISABLE_TELEMETRY="1"
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
ENTRYPOINT ["feltone"]
CMD ["serve", "--host", "0.0.0.0"]
