#!/bin/bash
# Has FRR run what dcedge needs: bgpd and bfdd, and a zebra that replaces an IPv6 route in one step, leaves its routes in
# the kernel when it ends, and on its return gives bgpd two minutes to claim them.
set -euo pipefail

daemons=/etc/frr/daemons
sed -i -E 's/^(bgpd|bfdd)=no$/\1=yes/' "$daemons"
has() { grep -Eq -- "^zebra_options=.*[\" ]($1)([\" =]|[0-9])" "$daemons"; }
add() { sed -i -E "s/^(zebra_options=\".*)\"$/\1 $1\"/" "$daemons"; }
has --v6-rr-semantics || add --v6-rr-semantics
has '-r|--retain' || add -r
has '-K|--graceful_restart' || add '-K 120'
