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

# HAProxy looks a key up by file name, and only among files that some literal has named at its start: keys.cfg is there
# to name them.
echo 'backend authsvc_keys' > "$new/keys.cfg"
for kid in $kids; do
    get "keys/$kid.pem" > "$new/$kid.pem"
    grep -q '^-----BEGIN PUBLIC KEY-----' "$new/$kid.pem"
    echo "$kid $folder/$kid.pem" >> "$new/kids.map"
    echo "    http-request set-var(txn.named) str(),jwt_verify('ES256',\"$folder/$kid.pem\")" >> "$new/keys.cfg"
done

cmp -s "$new/kids.map" "$folder/kids.map" && exit 0
mv "$new"/*.pem "$new/kids.map" "$new/keys.cfg" "$folder/"
$reload
for old in "$folder"/*.pem; do
    grep -q " $old\$" "$folder/kids.map" || rm -- "$old"
done
