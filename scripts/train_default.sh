#!/usr/bin/env bash
# The default model, trained on a GPU machine in parts of a few minutes each.
#
#   scripts/train_default.sh prepare [--peer]      here: what the GPU machine lacks, into kit/ (and diffusers)
#   scripts/train_default.sh part SECONDS [ARGS]   there: go on for so long; ARGS are more of `sfumato train`
#   scripts/train_default.sh python FILE [ARGS]    there: another script, with the same packages
#
# A part takes up the parcels of the last one, trains, and leaves parcels with which the next part goes on, on another
# machine if need be. When all is trained it evaluates the model, and the parcels hold both:
#
#   python scripts/parcels.py unpack parcels my-model
#
# It leaves with 0 when all is done and with 75 when it must be called again. On the machine there need be Python, torch,
# numpy, safetensors, Pillow, tokenizers and rich; nothing is fetched there. These may be set:
#
#   KIT=kit               what `prepare` left; always by the same path, since the recipe names it
#   PARCELS=parcels       where the parcels of the last part are
#   OUT=$PARCELS          where those of this part go
#   WORK=runs/default     where the model grows
#   FILES=8 SIZE=15000000 TOTAL=60000000   how many parcels there may be, the bytes of each, and of all
#   COUNT=24              pictures that are judged of each category, seen and held out
#   PYTHON=python3        by which Python
set -euo pipefail
cd "$(dirname "$0")/.."

KIT=${KIT:-kit} PARCELS=${PARCELS:-parcels} WORK=${WORK:-runs/default}
OUT=${OUT:-$PARCELS} PYTHON=${PYTHON:-python3}
PACKAGES=(pydantic pydantic-core annotated-types typing-inspection typing-extensions
    typer shellingham annotated-doc jaxtyping wadler-lindig tensorboardX protobuf packaging)
PEER=(diffusers importlib-metadata zipp)  # for benchmarks/speedrun.py --peer
AGAIN=75  # as EX_TEMPFAIL: what is asked for is not done yet
EVALUATION=30  # seconds without which an evaluation is not begun

prepare() {
    local platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64)
    [ "${1:-}" != --peer ] || PACKAGES+=("${PEER[@]}")
    mkdir -p "$KIT/wheels"
    "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${PYTHON_VERSION:-3.12}" \
        --implementation cp "${platforms[@]}" --constraint constraints.txt --dest "$KIT/wheels" "${PACKAGES[@]}"
    PYTHONPATH=src "$PYTHON" -c "
import sys
from pathlib import Path
from sfumato.data.scenes.sprites import from_font
from_font().save(Path(sys.argv[1]))" "$KIT/sprites.png"
    du -sh "$KIT"
}

install() {
    local site
    site=$(realpath --canonicalize-missing "$WORK").site
    export PYTHONPATH=$PWD/src:$site PYTHONUNBUFFERED=1
    [ -d "$site" ] && return
    compgen -G "$KIT/wheels/diffusers-*" >/dev/null && PACKAGES+=("${PEER[@]}")
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --find-links "$KIT/wheels" \
        --target "$site.partial" "${PACKAGES[@]}"
    mv "$site.partial" "$site"
}

# Runs a command of sfumato until so many seconds of the part have passed. True when it ended by itself; a signal to stop
# is no error, since it goes on with the next part.
until_second() {
    local left=$(($1 - SECONDS)) code=0
    shift
    [ "$left" -gt 0 ] || return 1
    timeout --preserve-status --kill-after=60 "$left" "$PYTHON" -m sfumato "$@" || code=$?
    case $code in
        0) return 0 ;;
        130 | 137 | 143) return 1 ;; # stopped with a checkpoint, killed, terminated between two stages
        *) failed=$code && return 1 ;;
    esac
}

part() {
    local seconds=$1 failed=0 ended=$AGAIN
    shift
    install
    mkdir -p "$(dirname "$WORK")" "$OUT"
    if compgen -G "$PARCELS/parcel-*" >/dev/null; then
        "$PYTHON" scripts/parcels.py unpack "$PARCELS" "$WORK"
    fi
    local settings=(--set "data.sprites=$KIT/sprites.png" --set run.device=cuda --set run.compile=true)
    if until_second "$seconds" train scenes --recipe scenes --out "$WORK" "${settings[@]}" "$@"; then
        if [ -f "$WORK/run/evaluation/scenes.json" ]; then
            ended=0
        elif [ $((seconds - SECONDS)) -ge "$EVALUATION" ] && until_second "$seconds" \
            evaluate "$WORK" --scenes --sprites "$KIT/sprites.png" --count "${COUNT:-24}" --out "$WORK/run/evaluation"; then
            ended=0
        fi
    fi
    if [ -d "$WORK/run" ]; then
        "$PYTHON" scripts/parcels.py pack "$WORK" "$OUT" --files "${FILES:-8}" --size "${SIZE:-15000000}" \
            --total "${TOTAL:-60000000}"
    fi
    [ "$failed" -eq 0 ] || { echo "A command failed with $failed; what it had done before is packed." >&2 && exit "$failed"; }
    [ "$ended" -eq 0 ] || echo "There is more to do: carry the parcels, and call this again."
    exit "$ended"
}

case ${1:-} in
    prepare) prepare "${@:2}" ;;
    python) install && exec "$PYTHON" "${@:2}" ;;
    part) part "${2:?how many seconds}" "${@:3}" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
