# The job image of gitlab.yml: docker's client with this program.
#
#   docker build -f gitlab.Dockerfile -t 123456789012.dkr.ecr.us-east-1.amazonaws.com/ci/docker-with-ecr-login:28 .
#
# docker-credential-ecr-login in the build context is the static program of a release: the image is
# Alpine's.
FROM docker:28-cli
COPY --chmod=755 docker-credential-ecr-login /usr/local/bin/
RUN ln -s docker-credential-ecr-login /usr/local/bin/ecr-login && docker-credential-ecr-login version
