# The targets of the completion model: `make` runs the chain traindata, train, compress, convert, validate_attribute,
# rebuild_curated_examples. Every file is made again when what it is made from, or a variable it depends on, has changed.
# docs/pythonexpr.md explains each variable; `DRY_RUN=1 make` goes through everything in two minutes.

MODEL_NAME ?= node_depth_300_sum_rule_context_with_context_tokens_new_name_decoder_all_packages_less_tokens_expansion_graph_requests
RUNDB ?= ./run-db
UPLOAD_ROOT ?= s3://fastnode-data/python-ggnn-expr-completion
BATCH ?= 20
MAX_SAMPLES ?= 40
CALL_PROPORTION ?= 15
ATTR_PROPORTION ?= 15
ATTR_BASE_PROPORTION ?= 5
ARG_TYPE_PROPORTION ?= 15
KWARG_NAME_PROPORTION ?= 15
ARG_PLACEHOLDER_PROPORTION ?= 45
SERVER ?= http://localhost:3039
SYNCER ?= http://localhost:3087
CHECKOUT ?=
ifeq ($(DRY_RUN),1)
STEPS ?= 10
CODEBOOK_MAX_EPOCHS ?= 10
NUM_VALIDATE_SAMPLES ?= 50
EXPR_CONFIG ?= config/fastnode/smoke.toml
CORPUS_DIR ?= corpus/dry-run
CORPUS_SOURCES ?= stdlib
CORPUS_MAX_FILES ?= 250
PACKAGES ?=
else
STEPS ?= 1000000
CODEBOOK_MAX_EPOCHS ?= 1500
NUM_VALIDATE_SAMPLES ?= 1000
EXPR_CONFIG ?= config/fastnode/expression.toml
CORPUS_DIR ?= corpus/all
CORPUS_SOURCES ?= stdlib site-packages
CORPUS_MAX_FILES ?= 0
PACKAGES ?=
endif

FASTNODE = $(PY) -m fastnode_ops
SETTINGS = --config-file $(EXPR_CONFIG) \
  --overrides train.batches_per_response=$(BATCH) --overrides samples.max_samples=$(MAX_SAMPLES) \
  --overrides samples.call_proportion=$(CALL_PROPORTION) --overrides samples.attr_proportion=$(ATTR_PROPORTION) \
  --overrides samples.attr_base_proportion=$(ATTR_BASE_PROPORTION) \
  --overrides samples.arg_type_proportion=$(ARG_TYPE_PROPORTION) \
  --overrides samples.kwarg_name_proportion=$(KWARG_NAME_PROPORTION) \
  --overrides samples.arg_placeholder_proportion=$(ARG_PLACEHOLDER_PROPORTION)
SOURCE_OF_SAMPLES = --corpus-dir '$(CORPUS_DIR)' --server '$(SERVER)'

# SYNC_DATA=1: train from the sample files that `make sync` brings; DATA_GEN_LOCAL=1: from those that stand there
FROM_FILES = $(or $(filter 1,$(SYNC_DATA)),$(filter 1,$(DATA_GEN_LOCAL)))
SAMPLE_FILES = $(if $(FROM_FILES),--data-dir '$(DATA_DIR)' $(if $(filter 1,$(SYNC_DATA)),--syncer $(SYNCER)))
# a continuation reads the set of the training, when nobody says how large it is
FILES_TO_TRAIN = $(SAMPLE_FILES) $(if $(FROM_FILES),--data-steps $(DATA_STEPS))
FILES_TO_CONTINUE = $(SAMPLE_FILES) \
  $(if $(FROM_FILES),--data-steps $(if $(filter file,$(origin DATA_STEPS)),0,$(DATA_STEPS)))

# what each step depends on beside its files; a changed text makes the step run again
PARAMS_corpus = $(CORPUS_SOURCES) $(CORPUS_MAX_FILES)
PARAMS_traindata = $(PACKAGES)
PARAMS_train = $(strip $(MODEL_NAME) $(STEPS) $(SETTINGS) $(FILES_TO_TRAIN))
PARAMS_compress = $(CODEBOOK_MAX_EPOCHS)
PARAMS_validate = $(MODEL_NAME) $(NUM_VALIDATE_SAMPLES) $(RUNDB)

CORPUS = $(CORPUS_DIR)/manifest.json
METAINFO = out/metainfo.json
FROZEN = out/expr_model.uncompressed.frozen.pb
SERVING = out/serve/expr_model.frozen.pb out/serve/metainfo-inference.json
FALLBACK = out/serve/attr-fallback.txt
CURATED = out/curated-examples/attr.json

.PHONY: all corpus traindata train continue compress convert validate_attribute validate_calls rebuild_curated_examples \
  upload pin datadeps graph_data_server example_viewer FORCE

all: validate_attribute rebuild_curated_examples  ## train and validate the completion model (DRY_RUN=1: in two minutes)

