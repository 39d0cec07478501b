FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY domain domain
COPY commands commands
COPY projections projections
COPY adapters adapters
COPY api api
COPY cli cli
RUN /app/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home lmsys
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LMSYS_HOME=/data \
    LMSYS_AUTH=true
USER lmsys
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["lmsys", "api", "--host", "0.0.0.0", "--port", "8000"]
