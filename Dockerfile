# One image for every process: routefold init, consume, serve.
# The version that requirements.lock was made with.
FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/routefold
ENV PATH=/opt/routefold/bin:$PATH

# Dependencies first: they change less often than the code, and stay in the build cache.
WORKDIR /src
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md ./
COPY schemas/ schemas/
COPY producer/ producer/
COPY consumer/ consumer/
COPY router_api/ router_api/
COPY routefold/ routefold/
RUN pip install --no-deps .


FROM python:3.11-slim

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/routefold routefold
COPY --from=build /opt/routefold /opt/routefold

ENV PATH=/opt/routefold/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER routefold
WORKDIR /var/lib/routefold

# The HTTP API, and the consumer's metrics and health.
EXPOSE 8080 9464

ENTRYPOINT ["routefold"]
