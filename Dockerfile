# oneglance without a screen: the live page of `oneglance serve` by default, any command by name.
#
#   docker build -t oneglance .
#   docker run --rm -p 127.0.0.1:8080:8080 -e ONEGLANCE_TOKEN=secret oneglance
#   docker run --rm --no-healthcheck -v "$PWD:/data" oneglance run /data/drive.mp4 --jsonl -

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY streams streams
COPY models models
COPY perception perception
RUN python -m venv /opt/oneglance
ENV PATH=/opt/oneglance/bin:$PATH
# OpenCV's headless package needs no library of a screen; both put the same module in place.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".[serve,mqtt,mcap]" \
    && pip uninstall --yes opencv-python \
    && pip install --no-cache-dir --no-deps --force-reinstall "opencv-python-headless>=4.10.0.84" \
    && python -c "import cv2, oneglance.perception.cli.app"

FROM python:3.12-slim-bookworm
COPY --from=build /opt/oneglance /opt/oneglance
RUN useradd --uid 10001 --create-home oneglance
USER 10001
WORKDIR /home/oneglance
ENV PATH=/opt/oneglance/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
ENTRYPOINT ["oneglance"]
# Beyond loopback the page asks for a token: ONEGLANCE_TOKEN, or one that is made and printed.
CMD ["serve", "rendered:?frames=inf", "--host", "0.0.0.0", "--port", "8080"]
