#!/usr/bin/env bash
# Re-runs the rows of recipes honest and everyday and makes the model that is shipped, one part at a time. What is there
# is not done again; any part can be interrupted and given again, and different parts can run beside each other.
#
#   FELTONE_DATA=~/corpora bash runs/honest.sh PART [options of reproduce, and of train for `ship`, e.g. --threads 1]
#
#   emobox    all four corpora on EmoBox's folds, three seeds and the three joined
#   strangers EmoDB and CREMA-D by groups of speakers, likewise
#   parts     what every ingredient is worth, matching included
#   joint     EmoDB and CREMA-D together by groups of speakers: what the shipped model's card says of its recipe
#   ship      then, of all clips, the model that is shipped; other corpora asked of it
#   rooms     then, of `emobox`: rooms, noise, telephones, short clips
set -euo pipefail
feltone=${FELTONE:-.venv/bin/feltone}
runs=${RUNS:-runs}
results=${RESULTS:-results/accuracy}
part=${1:?which part: emobox, strangers, parts, joint, ship or rooms}
shift

reproduce() { # WHAT options
  "$feltone" reproduce "$@" --results "$results" --out "$runs/reproduce"
}

case $part in
emobox | strangers)
  protocol=${part/strangers/speaker}
  recipes=(--recipe everyday-large --recipe everyday-after-crema-d --recipe honest-large --recipe honest-after-crema-d)
  corpora=(--corpus crema-d --corpus emodb)
  [ "$part" = strangers ] || corpora+=(--corpus savee --corpus ravdess)
  reproduce honest "${recipes[@]}" "${corpora[@]}" --protocol "$protocol" --seeds 3 "$@"
  ;;
parts)
  reproduce ablation --corpus emodb --protocol emobox "$@"
  ;;
joint)
  reproduce honest --recipe everyday-large --corpus emodb+crema-d --protocol speaker "$@"
  ;;
ship)
  strangers=$results/folds/emodb+crema-d__speaker__residual__everyday-large
  "$feltone" train everyday-large --corpus emodb+crema-d --protocol all --calibrate "$strangers" --out "$runs/ship" "$@"
  for corpus in savee ravdess; do
    "$feltone" evaluate "$runs/ship/seed-0/fold-1/residual" --corpus emodb+crema-d --protocol cross \
      --test-corpus "$corpus" --results "$results"
  done
  ;;
rooms)
  for recipe in everyday honest; do
    "$feltone" robustness "$runs/reproduce/emodb-emobox-$recipe-after-crema-d" --corpus emodb --protocol emobox \
      --out "$runs/rooms-$recipe" --results results/robustness
  done
  ;;
*)
  echo "$part: no such part; one of emobox, strangers, parts, joint, ship, rooms" >&2
  exit 2
  ;;
esac
