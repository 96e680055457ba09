#!/bin/sh
# Slurm epilog: writes the energy of a job on this node, since prolog.sh noted its totals. Never fails.
. "${KWAPI_JOBS_CONF:-/etc/default/kwapi-jobs}" 2>/dev/null
node=${SLURMD_NODENAME:-$(hostname -s)}
probe=$(printf '%s' "${KWAPI_PROBE:-%n}" | sed "s/%n/$node/g")
mark=${KWAPI_MARKS:-/run/kwapi-jobs}/$SLURM_JOB_ID
reports=${KWAPI_REPORTS:-/var/log/kwapi/jobs}
[ -e "$mark" ] || exit 0
mkdir -p "$reports" && timeout 30 "${KWAPI:-kwapi}" --log error measure --url "${KWAPI_URL:-http://127.0.0.1:5000}" \
  ${KWAPI_TOKEN_FILE:+--token-file "$KWAPI_TOKEN_FILE"} --probes "$probe" --end "$mark" --json \
  --output "$reports/$SLURM_JOB_ID.$node.json" \
  || logger -t kwapi "job $SLURM_JOB_ID on $node: energy is not measured" 2>/dev/null
rm -f "$mark"
exit 0
