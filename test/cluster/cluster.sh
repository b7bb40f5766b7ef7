#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/slurm.sbatch on a real Slurm, which this starts on this machine: an array of eight shares on two nodes. Both nodes lose their power in the middle, one
# task is told that its time limit is near, one is cancelled and submitted again. The merged tables equal those of one machine, byte for byte.
# Takes $BUILD/lowbit. Exit: 0; 1; 77 where Slurm is not installed (scripts/setup.sh --cluster) or cannot be started.
set -euo pipefail

skip() {
    echo "SKIPPED: $*"
    exit 77
}
for tool in munged slurmctld slurmd sbatch unshare ip hostname; do
    PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null || skip "$tool is not installed (scripts/setup.sh --cluster)"
done
export PATH=$PATH:/usr/sbin:/sbin
own=(unshare --pid --net --uts --mount-proc --fork --kill-child)
if [ "${1:-}" != --inside ]; then
    "${own[@]}" true 2>/dev/null || skip "no namespaces can be made here (${own[*]})"
    cd "$(dirname "${BASH_SOURCE[0]}")/../.."
    exec "${own[@]}" bash test/cluster/cluster.sh --inside
fi
. test/sh/util.bash
. test/cluster/daemons.bash
trap 'slurm_stop; rm -rf "$tmp"' EXIT

shares=8
options=(--set "seeds=[1,2,3,4,5,6,7,8]" --set 'formats=["F64","F16","BF16","F4_X8","I16_X1000","I8_X100","U8_X100","F4","INT16","INT8"]'
    --backend cpu_ref --set data.test=6000) # slow enough to be met in the middle
trials=80
expect 0 "$lowbit" run configs/quick.json "${options[@]}" --out "$tmp/one" --jobs 2 || finish
slurm_start || {
    tail -n 5 "$slurm"/*.out "$slurm/first"
    skip "Slurm does not start here: $(tail -qn 1 "$slurm/first" "$slurm/slurmctld.out" 2>/dev/null | tail -n 1)"
}
export LOWBIT=$lowbit CONFIG=configs/quick.json OUT=$tmp/results
array() { # ARRAY: its number
    sbatch --parsable --array="$1" --cpus-per-task=1 --time=20 --output="$tmp/log.%a" scripts/slurm.sbatch "${options[@]}"
}
merge() { # JOB: merges when it has ended
    sbatch --parsable --dependency=afterany:"$1" --output="$tmp/merge.%j" --wrap "$lowbit merge $OUT -o $OUT"
}
finished() { # TASK: its trials that are in the journal
    lines trial "$OUT/shard-$1-of-$shares" 2>/dev/null | grep . || echo 0
}
running() { # NODE: tasks that run there
    squeue -h -r -j "$job" -t RUNNING -w "$1" -o %K
}
limited=
# half_way NODE: names in $task one that runs there and has finished a part of its trials.
half_way() {
    for task in $(running "$1"); do
        [ "$task" != "$limited" ] && [ "$(finished "$task")" -ge 2 ] && [ "$(finished "$task")" -le 7 ] && return 0
    done
    return 1
}
meet() { # NODE: the same, waiting for it
    await 60 half_way "$1" || { fail "no task on $1 was met in the middle" "$tmp"/log.* && finish; }
}
restarted() { # TASK
    [ "$(task_field "$job" "$1" Restarts)" != 0 ]
}
state_is() { # JOB STATE, by what Slurm says
    scontrol -o show job "$1" | grep -q " JobState=$2 "
}
ended() { # JOB
    ! squeue -h -j "$1" 2>/dev/null | grep -q .
}

# ---- Power failures: n1 is back when Slurm has seen it, n2 stays away until its tasks are done elsewhere ----
job=$(array 1-$shares)
first_merge=$(merge "$job")
lost=()
for name in n1 n2; do
    meet $name
    read -ra tasks <<<"$(running $name | paste -sd' ')"
    node_kill $name
    for k in "${tasks[@]}"; do echo "$name lost its power: task $k had finished $(finished "$k") of $((trials / shares)) trials"; done
    lost+=("${tasks[@]}")
done
await 60 node_is n1 down && await 60 node_is n2 down || { fail "Slurm did not see that the nodes are gone" "$slurm/slurmctld.out" && finish; }
node_start n1

# ---- The time limit is near: the signal that Slurm then sends ----
meet n1
limited=$task
scancel --batch --signal=USR1 "$(task_field "$job" "$limited" JobId)" & # it may signal again, after seconds, where the task is gone for the moment
signaller=$!
await 30 grep -q "the time limit is near" "$tmp/log.$limited" || fail "task $limited was not queued again" "$tmp/log.$limited"
kill $signaller 2>/dev/null || true

# ---- Cancelled: stays so, and the merge says what lacks; a later array of one task brings the rest ----
meet n1
cancelled=$task
scancel "${job}_$cancelled" || fail "scancel: status $?"
await 240 ended "$first_merge" || fail "the merge did not end" "$slurm/slurmctld.out"
state_is "$first_merge" FAILED || fail "a merge that lacks a share did not fail" "$tmp/merge.$first_merge"
grep -q "share $cancelled of $shares: .* missing" "$tmp/merge.$first_merge" || fail "the merge does not name the share that lacks trials" "$tmp/merge.$first_merge"
for k in $(seq $shares); do
    wanted=COMPLETED
    [ "$k" != "$cancelled" ] || wanted=CANCELLED
    state_is "${job}_$k" $wanted || fail "task $k is $(task_field "$job" "$k" JobState), wanted $wanted" "$tmp/log.$k"
done
node_start n2
again=$(SHARES=$shares array "$cancelled")
second_merge=$(merge "$again")
await 120 ended "$second_merge" || fail "the second merge did not end" "$slurm/slurmctld.out"
state_is "$second_merge" COMPLETED || fail "the second merge failed" "$tmp/merge.$second_merge" "$tmp/log.$cancelled"

# ---- What came out ----
requeued=()
for k in $(seq $shares); do
    if restarted "$k"; then requeued+=("$k"); fi
    [ "$(finished "$k")" = $((trials / shares)) ] || fail "task $k: $(finished "$k") lines of trials, wanted $((trials / shares)): one was lost or ran twice" "$tmp/log.$k"
done
for k in "${lost[@]}" "$limited"; do
    [[ " ${requeued[*]} " == *" $k "* ]] || fail "task $k was not queued again" "$tmp/log.$k"
done
equal=yes
for f in table.csv table.md; do cmp "$tmp/one/$f" "$OUT/$f" || equal=no; done
[ $equal = yes ] || fail "the merged tables are not those of one machine"
echo "$trials trials, $shares shares, 2 nodes; nodes killed: 2, with ${#lost[@]} running tasks; tasks queued again: ${#requeued[@]}; cancelled and submitted again: 1; tables equal: $equal"
finish
