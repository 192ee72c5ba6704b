#!/bin/bash
# Makes the keys between the Airflow worker and the data-generation hosts, once; run by the service `ssh-keys`.
#   make-ssh-keys.sh HOST...     into /ssh/client (key and known_hosts) and /ssh/HOST (host key and authorized_keys)
# Each of these folders is a volume of its own, so a host has neither the client's key nor that of another host.
set -euo pipefail
umask 077

client=/ssh/client/id_ed25519
[ -s "$client" ] || ssh-keygen -q -t ed25519 -N '' -C model-training -f "$client"
: >/ssh/client/known_hosts.new
for host in "$@"; do
  key=/ssh/$host/ssh_host_ed25519_key
  [ -s "$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$key"
  install -m 600 "$client.pub" "/ssh/$host/authorized_keys"
  printf '[%s]:2222 %s\n' "$host" "$(cut -d ' ' -f 1-2 "$key.pub")" >>/ssh/client/known_hosts.new
done
mv /ssh/client/known_hosts.new /ssh/client/known_hosts
# for `ssh` by hand; the tasks name key and known hosts themselves
printf 'Host *\n  User ops\n  Port 2222\n  IdentityFile /etc/ops-ssh/id_ed25519\n  UserKnownHostsFile /etc/ops-ssh/known_hosts\n' >/ssh/client/config
echo "keys of: $*"
