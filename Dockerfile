# Mezzo and its demo: docker build -t mezzo . && docker run --rm mezzo   (docs/docker.md)
# Every path of the image lies in /mezzo, so that docker/run-steps.mjs can run these steps in an empty folder.
FROM node:20-bookworm-slim

# cpu, or cuda for NVIDIA cards; the LibTorch to take, 2.10.0 for a V100 or an older driver.
ARG VARIANT=cpu
ARG VERSION=2.15.0

RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates g++ python3 python3-pip && \
    rm -rf /var/lib/apt/lists/*

ENV MEZZO_HOME=/mezzo/home \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /mezzo/app
COPY mezzo package.json package-lock.json tsconfig.json tsconfig.base.json ./
COPY packages packages
COPY examples examples
RUN ./mezzo setup variant=$VARIANT version=$VERSION

WORKDIR /mezzo/data
ENTRYPOINT ["/mezzo/app/mezzo"]
CMD ["demo", "fuse"]
