#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# docs/results.md has every column of table.csv and measured.csv, in order, and no other. The headers are those of a report without trials.
set -euo pipefail
. test/sh/util.bash
scratch=$tmp
echo '{"kind":"experiment","name":"none","trials":[]}' | sealed >"$scratch/trials.jsonl"
"$BUILD/lowbit" report "$scratch" --quiet >/dev/null
status=0
for table in table measured; do
    head -n 1 "$scratch/$table.csv" | tr , '\n' >"$scratch/made"
    awk -v section="## $table.csv" '/^## / { inside = ($0 == section) } inside' docs/results.md | sed -n 's/^| `\([^`]*\)` |.*/\1/p' >"$scratch/written"
    if ! diff "$scratch/made" "$scratch/written" >"$scratch/diff"; then
        echo "docs/results.md, section \"$table.csv\": the columns are not those of the table (<), in their order:"
        cat "$scratch/diff"
        status=1
    fi
    [ "$(wc -l <"$scratch/made")" -gt 10 ] || { echo "$table.csv: no header" && status=1; }
done
[ $status = 0 ] || echo "repeat: BUILD=$BUILD bash test/sh/results_doc.sh"
exit $status
