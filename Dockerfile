# The program alone, as a user without rights (65532, `nonroot` of the image). `docker build -t tripline .`
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked && mkdir -p /state

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/tripline /usr/local/bin/tripline
# A new volume takes over its owner.
COPY --from=build --chown=65532:65532 /state /var/lib/tripline
USER 65532:65532
WORKDIR /etc/tripline
VOLUME /var/lib/tripline
EXPOSE 9617
ENTRYPOINT ["/usr/local/bin/tripline"]
CMD ["run", "/etc/tripline", "--state", "/var/lib/tripline", "--admin", "0.0.0.0:9617"]
