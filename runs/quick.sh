#!/usr/bin/env bash
# The whole story on a CPU in minutes: verify a corpus, train teacher -> matching -> student for one epoch each,
# score it with its leakage audit, recognise clips with it. Expect rough scores: it shows that everything runs.
#
#   FELTONE_DATA=~/corpora bash runs/quick.sh [corpus]
set -euo pipefail
corpus=${1:-emodb}
out=runs/quick-$corpus
feltone=${FELTONE:-.venv/bin/feltone}

"$feltone" prepare "$corpus" "$FELTONE_DATA" || [ $? -eq 3 ]
"$feltone" train smoke --corpus "$corpus" --protocol clean --out "$out" --no-compile
"$feltone" predict src/feltone/clips/*.flac --model "$out/seed-0/fold-1/student"
echo "look at: $out/report-student/report.html"
