#!/bin/bash
# Has FRR run what dcedge needs: bgpd and bfdd, and a zebra that replaces an IPv6 route in one step.
set -euo pipefail

daemons=/etc/frr/daemons
sed -i -E 's/^(bgpd|bfdd)=no$/\1=yes/' "$daemons"
grep -q -- --v6-rr-semantics "$daemons" || sed -i -E 's/^(zebra_options=".*)"$/\1 --v6-rr-semantics"/' "$daemons"
