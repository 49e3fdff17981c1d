#!/usr/bin/env bash
# Submits a job of jobs/ with what siltstone needs of Spark: the environment, memory for Python, one interpreter.
set -euo pipefail

usage() {
  cat <<TEXT
usage: ./spark-submit.sh JOB [--env local|emr] [--spark KEY=VALUE ...] [--dry-run] -- ARGUMENTS OF THE JOB

  JOB        a file of jobs/ without .py, such as compact
  --env      local: this machine's cores with .venv (default)
             emr:   YARN in cluster mode; ships dist/siltstone-env.tar.gz (make archive), uses conf/emr.yaml
  --spark    one more Spark setting, repeatable
  --dry-run  print the command instead of running it

example: ./spark-submit.sh compact --env local -- datalog INPUT LAKE
TEXT
}

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
[ $# -gt 0 ] || { usage >&2; exit 2; }
case "$1" in -h|--help) usage; exit 0 ;; esac

job="$1"; shift
env=local dry_run="" settings=()
while [ $# -gt 0 ] && [ "$1" != "--" ]; do
  case "$1" in
    --env) env="${2:?--env needs a value}"; shift 2 ;;
    --spark) settings+=(--conf "${2:?--spark needs KEY=VALUE}"); shift 2 ;;
    --dry-run) dry_run=1; shift ;;
    -h|--help) usage; exit 0 ;;
    *) echo "spark-submit.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
done
[ $# -eq 0 ] || shift

file="$here/jobs/$job.py"
if [ ! -f "$file" ]; then
  echo "spark-submit.sh: no job '$job'; there are: $(cd "$here/jobs" && ls -- *.py | sed '/^settle/d; s/\.py$//' | tr '\n' ' ')" >&2
  exit 2
fi

# Python memory of an executor is overhead to Spark: 1 GiB for each core.
cores="${SILTSTONE_EXECUTOR_CORES:-4}"
common=(--conf spark.sql.session.timeZone=UTC --conf spark.ui.showConsoleProgress=false)

case "$env" in
  local)
    submit="$here/.venv/bin/spark-submit"
    [ -x "$submit" ] || { echo "spark-submit.sh: no .venv yet; run: make setup" >&2; exit 2; }
    export POLARS_MAX_THREADS=1 PYSPARK_PYTHON="${PYSPARK_PYTHON:-$here/.venv/bin/python}" PYSPARK_DRIVER_PYTHON="$here/.venv/bin/python"
    command=("$submit" --master "${SPARK_MASTER:-local[*]}" "${common[@]}" --conf spark.ui.enabled=false
      --conf spark.log.level=WARN ${settings[@]+"${settings[@]}"} "$file" --conf "$here/conf/local.yaml" "$@")
    ;;
  emr)
    archive="$here/dist/siltstone-env.tar.gz"
    [ -f "$archive" ] || [ -n "$dry_run" ] || { echo "spark-submit.sh: no $archive; run: make archive" >&2; exit 2; }
    command=(spark-submit --master yarn --deploy-mode cluster "${common[@]}"
      --executor-cores "$cores"
      --conf "spark.executor.memoryOverhead=${cores}g"
      --conf spark.yarn.appMasterEnv.PYSPARK_PYTHON=./environment/bin/python
      --conf spark.executorEnv.PYSPARK_PYTHON=./environment/bin/python
      --conf spark.executorEnv.POLARS_MAX_THREADS=1
      --archives "$archive#environment" --files "$here/conf/emr.yaml"
      ${settings[@]+"${settings[@]}"} "$file" --conf emr.yaml "$@")
    ;;
  *) echo "spark-submit.sh: unknown --env $env; known: local, emr" >&2; exit 2 ;;
esac

if [ -n "$dry_run" ]; then printf '%q ' "${command[@]}"; echo; else exec "${command[@]}"; fi
