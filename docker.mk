# Images and the compose file; docs/docker.md. What docker/build.sh takes from the environment, these take too.

.PHONY: images images_local test-docker

images:  ## build the images of docker-compose.yml (needs a Docker engine)
	docker/build.sh

images_local:  ## the same on a machine without a registry: base image, PostgreSQL and Redis too (as root)
	docker/base-image.sh
	docker/build.sh
	docker/build.sh postgres redis

test-docker: $(VENV)/ready  ## build and start everything in containers, run a workflow on the Celery worker, remove it
	$(PY) -m pytest -m docker tests/docker
