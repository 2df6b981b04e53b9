//! The slurm.conf of a cluster of one node.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Context;

/// The configuration, with everything that the daemons write in `folder`.
///
/// No cgroups (a container may not have them), ports that are free, and a node with a core for each task, whatever the
/// machine has. A credential that expires soon lets a requeued job start soon; a short timeout lets the controller notice
/// soon that the node is gone.
///
/// # Errors
/// No free port.
pub(crate) fn configuration(folder: &Path, host: &str) -> anyhow::Result<String> {
    let folder = folder.display();
    let [controller, node] = free_ports()?;
    let cores = crate::measurement::SHARDS;
    Ok(format!(
        "\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
PlugStackConfig=/dev/null
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5
SlurmdParameters=config_overrides
SlurmdTimeout=20
ReturnToService=2
KillWait=30
MinJobAge=3600
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=65536
PartitionName=all Nodes=one Default=YES MaxTime=INFINITE State=UP
"
    ))
}

/// Two ports that nobody listens on at this moment.
fn free_ports() -> anyhow::Result<[u16; 2]> {
    let first = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    let second = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}
