#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# The tables of docs/formats.md say what the program says: every codec and every named format, and no other; bits, values, aliases, units; codec, scale and
# bits of the named formats, found by converting a matrix of 16 x 4096.
set -euo pipefail
. test/sh/util.bash
doc=docs/formats.md

# rows FIRST SECTION: the cells of all tables of the section whose first column is called FIRST, as lines "cell|cell|..." after one with the columns' names.
rows() {
    awk -v first="$1" -v section="## $2" '
        function cells(line) { gsub(/^\| *| *\|$/, "", line); gsub(/ *\| */, "|", line); gsub(/`/, "", line); return line }
        /^## / { inside = $0 == section }
        !/^\|/ { table = 0 }
        inside && /^\|/ && !table { table = 1; mine = index(cells($0), first "|") == 1 }
        inside && /^\|/ && mine && !/^\|---/ { print cells($0) }' "$doc"
}

# ---- Codecs: lines "name bits kind aliases", "name least largest above0 inf-nan", "name elements, bytes" ----
expect 0 "$lowbit" list codecs --csv || finish
awk -F, 'NR > 1 && $6 == "ok" && $2 != "" && $7 !~ /skeleton_codec/ { print $1 "|" $2 "|" $3 "|" $5 }' "$tmp/out" | sort >"$tmp/codecs"
[ "$(wc -l <"$tmp/codecs")" -ge 40 ] || fail "lowbit list codecs: few codecs" "$tmp/out"
while IFS='|' read -r name bits kind aliases; do
    if "$lowbit" show "$name" --csv >"$tmp/values" 2>"$tmp/err"; then
        awk -F, -v name="$name" -v bits="$bits" -v aliases="$aliases" '
            NR == 1 { next }
            $2 == "nan" { nan = 1; next }
            $2 ~ /inf/ { inf = 1; next }
            { v = $2 + 0 }
            !n++ { least = largest = v }
            v < least { least = v }
            v > largest { largest = v }
            v > 0 && (!above || v < above) { above = v }
            END { printf "%s|%s|%.6g|%.6g|%.6g|%s|%s\n", name, bits, least, largest, above, inf ? (nan ? "Inf NaN" : "Inf") : nan ? "NaN" : "none", aliases }' "$tmp/values"
    elif unit=$(sed -n 's/.*is a block codec, \([0-9]*\) elements in \([0-9]*\) bytes.*/\1, \2/p' "$tmp/err") && [ "$unit" ]; then
        echo "$name|$unit|$bits|$kind"
    else
        echo "$name|$bits|$aliases"
    fi
done <"$tmp/codecs" | sort >"$tmp/made"
# Of a number's cell the first word counts: "0.5 (2^-1)".
rows codec Codecs | awk -F'|' '
    $1 == "codec" { layout = $3 == "least" ? "table" : $2 == "bits" ? "wide" : "block"; next }
    layout == "table" { for (i = 3; i <= 5; i++) sub(/ .*/, "", $i); print $1 "|" $2 "|" $3 "|" $4 "|" $5 "|" $6 "|" $7 }
    layout == "wide" { print $1 "|" $2 "|" $3 }
    layout == "block" { print $1 "|" $2 "|" $3 "|" $4 }' | sort >"$tmp/written"
diff "$tmp/made" "$tmp/written" >"$tmp/diff" || fail "$doc, codecs: what the program says (<), and what is written (>)" "$tmp/diff"

# ---- Named formats ----
header='{"w":{"dtype":"F32","shape":[16,4096],"data_offsets":[0,262144]}}'
{
    printf '%b' "\\x$(printf '%02x' ${#header})\\0\\0\\0\\0\\0\\0\\0"
    printf '%s' "$header"
    head -c 262144 /dev/zero
} >"$tmp/w.safetensors"
expect 0 "$lowbit" list formats --csv || finish
sed 1d "$tmp/out" >"$tmp/formats"
while IFS=, read -r name codec scale fit _; do
    format=$name
    if [ "$fit" ]; then # only a run can fit; the bytes are those of the format without
        expect 2 "$lowbit" convert "$tmp/w.safetensors" "$tmp/f.safetensors" --format "$name" || continue
        grep -q "format $name: \"fit\" needs training samples" "$tmp/err" || fail "$name: converting to it is refused otherwise" "$tmp/err"
        format=$(sed -n "s/.*{ \"name\": \"$name\", \(.*\), \"fit\": .*/{ \1 }/p" configs/formats.json)
    fi
    "$lowbit" convert "$tmp/w.safetensors" "$tmp/f.safetensors" --format "$format" --quiet 2>"$tmp/err" || { fail "$name: cannot be converted to" "$tmp/err"; continue; }
    bytes=$("$lowbit" inspect "$tmp/f.safetensors" | sed -n 's/^header.* data: \([0-9]*\) bytes.*/\1/p')
    echo "$name|$codec|$scale|$(awk -v b="$bytes" 'BEGIN { printf "%.3f", b * 8 / 65536 }')"
done <"$tmp/formats" | sort >"$tmp/made"
rows format 'Named formats' | awk -F'|' '$1 != "format" { print $1 "|" $2 "|" $3 "|" $4 }' | sort >"$tmp/written"
[ "$(wc -l <"$tmp/made")" -ge 40 ] || fail "lowbit list formats: few formats" "$tmp/made"
diff "$tmp/made" "$tmp/written" >"$tmp/diff" || fail "$doc, named formats: what the program says (<), and what is written (>)" "$tmp/diff"
finish
