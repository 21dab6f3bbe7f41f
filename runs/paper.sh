#!/usr/bin/env bash
# Re-runs every accuracy row of results/: each line trains what is not trained yet, then writes its rows. Any line can
# be interrupted and given again. On one core with fast bf16 a fold of EmoDB or SAVEE takes an hour and a half, one of
# RAVDESS four hours; the folds of one line can run side by side with --fold K.
#
#   FELTONE_DATA=~/corpora bash runs/paper.sh
set -euo pipefail
feltone=${FELTONE:-.venv/bin/feltone}
runs=${RUNS:-runs}

row() { # recipe corpus protocol [options of train]
  local out="$runs/$2-$3-$1"
  "$feltone" train "$1" --corpus "$2" --protocol "$3" --out "$out" --accelerator cpu --precision bf16 --threads 1 "${@:4}"
  [ "$3" = all ] || "$feltone" evaluate "$out" --results results/accuracy
}

row paper emodb paper
row paper emodb clean
row paper emodb emobox
row paper emodb speaker
row paper savee paper
row paper savee emobox
row paper ravdess emobox --fold 1
row brief emodb clean
row brief emodb all

# Table 1 without positions; the rivals of Tables 2 and 3, which want a GPU (--accelerator cuda); square patches.
# row nope emodb paper
# row ast emodb paper
# row septr emodb paper
# row paper-16x16 emodb paper

# What is to be beaten: minutes.
for place in "emodb emobox" "emodb speaker" "emodb clean" "savee emobox" "ravdess emobox"; do
  read -r corpus protocol <<<"$place"
  "$feltone" baseline compare-svm --corpus "$corpus" --protocol "$protocol" --results results/accuracy \
    --out "$runs/$corpus-$protocol-compare-svm"
done
