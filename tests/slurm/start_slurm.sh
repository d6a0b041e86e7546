#!/usr/bin/env bash
# Install (Debian, Ubuntu) and start a SLURM of one node on this machine, as root and without systemd.
# A second call finds it running and starts nothing. The partition is called `local`.
set -euo pipefail

if [ "$(id -u)" != 0 ]; then
    echo "start_slurm.sh: needs root, to install and start slurmctld, slurmd and munged" >&2
    exit 2
fi
if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurmctld slurmd munge slurm-client slurm-wlm-basic-plugins >/dev/null
fi

name=$(hostname -s)
getent hosts "$name" >/dev/null || echo "127.0.0.1 $name" >>/etc/hosts

# munge: who is who
install -d -o munge -g munge -m 0700 /etc/munge /var/lib/munge /var/log/munge
install -d -o munge -g munge -m 0755 /run/munge
[ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
chown munge:munge /etc/munge/munge.key
chmod 0400 /etc/munge/munge.key
pgrep -x munged >/dev/null || setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged
for _ in $(seq 20); do munge -n 2>/dev/null | unmunge >/dev/null 2>&1 && break; sleep 0.2; done

# slurm: one controller, one node
install -d -o slurm -g slurm -m 0755 /var/lib/slurm/slurmctld /var/log/slurm
install -d -m 0755 /var/lib/slurm/slurmd
if ! pgrep -x slurmctld >/dev/null; then
    megabytes=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512))
    cat >/etc/slurm/slurm.conf <<CONF
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
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$megabytes State=UNKNOWN
PartitionName=local Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
    /usr/sbin/slurmctld
    sleep 1
fi
pgrep -x slurmd >/dev/null || /usr/sbin/slurmd
for _ in $(seq 60); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -qE 'idle|mixed|allocated'; then
        sinfo
        exit 0
    fi
    sleep 0.5
done
echo "start_slurm.sh: no node became ready; see /var/log/slurm" >&2
exit 1
