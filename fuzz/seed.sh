#!/bin/sh
# Seeds the fuzzers from the corpus: whole messages, their URIs, their bodies, and messages as streams.
set -eu
cd "$(dirname "$0")/.."
mkdir -p fuzz/corpus/message fuzz/corpus/uri fuzz/corpus/framing fuzz/corpus/sdp fuzz/corpus/rtp
n=0
find corpus/rfc4475 corpus/rfc5118/wire corpus/malformed -type f -size -64k | sort | while read -r file; do
  n=$((n + 1))
  cp "$file" "fuzz/corpus/message/seed-$n"
  { printf 'a'; cat "$file"; } > "fuzz/corpus/framing/seed-$n"
  grep -aoE '<[^>]*>|sips?:[^ >]*' "$file" | head -5 > "fuzz/corpus/uri/seed-$n" || true
  if grep -aq '^v=0' "$file"; then sed -n '/^v=0/,$p' "$file" > "fuzz/corpus/sdp/seed-$n"; fi
done
# One packet of sound, one of a key, one report.
printf '\016\024\200\000\000\001\000\000\000\240\000\000\000\001ab\020\024\200\345\000\002\000\000\001\100\000\000\000\001\005\212\000\240\010\377\200\311\000\001\000\000\000\001' > fuzz/corpus/rtp/seed-1
