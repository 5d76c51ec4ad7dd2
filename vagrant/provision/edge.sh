#!/bin/bash
# The customer's router: FRR, the package, an order with its passwords, a LAN.
set -euo pipefail

cd /dcedge
export DEBIAN_FRONTEND=noninteractive
release=$(. /etc/os-release && echo "$VERSION_ID")
package=$(printf '%s\n' build/deb/dcedge_*~deb"$release"_amd64.deb | sort -V | tail -n 1)
[[ -e $package ]] || {
    echo "there is no package for Debian $release in build/deb: make deb, then vagrant rsync edge" >&2
    exit 1
}
apt-get -q update
apt-get -q -y install --no-install-recommends --no-upgrade frr
# The same version may have been built anew since the last time.
apt-get -q -y install --no-install-recommends --reinstall "./$package"
vagrant/provision/frr.sh
systemctl restart frr

# The LAN that the clouds may reach.
ip link add name lan0 type dummy 2>/dev/null || true
ip link set dev lan0 up
ip address replace 192.0.2.1/24 dev lan0
ip address replace 2001:db8:10::1/48 dev lan0

install -m 0600 /dev/stdin /etc/dcedge/credentials/prod-a <<<Kaiserlei-101
install -m 0600 /dev/stdin /etc/dcedge/credentials/dev-a <<<Griesheim-201
{
    echo 'agent: {listen: "192.168.61.2:9478"}'
    cat tests/lab/demo-order.yaml
} >/etc/dcedge/order.yaml
dcedge check
systemctl enable --now dcedge
systemctl reload dcedge
