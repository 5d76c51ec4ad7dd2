#!/bin/bash
# Prometheus with the rules that dcedge comes with, which scrapes the edge.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends --no-upgrade prometheus
install -m 0644 /dcedge/config/prometheus/dcedge.rules.yml /etc/prometheus/
sed 's/127\.0\.0\.1:9478/192.168.61.2:9478/' /dcedge/config/prometheus/prometheus.yml >/etc/prometheus/prometheus.yml
promtool check config /etc/prometheus/prometheus.yml
systemctl restart prometheus
