#!/bin/bash
# Prometheus, which scrapes the edge.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends prometheus
rules=()
for file in /dcedge/config/*rules*.y*ml; do
    [[ -e $file ]] && install -m 0644 "$file" /etc/prometheus/ && rules+=("/etc/prometheus/${file##*/}")
done
{
    echo 'global: {scrape_interval: 5s, evaluation_interval: 5s}'
    printf 'rule_files: [%s]\n' "$(IFS=,; echo "${rules[*]}")"
    echo 'scrape_configs: [{job_name: dcedge, static_configs: [{targets: ["192.168.61.2:9478"]}]}]'
} >/etc/prometheus/prometheus.yml
promtool check config /etc/prometheus/prometheus.yml
systemctl restart prometheus
