# The targets of the distributed flow: samples are made ahead, by this machine or by many, and the training reads files.
# docs/pythonexpr.md explains each variable. The variables of pythonexpr.mk that decide what samples are like hold here too.

DATA_DIR ?= data
DATA_STEPS ?= $(STEPS)
SAMPLES_PER_FILE ?= 500
DATA_MAX_BYTES ?= 20000000000

# the hosts that make samples, and how they are reached; an empty SSH_... is as the user's own ssh configuration says
TRAINDATA_HOSTS ?=
REMOTE_DIR ?= /data/datagen
REMOTE_PYTHON ?=
DATASET_NAME ?= $(MODEL_NAME)
DATA_MIN_FREE_BYTES ?= 2000000000
DATA_WORKERS ?= 0
SSH_KEY ?=
SSH_KNOWN_HOSTS ?=
SSH_CONFIG ?=
# as they were given: nothing in them is expanded by make or read by the shell
given = '$(subst ','\'',$(value $(1)))'
HOSTS = --hosts=$(call given,TRAINDATA_HOSTS) --remote-dir=$(call given,REMOTE_DIR) \
  --remote-python=$(call given,REMOTE_PYTHON) --ssh-key=$(call given,SSH_KEY) \
  --ssh-known-hosts=$(call given,SSH_KNOWN_HOSTS) --ssh-config=$(call given,SSH_CONFIG)

# what was fetched and used is not made again: the syncer of DATA_DIR knows it; before the first `make sync` there is none
ASKED_SYNCER = $(if $(filter-out file,$(origin SYNCER))$(wildcard $(DATA_DIR)/.sync/state.db),$(call given,SYNCER))

unexport TRAINDATA_HOSTS REMOTE_DIR REMOTE_PYTHON SSH_KEY SSH_KNOWN_HOSTS SSH_CONFIG SYNCER

# the syncer, which listens on SYNC_LISTEN and brings files to DATA_DIR
SYNC_PORT ?= 3087
SYNC_LISTEN ?= 127.0.0.1
MAX_LOCAL_BYTES ?= 20000000000
DELETE_REMOTE ?= 0
SYNC = --hosts=$(call given,TRAINDATA_HOSTS) --remote-dir=$(call given,REMOTE_DIR)'/samples/$(DATASET_NAME)' \
  --ssh-key=$(call given,SSH_KEY) --ssh-known-hosts=$(call given,SSH_KNOWN_HOSTS) \
  --ssh-config=$(call given,SSH_CONFIG) $(if $(filter 1,$(DELETE_REMOTE)),--delete-remote)

.PHONY: datagen_local datagen_held_out datagen_parallel datagen_status datagen_stop clean_remote clean_remote_all sync \
  sample_accounts

datagen_local: $(METAINFO)  ## write DATA_STEPS training batches to files in DATA_DIR, on this machine
	$(FASTNODE) generate-samples --metainfo-file $(METAINFO) $(SOURCE_OF_SAMPLES) --out-dir '$(DATA_DIR)' \
	  --data-steps $(DATA_STEPS) --samples-per-file $(SAMPLES_PER_FILE) --max-bytes $(DATA_MAX_BYTES) $(SETTINGS)

datagen_held_out: $(METAINFO)  ## write the batches of a validation to DATA_DIR/validation, for a trainer without a corpus
	$(FASTNODE) generate-samples --metainfo-file $(METAINFO) $(SOURCE_OF_SAMPLES) --out-dir '$(DATA_DIR)/validation' \
	  --held-out $(SETTINGS)

datagen_parallel: $(METAINFO)  ## make DATA_STEPS training batches on TRAINDATA_HOSTS; again: what a dead host had is shared out
	$(FASTNODE) deploy-datagen --work-dir . --corpus-dir $(CORPUS_DIR) $(HOSTS) --dataset '$(DATASET_NAME)' \
	  --data-steps $(DATA_STEPS) --samples-per-file $(SAMPLES_PER_FILE) --data-dir '$(DATA_DIR)' --syncer=$(ASKED_SYNCER) \
	  --max-bytes $(DATA_MAX_BYTES) --min-free-bytes $(DATA_MIN_FREE_BYTES) --num-workers $(DATA_WORKERS) $(SETTINGS)

datagen_status: $(VENV)/ready  ## how far each of TRAINDATA_HOSTS is
	@$(FASTNODE) datagen-status $(HOSTS) --dataset '$(DATASET_NAME)'

datagen_stop: $(VENV)/ready  ## stop making samples on TRAINDATA_HOSTS; what is made stays
	$(FASTNODE) stop-datagen $(HOSTS) --dataset '$(DATASET_NAME)'

clean_remote: $(VENV)/ready  ## the same, and delete the samples of DATASET_NAME there
	$(FASTNODE) clean-remote $(HOSTS) --dataset '$(DATASET_NAME)'

clean_remote_all: $(VENV)/ready  ## stop everything on TRAINDATA_HOSTS and delete all that deployments left there
	$(FASTNODE) clean-remote $(HOSTS)

sync: $(METAINFO)  ## bring what TRAINDATA_HOSTS have made to DATA_DIR, until interrupted
	$(FASTNODE) sync --local-dir '$(DATA_DIR)' --metainfo-file $(METAINFO) --max-local-bytes $(MAX_LOCAL_BYTES) \
	  --listen '$(SYNC_LISTEN)' --port $(SYNC_PORT) $(SYNC)

sample_accounts: $(VENV)/ready  ## where every sample is: made, synced, used, left, lost
	@$(FASTNODE) account-samples --work-dir . --data-dir '$(DATA_DIR)' --data-steps $(DATA_STEPS) \
	  --samples-per-file $(SAMPLES_PER_FILE) $(HOSTS) --dataset '$(DATASET_NAME)'
