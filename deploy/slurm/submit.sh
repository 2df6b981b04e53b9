#!/bin/bash
# Submits profile.sbatch as an array of SHARDS tasks, and merge.sbatch to run when all of them have
# ended. Arguments are sbatch options for the array.
#
#   SHARDS=32 CHECKPOINT=model.pt DATA=cifar10 LIMIT=1024 OUT_DIR=profile ./submit.sh --partition=cpu
set -eu

: "${SHARDS:?expected SHARDS=N, the number of tasks}"
: "${CHECKPOINT:?expected CHECKPOINT=FILE, the network to measure}"
: "${DATA:?expected DATA=PATH, the images}"
export SHARDS CHECKPOINT DATA OUT_DIR="${OUT_DIR:-profile}"

here=$(dirname "$(readlink -f "$0")")
array=$(sbatch --parsable --array="0-$((SHARDS - 1))" "$@" "$here/profile.sbatch")
array=${array%%;*} # "ID;CLUSTER" on federated clusters
echo "profile: job $array, tasks 0 to $((SHARDS - 1))"
# Not afterok: one task that fails spoils it for good, even if the task is requeued and succeeds. The
# merge itself looks whether every shard is there.
merge=$(sbatch --parsable --dependency="afterany:$array" "$here/merge.sbatch")
echo "merge: job ${merge%%;*}, writes $OUT_DIR/profile.safetensors"
