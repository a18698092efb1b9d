#!/bin/sh
# Trains with one change of the defaults at a time, each as an experiment of DVC that is called PREFIX<change>:
#
#     sh docs/sweep.sh "$PWD/geological_similarity.zip" geological-     # 20 minutes for 30,000 images
#
# Data and features are those of SOURCE afterwards; `git checkout HEAD -- . && dvc checkout` goes back.
set -eu
source=$1 prefix=$2
git diff --quiet HEAD -- params.yaml || { echo "params.yaml has changes: commit them first" >&2 && exit 1; }

try() {
  name=$1 && shift
  dvc exp run --quiet --name "$prefix$name" --set-param "data.source=$source" "$@" train
  git checkout --quiet HEAD -- params.yaml # DVC leaves the experiment's there
}

early=block1a,block2a,block2b,block3a late=block3b,block4c,block5c
try defaults
try embedding-16 -S embedding.size=16
try embedding-64 -S embedding.size=64
try lr-0.003 -S train.lr=0.003
try lr-0.03 -S train.lr=0.03
try dropout-0 -S train.dropout=0
try dropout-0.5 -S train.dropout=0.5
try scale-4 -S train.scale=4
try scale-16 -S train.scale=16
try softmax -S train.loss=softmax
try softmax-dropout-0 -S train.loss=softmax -S train.dropout=0
try weight-decay-0 -S train.weight_decay=0
try weight-decay-0.03 -S train.weight_decay=0.03
try decay-0.0001 -S train.decay=0.0001
try unstandardized -S train.standardize=false
try no-final -S "backbone.taps=[$early,$late]"
try late-taps -S "backbone.taps=[$late,final]"
try image-64 -S backbone.image_size=64
try image-128 -S backbone.image_size=128
