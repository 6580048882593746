#!/usr/bin/env bash
# Runs the tests of the Kubernetes backend against a real API server over a real etcd,
# both built from a module of their own, tools/kube (about ten minutes the first time;
# KUBE_BIN names the directory where they are kept, instead of one in the cache). The role of the server's account is
# the one that docs/bring-your-own-vault.md shows, read from there.
#
# "scripts/real-kube.sh serve DIR" starts them and waits: DIR/env has where they are.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.37.2
tmp=$(mktemp -d)
pids=()
end() {
  for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$tmp"
}
trap end EXIT
trap 'exit 1' INT TERM

bin=${KUBE_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-tests/kube-$version}
mkdir -p "$bin"
build() { # name, package
  [ -x "$bin/$1" ] || CGO_ENABLED=0 nice -n 10 go build -C tools/kube -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$bin/$1" "$2"
}
build etcd go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver

# Keys: of the server's TLS, and for service accounts' tokens. One token is an admin's.
quietly() { "$@" >"$tmp/out" 2>&1 || { cat "$tmp/out" >&2; exit 1; }; }
umask 077
quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca -keyout "$tmp/ca.key" -out "$tmp/ca.crt"
quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kube-apiserver -keyout "$tmp/tls.key" -out "$tmp/tls.csr"
quietly openssl x509 -req -in "$tmp/tls.csr" -CA "$tmp/ca.crt" -CAkey "$tmp/ca.key" -CAcreateserial -days 2 -out "$tmp/tls.crt" \
  -extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n')
quietly openssl genrsa -traditional -out "$tmp/sa.key" 2048
quietly openssl rsa -in "$tmp/sa.key" -pubout -out "$tmp/sa.pub"
openssl rand -hex 24 | tr -d '\n' >"$tmp/admin"
printf '%s,admin,admin,"system:masters"\n' "$(cat "$tmp/admin")" >"$tmp/tokens.csv"

port=$((20000 + RANDOM % 20000))
"$bin/etcd" --data-dir "$tmp/etcd" --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
  --listen-peer-urls "http://127.0.0.1:$((port + 1))" --log-level error >"$tmp/etcd.log" 2>&1 &
pids+=($!)
address=https://127.0.0.1:$((port + 2))
ask() { # method, path, more of curl's
  curl -sS --fail-with-body --max-time 20 --cacert "$tmp/ca.crt" -H "Authorization: Bearer $(cat "$tmp/admin")" -X "$1" "$address$2" "${@:3}"
}
serve() {
  "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$port" --bind-address 127.0.0.1 --secure-port $((port + 2)) --cert-dir "$tmp" \
    --tls-cert-file "$tmp/tls.crt" --tls-private-key-file "$tmp/tls.key" --token-auth-file "$tmp/tokens.csv" --authorization-mode RBAC \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$tmp/sa.pub" --service-account-signing-key-file "$tmp/sa.key" \
    --service-cluster-ip-range 10.0.0.0/24 --shutdown-delay-duration 0 --v 0 >>"$tmp/apiserver.log" 2>&1 &
  pids[1]=$!
  for _ in $(seq 120); do
    ask GET /readyz >/dev/null 2>&1 && return
    kill -0 "${pids[1]}" 2>/dev/null || break
    sleep 0.5
  done
  tail -5 "$tmp/etcd.log" "$tmp/apiserver.log" >&2
  exit 1
}
serve
ask GET /version | sed -n 's/.*"gitVersion": "\(.*\)".*/kube-apiserver \1/p'

# The account and what it may do: the documents between "kind: Role" and the fence's
# end in the guide, each sent as it stands.
awk '/^```yaml/ {on = 1; text = ""; next} /^```/ {if (on && text ~ /kind: Role/) printf "%s", text; on = 0} on {text = text $0 "\n"}' \
  docs/bring-your-own-vault.md >"$tmp/role.yaml"
create() { ask POST "$1" -H 'Content-Type: application/yaml' --data-binary @- >/dev/null; }
for ns in integrations sallyport; do printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n' $ns | create /api/v1/namespaces; done
printf 'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sallyport}\n' | create /api/v1/namespaces/sallyport/serviceaccounts
awk -v dir="$tmp" 'BEGIN {n = 1} /^---/ {n++; next} {print > (dir "/role." n ".yaml")}' "$tmp/role.yaml"
[ "$(grep -l '^kind: Role$' "$tmp"/role.?.yaml | wc -l)" = 1 ] || { echo 'error: the guide has no role to paste' >&2; exit 1; }
for file in "$tmp"/role.?.yaml; do
  case $(sed -n 's/^kind: //p' "$file") in
    Role) to=roles ;;
    RoleBinding) to=rolebindings ;;
    *) echo "error: what is ${file##*/} in the guide?" >&2; exit 1 ;;
  esac
  create "/apis/rbac.authorization.k8s.io/v1/namespaces/integrations/$to" <"$file"
done
ask POST /api/v1/namespaces/sallyport/serviceaccounts/sallyport/token -H 'Content-Type: application/json' \
  --data '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":3600}}' |
  sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' >"$tmp/token"
[ -s "$tmp/token" ] || { echo 'error: the server gave no token' >&2; exit 1; }

# One that was started again knows no changes from before: the tests need that.
kill -9 "${pids[1]}" # in good order it takes minutes
wait "${pids[1]}" || true
serve

export SALLYPORT_TEST_KUBE_ADDR=$address SALLYPORT_TEST_KUBE_CA=$tmp/ca.crt SALLYPORT_TEST_KUBE_TOKEN_FILE=$tmp/token \
  SALLYPORT_TEST_KUBE_ADMIN_FILE=$tmp/admin SALLYPORT_TEST_KUBE_NAMESPACE=integrations
if [ "${1:-}" = serve ]; then
  mkdir -p "$2"
  env | sed -n 's/^SALLYPORT_TEST_KUBE_/export &/p' >"$2/env"
  echo "$2/env has where it is; end it with ^C"
  wait
fi
go test -count=1 -v -run '^TestReal' ./internal/vault/backend/kube
