#!/bin/sh
# The graph data server of docker-compose.yml: makes its corpus when there is none, then serves it.
set -eu
# shellcheck disable=SC2046 - a list of folders and archives without spaces
python3 -m fastnode_ops build-corpus --corpus-dir "$CORPUS_DIR" --max-files "$CORPUS_MAX_FILES" \
  $(printf ' --sources %s' $CORPUS_SOURCES)
exec python3 -m fastnode_ops.server --corpus-dir "$CORPUS_DIR" --host 0.0.0.0 --port 3039 --workers "$GRAPH_DATA_WORKERS"
