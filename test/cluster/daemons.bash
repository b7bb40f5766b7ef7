#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Sourced. A Slurm of its own in $tmp/slurm: munged, slurmctld, and nodes n1 and n2 of two processors each, all on this machine. The script that sources
# it must be the root of namespaces of its own (cluster.sh says how): so ports, host names and processes are nobody else's, and all end with it.
slurm=${tmp:?}/slurm
export SLURM_CONF=$slurm/slurm.conf
address=192.0.2.1 # one for documentation; names are not resolved where there are only loopback addresses
declare -A node # name, of the daemons on the controller too: the process whose end is the node's

# await SECONDS COMMAND...: until it succeeds.
await() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.2
    done
}

# A node is a tree of processes with a host name: the end of its first process is kill -9 for all, as when its power fails.
node_start() {
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare --pid --uts --mount-proc --fork --kill-child bash -c 'hostname "$0"; slurmd -D -N "$0"; exit' "$1" </dev/null >>"$slurm/$1.out" 2>&1 &
    node[$1]=$!
}
node_kill() {
    kill -9 "${node[$1]}" 2>/dev/null || true
    wait "${node[$1]}" 2>/dev/null || true
}
node_is() { # name, beginning of a state
    [[ $(sinfo -h -n "$1" -o %t) == $2* ]]
}

slurm_start() {
    mkdir -p "$slurm"/{state,munge}
    chmod 711 "$slurm/munge"
    head -c 1024 /dev/urandom >"$slurm/munge/key"
    chmod 600 "$slurm/munge/key"
    # cred_expire is also how long a task that was queued again waits.
    cat >"$SLURM_CONF" <<CONF
ClusterName=lowbit
SlurmctldHost=controller($address)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$slurm/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool.%n
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.%n.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=9
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=n1 NodeAddr=$address Port=6821 CPUs=2 RealMemory=64
NodeName=n2 NodeAddr=$address Port=6822 CPUs=2 RealMemory=64
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=30
CONF
    hostname controller
    echo $address controller n1 n2 >"$slurm/hosts"
    mount --bind "$slurm/hosts" /etc/hosts && ip link set lo up && ip address add $address dev lo || return 1
    munged --foreground --force --key-file="$slurm/munge/key" --socket="$slurm/munge/socket" --pid-file="$slurm/munge/pid" \
        --seed-file="$slurm/munge/seed" </dev/null >>"$slurm/munged.out" 2>&1 &
    node[munged]=$!
    await 10 test -S "$slurm/munge/socket" || return 1
    slurmctld -D </dev/null >>"$slurm/slurmctld.out" 2>&1 &
    node[controller]=$!
    await 10 scontrol ping || return 1
    node_start n1
    node_start n2
    await 20 node_is n1 idle && await 20 node_is n2 idle || return 1
    timeout 30 sbatch --wait --output=/dev/null --wrap true >"$slurm/first" 2>&1
}

slurm_stop() {
    local name
    for name in "${!node[@]}"; do node_kill "$name"; done
}

# task_field JOB TASK NAME: what Slurm says of a task.
task_field() {
    scontrol -o show job "$1_$2" | grep -oE "(^| )$3=[^ ]*" | cut -d= -f2
}
