# Parley in an image of its own: the static binary, the certificates of the public authorities, and nothing else.
#
#   docker build -t parley .
#   docker run -p 127.0.0.1:8000:8000 -v parley-data:/data --read-only -e PARLEY_INSECURE_NO_AUTH=true parley
#
# The images that it is made from are pinned here; --build-arg GO_IMAGE=... takes another one, a mirror's for example.
ARG GO_IMAGE=golang:1.26.8
ARG RUN_IMAGE=scratch

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
# What --build-arg GOPROXY=... says goes for this step, and is not in the image.
ARG GOPROXY
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/cache GOMODCACHE=/cache/modules go mod download
COPY . .
RUN --mount=type=cache,target=/cache \
    GOMODCACHE=/cache/modules GOCACHE=/cache/build GOOS=$TARGETOS GOARCH=$TARGETARCH make build VERSION="$VERSION" && \
    mkdir /root-of-image && mkdir -m 700 /root-of-image/data

FROM ${RUN_IMAGE}
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Parley" \
      org.opencontainers.image.description="A conversation backend for LLM applications" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/parley-llm/parley" \
      org.opencontainers.image.documentation="https://github.com/parley-llm/parley/blob/main/docs/operations.md" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY LICENSE /
COPY --from=build /src/bin/parley /usr/local/bin/
# A new volume takes its owner and mode from /data. It is copied as what lies in a directory: the mode of the directory that COPY names is lost.
COPY --from=build --chown=65532:65532 /root-of-image/ /

# In a container only other containers and published ports reach the server, so it has to listen on every address; it then
# demands PARLEY_API_KEY, or PARLEY_INSECURE_NO_AUTH=true where the port is published on loopback alone.
ENV PARLEY_ADDR=0.0.0.0:8000 \
    PARLEY_DATA=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s --retries=3 CMD ["/usr/local/bin/parley", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/parley"]
