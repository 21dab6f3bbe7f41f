#!/usr/bin/env bash
# Re-runs the rows of the paper's recipe and of its rivals; honest.sh those of the others. What is there is not done
# again; any line can be interrupted and given again. `feltone reproduce all --plan` says what is left and about how long
# it takes; on a GPU everything but SepTr and CREMA-D is an evening, on a CPU start with what the lines below name.
#
#   FELTONE_DATA=~/corpora bash runs/paper.sh [options of reproduce and train, e.g. --accelerator cpu --threads 1]
set -euo pipefail
feltone=${FELTONE:-.venv/bin/feltone}
runs=${RUNS:-runs}

"$feltone" reproduce table3 --recipe paper --corpus emodb --corpus savee --out "$runs/reproduce" "$@"
"$feltone" reproduce table3 --recipe paper --corpus ravdess --protocol emobox --out "$runs/reproduce" "$@"

# The recipe of the shipped student, for its card.
row() { # corpus protocol
  local out="$runs/$1-$2-brief" options=("${@:3}")
  "$feltone" train brief --corpus "$1" --protocol "$2" --out "$out" "${options[@]}"
  [ "$2" = all ] || "$feltone" evaluate "$out" --results results/accuracy
}
row emodb clean "$@"
row emodb emobox "$@"
row emodb all "$@"

# What is to be beaten: minutes.
for place in "emodb emobox" "emodb speaker" "emodb clean" "savee emobox" "ravdess emobox"; do
  read -r corpus protocol <<<"$place"
  "$feltone" baseline compare-svm --corpus "$corpus" --protocol "$protocol" --results results/accuracy \
    --out "$runs/$corpus-$protocol-compare-svm"
done
