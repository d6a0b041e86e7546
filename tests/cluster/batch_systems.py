"""Stand-ins for the commands of batch systems: a job is a local process group, its id the number of its leader."""

import os
import re
import stat
import sys
import time
from pathlib import Path

import psutil

RUN = """\
#!{python}
import os, subprocess, sys, time
from pathlib import Path

folder = Path({folder!r})
if (folder / "down").exists():
    sys.exit("{submit}: error: Unable to contact\\nthe controller")
text = Path(sys.argv[-1]).read_text()
condor = {condor!r}
sys.path.insert(0, {here!r})
import batch_systems

if condor:
    command = batch_systems.condor_command(text)
else:
    command = ["/bin/bash", "-s"]
with open(folder / "output", "a") as output:
    job = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True, cwd=folder, text=True
    )
if batch_systems.dies(folder):
    job.kill()
    job.wait()
elif not condor:
    job.stdin.write(text)
job.stdin.close()
(folder / f"job-{{job.pid}}").write_text(text)
if (folder / "slow").exists():
    time.sleep(3)
print({answer!r}.format(job.pid))
"""

CANCEL = """\
#!{python}
import os, signal, sys
from pathlib import Path

folder = Path({folder!r})
if (folder / "down").exists():
    sys.exit("{cancel}: error: Unable to contact\\nthe controller")
gone = False
for number in [one.partition(".")[0] for one in sys.argv[1:]]:
    (folder / f"cancelled-{{number}}").touch()
    try:
        os.killpg(int(number), signal.SIGKILL)
    except ProcessLookupError:
        gone = True
if gone:
    sys.exit("no such job")
"""

LIST = """\
#!{python}
import sys
from pathlib import Path

sys.path.insert(0, {here!r})
import batch_systems

if (Path({folder!r}) / "down").exists():
    sys.exit("{queue}: error: Unable to contact\\nthe controller")
for number in batch_systems.alive({folder!r}):
    print({listed!r}.format(number))
"""

COMMANDS = {
    "slurm": ("sbatch", "scancel", "squeue", "Submitted batch job {}", "{}"),
    "pbs": ("qsub", "qdel", "qstat", "{}.server", "{}.server  survey  user  00:00:00 R long"),
    "htcondor": ("condor_submit", "condor_rm", "condor_q", "1 job(s) submitted to cluster {}.", "{}"),
}


def condor_command(text):
    """The command of a submit file, by its rules: "" is a quote, and so is '' inside single quotes."""
    quoted = re.search(r'^Arguments = "(.*)"$', text, re.M)[1].replace('""', '"')
    arguments, word, inside, at = [], "", False, 0
    while at < len(quoted):
        one = quoted[at]
        if one == "'" and inside and quoted[at + 1 : at + 2] == "'":
            word, at = word + "'", at + 1
        elif one == "'":
            inside = not inside
        elif one == " " and not inside:
            arguments, word = [*arguments, word], ""
        else:
            word += one
        at += 1
    return [re.search(r"^Executable = (.*)$", text, re.M)[1], *arguments, word]


def install(kind, folder):
    """Put the commands of a batch system into a folder, which is to be first on PATH."""
    submit, cancel, queue, answer, listed = COMMANDS[kind]
    values = {
        "submit": submit,
        "cancel": cancel,
        "queue": queue,
        "listed": listed,
        "here": str(Path(__file__).parent),
        "python": sys.executable,
        "folder": str(folder),
        "condor": kind == "htcondor",
        "answer": answer,
    }
    for name, text in ((submit, RUN), (cancel, CANCEL), (queue, LIST)):
        path = Path(folder) / name
        path.write_text(text.format(**values))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def let_die(folder, number):
    """Have the next jobs end before they begin."""
    for one in range(number):
        (Path(folder) / f"dies-{one}").touch()


def dies(folder):
    """Whether a job is one of those that end before they begin; jobs that are submitted at once share no ticket."""
    for ticket in Path(folder).glob("dies-*"):
        try:
            ticket.unlink()
        except FileNotFoundError:
            continue
        return True
    return False


def jobs(folder):
    """Numbers of all jobs that were submitted."""
    return sorted(int(path.name[4:]) for path in Path(folder).glob("job-*"))


def cancelled(folder):
    """Numbers of the jobs that were to be cancelled."""
    return {int(path.name[10:]) for path in Path(folder).glob("cancelled-*")}


def await_end(folder, seconds=20):
    """Numbers of the jobs that still run after a while: a process that is killed goes when the system comes to it."""
    limit = time.monotonic() + seconds
    while alive(folder) and time.monotonic() < limit:
        time.sleep(0.1)
    return alive(folder)


def alive(folder):
    """Numbers of the jobs that still run."""
    groups = set()
    for process in psutil.process_iter(["status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE:  # not every machine's first process reaps
            try:
                groups.add(os.getpgid(process.pid))
            except ProcessLookupError:
                continue
    return [job for job in jobs(folder) if job in groups]
