#!/bin/sh
# Slurm prolog: notes the energy totals of this node for epilog.sh. Never fails.
. "${KWAPI_JOBS_CONF:-/etc/default/kwapi-jobs}" 2>/dev/null
node=${SLURMD_NODENAME:-$(hostname -s)}
probe=$(printf '%s' "${KWAPI_PROBE:-%n}" | sed "s/%n/$node/g")
marks=${KWAPI_MARKS:-/run/kwapi-jobs}
mkdir -p "$marks" && timeout 15 "${KWAPI:-kwapi}" --log error measure --url "${KWAPI_URL:-http://127.0.0.1:5000}" \
  ${KWAPI_TOKEN_FILE:+--token-file "$KWAPI_TOKEN_FILE"} --probes "$probe" --begin "$marks/$SLURM_JOB_ID" \
  || logger -t kwapi "job $SLURM_JOB_ID on $node: energy is not measured" 2>/dev/null
exit 0
