#!/bin/sh
# Brings authsvc's public keys to HAProxy, and reloads it when they have changed. Every minute from cron, as root:
#
#   * * * * *  AUTHSVC=https://auth.example.org /etc/haproxy/authsvc/fetch-keys.sh
#
# A key is published six minutes before it signs, so a minute is soon enough; a revoked one is gone a minute later.
# When authsvc doesn't answer, or answers something else, everything stays as it was. Needs curl.
set -eu

authsvc=${AUTHSVC:-http://127.0.0.1:8000}
folder=${FOLDER:-/etc/haproxy/authsvc}
reload=${RELOAD:-systemctl reload haproxy}

umask 022
new=$(mktemp -d "$folder/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT

get() { curl --fail --silent --show-error --max-time 5 --max-filesize 65536 "$authsvc/$1"; }

# The kids of the ES256 keys. A kid becomes a file's name here, so it is taken only if it is what a kid looks like.
get .well-known/jwks.json > "$new/jwks"
kids=$(tr '{' '\n' < "$new/jwks" | grep '"alg":"ES256"' | sed -n 's/.*"kid":"\([A-Za-z0-9_-]\{1,128\}\)".*/\1/p')
[ -n "$kids" ] || { echo "no ES256 key at $authsvc" >&2; exit 1; }

# HAProxy looks a key up by file name, and only among files that some literal has named at its start: keys.cfg is there
# to name them.
echo 'backend authsvc_keys' > "$new/keys.cfg"
for kid in $kids; do
    get "keys/$kid.pem" > "$new/$kid.pem"
    grep -q '^-----BEGIN PUBLIC KEY-----' "$new/$kid.pem"
    echo "$kid $folder/$kid.pem" >> "$new/kids.map"
    echo "    http-request set-var(txn.named) str(),jwt_verify('ES256',\"$folder/$kid.pem\")" >> "$new/keys.cfg"
done

# kids.loaded is the map that HAProxy has taken in: a reload that failed is tried again.
cmp -s "$new/kids.map" "$folder/kids.loaded" && exit 0
mv "$new"/*.pem "$new/kids.map" "$new/keys.cfg" "$folder/"
$reload
touch "$folder/kids.loaded"
cut -d' ' -f1 "$folder/kids.loaded" | while read -r kid; do
    grep -q "^$kid " "$folder/kids.map" || rm -f -- "$folder/$kid.pem"
done
cp "$folder/kids.map" "$folder/kids.loaded"
