#!/bin/bash
# The cloud's ends of the lines: BIRD behind the virtual gateway `prod` (VLAN 101 on the first line, 102 on the second),
# FRR in a namespace of its own behind `dev` (VLAN 201 on the second).
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends --no-upgrade bird2 frr
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

vlan() { # PORT VLAN ADDRESS…
    local port=$1 id=$2 address
    shift 2
    ip link set dev "$port" up
    ip link add link "$port" name "$port.$id" type vlan id "$id" 2>/dev/null || true
    ip link set dev "$port.$id" up
    for address; do ip address replace "$address" dev "$port.$id"; done
}
vlan eth1 101 10.255.101.1/30
vlan eth2 102 10.255.102.1/30 2001:db8:102::1/126
ip link add name vpc-prod type dummy 2>/dev/null || true
ip link set dev vpc-prod up
ip address replace 10.20.0.10/16 dev vpc-prod
ip address replace 2001:db8:20::10/48 dev vpc-prod

# After an error a session comes back in seconds. Between virtual machines the light stays when the far end's port goes
# down, and what is not watched by BFD ends with its hold time.
cat >/etc/bird/bird.conf <<'EOF'
template bgp customer {
  connect delay time 1; connect retry time 2; error wait time 1, 4; hold time 15; direct;
}
router id 10.20.0.1;
protocol device { scan time 2; }
protocol direct { ipv4; ipv6; }
protocol kernel { ipv4 { export where source = RTS_BGP; import none; }; }
protocol kernel { ipv6 { export where source = RTS_BGP; import none; }; }
protocol bfd { }
protocol bgp prod_a from customer {
  local 10.255.101.1 as 64512; neighbor 10.255.101.2 as 65010; password "Kaiserlei-101";
  ipv4 { import all; export where net = 10.20.0.0/16; };
}
protocol bgp prod_b from customer {
  local 10.255.102.1 as 64512; neighbor 10.255.102.2 as 65010; bfd { interval 300 ms; multiplier 3; };
  ipv4 { import all; export where net = 10.20.0.0/16; };
}
protocol bgp prod_b_v6 from customer {
  local 2001:db8:102::1 as 64512; neighbor 2001:db8:102::2 as 65010; bfd { interval 300 ms; multiplier 3; };
  ipv6 { import all; export where net = 2001:db8:20::/48; };
}
EOF
systemctl restart bird

ip netns add dev 2>/dev/null || true
if ip link add link eth2 name dev.201 type vlan id 201 2>/dev/null; then ip link set dev dev.201 netns dev; fi
ip -n dev link add name vpc-dev type dummy 2>/dev/null || true
ip -n dev -batch - <<'EOF'
link set dev lo up
link set dev dev.201 up
link set dev vpc-dev up
address replace 10.255.201.1/30 dev dev.201
address replace 10.30.0.10/16 dev vpc-dev
EOF
ip netns exec dev sysctl -q -w net.ipv4.ip_forward=1
install -d -o frr -g frr /etc/frr/dev
printf 'zebra=yes\nbgpd=yes\nbfdd=yes\nvtysh_enable=yes\nwatchfrr_options="--netns=dev"\n' >/etc/frr/dev/daemons
cat >/etc/frr/dev/frr.conf <<'EOF'
router bgp 64513
 bgp router-id 10.30.0.1
 no bgp ebgp-requires-policy
 neighbor 10.255.201.2 remote-as 65010
 neighbor 10.255.201.2 password Griesheim-201
 neighbor 10.255.201.2 bfd
 address-family ipv4 unicast
  network 10.30.0.0/16
 exit-address-family
exit
EOF
chown frr:frr /etc/frr/dev/*
systemctl disable --quiet --now frr
systemctl restart frr@dev