corpus: $(CORPUS)  ## the Python files it learns from, their symbols and where those occur
traindata: $(METAINFO)  ## distributions of the symbols to train on
train: $(FROZEN)  ## train, drawing samples from the graph data server (SYNC_DATA=1: from synced files)
compress: out/serve/expr_model.frozen.pb  ## codebooks in the place of the tables
convert: out/serve/metainfo-inference.json  ## the part of the indexes that completions need
validate_attribute: $(FALLBACK)  ## attribute completions of held-out files beside two baselines
rebuild_curated_examples: $(CURATED)  ## completions of the curated examples

# a name of its own: `make sync`, `make train` and `make datagen_parallel` work at the same time
MAKE_ID := $(shell echo $$PPID)
tmp/params/%.txt: FORCE
	@$(shell mkdir -p $(@D))$(file >$@.$(MAKE_ID),$(PARAMS_$*))
	@if cmp -s $@.$(MAKE_ID) $@; then rm $@.$(MAKE_ID); else mv $@.$(MAKE_ID) $@; fi

$(CORPUS): tmp/params/corpus.txt | $(VENV)/ready
	$(FASTNODE) build-corpus --corpus-dir $(CORPUS_DIR) $(CORPUS_SOURCES:%=--sources %) --max-files $(CORPUS_MAX_FILES)

# a machine that trains from files needs no corpus: there metainfo.json was brought, and is taken as it is
ifneq ($(FROM_FILES),)
ifneq ($(wildcard $(METAINFO)),)
ifeq ($(wildcard $(CORPUS)),)
METAINFO_IS_BROUGHT = 1
endif
endif
endif
ifndef METAINFO_IS_BROUGHT
$(METAINFO): $(CORPUS) tmp/params/traindata.txt $(PACKAGES)
	$(FASTNODE) build-metainfo --work-dir . $(SOURCE_OF_SAMPLES) --packages-file '$(PACKAGES)'
endif

$(FROZEN): $(METAINFO) $(EXPR_CONFIG) tmp/params/train.txt | $(VENV)/ready
	$(FASTNODE) train-model --work-dir . $(SOURCE_OF_SAMPLES) $(FILES_TO_TRAIN) \
	  --model-name $(MODEL_NAME) --steps $(STEPS) $(SETTINGS)

continue: $(VENV)/ready  ## train the finished model for STEPS more steps
	$(FASTNODE) continue-training --work-dir . $(SOURCE_OF_SAMPLES) $(FILES_TO_CONTINUE) \
	  --model-name $(MODEL_NAME) --steps $(STEPS) $(SETTINGS)

out/serve/expr_model.frozen.pb: $(FROZEN) tmp/params/compress.txt
	$(FASTNODE) compress-model --work-dir . $(SETTINGS) --max-epochs $(CODEBOOK_MAX_EPOCHS)

out/serve/metainfo-inference.json: $(METAINFO)
	$(FASTNODE) convert-metainfo --work-dir .

$(FALLBACK): $(SERVING) tmp/params/validate.txt
	$(FASTNODE) validate-attributes --work-dir . --corpus-dir $(CORPUS_DIR) --model-name $(MODEL_NAME) \
	  --max-events $(NUM_VALIDATE_SAMPLES) --rundb $(RUNDB)

validate_calls: $(FALLBACK)  ## call completions of held-out files
	$(FASTNODE) validate-calls --work-dir . --corpus-dir $(CORPUS_DIR) --model-name $(MODEL_NAME) \
	  --max-events $(NUM_VALIDATE_SAMPLES) --rundb $(RUNDB)

$(CURATED): $(FALLBACK) config/fastnode/curated-examples/attr.json
	$(FASTNODE) rebuild-curated-examples --work-dir . --corpus-dir $(CORPUS_DIR)

upload: $(VENV)/ready  ## out/ to UPLOAD_ROOT/<time>, with a manifest, read back
	$(FASTNODE) upload-model --work-dir . --destination $(UPLOAD_ROOT)/%t --model-name $(MODEL_NAME)

pin: $(VENV)/ready  ## make the uploaded model the one of the product in CHECKOUT
	$(FASTNODE) pin-model --work-dir . --checkout-dir '$(CHECKOUT)'

datadeps: $(VENV)/ready  ## pack the models of the product in CHECKOUT into its data bundle
	$(FASTNODE) rebuild-datadeps --checkout-dir '$(CHECKOUT)'

graph_data_server: $(CORPUS)  ## serve samples on port 3039 until interrupted
	$(FASTNODE) graph-data-server --corpus-dir $(CORPUS_DIR) --port 3039

example_viewer: $(VENV)/ready  ## a page over the examples of the last validation, on port 5555
	$(FASTNODE) example-viewer tmp/uncurated-examples/attr out/curated-examples/attr.json \
	  --model-dir out/serve --corpus-dir $(CORPUS_DIR)

include distributed.mk
