# SPDX-License-Identifier: MIT
# Sourced by the vulkan_*.sh after util.bash: ends with 77 where there is no Vulkan device, and gives a small experiment.
plugin=$BUILD/plugins/vulkan.so
export LOWBIT_CACHE=${LOWBIT_CACHE:-$tmp/cache} # run.sh names one, so that each shader is compiled once for all scripts
unset LOWBIT_VULKAN_TEST LOWBIT_VULKAN_VALIDATION

reason=$("$lowbit" list backends --csv | sed -n 's/^vulkan,[^,]*,no,[^,]*,[^,]*,\(.*\),[^,]*$/\1/p')
if [ ! -e "$plugin" ] || [ -n "$reason" ]; then
    echo "SKIPPED: no Vulkan device: ${reason:-the plugin was not built}"
    exit 77
fi

# A run of seconds: one format, trained where $1 says.
small() {
    printf '%s\n' configs/quick.json --quiet --set 'formats=["F16"]' --set data.train=64 --set data.test=32 --set train.epochs=1 --set "train.backend=$1"
}

# weights FOLDER: the SHA-256 of the trained weights of the rows of table.csv.
weights() {
    grep -o '[0-9a-f]\{64\},ok' "$1/table.csv" | cut -d, -f1 | sort -u
}

# verified SETTINGS: `lowbit verify` with these limits finds the bits of cpu_ref.
verified() {
    LOWBIT_VULKAN_TEST=$1 expect 0 "$lowbit" verify "$plugin" || return 0
    [ "$(grep -c ': ok (' "$tmp/out")" = 29 ] || fail "LOWBIT_VULKAN_TEST=$1: 29 ops that are ok are wanted" "$tmp/out"
}
