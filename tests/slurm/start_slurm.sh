#!/usr/bin/env bash
# Install (Debian, Ubuntu) and start a SLURM of one node on this machine, as root, with or without systemd.
# A second call finds it running and starts nothing; after a reboot, old jobs and node states are forgotten.
# The partition is called `local`. A SLURM that is not of this script's making is left alone.
set -euo pipefail

refuse() {
    echo "start_slurm.sh: $*" >&2
    exit 2
}
missing() {
    for command in "$@"; do command -v "$command" >/dev/null || return 0; done
    return 1
}
running() { ps -C "$1" -o stat= 2>/dev/null | grep -qv '^Z'; } # a dead one that nobody collects does not count
waited() { # seconds, command: whether it succeeds in time
    local tries=$(($1 * 5))
    shift
    for _ in $(seq "$tries"); do
        "$@" && return 0
        sleep 0.2
    done
    return 1
}

export PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || refuse "needs root, to install and start slurmctld, slurmd and munged"
conf=/etc/slurm/slurm.conf
if [ -s "$conf" ] && ! grep -q '^ClusterName=local$' "$conf"; then
    refuse "$conf belongs to another SLURM; run this where there is none"
fi

commands=(slurmctld slurmd munged sbatch sinfo srun scancel scontrol munge unmunge ps pkill)
if missing "${commands[@]}"; then
    missing apt-get && refuse "cannot install SLURM without apt-get; install slurmctld, slurmd, munge, sbatch by hand"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    apt=(apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update >"$log" 2>&1 || refuse "apt-get update failed: $(tail -n 1 "$log")"
    "${apt[@]}" install -y --no-install-recommends \
        slurmctld slurmd munge slurm-client slurm-wlm-basic-plugins procps >"$log" 2>&1 ||
        refuse "apt-get install failed: $(tail -n 1 "$log")"
    rm -f "$log"
    hash -r
    missing "${commands[@]}" && refuse "the packages of SLURM are installed, but not all of: ${commands[*]}"
fi

name=$(hostname -s)
getent hosts "$name" >/dev/null || echo "127.0.0.1 $name" >>/etc/hosts

# munge: who is who
install -d -o munge -g munge -m 0700 /etc/munge /var/lib/munge /var/log/munge
install -d -o munge -g munge -m 0755 /run/munge
[ "$(stat -c %s /etc/munge/munge.key 2>/dev/null || echo 0)" -ge 32 ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
chown munge:munge /etc/munge/munge.key
chmod 0400 /etc/munge/munge.key
munge_works() { munge -n 2>/dev/null | unmunge >/dev/null 2>&1; }
if ! munge_works; then
    running munged && ! waited 5 munge_works && pkill -x munged && sleep 1
    running munged || {
        rm -f /run/munge/munge.socket* /run/munge/munged.pid # of a machine that went down
        setpriv --reuid munge --regid munge --clear-groups munged
    }
fi
waited 10 munge_works || refuse "munged does not answer; see /var/log/munge"

# slurm: one controller, one node
controller_works() { scontrol ping 2>/dev/null | grep -q 'is UP'; }
install -d -o slurm -g slurm -m 0755 /var/lib/slurm/slurmctld /var/log/slurm
install -d -m 0755 /var/lib/slurm/slurmd /etc/slurm
if ! running slurmctld; then
    pkill -x slurmd && sleep 1 || true # of an older configuration
    megabytes=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    for limit in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do # of a container
        bytes=$(cat "$limit" 2>/dev/null || echo max)
        if [[ $bytes =~ ^[0-9]{1,15}$ ]] && ((bytes / 1048576 < megabytes)); then megabytes=$((bytes / 1048576)); fi
    done
    cores=$(nproc)
    # The tests ask for two cores: of one core, SLURM is told two. It believes its configuration, not the machine.
    cat >"$conf" <<CONF
ClusterName=local
SlurmctldHost=$name(127.0.0.1)
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=5
MinJobAge=60
KillWait=5
NodeName=$name NodeAddr=127.0.0.1 CPUs=$((cores > 2 ? cores : 2)) RealMemory=$((megabytes - 512)) State=UNKNOWN
PartitionName=local Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
    # Since 24.05 SLURM looks for cgroups unless told not to; before, it does not know the word.
    if [ "$(slurmd -V | grep -oE '[0-9]+' | head -n 1)" -ge 24 ]; then echo CgroupPlugin=disabled >/etc/slurm/cgroup.conf; fi
    slurmctld -c
fi
waited 20 controller_works || refuse "slurmctld does not answer; see /var/log/slurm/slurmctld.log"
running slurmd || slurmd -c
node_is() { sinfo --noheader --partition=local --format=%T 2>/dev/null | grep -qE "$1"; }
if ! waited 10 node_is '^(idle|mixed|allocated)$'; then
    scontrol update "nodename=$name" state=resume 2>/dev/null || true # it was down or drained
fi
waited 20 node_is '^(idle|mixed|allocated)$' || refuse "the node does not become ready; see /var/log/slurm"
sinfo
