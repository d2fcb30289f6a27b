#!/bin/sh
# Continue a base checkpoint with what lies beside this script (benchmarks/pack_pretrain.py):
#   sh run_pretrain.sh FROM.safetensors TO.safetensors --minutes N [options of crnnkit pretrain]
# FROM is left as it is; where TO exists, it is continued instead.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
from=$1 to=$2
shift 2
[ -e "$to" ] || cp "$from" "$to"
export PYTHONPATH="$here:$here/libraries"
# -P: the package beside this script, not one in the working directory
exec python3 -P -u -c 'from crnnkit.cli.app import main; main()' pretrain --output "$to" \
    --vocab-path "$here/vocab.txt" --fonts "$here/fonts" \
    --chinese-lexicon "$here/chinese.txt" --english-lexicon "$here/english.txt" "$@"
