#!/bin/sh
# Seeds the fuzzers from the corpus: whole messages, their URIs, and messages as streams.
set -eu
cd "$(dirname "$0")/.."
mkdir -p fuzz/corpus/message fuzz/corpus/uri fuzz/corpus/framing
n=0
find corpus/rfc4475 corpus/rfc5118/wire corpus/malformed -type f -size -64k | sort | while read -r file; do
  n=$((n + 1))
  cp "$file" "fuzz/corpus/message/seed-$n"
  { printf 'a'; cat "$file"; } > "fuzz/corpus/framing/seed-$n"
  grep -aoE '<[^>]*>|sips?:[^ >]*' "$file" | head -5 > "fuzz/corpus/uri/seed-$n" || true
done
